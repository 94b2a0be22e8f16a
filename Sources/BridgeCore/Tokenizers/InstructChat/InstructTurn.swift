import JinjaTemplates

/// A message as the framing sees it.
struct InstructTurn {
    enum Role: String {
        case system, user, assistant, tool
    }

    /// A part of a message.
    enum Chunk {
        case text(String)
        case image
        case thinking(String, isClosed: Bool)
    }

    /// The content of a message.
    enum Content {
        case text(String)
        case chunks([Chunk])

        var isEmpty: Bool {
            switch self {
            case .text(let text): text.isEmpty
            case .chunks(let chunks): chunks.isEmpty
            }
        }
    }

    /// A call of a tool.
    struct Call {
        /// "null" where the message gives none.
        var id: String
        var name: String
        /// Any value: arguments that are a text without JSON stay a text.
        var arguments: ChatValue
    }

    var role: Role
    var content: Content?
    var calls: [Call] = []
    /// The call that a tool's message is the result of.
    var callID: String?
    /// The name of the tool.
    var name: String?

    init(role: Role, content: Content?) {
        self.role = role
        self.content = content
    }

    /// Reads a message in OpenAI's form.
    init(_ message: ChatMessage, at index: Int) throws(TokenizerError) {
        let position = "message \(index + 1)"
        let value = ChatValue.object(message.fields)
        guard case .text(let name)? = value["role"], let role = Role(rawValue: name == "developer" ? "system" : name)
        else {
            throw InstructCheck.refusal("\(position) has no role, expected system, user, assistant or tool")
        }
        self.role = role
        content = try Self.content(value["content"], position)
        guard content != nil || role == .assistant else {
            throw InstructCheck.refusal("\(position) of the role \(role.rawValue) has no content")
        }
        if case .text(let id)? = value["tool_call_id"] { callID = id }
        if case .text(let name)? = value["name"] { self.name = name }
        guard role == .assistant else { return }
        try takeReasoning(value, position)
        guard let listed = value["tool_calls"], listed != .null else { return }
        guard case .list(let calls) = listed else {
            throw InstructCheck.refusal("tool_calls of \(position) is not a list")
        }
        for call in calls { self.calls.append(try Self.call(call, position)) }
    }

    private static func content(_ value: ChatValue?, _ position: String) throws(TokenizerError) -> Content? {
        switch value {
        case nil, .null?: return nil
        case .text(let text)?: return .text(text)
        case .list(let parts)?:
            var chunks: [Chunk] = []
            for part in parts { chunks.append(try chunk(part, position)) }
            return .chunks(chunks)
        default: throw InstructCheck.refusal("the content of \(position) is neither a text nor a list of parts")
        }
    }

    private static func chunk(_ part: ChatValue, _ position: String) throws(TokenizerError) -> Chunk {
        guard case .text(let type)? = part["type"] else {
            throw InstructCheck.refusal("a part of \(position) has no type")
        }
        switch type {
        case "text":
            if case .text(let text)? = part["text"] { return .text(text) }
        case "image", "image_url": return .image
        case "thinking":
            let isClosed = part["closed"] != .bool(false)
            if case .text(let text)? = part["thinking"] { return .thinking(text, isClosed: isClosed) }
        default:
            throw InstructCheck.refusal(
                "\(position) has a part of type '\(type)', expected text, image, image_url or thinking"
            )
        }
        throw InstructCheck.refusal("a part of type '\(type)' of \(position) has no text")
    }

    /// Prepends a separate reasoning field to the content.
    private mutating func takeReasoning(_ value: ChatValue, _ position: String) throws(TokenizerError) {
        var found: [String] = []
        for key in ["reasoning_content", "reasoning"] {
            if case .text(let text)? = value[key] { found.append(text) }
        }
        guard let reasoning = found.first else { return }
        guard found.allSatisfy({ $0 == reasoning }) else {
            throw InstructCheck.refusal("reasoning_content and reasoning of \(position) differ")
        }
        var chunks: [Chunk] = [.thinking(reasoning, isClosed: true)]
        switch content {
        case nil: break
        case .text(let text)?: chunks.append(.text(text))
        case .chunks(let own)?:
            let thinks = own.contains { if case .thinking = $0 { true } else { false } }
            guard !thinks else {
                throw InstructCheck.refusal("\(position) has both thinking in its content and a reasoning field")
            }
            chunks += own
        }
        content = .chunks(chunks)
    }

    private static func call(_ value: ChatValue, _ position: String) throws(TokenizerError) -> Call {
        guard case .text(let name)? = value["function"]?["name"] else {
            throw InstructCheck.refusal("a tool call of \(position) has no function with a name")
        }
        var id = "null"
        if case .text(let own)? = value["id"] { id = own }
        switch value["function"]?["arguments"] ?? .null {
        case .null: return Call(id: id, name: name, arguments: .object([]))
        case .object(let members): return Call(id: id, name: name, arguments: .object(members))
        case .text(let text): return Call(id: id, name: name, arguments: PythonJSON.value(of: text))
        default:
            throw InstructCheck.refusal("the arguments of a tool call of \(position) are neither an object nor a text")
        }
    }
}

/// JSON in texts, as Python's `json` reads it for the framing.
enum PythonJSON {
    /// The value of a text; an empty one is an empty object, and one without JSON is itself.
    static func value(of text: String) -> ChatValue {
        guard !text.isEmpty else { return .object([]) }
        switch text {
        case "NaN": return .number(.nan)
        case "Infinity": return .number(.infinity)
        case "-Infinity": return .number(-.infinity)
        default: return (try? ChatValue(json: text)) ?? .text(text)
        }
    }

    /// `json.dumps(value, ensure_ascii=False)`.
    static func text(of value: ChatValue) throws(TokenizerError) -> String {
        do throws(TemplateError) { return try value.pythonJSON(limit: 1 << 26) } catch { throw TokenizerError(error) }
    }
}
