import JinjaTemplates
import Tokenizers

extension [ChatMessage] {
    /// The messages with the reasoning of each part as one text where it is a list of texts; nil where none is.
    var withPlainReasoning: [ChatMessage]? {
        var changed = false
        let messages = map { message in
            var message = message
            guard let field = message.fields.lastIndex(where: { $0.name == "content" }),
                case .list(let parts) = message.fields[field].value
            else { return message }
            message.fields[field].value = .list(
                parts.map { part in
                    guard case .object(var members) = part, part["type"] == "thinking",
                        let index = members.lastIndex(where: { $0.name == "thinking" }),
                        case .list(let chunks) = members[index].value
                    else { return part }
                    var text = ""
                    for chunk in chunks {
                        guard case .text(let piece)? = chunk["text"] else { return part }
                        text += piece
                    }
                    changed = true
                    members[index].value = .text(text)
                    return .object(members)
                }
            )
            return message
        }
        return changed ? messages : nil
    }
}
