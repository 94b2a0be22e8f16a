import ArgumentParser
import BridgeCore

/// Options for reading and writing files, and for progress.
struct RunOptions: ParsableArguments {
    @OptionGroup var output: OutputOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var threads: ThreadOptions

    @Option(
        name: .customLong("max-memory"),
        help: ArgumentHelp(
            "Maximum memory of buffers, such as 64M; lowers the number of threads if necessary.",
            valueName: "size"
        )
    )
    var maxMemory: String?

    /// Whether the result is JSON.
    var json: Bool { output.json }

    func validate() throws {
        if let maxMemory, Self.bytes(maxMemory) == nil {
            throw ValidationError("--max-memory is \(maxMemory), expected a size such as 64M or 1G")
        }
    }

    /// Runs a long operation that checks the context for cancellation, so that a signal leaves no partial result.
    func watched<Result>(_ body: (RunContext) throws -> Result) throws -> Result {
        try Watch.run(
            in: Watch.context(workers: threads.asked, memoryLimit: maxMemory.flatMap { Self.bytes($0) }),
            body
        )
    }

    /// Prints a line, except with `--json`.
    func say(_ text: String) { output.say(text) }

    /// The bytes of a size such as `64M`; nil for another text.
    static func bytes(_ text: String) -> Int? {
        let units: [Character: Int] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
        let unit = text.lowercased().last.flatMap { units[$0] }
        guard let number = Int(unit == nil ? text[...] : text.dropLast()), number > 0, number < 1 << 20 || unit == nil
        else { return nil }
        return number * (unit ?? 1)
    }
}
