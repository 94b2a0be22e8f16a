import Synchronization

/// How far a run is.
public struct Progress: Sendable {
    /// What is being done, as a participle: "Importing".
    public var activity: String
    /// Bytes that are done.
    public var doneBytes: Int
    /// Bytes in all.
    public var totalBytes: Int
}

/// A switch that asks a run to stop.
///
/// The run then leaves its destination as it was and throws `BridgeError` with code `cancelled`.
public final class Cancellation: Sendable {
    private let flag = Atomic(false)

    /// A switch that is off.
    public init() {}

    /// Asks for the stop.
    ///
    /// May be called from any thread, and from a signal handler.
    public func cancel() { flag.store(true, ordering: .relaxed) }

    /// Whether somebody has asked.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) }

    package func check() throws {
        if isCancelled { throw BridgeError(.cancelled, "stopped as asked; the destination is as it was before") }
    }
}

/// What a run is told besides its task: how many threads, whom to tell how far it is, and when to stop.
public struct RunContext: Sendable {
    /// Threads that copy; nil lets the machine decide.
    public var workers: Int?
    /// The most memory for buffers, in bytes; nil for the usual.
    public var memoryLimit: Int?
    /// Called a few times a second on the caller's thread.
    public var progress: (@Sendable (Progress) -> Void)?
    /// Asks the run to stop.
    public var cancellation: Cancellation

    /// The usual context: no progress, nobody to stop it.
    public init(
        workers: Int? = nil,
        memoryLimit: Int? = nil,
        progress: (@Sendable (Progress) -> Void)? = nil,
        cancellation: Cancellation = Cancellation()
    ) {
        self.workers = workers
        self.memoryLimit = memoryLimit
        self.progress = progress
        self.cancellation = cancellation
    }
}
