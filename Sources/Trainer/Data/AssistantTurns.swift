import BridgeCore
import Tokenizers

/// Finds where the assistant's turns stand in a conversation rendered by a template that does not mark them.
///
/// Templates are programs, and no rule holds for all; so a span counts only when renderings of changed conversations agree:
///
/// - The conversation is rendered with a sign in the place of a turn's content. When all before and all behind the sign is
///   as it was, the content stands between.
/// - The messages before a turn are rendered with the start of an answer. When that is how the whole begins, the turn
///   begins behind it: that is where the model will begin to speak.
/// - The messages up to a turn are rendered. When that is how the whole begins, the turn ends there.
///
/// The turn ends with its first control token behind the content: what comes then, such as a line break, is not said.
struct AssistantTurns {
    private let conversation: Conversation
    private let text: [UInt8]
    private let processor: any ModelProcessor
    private let options: ProcessingOptions
    private let controlTokens: [[UInt8]]

    init(
        conversation: Conversation,
        text: [UInt8],
        _ processor: any ModelProcessor,
        _ options: ProcessingOptions
    ) {
        self.conversation = conversation
        self.text = text
        self.processor = processor
        self.options = options
        controlTokens = processor.tokenizer.addedTokens.filter(\.isSpecial).map { Array($0.content.utf8) }
            .filter { !$0.isEmpty }
    }

    /// Where a turn stands in the text, in UTF-8 bytes, its end token included.
    ///
    /// - Throws: `BridgeError` when the template does not show it.
    func span(ofTurn turn: Int) throws -> Range<Int> {
        let question = rendered(messages: turn, asksForAnswer: true)
        let before = question.flatMap { prefixLength($0) }
        let after = rendered(messages: turn + 1, asksForAnswer: false).flatMap { prefixLength($0) }
        if let content = content(ofTurn: turn) {
            let start =
                before.flatMap { $0 <= content.lowerBound ? $0 : nil }
                ?? question.flatMap { self.start(before: content.lowerBound, behind: $0) } ?? content.lowerBound
            let limit = after.flatMap { $0 >= content.upperBound ? $0 : nil }
            return start..<end(behind: content.upperBound, limit: limit)
        }
        // A call of a tool has no content that could be marked.
        if let before, let after, before < after { return before..<lastControlTokenEnd(in: before..<after) }
        throw BridgeError(
            .badArgument,
            "the chat template does not show where message \(turn) of the assistant begins and ends; "
                + "put {% generation %} and {% endgeneration %} around it in the template"
        )
    }

    /// The first messages alone; nil where the template refuses a conversation that ends there.
    private func rendered(messages count: Int, asksForAnswer: Bool) -> [UInt8]? {
        guard count > 0 else { return nil }
        var part = conversation
        part.messages = Array(conversation.messages[..<count])
        var options = options
        options.template.addsGenerationPrompt = asksForAnswer
        return (try? processor.rendered(part, options: options)).map { Array($0.text.utf8) }
    }

    /// How long a beginning is, when the whole does begin with it.
    private func prefixLength(_ beginning: [UInt8]) -> Int? {
        beginning.count <= text.count && text.starts(with: beginning) ? beginning.count : nil
    }

    /// Where a turn begins when only the end of the question is as in the whole, as with a system prompt that always
    /// stands in the last question: the place that has most before it in common with the question, a control token at least.
    private func start(before content: Int, behind question: [UInt8]) -> Int? {
        var best = (start: content, common: 0)
        for start in max(0, content - Self.longestHeader)...content {
            let common = zip(text[..<start].reversed(), question.reversed()).prefix { $0 == $1 }.count
            if common >= best.common { best = (start, common) }
        }
        let shared = question.suffix(best.common)
        let holdsControlToken = shared.indices.contains { index in
            controlTokens.contains { shared[index...].starts(with: $0) }
        }
        return holdsControlToken ? best.start : nil
    }

    /// More bytes than any template writes between a question and its answer.
    private static let longestHeader = 256

    /// Where the content of a turn stands.
    private func content(ofTurn turn: Int) -> Range<Int>? {
        guard let field = conversation.messages[turn].fields.lastIndex(where: { $0.name == "content" }) else {
            return nil
        }
        let sign = unusedSign
        var changed = conversation
        switch conversation.messages[turn].fields[field].value {
        case .text(let content) where !content.isEmpty:
            changed.messages[turn].fields[field].value = .text(sign)
        case .list(let parts) where !parts.isEmpty:
            changed.messages[turn].fields[field].value = [["type": "text", "text": .text(sign)]]
        default: return nil
        }
        guard let rendered = try? processor.rendered(changed, options: options) else { return nil }
        let (other, mark) = (Array(rendered.text.utf8), Array(sign.utf8))
        let places = other.indices.filter { other[$0...].starts(with: mark) }
        guard places.count == 1, let place = places.first else { return nil }
        let rest = other[(place + mark.count)...]
        guard place + rest.count <= text.count, text.starts(with: other[..<place]), text.suffix(rest.count) == rest
        else {
            return nil
        }
        return place..<text.count - rest.count
    }

    /// A character that does not stand in the text: trimming leaves it, and nothing is equal to it.
    private var unusedSign: String {
        let used = Set(String(decoding: text, as: UTF8.self).unicodeScalars.map(\.value))
        let sign = (0xE000...0xF8FF).first { !used.contains(UInt32($0)) } ?? 0xE000
        return Unicode.Scalar(UInt32(sign)).map { String(Character($0)) } ?? "\u{E000}"
    }

    /// The end of the control token that stands behind a content, perhaps after white space; else the content's own end.
    private func end(behind contentEnd: Int, limit: Int?) -> Int {
        var index = contentEnd
        while index < (limit ?? text.count), [0x20, 0x0A, 0x0D, 0x09].contains(text[index]) { index += 1 }
        guard let token = controlToken(at: index), index + token.count <= (limit ?? text.count) else {
            return contentEnd
        }
        // Without a limit the token may begin the next turn; the one that ends sequences or the text does not.
        guard limit != nil || token == processor.tokenizer.settings.endToken.map({ Array($0.utf8) }) || endsText(token)
        else { return contentEnd }
        return index + token.count
    }

    private func controlToken(at index: Int) -> [UInt8]? {
        controlTokens.filter { text[index...].starts(with: $0) }.max { $0.count < $1.count }
    }

    /// Whether a token is the last thing in the text, white space aside.
    private func endsText(_ token: [UInt8]) -> Bool {
        var end = text.count
        while end > 0, [0x20, 0x0A, 0x0D, 0x09].contains(text[end - 1]) { end -= 1 }
        return text[..<end].suffix(token.count).elementsEqual(token)
    }

    /// The end of the last control token in a range, or of the range when there is none.
    private func lastControlTokenEnd(in range: Range<Int>) -> Int {
        for index in range.reversed() {
            if let token = controlToken(at: index), index + token.count <= range.upperBound {
                return index + token.count
            }
        }
        return range.upperBound
    }
}
