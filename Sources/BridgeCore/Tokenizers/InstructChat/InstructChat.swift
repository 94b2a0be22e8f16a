import JinjaTemplates

/// Conversations as the control tokens of a `tekken.json` frame them, for directories without a chat template.
///
/// The tokens are those of mistral-common 1.13 for the version that the file names. Unlike a template it encodes each text
/// by itself and as ordinary text, so a message that spells out a control token does not make one.
struct InstructChat: Sendable, Equatable {
    /// The versions of the framing, in their order.
    enum Version: Int, Sendable, Comparable, CaseIterable {
        case v3 = 3
        case v7 = 7
        case v11 = 11
        case v13 = 13

        static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

        /// The version of a name such as "v7".
        init?(named name: String) {
            guard name.hasPrefix("v"), let number = Int(name.dropFirst()) else { return nil }
            self.init(rawValue: number)
        }
    }

    /// The `config.version` of the file.
    let versionName: String
    /// The contents of the file's control tokens.
    let controlTokens: Set<String>

    /// The text of a conversation, with the texts in it that are encoded as such.
    ///
    /// - Throws: `TokenizerError` with the code `templateRefusal` for what the version does not allow.
    func render(
        _ messages: [ChatMessage],
        options: ChatTemplate.Options
    ) throws(TokenizerError) -> RenderedChat {
        guard let version = Version(named: versionName) else {
            let known = Version.allCases.map { "v\($0.rawValue)" }.joined(separator: ", ")
            throw TokenizerError(
                .unsupported,
                "the model has no chat template, and its tekken.json is of version '\(versionName)'; conversations are framed "
                    + "without a template for \(known); add a chat_template.jinja, or give the prompt as it is (--raw)"
            )
        }
        guard !options.continuesFinalMessage || !options.addsGenerationPrompt else {
            throw TokenizerError(
                .templateRefusal,
                "the last message cannot be continued together with a generation prompt; choose one of the two"
            )
        }
        var turns: [InstructTurn] = []
        for (index, message) in messages.enumerated() { turns.append(try InstructTurn(message, at: index)) }
        let check = InstructCheck(
            version: version,
            asksForAnswer: options.addsGenerationPrompt,
            continuesLast: options.continuesFinalMessage
        )
        try check.run(turns)
        let tools = try (options.tools ?? []).map { tool throws(TokenizerError) in try InstructTool(tool) }
        var writer = InstructWriter(version: version, controlTokens: controlTokens, tools: tools)
        try writer.write(turns, continuesLast: options.continuesFinalMessage)
        return writer.chat
    }
}

/// A tool as it is written into a prompt: names, description and parameters, in this order, without other keys.
struct InstructTool {
    let value: ChatValue

    init(_ tool: ChatValue) throws(TokenizerError) {
        guard case .object(let function)? = tool["function"], case .text(let name)? = tool["function"]?["name"] else {
            throw InstructCheck.refusal("a tool has no function with a name")
        }
        if case .text(let type)? = tool["type"], type != "function" {
            throw InstructCheck.refusal("a tool is of type '\(type)', expected 'function'")
        }
        try InstructCheck.checkName(name, of: "a tool")
        var description = ChatValue.text("")
        if case .text(let text)? = tool["function"]?["description"] { description = .text(text) }
        let parameters = function.last { $0.name == "parameters" }?.value ?? .null
        switch parameters {
        case .null, .object: break
        default: throw InstructCheck.refusal("the parameters of the tool \(name) are not an object")
        }
        value = .object([
            .init("type", "function"),
            .init(
                "function",
                .object([
                    .init("name", .text(name)), .init("description", description),
                    .init("parameters", parameters == .null ? .object([]) : parameters),
                ])
            ),
        ])
    }
}
