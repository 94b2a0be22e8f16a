public import Logging

/// The environment of a run: threads, progress, cancellation and log.
public struct RunContext: Sendable {
    /// Threads that copy; nil lets the machine decide.
    public var workers: Int?
    /// The most memory for buffers, in bytes; nil for the default.
    public var memoryLimit: Int?
    /// Called a few times a second on the caller's thread.
    public var progress: (@Sendable (Progress) -> Void)?
    /// Cancels the run.
    public var cancellation: Cancellation

    /// Files that the caller has read; when one has changed by the end, the run fails and the destination is unchanged.
    public var sources: [SourceFiles] = []

    /// Receives notices that are not errors; the default discards them.
    public var logger: Logger

    /// The default context: no progress, no cancellation, no log.
    public init(
        workers: Int? = nil,
        memoryLimit: Int? = nil,
        progress: (@Sendable (Progress) -> Void)? = nil,
        cancellation: Cancellation = Cancellation(),
        logger: Logger = Logger(label: "bridge") { _ in SwiftLogNoOpLogHandler() }
    ) {
        self.workers = workers
        self.memoryLimit = memoryLimit
        self.progress = progress
        self.cancellation = cancellation
        self.logger = logger
    }
}
