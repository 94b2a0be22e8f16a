import BridgeCore
package import JSONTree

/// The keys of a row of conversations that its reader does not use.
package struct UnreadKeys {
    /// The keys that are not used with any model; those of messages have the prefix `messages[].`.
    package private(set) var keys: Set<String>
    /// The keys that only the chat template can read, each with its possible names in the template.
    package private(set) var ofTemplate: [String: [String]] = [:]
    /// The marks of messages of other roles than the trained ones that they are supervised, which selects nothing.
    package private(set) var marksOfPrompts: Set<String> = []

    /// The keys of a row.
    ///
    /// - Parameters:
    ///   - row: The keys of the row with their values.
    ///   - columns: Further keys of the row, whose values are not needed.
    ///   - trainedRoles: The roles whose messages are supervised.
    package init(row: JSON, columns: [String] = [], trainedRoles: Set<String> = ["assistant"]) {
        let pair = try? CompletionRow.row(row)
        let row = pair ?? row
        keys = Set(columns.filter { !RowKeys.knownOfRow.contains($0) })
        if pair != nil { keys.subtract(CompletionRow.keys) }
        for (key, value) in row.object ?? JSONObject() where !value.isNull && !RowKeys.knownOfRow.contains(key) {
            keys.insert(key)
        }
        keys.formUnion(TurnMarks.properties(of: row))
        for key in ConversationRow.imageKeys {
            for image in row[key]?.imageList ?? [] { addImage(image, of: key) }
        }
        if ConversationRow.toolKeys.contains(where: { row[$0].map(Self.isFilled) ?? false }) {
            ofTemplate["tools"] = ["tools"]
        }
        let messages = ConversationRow.keys.lazy.compactMap { row[$0]?.array }.first ?? []
        for message in messages {
            guard let object = message.object else { continue }
            let name = ConversationRow.roleName(message)
            add(object, of: name.flatMap { ConversationRow.roles[$0] })
        }
        let roles = messages.map { ConversationRow.roleName($0).flatMap { ConversationRow.roles[$0]?.role } }
        marksOfPrompts = TurnMarks.marksOfPrompts(of: row, messages, roles: roles, trainedRoles)
    }

    private static func isFilled(_ value: JSON) -> Bool { !value.isNull && value != "" && value != [] }

    private mutating func addImage(_ image: JSON, of key: String) {
        guard let object = image.object else { return }
        let read = Set(ImagePaths.usedKeys(of: image))
        for (other, value) in object where !value.isNull && !read.contains(other) { keys.insert("\(key)[].\(other)") }
    }

    private mutating func add(_ message: JSONObject, of role: (role: String, part: ConversationRow.Part)?) {
        let isCall = role?.part == .calls
        let source =
            isCall
            ? ["content", "value", "tool_calls"].first { message[$0]?.nonNull != nil }
            : message["content"]?.nonNull != nil ? "content" : "value"
        for (key, value) in message where Self.isFilled(value) {
            let path = "messages[].\(key)"
            switch key {
            case "from" where message["role"]?.nonNull != nil:
                // A name, or the same role again.
                if value.string.map({ ConversationRow.roles[$0] == nil }) ?? true { keys.insert(path) }
            case "value" where source == "content", "content" where isCall && source != "content":
                // A copy of the text adds nothing.
                if value != message["content"] { keys.insert(path) }
            case "tool_calls" where isCall && source == key: ofTemplate[path] = ["tool_calls"]
            case "tool_calls", "function_call":
                let isSecond = key == "function_call" && Self.isFilled(message["tool_calls"] ?? .null)
                if role?.role != "assistant" || isCall || isSecond {
                    keys.insert(path)
                } else {
                    ofTemplate[path] = ["tool_calls"]
                }
            case "prefix" where value == .bool(false): break
            case _ where RowKeys.readOfMessage.contains(key): break
            // A message of calls has its calls only.
            case _ where isCall: keys.insert(path)
            case _ where RowKeys.reasoning.contains(key): ofTemplate[path] = RowKeys.reasoning
            default: ofTemplate[path] = [key]
            }
        }
        if !isCall, let parts = source.flatMap({ message[$0] })?.array { add(parts: parts) }
    }

    private mutating func add(parts: [JSON]) {
        // One text alone is passed on as a text, without its other keys.
        let isText = parts.count == 1 && parts[0]["type"] == "text"
        for part in parts {
            for key in RowKeys.Part(part)?.unread ?? [] {
                let path = "messages[].content[].\(key)"
                if isText || key.contains(".") { keys.insert(path) } else { ofTemplate[path] = [key] }
            }
            if ["thinking", "reasoning"].contains(part["type"]?.string) {
                ofTemplate["messages[].content[].thinking"] = ["thinking"]
            }
        }
    }
}
