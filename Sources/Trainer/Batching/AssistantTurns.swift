import BridgeCore
import Datasets
import Tokenizers

/// Finds where turns are in a conversation rendered by a template that does not mark them: the assistant's, and others.
///
/// Templates are programs, and no rule holds for all; so a span counts only when renderings of changed conversations agree:
///
/// - The conversation is rendered with a placeholder instead of a turn's content. When everything before and after the placeholder is
///   unchanged, the content is between (``ContentLocator`` does that for all turns at once).
/// - The messages before a turn are rendered with the generation prompt. When the whole begins with that, the turn
///   starts after it, where the model will start to generate.
/// - The messages up to a turn are rendered. When the whole begins with that, the turn ends there.
///
/// The turn ends with the token that the template puts after the content, an added token or plain text; white space after
/// that, such as a line break, is not part of it. Turns of other roles begin with their content.
///
/// The last two renderings take time in proportion to the conversation. They are made for the first and the last turn and
/// for the first few of a kind; when these have the same text around their contents, the text around the others decides.
struct AssistantTurns {
    /// A turn.
    struct Turn: Equatable {
        /// Its range in the text, in UTF-8 bytes, including its end token.
        var span: Range<Int>
        /// The range of its content; nil for a tool call without text.
        var content: Range<Int>?
        /// Whether the span includes an end of the turn.
        var hasEnd: Bool
    }

    let conversation: Conversation
    let text: [UInt8]
    let processor: any ModelProcessor
    let options: ProcessingOptions
    let specialTokens: [[UInt8]]
    /// Special tokens and others that were added and are not white space.
    let addedTokens: [[UInt8]]
    private let turns: [Int]
    let locator: ContentLocator?
    private var rules: [TurnRule.Kind: TurnRule] = [:]

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
        let added = processor.tokenizer.addedTokens.filter { !$0.content.isEmpty }
        specialTokens = added.filter(\.isSpecial).map { Array($0.content.utf8) }
        addedTokens = added.map { Array($0.content.utf8) }.filter { !$0.allSatisfy(Self.isSpace) }
        turns = conversation.messages.indices.filter { conversation.messages[$0].isOfAssistant }
        // Templates move and repeat system messages.
        let others = conversation.messages.indices.filter { conversation.messages[$0].role != "system" }
        func locate(_ indices: [Int]) -> ContentLocator? {
            ContentLocator(conversation, text: text, of: indices) { changed in
                (try? processor.rendered(changed, options: options)).map { Array($0.text.utf8) }
            }
        }
        // A single turn takes one rendering either way.
        locator = turns.count > 1 ? locate(others) ?? locate(turns) : nil
    }

    /// The turn of a message.
    ///
    /// - Throws: `BridgeError` when the template does not show it.
    mutating func turn(ofMessage index: Int) throws -> Turn {
        let content = locator?.ranges[index] ?? self.content(ofMessage: index)
        let kind = TurnRule.Kind(conversation.messages, index, hasContent: content != nil)
        let role = conversation.messages[index].role
        func isAlike(_ other: Int) -> Bool { conversation.messages[other].role == role }
        let isAtAnEnd =
            conversation.messages[index].isOfAssistant
            ? index == turns.first || index == turns.last
            : !conversation.messages.indices[..<index].contains(where: isAlike)
                || !conversation.messages.indices[(index + 1)...].contains(where: isAlike)
        let gap = around(index)
        if !isAtAnEnd, let turn = rules[kind]?.turn(content: content, between: gap, in: text) { return turn }
        let turn = try renderedTurn(ofMessage: index, content: content)
        if !isAtAnEnd { rules[kind, default: TurnRule()].learn(from: turn, between: gap, in: text) }
        return turn
    }

    /// From the end of the content before a message to the start of the next content, if both are known.
    private func around(_ index: Int) -> Range<Int>? {
        guard let locator, locator.isComplete, let start = locator.ranges[index - 1]?.upperBound,
            let end = locator.ranges[index + 1]?.lowerBound, start <= end
        else { return nil }
        return start..<end
    }

    static func isSpace(_ byte: UInt8) -> Bool { [0x20, 0x0A, 0x0D, 0x09].contains(byte) }
}

