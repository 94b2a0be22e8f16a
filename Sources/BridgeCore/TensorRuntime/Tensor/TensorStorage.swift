/// The memory of tensors, shared by all views of it.
///
/// Where it is and how it is addressed is known to the engine that made it, which has its own subclass; all others read and
/// write it by ``TensorEngine/download(_:_:)`` and ``TensorEngine/upload(_:_:)``. The engine gets it back with the last tensor.
open class TensorStorage: @unchecked Sendable {
    /// The size in bytes.
    public let byteCount: Int
    /// The engine that works on this memory.
    public let engine: any TensorEngine
    /// Whether the memory may not be written to, as that of a mapped file.
    public let isReadOnly: Bool
    /// The first byte for engines of the processor; nil in the memory of others.
    final let hostAddress: UnsafeMutableRawPointer?

    /// Memory of an engine's own kind, which its subclass describes.
    public init(byteCount: Int, engine: any TensorEngine, isReadOnly: Bool) {
        hostAddress = nil
        self.byteCount = byteCount
        self.engine = engine
        self.isReadOnly = isReadOnly
    }

    init(hostAddress: UnsafeMutableRawPointer?, byteCount: Int, engine: any TensorEngine, isReadOnly: Bool) {
        self.hostAddress = hostAddress
        self.byteCount = byteCount
        self.engine = engine
        self.isReadOnly = isReadOnly
    }
}
