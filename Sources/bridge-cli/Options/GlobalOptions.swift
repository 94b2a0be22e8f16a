import ArgumentParser
import BridgeCore
import Foundation

// Options of many commands, in separate groups, so that a command declares only those that it uses.

/// The format of the result.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    /// Prints a line, except with `--json`.
    func say(_ text: String) {
        if !json { Output.line(text) }
    }
}

/// Progress and logging; `OutputMode` has the values, also for code that runs before the command.
struct ProgressOptions: ParsableArguments {
    @Flag(name: .customLong("no-progress"), help: "Show no progress bar.")
    var noProgress = false

    @Flag(name: .shortAndLong, help: "Log every step on standard error.")
    var verbose = false
}

/// The number of threads.
struct ThreadOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Number of threads of each process. (default: BRIDGE_NUM_THREADS, or one per core)",
            valueName: "n"
        )
    )
    var threads: Int?

    private static let allowed = 1...1024

    /// The variable with the default.
    static let variable = "BRIDGE_NUM_THREADS"

    func validate() throws {
        if let threads, !Self.allowed.contains(threads) {
            throw ValidationError("--threads is \(threads), expected 1 to \(Self.allowed.upperBound)")
        }
    }

    /// The number of the option or the environment; nil for neither.
    var asked: Int? { threads ?? Self.ofEnvironment }

    /// The number of threads that compute.
    var count: Int { asked ?? Ranks.threadCount ?? ProcessorSet.availableCount }

    /// The default number of threads.
    static var standardCount: Int { ofEnvironment ?? Ranks.threadCount ?? ProcessorSet.availableCount }

    private static var ofEnvironment: Int? {
        guard let text = ProcessInfo.processInfo.environment[variable], !text.isEmpty else { return nil }
        guard let count = Int(text), allowed.contains(count) else {
            Output.printError("warning: \(variable) is \(text), expected 1 to 1024; one thread per core is used")
            return nil
        }
        return count
    }
}
