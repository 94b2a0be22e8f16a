/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// The members of the message as the template sees them.
    public var fields: [ChatValue.Member]

    /// A turn that is text.
    public init(role: String, content: String) {
        fields = [.init("role", .text(role)), .init("content", .text(content))]
    }

    /// A turn of texts and images in their order.
    public init(role: String, parts: [ChatPart]) {
        fields = [.init("role", .text(role)), .init("content", .list(parts.map(\.value)))]
    }

    /// A turn from its members, such as one with tool calls.
    ///
    /// Members that are null count as missing, as in transformers.
    public init(_ value: ChatValue) throws(TemplateError) {
        guard case .object(let members) = value else {
            throw TemplateError(.badValue, "a chat message is not an object")
        }
        fields = members.filter { $0.value != .null }
    }

    /// Reads a list of messages, such as a conversation of a data set.
    public static func list(_ value: ChatValue) throws(TemplateError) -> [ChatMessage] {
        guard case .list(let items) = value else {
            throw TemplateError(.badValue, "a conversation is not a list of messages")
        }
        return try items.map { item throws(TemplateError) in try ChatMessage(item) }
    }

    /// The names under which a message may have the reasoning of the assistant.
    package static let reasoningKeys = ["reasoning_content", "thinking", "reasoning"]

    /// The value that the template reads: older names of the reasoning are added under the current one.
    var templateValue: TemplateValue {
        var members = fields
        let reasoning = Self.reasoningKeys.lazy.compactMap { name in fields.last { $0.name == name }?.value }.first
        if let reasoning {
            if !members.contains(where: { $0.name == "thinking" }) {
                members.insert(.init("thinking", reasoning), at: 0)
            }
            members.removeAll { $0.name == "reasoning_content" }
            members.append(.init("reasoning_content", reasoning))
        }
        return TemplateValue(.object(members))
    }
}

/// A part of a message.
public enum ChatPart: Sendable, Equatable {
    case text(String)
    /// An image; the pixels are passed to the model separately from the tokens.
    case image

    var value: ChatValue {
        switch self {
        case .text(let text): ["type": "text", "text": .text(text)]
        case .image: ["type": "image"]
        }
    }
}
