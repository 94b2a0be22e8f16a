import BridgeCore
import Logging

/// The progress bar and the log of a run, shared so that neither is written into the other.
enum Watch {
    /// The bar.
    static let bar = ProgressBar()

    /// The log.
    static let logger: Logger = {
        var logger = Logger(label: "bridge") { _ in StandardErrorLog { bar.finish() } }
        logger.logLevel = OutputMode.current.isVerbose ? .debug : .notice
        return logger
    }()

    /// Runs a long operation that checks the context for cancellation, so that a signal leaves no partial result.
    static func run<Result>(_ body: (RunContext) throws -> Result) throws -> Result {
        try run(in: context(), body)
    }

    /// The same with a separate context.
    static func run<Result>(in context: RunContext, _ body: (RunContext) throws -> Result) throws -> Result {
        defer { bar.finish() }
        return try Interrupt.withGracefulInterrupt { try body(context) }
    }

    /// The context of the library's work.
    ///
    /// - Parameters:
    ///   - workers: The number of threads; nil for the library's default.
    ///   - memoryLimit: The maximum memory of buffers; nil for no limit.
    ///   - endsBarWhenDone: Whether the bar ends with the work of one call, as more may follow.
    /// - Returns: A context with the bar on a terminal, and the log.
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
