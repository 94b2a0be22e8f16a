import BridgeCore
import JSONTree
import TensorRuntime

/// Makes the inputs of the model from the lines of a file.
struct PromptReader {
    let file: PromptFile
    let processor: any ModelProcessor
    let processing: ProcessingOptions
    /// Whether the chat template is not applied.
    let isRaw: Bool
    /// The system prompt; nil for the default of the template.
    let system: String?
    /// When to stop, and how to choose, for lines that do not limit their tokens.
    let generation: Generator.Options

    private var limit: Int { processor.decoder.seqLength }

    /// Checks all lines, so that a wrong one is reported before hours of generation.
    ///
    /// - Parameters:
    ///   - path: The file, for messages.
    ///   - wantsCrops: Whether elongated images are cropped.
    ///   - asked: The number of new tokens that the user asked for; nil for the default.
    /// - Throws: `BridgeError` with file and line.
    func check(_ path: String, wantsCrops: Bool, asked: Int?) throws {
        var unread: [String] = []
        var (images, lacksSystem, longest) = (0, false, 0)
        let progress = CountLine(total: file.count)
        for row in 0..<file.count {
            if row.isMultiple(of: 16) { progress.show(row, "checked") }
            try file.about(row) { line in
                try checkOptions(line)
                images += line.images.count
                if let conversation = line.conversation {
                    unread += processor.unreadKeys(of: conversation).filter { !unread.contains($0) }
                }
                // An image on the network is downloaded once, when it is the turn of its line.
                let isRemote = line.images.contains { if case .url = $0 { true } else { false } }
                guard !isRemote else { return }
                let inputs = try inputs(of: line)
                lacksSystem = lacksSystem || conversation(of: line).lacksSystem(in: inputs.prompt) && !isRaw
                longest = max(longest, inputs.tokenIDs.count)
                let tokens = inputs.tokenIDs.map { Int32(clamping: $0) }
                try BatchGenerator.check(tokens, options: options(of: line), limit: limit)
            }
        }
        progress.finish()
        if !unread.isEmpty { Output.warn("\(path): ignored keys: \(unread.joined(separator: ", "))") }
        if lacksSystem { Output.warn(Conversation.omittedSystem) }
        if wantsCrops, images == 0 { PromptOptions.warnOfCrops() }
        SamplingArguments.warnOfLength(asked, prompt: longest, limit: limit)
    }

    /// Refuses options of the command that a line with messages does not use.
    private func checkOptions(_ line: PromptFile.Line) throws {
        guard line.conversation != nil else { return }
        let given = [("--system", system != nil), ("--no-chat-template", isRaw)]
        guard let option = given.first(where: \.1)?.0 else { return }
        throw BridgeError(
            .badArgument,
            "the line has messages, on which \(option) has no effect; remove the option, or give a prompt"
        )
    }

    private func conversation(of line: PromptFile.Line) -> Conversation {
        line.conversation ?? Conversation(prompt: line.prompt, images: line.images, system: system)
    }

    private func inputs(of line: PromptFile.Line) throws -> ModelInputs {
        guard isRaw else { return try processor.inputs(conversation(of: line), options: processing) }
        return try processor.inputs(rawText: line.prompt, images: line.images, options: processing)
    }

    private func options(of line: PromptFile.Line) -> Generator.Options {
        guard let most = line.maxNewTokens else { return generation }
        var options = generation
        // The number of new tokens takes precedence over the length of both, from any source.
        (options.maxNewTokens, options.settings.maxLength) = (most, nil)
        return options
    }

    /// The request of a line, and the keys of its output.
    ///
    /// - Throws: `BridgeError` with file and line.
    func request(at row: Int, on engine: any TensorEngine) throws
        -> (request: BatchGenerator.Request, object: JSONObject)
    {
        try file.about(row) { line in
            let (batch, options) = (TokenBatch(try inputs(of: line), on: engine), options(of: line))
            try BatchGenerator.check(batch.tokens, options: options, limit: limit)
            return (.init(tokens: batch.tokens, images: batch.images, options: options), line.object)
        }
    }
}
