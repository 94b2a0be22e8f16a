/// Memory that the processor addresses.
///
/// Only engines of the processor see the address.
final class HostStorage: TensorStorage, @unchecked Sendable {
    /// The first byte; 64-byte aligned when the engine allocated it.
    let pointer: UnsafeMutableRawPointer
    private let release: @Sendable (UnsafeMutableRawPointer) -> Void

    /// Memory that `release` frees.
    init(
        _ pointer: UnsafeMutableRawPointer,
        byteCount: Int,
        engine: any TensorEngine,
        isReadOnly: Bool = false,
        release: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
    ) {
        self.pointer = pointer
        self.release = release
        super.init(byteCount: byteCount, engine: engine, isReadOnly: isReadOnly)
    }

    deinit { release(pointer) }
}

extension Tensor {
    /// The address of the first element, for kernels of the processor.
    var pointer: UnsafeMutableRawPointer {
        // Compared exactly, because a cast in every kernel call would take longer than some of them.
        guard type(of: storage) == HostStorage.self else {
            Tensor.fail("CPUEngine", "a tensor of another engine cannot be computed with", self)
        }
        return unsafeDowncast(storage, to: HostStorage.self).pointer + offset * elementType.byteCount
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
