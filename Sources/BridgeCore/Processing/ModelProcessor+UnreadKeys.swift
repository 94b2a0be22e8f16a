import JinjaTemplates
import Tokenizers

extension ModelProcessor {
    /// The keys of a conversation that nothing reads: not the reader of the file, and not the model's chat template.
    ///
    /// - Parameter conversation: The conversation.
    /// - Returns: The keys in their order, each once; those of a message have `messages[].` before them.
    public func unreadKeys(of conversation: Conversation) -> [String] {
        let usesTools = conversation.tools != nil
        var unread = conversation.unreadKeys
        if !(conversation.tools ?? []).isEmpty, !writesTools { unread.append("tools") }
        func add(_ members: [ChatValue.Member], _ path: String, besides read: Set<String>) {
            for member in members where !read.contains(member.name) {
                let names = ChatMessage.reasoningKeys.contains(member.name) ? ChatMessage.reasoningKeys : [member.name]
                let isRead =
                    tokenizer.framesConversations
                    ? Self.framed.contains(member.name) : chatTemplateMentions(names, usingTools: usesTools)
                if !isRead, !unread.contains(path + member.name) { unread.append(path + member.name) }
            }
        }
        for message in conversation.messages {
            add(message.fields, "messages[].", besides: ["role", "content"])
            guard case .list(let parts)? = message.fields.last(where: { $0.name == "content" })?.value else { continue }
            for case .object(let members) in parts { add(members, "messages[].content[].", besides: Self.keysOfParts) }
        }
        return unread
    }

    /// What is read of a message where no template is, see `InstructTurn`.
    private static var framed: Set<String> {
        Set(["tool_calls", "tool_call_id", "name", "closed"] + ChatMessage.reasoningKeys)
    }

    /// The type of a part, its text, and where its image is.
    private static var keysOfParts: Set<String> { ["type", "text", "image", "url", "path", "base64"] }
}
