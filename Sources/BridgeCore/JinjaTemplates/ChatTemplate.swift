/// The template of a model that turns a conversation into one text, as transformers' `apply_chat_template` does.
///
/// Templates come from strangers: a run is bounded in steps, output and depth, and every failure is an error with the
/// line of the template.
public struct ChatTemplate: Sendable {
    private let statements: [TemplateStatement]
    private let limits: TemplateInterpreter.Limits

    /// The largest template that is read, in bytes.
    static let largestSource = 1 << 20

    /// Parses a template in Jinja's language.
    public init(_ source: String) throws(TemplateError) {
        guard source.utf8.count <= Self.largestSource else {
            throw TemplateError(
                .syntax,
                "the template has \(source.utf8.count) bytes, expected at most \(Self.largestSource)"
            )
        }
        statements = try TemplateParser.parse(source)
        limits = TemplateInterpreter.Limits()
    }

    /// The variables of a template in addition to the messages.
    public struct Options: Sendable, Equatable {
        /// The tools that the model may call, each as its JSON schema; nil where there are none.
        public var tools: [ChatValue]?
        /// Documents that the model may quote; nil where there are none.
        public var documents: [ChatValue]?
        /// Whether the text ends with a generation prompt.
        public var addsGenerationPrompt = false
        /// Whether the last message stays open, so that the model continues it; not together with a generation prompt.
        public var continuesFinalMessage = false
        /// The moment that `strftime_now` formats; nil means now.
        public var date: ChatDate?
        /// Whether `{today}` and `{yesterday}` in the template's own texts become dates.
        ///
        /// transformers keeps them unchanged.
        public var fillsDatePlaceholders = false
        /// Further variables; they win over the control tokens.
        public var variables: [ChatValue.Member] = []

        /// No tools, no generation prompt, the present date.
        public init() {}
    }

    /// The text of a conversation.
    ///
    /// - Parameters:
    ///   - messages: The turns in their order.
    ///   - specialTokens: The control tokens by their role, such as `bos_token`.
    ///   - options: Further variables of the template.
    /// - Returns: The text, and where in it the assistant speaks.
    /// - Throws: `TemplateError`; with the code `templateRefusal` where the template does not take the conversation.
    public func render(
        _ messages: [ChatMessage],
        specialTokens: [String: String],
        options: Options = Options()
    ) throws(TemplateError) -> RenderedChat {
        guard !messages.isEmpty else {
            throw TemplateError(.failure, "the conversation is empty; it needs at least one message")
        }
        guard !options.continuesFinalMessage || !options.addsGenerationPrompt else {
            throw TemplateError(
                .refusal,
                "the last message cannot be continued together with a generation prompt; choose one of the two"
            )
        }
        let openEnd: OpenEnd?
        if options.continuesFinalMessage { openEnd = try OpenEnd(messages) } else { openEnd = nil }
        let messages = openEnd?.messages ?? messages
        var variables: [String: TemplateValue] = [:]
        for (name, token) in specialTokens { variables[name] = .string(token) }
        for member in options.variables {
            try Self.checkDepth(member.value)
            variables[member.name] = TemplateValue(member.value)
        }
        for message in messages { try Self.checkDepth(.object(message.fields)) }
        for value in (options.tools ?? []) + (options.documents ?? []) { try Self.checkDepth(value) }
        variables["messages"] = .list(messages.map(\.templateValue))
        variables["tools"] = options.tools.map { .list($0.map { TemplateValue($0) }) } ?? TemplateValue.none
        variables["documents"] = options.documents.map { .list($0.map { TemplateValue($0) }) } ?? TemplateValue.none
        variables["add_generation_prompt"] = .bool(options.addsGenerationPrompt)
        let chat = try render(variables, options)
        return try openEnd?.cut(chat) ?? chat
    }

    func render(
        _ variables: [String: TemplateValue],
        _ options: Options,
        limits: TemplateInterpreter.Limits? = nil
    ) throws(TemplateError) -> RenderedChat {
        var interpreter = TemplateInterpreter(
            variables: variables,
            date: options.date ?? .now(),
            fillsPlaceholders: options.fillsDatePlaceholders,
            limits: limits ?? self.limits
        )
        try interpreter.run(statements)
        return RenderedChat(text: interpreter.output, assistantSpans: Self.disjoint(interpreter.spans))
    }

    /// Marks in their order; a mark around others takes them in.
    private static func disjoint(_ spans: [Range<Int>]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        for span in spans.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
            if let last = result.last, span.lowerBound < last.upperBound || span == last {
                result[result.count - 1] = last.lowerBound..<max(last.upperBound, span.upperBound)
            } else {
                result.append(span)
            }
        }
        return result
    }

    private static func checkDepth(_ value: ChatValue) throws(TemplateError) {
        let most = TemplateValue.deepestNesting - 20
        guard value.depth(limit: most) < most else {
            throw TemplateError(.failure, "a message or tool nests more than \(most) levels deep")
        }
    }
}

/// A conversation as one text.
public struct RenderedChat: Sendable, Equatable {
    /// The text.
    ///
    /// It holds the control tokens already, so it is encoded without adding any.
    public var text: String
    /// The ranges of UTF-8 bytes that the template marks with `{% generation %}`: the assistant's text.
    public var assistantSpans: [Range<Int>]
    /// The ranges of UTF-8 bytes that are encoded by themselves and as ordinary text, whatever they spell; empty for the
    /// text of a template, which is encoded as a whole.
    package var literals: [Range<Int>]

    /// A text from somewhere else than a template.
    package init(text: String, assistantSpans: [Range<Int>], literals: [Range<Int>] = []) {
        self.text = text
        self.assistantSpans = assistantSpans
        self.literals = literals
    }
}
