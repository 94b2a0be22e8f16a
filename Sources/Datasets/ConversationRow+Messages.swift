import BridgeCore
import JSONTree
import Tokenizers

/// The messages of a row, one after the other.
extension ConversationRow {
    /// The kind of a role's message.
    enum Part {
        case text
        /// Tool calls, as JSON instead of a text.
        case calls
        case result
    }

    /// The roles that are read, with those that templates know: OpenAI's, ShareGPT's, and LLaMA-Factory's and ms-swift's for
    /// tools.
    static let roles: [String: (role: String, part: Part)] = [
        "user": ("user", .text), "human": ("user", .text),
        "assistant": ("assistant", .text), "gpt": ("assistant", .text), "model": ("assistant", .text),
        "system": ("system", .text),
        "function_call": ("assistant", .calls), "tool_call": ("assistant", .calls), "tool_calls": ("assistant", .calls),
        "function-call": ("assistant", .calls),
        "tool": ("tool", .result), "function": ("tool", .result), "observation": ("tool", .result),
        "tool_response": ("tool", .result), "tool_result": ("tool", .result), "function_response": ("tool", .result),
        "function-response": ("tool", .result),
    ]

    /// The role of a message as the row has it.
    static func roleName(_ json: JSON) -> String? { (json["role"]?.nonNull ?? json["from"])?.string }

    /// Refuses a message that has its role or its text twice, in different ways.
    private static func checkAgreement(_ object: JSONObject, at location: String) throws {
        if let role = object["role"]?.string, let from = object["from"]?.string, let one = roles[role],
            let other = roles[from], one != other
        {
            throw wrong(
                "\(location) has the role \(role) and is from \(from), expected one of them; remove the wrong one"
            )
        }
        if let content = object["content"]?.string, let value = object["value"]?.string, !value.isEmpty,
            !content.utf8.elementsEqual(value.utf8)
        {
            throw wrong(
                "\(location) has a content and another text as value, expected one of them; remove the wrong one"
            )
        }
    }

    /// Reads a message.
    mutating func append(_ json: JSON, mark rowMark: Bool?, at location: String) throws {
        guard let object = json.object else { throw Self.wrong("\(location) is \(json.kind), expected an object") }
        guard let name = Self.roleName(json), let (role, part) = Self.roles[name] else {
            let found = Self.roleName(json).map { "the role \($0)" } ?? "no role"
            throw Self.wrong("\(location) has \(found), expected \(Self.roles.keys.sorted().joined(separator: ", "))")
        }
        try Self.checkAgreement(object, at: location)
        var ownMark = try TurnMarks.mark(of: object, at: location)
        if part != .calls, let parts = (object["content"]?.nonNull ?? object["value"])?.array,
            let partMark = try TurnMarks.mark(ofParts: parts, isAnswer: role == "assistant", at: location)
        {
            guard ownMark ?? partMark == partMark else {
                throw Self.wrong("\(location) and the parts of its content have marks that contradict each other")
            }
            ownMark = partMark
        }
        let mark = ownMark == false || rowMark == false ? false : ownMark ?? rowMark
        for key in ["images", "image", "videos", "audios", "audio"] where !(object[key] ?? .null).imageList.isEmpty {
            throw Self.wrong(
                "\(location) has \(key), expected images in the row's images or as parts {\"type\": \"image\"} of the content"
            )
        }
        if part == .calls { return try appendCalls(object, mark: mark, at: location) }
        var fields: [ChatValue.Member] = [.init("role", .text(role))]
        var calls = try role == "assistant" ? ToolSchemas.calls(object["tool_calls"], in: "\(location).tool_calls") : []
        if role == "assistant", calls.isEmpty, let call = object["function_call"]?.nonNull {
            // OpenAI's form before tool_calls.
            calls = try ToolSchemas.calls(call, in: "\(location).function_call", wrapsFunctions: true)
                .map { Self.identified($0, number: messages.count) }
            openCalls += Self.ids(of: calls)
        }
        switch object["content"]?.nonNull ?? object["value"] {
        case .string(let text)?: fields.append(.init("content", content(of: text)))
        case .array(let parts)?:
            var values: [ChatValue] = []
            for (index, part) in parts.enumerated() {
                values += try self.part(part, at: "\(location).content[\(index)]")
            }
            fields.append(.init("content", isText(values) ?? .list(values)))
        case nil, .null?:
            guard role == "assistant" else {
                throw Self.wrong("\(location) has no content, expected a text or a list of parts")
            }
        case let other?:
            throw Self.wrong("\(location) has \(other.kind) as content, expected a text or a list of parts")
        }
        if role == "assistant" {
            let reasons = RowKeys.reasoning.contains { object[$0]?.string.map { !$0.isEmpty } ?? false }
            try Self.checkAnswer(fields.last, saysMore: !calls.isEmpty || reasons, at: location)
        }
        let read =
            ["role", "from", "content", "value", "tool_calls", "function_call"] + TurnMarks.keys + TurnMarks.details
            + TurnMarks.prompts
        for (key, value) in object where !read.contains(key) && !value.isNull {
            fields.append(.init(key, ChatValue(value)))
        }
        if !calls.isEmpty { fields.append(.init("tool_calls", .list(calls.map { ChatValue($0) }))) }
        if part == .result { addCall(to: &fields) }
        try append(fields, mark: mark, at: location)
    }

