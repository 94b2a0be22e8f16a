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
    /// The rank of this process where there are several; only the first one prints, and all report errors.
    var rank: Int?

    private static let chosen = Mutex(OutputMode())

    /// The mode of this run.
    static var current: OutputMode { chosen.withLock { $0 } }

    /// Sets the mode of this run.
    static func use(_ mode: OutputMode) { chosen.withLock { $0 = mode } }

    /// Sets the rank of this process.
    static func use(rank: Int?) {
        chosen.withLock { $0.rank = rank }
        Interrupt.isSilent(rank != nil)
    }

    /// Whether this rank prints nothing but errors.
    var isSilentRank: Bool { (rank ?? 0) > 0 }

    /// Whether a user is watching standard error and wants a progress bar.
    var showsProgress: Bool { allowsProgress && !json && !isSilentRank && isatty(STDERR_FILENO) == 1 }
}
