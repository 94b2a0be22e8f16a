import BridgeCore
import Datasets
import Tokenizers

/// One turn at a time, from renderings of parts of the conversation.
extension AssistantTurns {
    /// The turn of a message, with the range of its content if that is known.
    func renderedTurn(ofMessage index: Int, content: Range<Int>?) throws -> Turn {
        guard conversation.messages[index].isOfAssistant else {
            return try otherTurn(ofMessage: index, content: content)
        }
        let question = rendered(messages: index, asksForAnswer: true)
        let before = question.flatMap { prefixLength($0) }
        let after = rendered(messages: index + 1, asksForAnswer: false).flatMap { prefixLength($0) }
        if let content {
            let start =
                before.flatMap { $0 <= content.lowerBound ? $0 : nil }
                ?? question.flatMap { self.start(before: content.lowerBound, prompt: $0, ofMessage: index) }
                ?? content.lowerBound
            let limit = after.flatMap { $0 >= content.upperBound ? $0 : nil }
            // Tool calls follow the text, and the end of the turn follows them.
            let end =
                conversation.messages[index].callsTools
                ? limit.map { self.end(of: content.upperBound..<$0) } : nil
            // Where the message is the last one of a part, the template may omit the end that is in the whole.
            let isOpen = limit == content.upperBound && index < conversation.messages.count - 1
            var span = start..<(end ?? self.end(after: content.upperBound, limit: isOpen ? nil : limit))
            if isOpen || limit == nil, span.upperBound == content.upperBound,
                let closing = closing(ofMessage: index, content: content)
            {
                span = start..<content.upperBound + closing
            }
            return Turn(span: span, content: content, hasEnd: span.upperBound > content.upperBound)
        }
        // A call of a tool has no content that could be replaced.
        if let before, let after, before < after {
            let span = before..<end(of: before..<after)
            let hasEnd = addedTokens.contains { text[span].count > $0.count && text[span].suffix($0.count) == $0[...] }
            return Turn(span: span, content: nil, hasEnd: hasEnd)
        }
        throw BridgeError(
            .badArgument,
            "the start and end of message \(index) of the assistant cannot be found in the output of the chat template; "
                + "put {% generation %} and {% endgeneration %} around it in the template"
        )
    }

    /// The turn of a message that is not the assistant's: its content, and the token or text that ends the turn.
    private func otherTurn(ofMessage index: Int, content: Range<Int>?) throws -> Turn {
        guard let content else {
            let role = conversation.messages[index].role ?? "unknown role"
            throw BridgeError(
                .badArgument,
                "the content of message \(index) of the \(role) cannot be found in the output of the chat template, which moves, changes "
                    + "or repeats it; remove \(role) from dataset.roles_to_train"
            )
        }
        let after = rendered(messages: index + 1, asksForAnswer: false).flatMap { prefixLength($0) }
        let end = self.end(after: content.upperBound, limit: after.flatMap { $0 >= content.upperBound ? $0 : nil })
        return Turn(span: content.lowerBound..<end, content: content, hasEnd: end > content.upperBound)
    }

    /// The first messages alone; nil where the template refuses a conversation that ends there.
    private func rendered(messages count: Int, asksForAnswer: Bool) -> [UInt8]? {
        guard count > 0 else { return nil }
        if count == conversation.messages.count, asksForAnswer == options.template.addsGenerationPrompt { return text }
        var part = conversation
        part.messages = Array(conversation.messages[..<count])
        var options = options
        options.template.addsGenerationPrompt = asksForAnswer
        return (try? processor.rendered(part, options: options)).map { Array($0.text.utf8) }
    }

    /// The length of a beginning, if the whole begins with it.
    private func prefixLength(_ beginning: [UInt8]) -> Int? {
        beginning.count <= text.count && text.starts(with: beginning) ? beginning.count : nil
    }

    /// The start of a turn when only the end of the prompt is the same in the whole, as with a system prompt that is always
    /// in the last question: the position with the longest text before it in common with the prompt, an added token at least.
    private func start(before content: Int, prompt: [UInt8], ofMessage index: Int) -> Int? {
        // Reasoning is part of the turn and before its content.
        let reasoning = conversation.messages[index].fields.reduce(0) { sum, field in
            guard field.name != "content", case .text(let text) = field.value else { return sum }
            return sum + text.utf8.count
        }
        var best = (start: content, common: 0)
        for start in max(0, content - Self.longestHeader - reasoning)...content {
            let common = zip(text[..<start].reversed(), prompt.reversed()).prefix { $0 == $1 }.count
            if common >= best.common { best = (start, common) }
        }
        let shared = prompt.suffix(best.common)
        let holdsControlToken = shared.indices.contains { index in
            addedTokens.contains { shared[index...].starts(with: $0) }
        }
        return holdsControlToken ? best.start : nil
    }

    /// More bytes than any template writes between a prompt and its answer.
    private static let longestHeader = 256

    /// The range of the content of a message, if the whole is otherwise the same with another character as the content.
    func content(ofMessage index: Int) -> Range<Int>? {
        var message = conversation.messages[index]
        // Without a content there is nothing to look for in the text.
        guard message.replaceContent(by: ""),
            let sign = ContentLocator.unusedScalars(1, in: text).first.map({ String(Character($0)) })
        else { return nil }
        var changed = conversation
        guard changed.messages[index].replaceContent(by: sign),
            let rendered = try? processor.rendered(changed, options: options)
        else { return nil }
        let (other, mark) = (Array(rendered.text.utf8), Array(sign.utf8))
        let search = ByteSearch(mark)
        guard let location = search.first(in: other[...]) else { return nil }
        let rest = other[(location + mark.count)...]
        guard search.first(in: rest) == nil, location + rest.count <= text.count, text.starts(with: other[..<location]),
            text.suffix(rest.count) == rest
        else { return nil }
        return location..<text.count - rest.count
    }

