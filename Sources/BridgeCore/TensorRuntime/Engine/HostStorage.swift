/// Memory that the processor addresses.
///
/// Only engines of the processor see the address.
final class HostStorage: TensorStorage, @unchecked Sendable {
    private let pointer: UnsafeMutableRawPointer
    private let release: @Sendable (UnsafeMutableRawPointer) -> Void

    /// Memory from `pointer` on, which `release` frees.
    init(
        _ pointer: UnsafeMutableRawPointer,
        byteCount: Int,
        engine: any TensorEngine,
        isReadOnly: Bool = false,
        release: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
    ) {
        self.pointer = pointer
        self.release = release
        super.init(hostAddress: pointer, byteCount: byteCount, engine: engine, isReadOnly: isReadOnly)
    }

    deinit { release(pointer) }
}

extension TensorStorage {
    /// The address of memory that has none of its own, or an error.
    ///
    /// A function of its own, so that ``Tensor/pointer`` is small enough for every kernel call.
    @inline(never)
    fileprivate func addressOnHost() -> UnsafeMutableRawPointer {
        if let quantized = self as? QuantizedStorage { return quantized.denseAddress }
        Tensor.fail("CPUEngine", "a tensor of the engine '\(engine.name)' was given to the processor")
    }
}

extension Tensor {
    /// The address of the first element, for kernels of the processor.
    var pointer: UnsafeMutableRawPointer {
        (storage.hostAddress ?? storage.addressOnHost()) + offset * elementType.byteCount
    }

    /// The memory of a float32 tensor.
    var floatPointer: UnsafeMutablePointer<Float> { pointer.assumingMemoryBound(to: Float.self) }

    /// The memory of a vector of indices.
    var indexPointer: UnsafePointer<Int32> {
        guard elementType == .int32, isContiguous else {
            Tensor.fail("CPUEngine", "int32 indices without gaps were expected", self)
        }
        return UnsafePointer(pointer.assumingMemoryBound(to: Int32.self))
    }
}
