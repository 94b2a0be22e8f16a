import JinjaTemplates
import Tokenizers

extension Conversation {
    /// Whether a system message is not in a rendered text, because the chat template does not render it.
    ///
    /// Some templates render a system message only before a question at the end of a conversation.
    ///
    /// - Parameter text: The text that the chat template made of the conversation.
    /// - Returns: Whether the text of one of the system messages is missing, white space around it aside.
    public func lacksSystem(in text: String) -> Bool {
        messages.contains { message in
            message.text("role") == "system"
                && message.texts.contains { piece in
                    let piece = Array(piece.trimmed.utf8)
                    return !piece.isEmpty && !ByteSearch.contains(piece, in: text)
                }
        }
    }

    /// A warning about a system message that the chat template does not render.
    public static let omittedSystem =
        "the chat template does not render a system message, so it has no effect; put it into the first message of the user"
}

extension ChatMessage {
    /// The text of a field.
    fileprivate func text(_ name: String) -> String? {
        guard case .text(let text)? = fields.last(where: { $0.name == name })?.value else { return nil }
        return text
    }

    /// The texts of the content.
    fileprivate var texts: [String] {
        if let text = text("content") { return [text] }
        guard case .list(let parts)? = fields.last(where: { $0.name == "content" })?.value else { return [] }
        return parts.compactMap { part in
            guard case .text(let text)? = part["text"] else { return nil }
            return text
        }
    }
}

extension String {
    /// The text without white space at its ends.
    fileprivate var trimmed: Substring {
        let start = drop(while: \.isWhitespace)
        guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return start[...last]
    }
}
