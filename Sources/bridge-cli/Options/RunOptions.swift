import ArgumentParser
import BridgeCore
import Foundation

/// How a run goes and what it prints.
struct RunOptions: ParsableArguments {
    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    @Flag(name: .customLong("no-progress"), help: "Show no progress bar.")
    var noProgress = false

    @Option(name: .long, help: ArgumentHelp("Threads that copy; BRIDGE_NUM_THREADS does the same.", valueName: "n"))
    var threads: Int?

    @Option(
        name: .customLong("max-memory"),
        help: ArgumentHelp(
            "The most memory for buffers, such as 64M; fewer threads are used to keep it.",
            valueName: "size"
        )
    )
    var maxMemory: String?

    @Flag(name: .shortAndLong, help: "Print each step on standard error.")
    var verbose = false

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads is \(threads), expected 1 to 1024")
        }
        if let maxMemory, Self.bytes(maxMemory) == nil {
            throw ValidationError("--max-memory is \(maxMemory), expected a size such as 64M or 1G")
        }
    }

    /// The library's context, with a progress bar when a person is watching.
    func context(_ bar: ProgressBar) -> RunContext {
        let isWatched = isatty(STDERR_FILENO) == 1 && !noProgress && !json
        return RunContext(
            workers: threads ?? Self.threadsOfEnvironment,
            memoryLimit: maxMemory.flatMap { Self.bytes($0) },
            progress: isWatched ? { @Sendable in bar.show($0) } : nil,
            cancellation: Interrupt.cancellation,
            logger: logger
        )
    }

    private var logger: Logger {
        var logger = Logger(label: "bridge") { StandardErrorLog(label: $0) }
        logger.logLevel = verbose ? .debug : .warning
        return logger
    }

    /// How many threads compute: as asked, as the environment says, or one for each core.
    static func computeThreads(_ asked: Int?) -> Int {
        asked ?? threadsOfEnvironment ?? ProcessInfo.processInfo.activeProcessorCount
    }

    private static var threadsOfEnvironment: Int? {
        guard let text = ProcessInfo.processInfo.environment["BRIDGE_NUM_THREADS"], !text.isEmpty else { return nil }
        guard let count = Int(text), (1...1024).contains(count) else {
            Output.printError("warning: BRIDGE_NUM_THREADS is \(text), expected 1 to 1024; every core is used")
            return nil
        }
        return count
    }

    /// Runs something that takes a while and asks the context whether to stop, so that a signal leaves nothing behind.
    func watched<Result>(_ body: (RunContext) throws -> Result) throws -> Result {
        let bar = ProgressBar()
        defer { bar.finish() }
        return try Interrupt.withGracefulInterrupt { try body(context(bar)) }
    }

    /// Prints a line for people, and nothing with `--json`.
    func say(_ text: String) {
        if !json { Output.line(text) }
    }

    private static func bytes(_ text: String) -> Int? {
        let units: [Character: Int] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
        let unit = text.lowercased().last.flatMap { units[$0] }
        guard let number = Int(unit == nil ? text[...] : text.dropLast()), number > 0, number < 1 << 20 || unit == nil
        else { return nil }
        return number * (unit ?? 1)
    }
}
