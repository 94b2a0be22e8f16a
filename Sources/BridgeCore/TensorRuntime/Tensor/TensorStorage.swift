/// The memory of tensors, shared by all views of it.
///
/// Memory is allocated by an engine and returned to it with the last tensor, or it has another owner, such as a mapped
/// file, which `owner` retains.
public final class TensorStorage: @unchecked Sendable {
    /// The first byte; 64-byte aligned when the engine made it.
    public let pointer: UnsafeMutableRawPointer
    /// The size in bytes.
    public let byteCount: Int
    /// The engine that works on this memory.
    public let engine: any TensorEngine
    /// Whether the memory may not be written to, as that of a mapped file.
    public let isReadOnly: Bool

    private let release: (@Sendable (UnsafeMutableRawPointer) -> Void)?
    private let owner: (any AnyObject & Sendable)?

    /// Memory that is freed by `release`.
    public init(
        pointer: UnsafeMutableRawPointer,
        byteCount: Int,
        engine: any TensorEngine,
        release: @escaping @Sendable (UnsafeMutableRawPointer) -> Void
    ) {
        self.pointer = pointer
        self.byteCount = byteCount
        self.engine = engine
        self.release = release
        isReadOnly = false
        owner = nil
    }

    /// Memory that `owner` keeps and that is only read.
    public init(
        readOnly pointer: UnsafeRawPointer,
        byteCount: Int,
        engine: any TensorEngine,
        owner: any AnyObject & Sendable
    ) {
        self.pointer = UnsafeMutableRawPointer(mutating: pointer)
        self.byteCount = byteCount
        self.engine = engine
        self.owner = owner
        isReadOnly = true
        release = nil
    }

    deinit { release?(pointer) }
}
