public import BridgeCore
import Datasets
import Imaging
import Tokenizers

/// Converts conversations to samples: the tokens of the conversation, with labels in the turns of some roles.
///
/// The supervised tokens depend on the positions of the turns in the rendered text, not on a search for
/// their content: the same text in a question is not supervised.
public struct SampleEncoder: Sendable {
    /// The model's processor.
    public let processor: any ModelProcessor
    /// Which tokens are supervised.
    public let lossMode: Recipe.LossMode
    /// The roles whose turns are supervised, unless all tokens are.
    public let roles: Set<String>
    /// The arguments of the template and of image processing.
    public let options: ProcessingOptions
    /// Notes about the rows.
    public let notes: DataNotes

    /// An encoder.
    ///
    /// - Parameters:
    ///   - processor: The model's processor.
    ///   - lossMode: Which tokens are supervised.
    ///   - roles: The roles whose turns are supervised.
    ///   - options: The arguments of the template. Without a date, a template that uses one gets the current date,
    ///     the same for every sample of this encoder.
    public init(
        processor: any ModelProcessor,
        lossMode: Recipe.LossMode = .assistant,
        roles: Set<String> = ["assistant"],
        options: ProcessingOptions = ProcessingOptions()
    ) {
        var options = options
        options.template.addsGenerationPrompt = false
        options.template.continuesFinalMessage = false
        options.template.date = options.template.date ?? .now()
        options.limitsLength = false
        self.processor = processor
        self.lossMode = lossMode
        self.roles = roles
        self.options = options
        notes = DataNotes(processor: processor)
    }

    /// The same encoder with other supervised tokens.
    func with(lossMode: Recipe.LossMode) -> SampleEncoder { SampleEncoder(self, lossMode: lossMode) }

    /// The roles whose messages are supervised; nil for all tokens.
    var trainedRoles: Set<String>? { lossMode == .full ? nil : roles }

    private init(_ other: SampleEncoder, lossMode: Recipe.LossMode) {
        (processor, options, notes, roles) = (other.processor, other.options, other.notes, other.roles)
        self.lossMode = lossMode
    }

    /// The sample of a conversation, of any length.
    ///
    /// - Throws: `BridgeError` with one sentence when there is no turn of the roles, the template refuses the
    ///   conversation or does not show the positions of the turns, or an image cannot be used.
    public func encode(_ conversation: Conversation) throws -> TrainingSample {
        try encode(conversation) { _, find in try find() }
    }

    /// The sample of a row of a source that keeps the spans of its rows.
    func encode(_ conversation: Conversation, row: Int, _ spans: SpanCache) throws -> TrainingSample {
        try encode(conversation) { text, find in try spans.spans(ofRow: row, text: text, find) }
    }

    private func encode(
        _ conversation: Conversation,
        spans: (_ text: String, _ find: () throws -> SpanCache.Spans) throws -> SpanCache.Spans
    ) throws -> TrainingSample {
        guard !conversation.messages.isEmpty else {
            throw BridgeError(
                .corruptInput,
                "the conversation has no messages, expected at least a question and an answer"
            )
        }
        guard lossMode == .full || conversation.messages.contains(where: { $0.isOf(roles) }) else {
            let found = Set(conversation.messages.compactMap(\.role)).sorted().joined(separator: ", ")
            throw BridgeError(
                .corruptInput,
                roles == ["assistant"]
                    ? "the conversation has no turn of the assistant, so it has no supervised token; add the answer"
                    : "the conversation has no turn of \(roles.sorted().joined(separator: ", ")) (dataset.roles_to_train), so it has no "
                        + "supervised token; its roles are \(found)"
            )
        }
        var chat = try processor.rendered(conversation, options: options)
        if conversation.lacksSystem(in: chat.text) { notes.addOmittedSystem() }
        let found = try spans(chat.text) { [chat] in
            var finder = SupervisedSpans(conversation: conversation, chat: chat, roles: roles, processor, options)
            return try finder.find(lossMode)
        }
        chat.assistantSpans = withoutImages(found.spans.filter { !$0.isEmpty }, chat.text)
        let inputs = try processor.inputs(of: chat, images: conversation.images, options: options)
        let tokens = inputs.tokenIDs.map { Int32(clamping: $0) }
        if found.endsTurns == false { notes.addRowWithoutEnd() }
        return TrainingSample(
            tokens: tokens,
            labels: zip(tokens, inputs.isAssistant).map { $1 ? $0 : TrainingSample.ignoredLabel },
            images: inputs.images
        )
    }

    /// Spans without the placeholders of images, whose tokens are not supervised.
    private func withoutImages(_ spans: [Range<Int>], _ text: String) -> [Range<Int>] {
        guard let marker = processor.imageTokens.map({ Array($0.marker.utf8) }), !marker.isEmpty else { return spans }
        let text = Array(text.utf8)
        return spans.flatMap { span in
            var parts: [Range<Int>] = []
            var start = span.lowerBound
            var index = start
            while index + marker.count <= span.upperBound {
                guard text[index..<index + marker.count].elementsEqual(marker) else {
                    index += 1
                    continue
                }
                if index > start { parts.append(start..<index) }
                index += marker.count
                start = index
            }
            if start < span.upperBound { parts.append(start..<span.upperBound) }
            return parts
        }
    }
}
