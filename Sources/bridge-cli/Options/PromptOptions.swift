import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

/// The prompt.
struct PromptOptions: ParsableArguments {
    @Option(
        name: .long,
        parsing: .unconditional,
        help: ArgumentHelp("The prompt: one user message.", valueName: "text")
    )
    var prompt: String?

    @Option(
        name: .customLong("image"),
        help: ArgumentHelp("An image: a file, an http(s) or a data URL; may be repeated.", valueName: "path"),
        completion: .file(extensions: ["png", "jpg", "jpeg", "webp"])
    )
    var images: [String] = []

    @Option(
        name: .long,
        help: ArgumentHelp(
            """
            A JSON file with a conversation instead of a prompt: a list of {"role": "user", "content": ...}, where content \
            is a text or a list of {"type": "image", "path": "a.png"} and {"type": "text", "text": "..."}; paths are relative \
            to the current directory.
            """,
            valueName: "file"
        ),
        completion: .file(extensions: ["json"])
    )
    var messages: String?

    @Flag(name: .customLong("no-chat-template"), help: "Do not apply the chat template to the prompt.")
    var raw = false

    @Option(
        name: .long,
        help: ArgumentHelp("A JSON file with a list of tools that the model may call.", valueName: "file"),
        completion: .file(extensions: ["json"])
    )
    var tools: String?

    @OptionGroup var template: TemplateOptions

    /// Whether there is a prompt.
    var isGiven: Bool { prompt != nil || messages != nil }

    func validate() throws {
        let besides = [
            ("--system", template.system != nil), ("--tools", tools != nil), ("--date", template.dated.date != nil),
        ]
        if prompt != nil, messages != nil { throw ValidationError("give either --prompt or --messages") }
        if messages != nil, raw {
            throw ValidationError("--no-chat-template requires --prompt; --messages needs the chat template")
        }
        if messages != nil, template.system != nil {
            throw ValidationError("--system requires --prompt; add a system message to --messages")
        }
        if raw, let one = besides.first(where: \.1)?.0 {
            throw ValidationError(
                "--no-chat-template does not apply the chat template, so \(one) has no effect; remove one of them"
            )
        }
        if !isGiven, !images.isEmpty { throw ValidationError("--image requires --prompt or --messages") }
    }

    /// Refuses options of a prompt beside a file of inputs, which needs none of them.
    func refuse(beside option: String) throws {
        let given = [
            ("--system", template.system != nil), ("--tools", tools != nil), ("--date", template.dated.date != nil),
            ("--no-chat-template", raw), ("--pan-and-scan", template.panAndScan),
        ]
        guard let one = given.first(where: \.1)?.0 else { return }
        throw ValidationError(
            "\(one) has no effect with \(option), whose tokens and images are used as they are; remove one of them"
        )
    }

    /// The batch of a file of inputs; tensors that are not read are reported, but for those that the caller reads.
    static func batch(inputs: String, ignoring known: Set<String> = [], on engine: any TensorEngine) throws
        -> TokenBatch
    {
        let batch = try TokenBatch(inputs: inputs, on: engine)
        let unknown = try InputTensors.unknown(in: inputs).filter { !known.contains($0) }
        if !unknown.isEmpty {
            Output.warn("\(inputs): ignored tensors: \(unknown.joined(separator: ", "))")
        }
        return batch
    }

    static func warnOfCrops() { Output.warn("--pan-and-scan has no effect: there is no image") }

    /// The options of the processor.
    ///
    /// - Parameters:
    ///   - processor: The model's processor.
    ///   - asksForAnswer: Whether the generation prompt is added.
    /// - Returns: Those of the command line.
    /// - Throws: `BridgeError` for options that have no effect on the model, and for tools that cannot be read.
    func options(for processor: any ModelProcessor, asksForAnswer: Bool = true) throws -> ProcessingOptions {
        var options = try template.options(for: processor)
        options.template.addsGenerationPrompt = asksForAnswer
        options.template.tools = try tools.map { path in
            try ToolSchemas.tools(JSON(contentsOf: path), in: path) ?? []
        }
        guard options.template.tools == nil || processor.writesTools else {
            throw BridgeError(
                .badArgument,
                "--tools has no effect: the chat template of the model does not read tools; remove the option, or add a "
                    + "template that does"
            )
        }
        return options
    }

    /// The inputs of the model.
    ///
    /// - Parameters:
    ///   - processor: The model's processor.
    ///   - asksForAnswer: Whether the generation prompt is added.
    /// - Returns: Tokens and pixels.
    /// - Throws: The processor's `BridgeError`.
    func inputs(_ processor: any ModelProcessor, asksForAnswer: Bool = true) throws -> ModelInputs {
        let images = try images.map { try ImageSource($0) }
        let options = try options(for: processor, asksForAnswer: asksForAnswer)
        if let messages {
            let conversation = try Conversation(contentsOf: messages, images: images)
            let unread = processor.unreadKeys(of: conversation)
            if !unread.isEmpty {
                Output.warn("\(messages): ignored keys: \(unread.joined(separator: ", "))")
            }
            if template.panAndScan, conversation.images.isEmpty { Self.warnOfCrops() }
            return try Self.inputs(of: conversation, processor, options)
        }
        if template.panAndScan, images.isEmpty { Self.warnOfCrops() }
        let prompt = prompt ?? ""
        if raw { return try processor.inputs(rawText: prompt, images: images, options: options) }
        return try Self.inputs(
            of: Conversation(prompt: prompt, images: images, system: template.system),
            processor,
            options
        )
    }

    private static func inputs(
        of conversation: Conversation,
        _ processor: any ModelProcessor,
        _ options: ProcessingOptions
    ) throws -> ModelInputs {
        let inputs = try processor.inputs(conversation, options: options)
        if conversation.lacksSystem(in: inputs.prompt) { Output.warn(Conversation.omittedSystem) }
        return inputs
    }
}
