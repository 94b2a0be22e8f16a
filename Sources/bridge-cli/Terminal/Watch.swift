import BridgeCore
import Logging

/// The progress bar and the log of a run, of which there is one each, so that neither is written into the other.
enum Watch {
    /// The bar.
    static let bar = ProgressBar()

    /// The log.
    static let logger: Logger = {
        var logger = Logger(label: "bridge") { _ in StandardErrorLog { bar.finish() } }
        logger.logLevel = OutputMode.current.isVerbose ? .debug : .notice
        return logger
    }()

    /// Runs something that takes a while and asks the context whether to stop, so that a signal leaves nothing behind.
    static func run<Result>(_ body: (RunContext) throws -> Result) throws -> Result {
        try run(in: context(), body)
    }

    /// The same with a context of its own.
    static func run<Result>(in context: RunContext, _ body: (RunContext) throws -> Result) throws -> Result {
        defer { bar.finish() }
        return try Interrupt.withGracefulInterrupt { try body(context) }
    }

    /// The context of the library's work.
    ///
    /// - Parameters:
    ///   - workers: How many threads work; nil for the library's choice.
    ///   - memoryLimit: The most memory for buffers; nil for no limit.
    ///   - endsBarWhenDone: Whether the bar ends with the work of one call, as more may follow.
    /// - Returns: A context with the bar where a user is watching, and the log.
    static func context(
        workers: Int? = nil,
        memoryLimit: Int? = nil,
        endsBarWhenDone: Bool = false
    ) -> RunContext {
        let show: @Sendable (BridgeCore.Progress) -> Void = { progress in
            bar.show(progress)
            if endsBarWhenDone, progress.doneBytes >= progress.totalBytes { bar.finish() }
        }
        return RunContext(
            workers: workers,
            memoryLimit: memoryLimit,
            progress: OutputMode.current.showsProgress ? show : nil,
            cancellation: Interrupt.cancellation,
            logger: logger
        )
    }
}
