package import Tokenizers

extension ChatMessage {
    /// The role, as the template sees it.
    package var role: String? {
        guard case .text(let role)? = fields.last(where: { $0.name == "role" })?.value else { return nil }
        return role
    }

    /// Whether the message is of one of some roles.
    package func isOf(_ roles: Set<String>) -> Bool { roles.contains(isOfAssistant ? "assistant" : role ?? "") }

    /// Whether the message is an assistant's.
    package var isOfAssistant: Bool { role == "assistant" || role == "model" }
}
