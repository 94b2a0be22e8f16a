import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

/// A case of `Tests/Fixtures/training-data/expected.json`, made by `Tests/Fixtures/make_training_data_fixtures.py`.
struct RecordedSample: Sendable, CustomTestStringConvertible {
    let json: JSON

    static let all = Result {
        try Fixtures.cases("training-data/expected.json", "samples").map { RecordedSample(json: $0) }
    }

    var model: String { json["model"]?.string ?? "" }
    var testDescription: String { "\(model): \(json["name"]?.string ?? "")" }

    func numbers(_ key: String) -> [Int32] {
        json[key]?.array?.compactMap { $0.integer.map { Int32(clamping: $0) } } ?? []
    }

    /// The processor with the model's own template, or with another one.
    func processor(template: String?) throws -> any ModelProcessor {
        guard let template else { return try DataSupport.processor(model) }
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: model)
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        return try AutoBridge.fromHF(copy).processor()
    }

    func conversation() throws -> Conversation {
        let images = try (json["images"]?.array ?? []).map { image in
            let numbers = image["noise"]?.array?.compactMap(\.integer) ?? []
            try #require(numbers.count == 3)
            return ImageSource.image(try DataSupport.noise(numbers[0], numbers[1], seed: numbers[2]))
        }
        return try Conversation(json: #require(json["messages"]), name: "case", images: images)
    }
}

@Suite struct SampleEncoderTests {
    @Test func everyCaseIsThere() throws { #expect(try RecordedSample.all.get().count == 26) }

    @Test(arguments: try RecordedSample.all.get())
    func labelsAreThoseOfTransformersWithATemplateThatMarksNothing(_ recorded: RecordedSample) throws {
        let encoder = try DataSupport.encoder(recorded.processor(template: recorded.json["template"]?.string))
        let sample = try encoder.encode(recorded.conversation())
        #expect(sample.tokens == recorded.numbers("input_ids"))
        #expect(sample.labels == recorded.numbers("labels"))
    }

    @Test(arguments: try RecordedSample.all.get())
    func labelsAreThoseOfTransformersWithATemplateThatMarksTheAnswers(_ recorded: RecordedSample) throws {
        let encoder = try DataSupport.encoder(recorded.processor(template: recorded.json["marked"]?.string))
        let sample = try encoder.encode(recorded.conversation())
        #expect(sample.tokens == recorded.numbers("input_ids"))
        #expect(sample.labels == recorded.numbers("labels"))
    }

    @Test(arguments: try RecordedSample.all.get())
    func theLastTurnIsTheLastRunOfAllTurns(_ recorded: RecordedSample) throws {
        let processor = try recorded.processor(template: recorded.json["template"]?.string)
        let sample = try DataSupport.encoder(processor, .lastTurn).encode(recorded.conversation())
        var expected = recorded.numbers("labels")
        let end = try #require(expected.lastIndex { $0 != -100 })
        let start = expected[...end].lastIndex { $0 == -100 } ?? -1
        for index in expected.indices where index <= start { expected[index] = -100 }
        #expect(sample.labels == expected)
    }

    @Test(arguments: ["ministral3", "gemma3"])
    func everyTokenButThoseOfImagesCanBeSupervised(_ model: String) throws {
        let processor = try DataSupport.processor(model)
        var conversation = Conversation(prompt: "What?", images: [.image(try DataSupport.noise(30, 20, seed: 1))])
        conversation.messages.append(ChatMessage(role: "assistant", content: "That."))
        let sample = try DataSupport.encoder(processor, .full).encode(conversation)
        let image = try #require(processor.imageTokens)
        for (token, label) in zip(sample.tokens, sample.labels) {
            if Int(token) == image.featureID {
                #expect(label == -100)
            } else if label != -100 {
                #expect(label == token)
            }
        }
        // The text around the image, and none of the tokens that the image brings along.
        let text = try processor.inputs(
            of: processor.rendered(conversation, options: ProcessingOptions()),
            images: conversation.images,
            options: ProcessingOptions()
        )
        #expect(sample.supervisedCount > 0 && sample.supervisedCount < text.tokenIDs.count)
        let runs = try DataSupport.trained(sample, processor)
        #expect(runs.count == 2 && runs[1].contains("What?") && runs[1].contains("That."))
    }

    @Test func aConversationWithoutAnAnswerIsRefused() throws {
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        expectError(mentioning: "no turn of the assistant") { try encoder.encode(Conversation(prompt: "Hello?")) }
        expectError(mentioning: "no messages") { try encoder.encode(Conversation(messages: [])) }
    }

    @Test func aTemplateThatShowsNothingIsRefused() throws {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        // The content decides what stands before it, so no rendering of another content tells where it stands.
        let template = "{{ messages | length }}{{ messages[-1].content | length }}{{ messages[-1].content }}"
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let encoder = try DataSupport.encoder(AutoBridge.fromHF(copy).processor())
        var conversation = Conversation(prompt: "a")
        conversation.messages.append(ChatMessage(role: "assistant", content: "something"))
        expectError(mentioning: "cannot be found", "{% generation %}") { try encoder.encode(conversation) }
    }

    @Test func theCallOfAToolIsSupervisedWhereTheTemplateShowsIt() throws {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        let template =
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
            + "{% elif m.tool_calls %}CALL{% for c in m.tool_calls %} {{ c.function.name }}{% endfor %}{{ eos_token }}\n"
            + "{% elif m.role == 'tool' %}GOT {{ m.content }};{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let processor = try AutoBridge.fromHF(copy).processor()
        let messages = #"""
            [{"role": "user", "content": "CALL look"}, {"role": "assistant", "tool_calls": [{"function": {"name": "look"}}]},
            {"role": "tool", "content": "CALL look"}, {"role": "assistant", "content": "seen"}]
            """#
        let conversation = try Conversation(json: JSON(parsing: Array(messages.utf8)), name: "messages")
        let runs = try DataSupport.trained(DataSupport.encoder(processor).encode(conversation), processor)
        #expect(runs.count == 2 && runs[0].hasSuffix("CALL look</s>") && runs[1].hasSuffix("seen</s>"), "\(runs)")
    }

    @Test func aTemplateWithoutAnEndTokenTrainsTheContentAlone() throws {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        let template =
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
            + "{% else %}{{ m.content }}{% endif %}{% endfor %}"
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let processor = try AutoBridge.fromHF(copy).processor()
        let messages = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]
        let conversation = Conversation(messages: messages.map { ChatMessage(role: $0.0, content: $0.1) })
        let sample = try DataSupport.encoder(processor).encode(conversation)
        #expect(try DataSupport.trained(sample, processor).map { $0.filter { $0 != " " } } == ["two", "four"])
    }
}
