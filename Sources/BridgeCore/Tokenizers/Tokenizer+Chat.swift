public import JinjaTemplates

extension Tokenizer {
    /// Uses the templates of transformers' processor of a model instead of those of its tokenizer.
    ///
    /// - Parameters:
    ///   - directory: The model's directory.
    ///   - template: `chat_template` of `processor_config.json`; nil where it has none.
    /// - Throws: `TokenizerError` for files that contradict each other.
    public mutating func takeProcessorTemplates(_ directory: String, ofProcessor template: String?)
        throws(TokenizerError)
    {
        try settings.takeProcessorTemplates(directory, ofProcessor: template)
    }

    /// The chat template that the files of the model hold.
    ///
    /// - Parameters:
    ///   - name: Its name where there are several; nil takes `tool_use` where tools are used and it is there, else
    ///     `default`.
    ///   - usesTools: Whether the conversation has tools.
    /// - Returns: The parsed template.
    /// - Throws: `TokenizerError` where there is none of that name, or it is not a template.
    public func chatTemplate(named name: String? = nil, usingTools usesTools: Bool = false) throws(TokenizerError)
        -> ChatTemplate
    {
        let templates = settings.chatTemplates
        let wanted = name ?? (usesTools && templates["tool_use"] != nil ? "tool_use" : "default")
        guard let source = templates[wanted] else {
            let names = templates.keys.sorted().map { "'\($0)'" }.joined(separator: ", ")
            let others = "the model has the chat templates \(names) and none named '\(wanted)'"
            throw TokenizerError(
                .unsupported,
                "\(names.isEmpty ? "the model has no chat template" : others); "
                    + "add a chat_template.jinja, or give the prompt as it is (--raw)"
            )
        }
        do throws(TemplateError) { return try ChatTemplate(source) } catch { throw TokenizerError(error) }
    }

    /// The text of a conversation under the model's own template.
    public func render(
        _ messages: [ChatMessage],
        options: ChatTemplate.Options = ChatTemplate.Options()
    ) throws(TokenizerError) -> RenderedChat {
        if let instructChat, settings.chatTemplates.isEmpty {
            return try instructChat.render(messages, options: options)
        }
        let template = try chatTemplate(usingTools: options.tools != nil)
        do throws(TemplateError) {
            return try template.render(messages, specialTokens: settings.specialTokens, options: options)
        } catch { throw TokenizerError(error) }
    }

    /// The tokens of a rendered conversation, with exactly the control tokens that the template wrote.
    ///
    /// - Parameter chat: The rendered conversation.
    /// - Returns: The tokens, and for each whether it is the assistant's.
    /// - Throws: `TokenizerError` when an expression of the tokenizer gives up on the text.
    public func encode(_ chat: RenderedChat) throws(TokenizerError) -> (encoding: Encoding, isAssistant: [Bool]) {
        let encoding =
            chat.literals.isEmpty
            ? try encodeWithOffsets(chat.text, addingSpecialTokens: false) : try encodePieces(of: chat)
        return (encoding, encoding.mask(of: chat.assistantSpans))
    }

    /// Whether conversations are framed by the tokenizer's own control tokens, since there is no template.
    public var framesConversations: Bool { instructChat != nil && settings.chatTemplates.isEmpty }

    /// Encodes the texts of a conversation one by one, and the control tokens between them.
    private func encodePieces(of chat: RenderedChat) throws(TokenizerError) -> Encoding {
        let bytes = Array(chat.text.utf8)
        var encoding = Encoding(ids: [], offsets: [])
        func append(_ range: Range<Int>, isLiteral: Bool) throws(TokenizerError) {
            guard !range.isEmpty else { return }
            let piece = try encodeWithOffsets(
                String(decoding: bytes[range], as: UTF8.self),
                addingSpecialTokens: false,
                parsingSpecialTokens: !isLiteral
            )
            encoding.ids += piece.ids
            encoding.offsets += piece.offsets.map {
                $0.lowerBound + range.lowerBound..<$0.upperBound + range.lowerBound
            }
        }
        var end = 0
        for literal in chat.literals {
            try append(end..<literal.lowerBound, isLiteral: false)
            try append(literal, isLiteral: true)
            end = literal.upperBound
        }
        try append(end..<bytes.count, isLiteral: false)
        return encoding
    }

    /// The token ids of a prompt that may begin with the token that begins a sequence, which is not added twice.
    public func encodePrompt(_ text: String) throws(TokenizerError) -> [Int32] {
        let ids = try encode(text, addingSpecialTokens: false)
        let prefix = postProcessor.prefix
        return ids.starts(with: prefix) ? ids : prefix + ids
    }
}