/// What turns of a kind have in common: the template's text around them, as far as it was the same in all that were rendered.
struct TurnRule {
    /// Turns that templates render alike.
    struct Kind: Hashable {
        private let role: String?
        private let before: String?
        private let after: String?
        private let callsTools: Bool
        private let fields: Set<String>
        private let hasContent: Bool

        init(_ messages: [ChatMessage], _ index: Int, hasContent: Bool) {
            role = messages[index].role
            before = index > 0 ? messages[index - 1].role : nil
            after = index + 1 < messages.count ? messages[index + 1].role : nil
            callsTools = messages[index].callsTools
            fields = Set(messages[index].fields.map(\.name))
            self.hasContent = hasContent
        }
    }

    /// The number of matching turns after which a rule is applied to further turns.
    private static let leastCount = 3
    /// More bytes than any template writes between a prompt and its answer.
    private static let longestHeader = 256

    private var count = 0
    private var isRegular = true
    /// What precedes the span.
    private var before: [UInt8] = []
    /// The text in the span before and after the content.
    private var head: [UInt8] = []
    private var end: [UInt8] = []
    private var hasEnd = false
    /// For a span without content: what is between it and its neighbours' contents.
    private var left: [UInt8] = []
    private var right: [UInt8] = []

    /// The turn that has a content, or is between two contents; nil where what was learned does not apply.
    func turn(content: Range<Int>?, between gap: Range<Int>?, in text: [UInt8]) -> AssistantTurns.Turn? {
        guard isRegular, count >= Self.leastCount else { return nil }
        guard let content else {
            guard let gap, gap.count > left.count + right.count, !left.isEmpty, text[gap].starts(with: left),
                text[gap].suffix(right.count).elementsEqual(right)
            else { return nil }
            return .init(
                span: gap.lowerBound + left.count..<gap.upperBound - right.count,
                content: nil,
                hasEnd: hasEnd
            )
        }
        let start = content.lowerBound - head.count
        guard !before.isEmpty, start >= before.count,
            text[start - before.count..<content.lowerBound].elementsEqual(before + head),
            text[content.upperBound...].starts(with: end)
        else { return nil }
        return .init(span: start..<content.upperBound + end.count, content: content, hasEnd: hasEnd)
    }

    /// Takes a turn that was rendered into account.
    mutating func learn(from turn: AssistantTurns.Turn, between gap: Range<Int>?, in text: [UInt8]) {
        count += 1
        hasEnd = count == 1 ? turn.hasEnd : hasEnd && turn.hasEnd
        guard let content = turn.content else {
            guard let gap, gap.lowerBound < turn.span.lowerBound, turn.span.upperBound <= gap.upperBound else {
                isRegular = false
                return
            }
            let (left, right) = (
                Array(text[gap.lowerBound..<turn.span.lowerBound]), Array(text[turn.span.upperBound..<gap.upperBound])
            )
            if count > 1, (left, right) != (self.left, self.right) { isRegular = false }
            (self.left, self.right) = (left, right)
            return
        }
        guard turn.span.lowerBound <= content.lowerBound, content.upperBound <= turn.span.upperBound else {
            isRegular = false
            return
        }
        let head = Array(text[turn.span.lowerBound..<content.lowerBound])
        let end = Array(text[content.upperBound..<turn.span.upperBound])
        if count > 1, head != self.head || end != self.end { isRegular = false }
        (self.head, self.end) = (head, end)
        let preceding = text[..<turn.span.lowerBound].suffix(Self.longestHeader)
        let common = zip(preceding.reversed(), before.reversed()).prefix { $0 == $1 }.count
        before = Array(count == 1 ? preceding : preceding.suffix(common))
    }
}
