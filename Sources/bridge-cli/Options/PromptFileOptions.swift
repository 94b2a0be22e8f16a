import ArgumentParser
import BridgeCore

/// A file of prompts, and where their answers are written.
struct PromptFileOptions: ParsableArguments {
    @Option(
        name: .customLong("prompt-file"),
        help: ArgumentHelp(
            """
            A JSONL file with many prompts, to be used with --output. Each line is a text, or an object with "prompt" or "messages", \
            and perhaps "images" and "max_new_tokens"; paths of images are relative to the directory of the file.
            """,
            valueName: "file"
        ),
        completion: .file(extensions: ["jsonl", "json"])
    )
    var promptFile: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            The JSONL file to write for --prompt-file: the lines in their order, each with "text", "tokens" (how many were \
            generated) and "finish_reason" (stop or length) after its own keys.
            """,
            valueName: "file"
        ),
        completion: .file(extensions: ["jsonl"])
    )
    var output: String?

    @Option(
        name: .customLong("batch-size"),
        help: ArgumentHelp(
            "Number of prompts of --prompt-file that are continued together. (default: \(defaultBatchSize))",
            valueName: "n"
        )
    )
    var batchSize: Int?

    @Flag(name: .long, help: "Replace --output if it exists.")
    var overwrite = false

    private static let defaultBatchSize = 8

    /// The number of sequences at a time.
    var size: Int { batchSize ?? Self.defaultBatchSize }

    func validate() throws {
        if let batchSize, !(1...1024).contains(batchSize) {
            throw ValidationError("--batch-size is \(batchSize), expected 1 to 1024")
        }
        guard promptFile == nil else {
            guard output != nil else { throw ValidationError("--prompt-file requires --output, the file to write") }
            return
        }
        let given = [("--output", output != nil), ("--batch-size", batchSize != nil), ("--overwrite", overwrite)]
        if let one = given.first(where: \.1)?.0 { throw ValidationError("\(one) requires --prompt-file") }
    }

    /// Refuses an output that cannot be written or would replace something, before anything is computed.
    ///
    /// - Parameters:
    ///   - output: The file to write.
    ///   - inputs: The files that are read; nil for those that are not given.
    ///   - models: The models and adapters that are read.
    /// - Throws: `BridgeError` with what to do.
    func check(_ output: String, inputs: [String?], models: [String?]) throws {
        func replaces(_ paths: [String?]) -> Bool {
            paths.compactMap(\.self).contains { Destination.relation(of: output, to: $0) != nil }
        }
        let isModels = replaces(models)
        guard !isModels, !replaces(inputs) else {
            throw BridgeError(
                .badArgument,
                "--output \(output) would replace a file of the \(isModels ? "model" : "inputs"); choose another file"
            )
        }
        guard Files.kind(of: output) != .directory else {
            throw BridgeError(.badArgument, "--output is \(output), a directory; give the path of a file")
        }
        guard overwrite || !Files.exists(output) else {
            throw BridgeError(
                .destinationTaken,
                "\(output) exists; choose another file, or pass --overwrite to replace it"
            )
        }
        try Destination.checkParent(of: output)
    }
}
