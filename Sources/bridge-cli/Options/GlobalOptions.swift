import ArgumentParser
import BridgeCore
import Foundation

// The options that many commands have, each in a group of its own, so that a command takes those that it follows.

/// How the result is printed.
struct OutputOptions: ParsableArguments {
    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    /// Prints a line for people, and nothing with `--json`.
    func say(_ text: String) {
        if !json { Output.line(text) }
    }
}

/// What is shown meanwhile; `OutputMode` has the values, also for what runs before the command.
struct ProgressOptions: ParsableArguments {
    @Flag(name: .customLong("no-progress"), help: "Show no progress bar.")
    var noProgress = false

    @Flag(name: .shortAndLong, help: "Log every step on standard error.")
    var verbose = false
}

/// How many threads work.
struct ThreadOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("Number of threads. (default: BRIDGE_NUM_THREADS, or one per core)", valueName: "n")
    )
    var threads: Int?

    private static let allowed = 1...1024

    func validate() throws {
        if let threads, !Self.allowed.contains(threads) {
            throw ValidationError("--threads is \(threads), expected 1 to \(Self.allowed.upperBound)")
        }
    }

    /// The number that the option or the environment asks for; nil for neither.
    var asked: Int? { threads ?? Self.ofEnvironment }

    /// How many threads compute.
    var count: Int { asked ?? ProcessInfo.processInfo.activeProcessorCount }

    /// How many threads compute where no option says otherwise.
    static var standardCount: Int { ofEnvironment ?? ProcessInfo.processInfo.activeProcessorCount }

    private static var ofEnvironment: Int? {
        guard let text = ProcessInfo.processInfo.environment["BRIDGE_NUM_THREADS"], !text.isEmpty else { return nil }
        guard let count = Int(text), allowed.contains(count) else {
            Output.printError("warning: BRIDGE_NUM_THREADS is \(text), expected 1 to 1024; every core is used")
            return nil
        }
        return count
    }
}
