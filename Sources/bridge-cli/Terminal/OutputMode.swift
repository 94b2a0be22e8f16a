import Glibc
import Synchronization

/// The output mode; read once from the command line, also for errors of the command line itself.
struct OutputMode: Sendable, Equatable {
    /// Whether the result is JSON.
    var json = false
    /// Whether a progress bar is allowed.
    var allowsProgress = true
    /// Whether every event is logged.
    var isVerbose = false

    private static let chosen = Mutex(OutputMode())

    /// The mode of this run.
    static var current: OutputMode { chosen.withLock { $0 } }

    /// Sets the mode of this run.
    static func use(_ mode: OutputMode) { chosen.withLock { $0 = mode } }

    /// Whether a user is watching standard error and wants a progress bar.
    var showsProgress: Bool { allowsProgress && !json && isatty(STDERR_FILENO) == 1 }
}