    /// The end of the text with which the template ends a turn after its content; the end of the content if there is none.
    private func end(after contentEnd: Int, limit: Int?) -> Int {
        var index = contentEnd
        while index < (limit ?? text.count), Self.isSpace(text[index]) { index += 1 }
        if let token = token(at: index, in: addedTokens), index + token.count <= (limit ?? text.count) {
            // Without a limit the token may begin the next turn; the one that ends sequences or the text does not.
            let endsTurn =
                limit != nil || endsText(token)
                || token == processor.tokenizer.settings.endToken.map { Array($0.utf8) }
            return endsTurn ? index + token.count : contentEnd
        }
        guard let limit else { return contentEnd }
        // Plain text ends the turn, possibly followed by a special token.
        let end = trimmedEnd(of: contentEnd..<limit)
        for index in index..<max(index, end) {
            if let token = token(at: index, in: specialTokens), index + token.count <= end {
                return index + token.count
            }
        }
        return end
    }

    /// The number of bytes after a content that end the turn in plain text, inferred from the rest of the conversation; nil if
    /// unknown.
    private func closing(ofMessage index: Int, content: Range<Int>) -> Int? {
        let last = conversation.messages.count - 1
        func starts(_ closing: ArraySlice<UInt8>) -> Int? {
            let isMore = !closing.isEmpty && !closing.allSatisfy(Self.isSpace)
            return isMore && text[content.upperBound...].starts(with: closing) ? closing.count : nil
        }
        // What ends the text ends the last turn of the assistant, and so the others.
        if index < last, conversation.messages[last].isOfAssistant, let content = range(ofMessage: last),
            let count = starts(text[content.upperBound..<max(content.upperBound, trimmedEnd(of: 0..<text.count))])
        {
            return count
        }
        guard index > 0, index < last, let first = range(ofMessage: 0), let before = range(ofMessage: index - 1),
            let after = range(ofMessage: index + 1), content.upperBound <= after.lowerBound,
            before.upperBound <= content.lowerBound
        else { return nil }
        let gap = text[content.upperBound..<after.lowerBound]
        let begin = processor.tokenizer.settings.beginToken.map { Array($0.utf8) } ?? []
        let header = text[(text.starts(with: begin) ? begin.count : 0)..<max(first.lowerBound, begin.count)]
        // Before the next message of the first one's role is its header; what is before that ends the turn. Other text may
        // precede the first header, so that only white space shows where the header begins.
        if conversation.messages[0].role == conversation.messages[index + 1].role {
            let shared = zip(gap.reversed(), header.reversed()).prefix { $0 == $1 }.count
            let cut = gap.endIndex - shared
            let isSeparate =
                cut > gap.startIndex && cut < gap.endIndex && (Self.isSpace(text[cut]) || Self.isSpace(text[cut - 1]))
                && !text[cut..<gap.endIndex].allSatisfy(Self.isSpace)
            if shared > 0, shared == header.count || isSeparate {
                return starts(text[gap.startIndex..<trimmedEnd(of: gap.startIndex..<cut)])
            }
        }
        // What both neighbours' ends have in common, up to the beginning of a header.
        let common = zip(gap, text[before.upperBound..<content.lowerBound]).prefix { $0 == $1 }.count
        let shared = gap.prefix(common)
        guard let tag = (1..<common + 1).reversed().first(where: { header.starts(with: shared.suffix($0)) }) else {
            return nil
        }
        return starts(text[gap.startIndex..<trimmedEnd(of: gap.startIndex..<gap.startIndex + common - tag)])
    }

    /// The range of the content of any message; nil if unknown.
    private func range(ofMessage index: Int) -> Range<Int>? { locator?.ranges[index] ?? content(ofMessage: index) }

    private func token(at index: Int, in tokens: [[UInt8]]) -> [UInt8]? {
        guard index < text.count else { return nil }
        return tokens.filter { $0[0] == text[index] && text[index...].starts(with: $0) }.max { $0.count < $1.count }
    }

    /// Whether a token is the last thing in the text, white space aside.
    private func endsText(_ token: [UInt8]) -> Bool {
        text[..<trimmedEnd(of: 0..<text.count)].suffix(token.count).elementsEqual(token)
    }

    /// The end of a range without the white space at its end.
    private func trimmedEnd(of range: Range<Int>) -> Int {
        var end = range.upperBound
        while end > range.lowerBound, Self.isSpace(text[end - 1]) { end -= 1 }
        return end
    }

    /// The end of a turn inside a range: after the last end-of-sequence token, otherwise the end of the range.
    private func end(of range: Range<Int>) -> Int {
        let end = trimmedEnd(of: range)
        guard let token = processor.tokenizer.settings.endToken.map({ Array($0.utf8) }), !token.isEmpty else {
            return end
        }
        for index in (range.lowerBound..<max(range.lowerBound, end)).reversed()
        where end - index >= token.count && text[index] == token[0] && text[index...].starts(with: token) {
            return index + token.count
        }
        return end
    }
}
