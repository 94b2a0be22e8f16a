import BridgeCore
import Datasets
import Tokenizers

/// The supervised parts of a rendered conversation: the turns of the roles that the mode selects and no mark of the row
/// excludes.
struct SupervisedSpans {
    private let conversation: Conversation
    private let chat: RenderedChat
    /// The messages of the roles, and those of the assistant, whose turns templates may mark.
    private let turns, answers: [Int]
    private let processor: any ModelProcessor
    private let options: ProcessingOptions
    private var found: AssistantTurns?

    init(
        conversation: Conversation,
        chat: RenderedChat,
        roles: Set<String> = ["assistant"],
        _ processor: any ModelProcessor,
        _ options: ProcessingOptions
    ) {
        self.conversation = conversation
        self.chat = chat
        self.processor = processor
        self.options = options
        turns = conversation.messages.indices.filter { conversation.messages[$0].isOf(roles) }
        answers = conversation.messages.indices.filter { conversation.messages[$0].isOfAssistant }
    }

    /// The parts, in UTF-8 bytes, and whether they include the end of each supervised turn; nil if unknown.
    mutating func find(_ mode: Recipe.LossMode) throws -> (spans: [Range<Int>], endsTurns: Bool?) {
        switch mode {
        case .full:
            let whole = 0..<chat.text.utf8.count
            return (Self.subtracting(try excludedFromWhole(), from: [whole]), nil)
        case .assistant: return try spans(of: turns)
        case .lastTurn: return try spans(of: turns.suffix(1))
        }
    }

    private func isSupervised(_ message: Int) -> Bool {
        guard let marks = conversation.supervised, marks.indices.contains(message) else { return true }
        return marks[message]
    }

    private mutating func spans(of wanted: [Int]) throws -> ([Range<Int>], Bool?) {
        let supervised = wanted.filter { isSupervised($0) }
        let others = try supervised.filter { !isAnswer($0) }.map { try turn($0).span }
        let (wanted, answers) = (wanted.filter(isAnswer), supervised.filter(isAnswer))
        func sorted(_ spans: [Range<Int>]) -> [Range<Int>] {
            others.isEmpty ? spans : (others + spans).sorted { $0.lowerBound < $1.lowerBound }
        }
        // The template's marks if it has them, otherwise the turns found by rendering.
        guard chat.assistantSpans.isEmpty || wanted.isEmpty else {
            let spans = try markedSpans(wanted, answers)
            return (sorted(spans), spans.isEmpty ? nil : endsTurns(spans))
        }
        let found = try answers.map { try turn($0) }
        return (sorted(found.map(\.span)), found.isEmpty ? nil : found.allSatisfy(\.hasEnd))
    }

    private func isAnswer(_ message: Int) -> Bool { conversation.messages[message].isOfAssistant }

    /// The template's marks, without those of turns that the row excludes.
    private mutating func markedSpans(_ wanted: [Int], _ supervised: [Int]) throws -> [Range<Int>] {
        let isLastOnly = wanted.count < answers.count
        if supervised == wanted, !isLastOnly { return chat.assistantSpans }
        // A turn may have several marks, or none; its marks are found by their positions in the text.
        do {
            let excluded = try answers.filter { !supervised.contains($0) }.map { try turn($0).span }
            return chat.assistantSpans.filter { span in !excluded.contains { $0.overlaps(span) } }
        } catch let error as BridgeError {
            // If positions cannot be found, one mark per turn is assumed when the numbers agree.
            if chat.assistantSpans.count == answers.count {
                return zip(answers, chat.assistantSpans).filter { supervised.contains($0.0) }.map(\.1)
            }
            guard isLastOnly, supervised == wanted else { throw error }
            return Array(chat.assistantSpans.suffix(1))
        }
    }

    /// Whether the marks of a template include the end of a turn; nil if unknown.
    private func endsTurns(_ spans: [Range<Int>]) -> Bool? {
        let text = Array(chat.text.utf8)
        let tokens = processor.tokenizer.addedTokens.map { Array($0.content.utf8) }
            .filter { !$0.isEmpty && !$0.allSatisfy(AssistantTurns.isSpace) }
        var isKnown = true
        for span in spans {
            var end = span.upperBound
            while end > span.lowerBound, AssistantTurns.isSpace(text[end - 1]) { end -= 1 }
            if tokens.contains(where: { text[span.lowerBound..<end].suffix($0.count).elementsEqual($0) }) { continue }
            var next = span.upperBound
            while next < text.count, AssistantTurns.isSpace(text[next]) { next += 1 }
            if next < text.count, tokens.contains(where: { text[next...].starts(with: $0) }) { return false }
            isKnown = false
        }
        return isKnown ? true : nil
    }

    /// The parts that marks of the row exclude if everything else is supervised.
    private mutating func excludedFromWhole() throws -> [Range<Int>] {
        let excluded = conversation.messages.indices.filter { !isSupervised($0) }
        if let other = excluded.first(where: { !isAnswer($0) }) {
            throw BridgeError(
                .badArgument,
                "message \(other) of the \(conversation.messages[other].role ?? "") is marked as not to be trained, and the loss "
                    + "mode full trains everything but marked turns of the assistant; set dataset.loss_mode=assistant"
            )
        }
        if chat.assistantSpans.count == answers.count, !excluded.isEmpty {
            return zip(answers, chat.assistantSpans).filter { excluded.contains($0.0) }.map(\.1)
        }
        return try excluded.map { try turn($0).span }
    }

    private mutating func turn(_ message: Int) throws -> AssistantTurns.Turn {
        var finder =
            found
            ?? AssistantTurns(
                conversation: conversation,
                text: Array(chat.text.utf8),
                processor,
                options
            )
        found = nil
        defer { found = finder }
        return try finder.turn(ofMessage: message)
    }

    /// Ranges without the parts covered by others.
    static func subtracting(_ excluded: [Range<Int>], from spans: [Range<Int>]) -> [Range<Int>] {
        excluded.reduce(spans) { spans, excluded in
            spans.flatMap { span in
                [
                    span.lowerBound..<max(span.lowerBound, min(span.upperBound, excluded.lowerBound)),
                    min(span.upperBound, max(span.lowerBound, excluded.upperBound))..<span.upperBound,
                ].filter { !$0.isEmpty }
            }
        }
    }
}
