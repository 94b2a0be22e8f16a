public import Logging

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

    /// Asked before what was written counts; what it throws ends the run, and the destination is as it was.
    public var confirm: (@Sendable () throws -> Void)?

    /// Told what is worth knowing and no error; says nothing unless a program gives one that does.
    public var logger: Logger

    /// The usual context: no progress, nobody to stop it, no log.
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