    private mutating func append(_ fields: [ChatValue.Member], mark: Bool?, at location: String) throws {
        do throws(TemplateError) {
            messages.append(try ChatMessage(.object(fields)))
            marks.append(mark)
        } catch {
            throw Self.wrong("\(location): \(error.message)")
        }
    }

    /// A message of tool calls: a separate turn, or the end of the assistant's turn before it.
    private mutating func appendCalls(_ object: JSONObject, mark: Bool?, at location: String) throws {
        let json = object["content"]?.nonNull ?? object["value"]?.nonNull ?? object["tool_calls"]?.nonNull
        let (text, source) = Self.callSource(json ?? .null)
        let read = try ToolSchemas.calls(source, in: location, wrapsFunctions: true)
        guard !read.isEmpty, read.allSatisfy({ $0["function"]?["name"]?.string != nil }) else {
            throw Self.wrong(
                "\(location) is a call of a tool and holds no JSON with the name and the arguments of a function"
            )
        }
        let calls = read.enumerated().map { Self.identified($1, number: messages.count + $0) }
        openCalls += Self.ids(of: calls)
        let values = calls.map { ChatValue($0) }
        if let last = messages.last, last.role == "assistant", marks.last == mark, text == nil {
            let index = messages.count - 1
            if let field = last.fields.lastIndex(where: { $0.name == "tool_calls" }),
                case .list(let others) = last.fields[field].value
            {
                messages[index].fields[field].value = .list(others + values)
            } else {
                messages[index].fields.append(.init("tool_calls", .list(values)))
            }
            return
        }
        var fields: [ChatValue.Member] = [.init("role", "assistant")]
        if let text { fields.append(.init("content", .text(text))) }
        fields.append(.init("tool_calls", .list(values)))
        try append(fields, mark: mark, at: location)
    }

    private static func ids(of calls: [JSON]) -> [(id: String, name: String?)] {
        calls.compactMap { call in call["id"]?.string.map { ($0, call["function"]?["name"]?.string) } }
    }

    /// The JSON of calls, and a text before it where there is one: reasoning, or tags that some writers put around each call.
    private static func callSource(_ json: JSON) -> (text: String?, calls: JSON) {
        guard let text = json.string, (try? JSON(parsing: Array(text.utf8))) == nil else { return (nil, json) }
        let blocks = text.matches(of: #/<tool_call>\s*([\s\S]*?)\s*</tool_call>/#)
        if let first = blocks.first {
            let before = text[..<first.range.lowerBound].drop { $0.isWhitespace }
            return (before.isEmpty ? nil : String(before), .array(blocks.map { .string(String($0.output.1)) }))
        }
        if let end = text.firstRange(of: "</think>") {
            return (String(text[..<end.upperBound]), .string(String(text[end.upperBound...])))
        }
        return (nil, json)
    }

    /// A call with an id of nine letters and digits, which templates of Mistral models require, if it has none.
    private static func identified(_ call: JSON, number: Int) -> JSON {
        guard var object = call.object, object["id"]?.nonNull == nil else { return call }
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in call.text(pretty: false) + Array("\(number)".utf8) {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        var id: [UInt8] = []
        for _ in 0..<9 {
            id.append(alphabet[Int(hash % UInt64(alphabet.count))])
            hash /= UInt64(alphabet.count)
        }
        object["id"] = .string(String(decoding: id, as: UTF8.self))
        return .object(object)
    }

    /// Adds the id of the call to a result, if the row has none: calls and results are in the same order.
    private mutating func addCall(to fields: inout [ChatValue.Member]) {
        if case .text(let id)? = fields.last(where: { $0.name == "tool_call_id" })?.value {
            return openCalls.removeAll { $0.id == id }
        }
        guard !openCalls.isEmpty else { return }
        let call = openCalls.removeFirst()
        fields.append(.init("tool_call_id", .text(call.id)))
        if let name = call.name, !fields.contains(where: { $0.name == "name" }) {
            fields.append(.init("name", .text(name)))
        }
    }

    /// Refuses assistant messages that a template cannot render or that have no supervised text.
    private static func checkAnswer(_ content: ChatValue.Member?, saysMore: Bool, at location: String) throws {
        let found: String
        switch content?.name == "content" ? content?.value : nil {
        case .text(let text)?: found = text.isEmpty ? "an empty text" : ""
        case .list(let parts)?:
            guard !parts.contains(where: { $0["type"] == "image" }) else {
                throw wrong(
                    "\(location) is a message of the assistant with an image, and only text can be supervised; move the image "
                        + "to the user's message, or remove the row"
                )
            }
            found = parts.allSatisfy { $0["text"] == "" } ? "an empty text" : ""
        default: found = "no content"
        }
        guard found.isEmpty || saysMore else {
            throw wrong(
                "\(location) is a message of the assistant with \(found); write its text, or remove the row"
            )
        }
    }
}
