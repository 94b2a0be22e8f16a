extension CPUEngine {
    /// Memory from the pool, which gets it back.
    public func makeStorage(byteCount: Int, for engine: any TensorEngine) -> TensorStorage {
        let memory = memory
        return HostStorage(memory.take(byteCount), byteCount: byteCount, engine: engine) {
            memory.giveBack($0, byteCount)
        }
    }

    /// The bytes themselves, which are only read.
    public func makeStorage(
        mapping bytes: UnsafeRawBufferPointer,
        owner: any AnyObject & Sendable,
        for engine: any TensorEngine
    ) -> TensorStorage {
        guard let base = bytes.baseAddress else { return makeStorage(byteCount: 0, for: engine) }
        return HostStorage(
            UnsafeMutableRawPointer(mutating: base),
            byteCount: bytes.count,
            engine: engine,
            isReadOnly: true
        ) { _ in withExtendedLifetime(owner) {} }
    }

    /// The memory itself.
    public func upload(_ tensor: Tensor, _ write: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        guard tensor.isContiguous, !tensor.storage.isReadOnly else {
            Tensor.fail("upload", "a writable tensor without gaps was expected", tensor)
        }
        try write(UnsafeMutableRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    }

    /// The memory itself.
    public func download(_ tensor: Tensor, _ read: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        guard tensor.isContiguous else { Tensor.fail("download", "a tensor without gaps was expected", tensor) }
        try read(UnsafeRawBufferPointer(start: tensor.pointer, count: tensor.byteCount))
    }

    /// The same elements without gaps, as a type; a copy of this engine's own unless they are that already.
    ///
    /// A copy by the tensor's engine would go through an engine around this one a second time.
    func dense(_ tensor: Tensor, as type: ElementType? = nil) -> Tensor {
        let type = type ?? tensor.elementType
        guard !tensor.isContiguous || tensor.elementType != type else { return tensor }
        let copy = Tensor(uninitialized: tensor.shape, type, on: self)
        self.copy(tensor, into: copy)
        return copy
    }
}
