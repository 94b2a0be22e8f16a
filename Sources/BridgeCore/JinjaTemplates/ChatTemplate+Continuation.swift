/// The open end of the last message, which the model continues: `continue_final_message` of transformers.
struct OpenEnd {
    /// A mark that is appended to the message and removed with everything that the template writes after it;
    /// transformers uses the same mark, because a template may read the length of a text.
    private static let mark = "CONTINUE_FINAL_MESSAGE_TAG "

    /// The messages with the mark.
    let messages: [ChatMessage]
    /// The text that the model continues.
    private let text: String

    init(_ messages: [ChatMessage]) throws(TemplateError) {
        var messages = messages
        guard let index = messages[messages.count - 1].fields.lastIndex(where: { $0.name == "content" }) else {
            throw Self.error("has no content")
        }
        let content = messages[messages.count - 1].fields[index].value
        let (marked, text) = try Self.marked(content)
        messages[messages.count - 1].fields[index].value = marked
        self.messages = messages
        self.text = text
    }

    private static func error(_ what: String) -> TemplateError {
        TemplateError(.failure, "the last message is to be continued, and \(what)")
    }

    private static func marked(_ content: ChatValue) throws(TemplateError) -> (ChatValue, text: String) {
        switch content {
        case .text(let text): return (.text(text + mark), text)
        case .list(var parts):
            // Images may follow the last text; the text is continued.
            for index in parts.indices.reversed() {
                guard case .object(var members) = parts[index],
                    let location = members.lastIndex(where: { $0.name == "text" }),
                    case .text(let text) = members[location].value
                else { continue }
                members[location].value = .text(text + mark)
                parts[index] = .object(members)
                return (.list(parts), text)
            }
            throw error("has no text")
        default: throw error("its content is not text")
        }
    }

    /// The rendered text up to the end of the message.
    func cut(_ chat: RenderedChat) throws(TemplateError) -> RenderedChat {
        let bytes = Array(chat.text.utf8)
        let strippedMark = Array(PythonText.strip(Self.mark, nil, left: true, right: true).utf8)
        let strippedText = Array(PythonText.strip(text, nil, left: true, right: true).utf8)
        let holdsText = strippedText.isEmpty || !PythonText.ranges(of: strippedText, in: bytes, limit: 1).isEmpty
        guard holdsText, let location = PythonText.ranges(of: strippedMark, in: bytes).last else {
            throw Self.error("the template changes it")
        }
        var kept = String(decoding: bytes[..<location.lowerBound], as: UTF8.self)
        // A template that trims its messages has trimmed the mark, so what stood before it would have gone as well.
        if !bytes[location.lowerBound...].starts(with: Self.mark.utf8) {
            kept = PythonText.strip(kept, nil, left: false, right: true)
        }
        let end = kept.utf8.count
        let spans = chat.assistantSpans.compactMap { span in
            span.lowerBound < end ? span.lowerBound..<min(span.upperBound, end) : nil
        }
        return RenderedChat(text: kept, assistantSpans: spans)
    }
}
