import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers

@testable import Datasets
@testable import Trainer

/// The turns that are found from the text around them are those that rendering each of them would give.
@Suite struct AssistantTurnsTests {
    private static let templates = [
        "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
            + "{% elif m.tool_calls %}CALL{% for c in m.tool_calls %} {{ c.function.name }}{% endfor %}{{ eos_token }}\n"
            + "{% elif m.role == 'tool' %}GOT {{ m.content }};{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}",
        "chatml": "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{{ m.content or '' }}"
            + "{% for c in m.tool_calls or [] %}[call {{ c.function.name }}]{% endfor %}{{ '<|im_end|>\\n' }}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
        "no end": "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:{% elif m.tool_calls %} call\n"
            + "{% elif m.role == 'tool' %}T: {{ m.content }}\n{% else %} {{ m.content }}\n{% endif %}{% endfor %}",
        "last is other": "{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
            + "{% elif loop.last %}<final>{{ m.content }}{{ eos_token }}{% else %}{{ m.content or 'call' }}</s>{% endif %}{% endfor %}",
    ]

    private func processor(_ template: String, _ directory: TemporaryDirectory) throws -> any ModelProcessor {
        let copy = try directory.copy(ofCheckpoint: "mistral")
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        return try AutoBridge.fromHF(copy).processor()
    }

    private func conversation(turns: Int, callsTools: Bool) throws -> Conversation {
        var messages: [JSON] = []
        for turn in 0..<turns {
            messages.append([
                "role": "user", "content": .string(turn % 4 == 0 ? "same" : "Question \(turn) [/INST] </s>"),
            ])
            if callsTools, turn % 3 == 1 {
                messages.append(["role": "assistant", "tool_calls": [["function": ["name": .string("f\(turn)")]]]])
                messages.append(["role": "tool", "content": .string("result \(turn)")])
            }
            let texts = ["same", " spaced ", "answer \(turn)", "[INST] odd </s> one", "CALL look", "two\n\nlines"]
            messages.append(["role": "assistant", "content": .string(texts[turn % texts.count])])
        }
        return try Conversation(json: .array(messages), name: "test")
    }

    @Test(arguments: templates.keys.sorted(), [false, true])
    func aLongConversationHasTheTurnsThatRenderingEachOneGives(_ name: String, _ callsTools: Bool) throws {
        let directory = try TemporaryDirectory()
        let processor = try processor(try #require(Self.templates[name]), directory)
        let options = try DataSupport.encoder(processor).options
        let conversation = try conversation(turns: 24, callsTools: callsTools && name != "last is other")
        let text = Array(try processor.rendered(conversation, options: options).text.utf8)
        var finder = AssistantTurns(conversation: conversation, text: text, processor, options)
        for index in conversation.messages.indices where conversation.messages[index].isOfAssistant {
            let slow = try finder.renderedTurn(ofMessage: index, content: finder.content(ofMessage: index))
            #expect(try finder.turn(ofMessage: index) == slow, "message \(index)")
        }
    }

    @Test(arguments: [
        // The third could end at either of two places, if only the text around it were looked at.
        ("{% for m in messages %}({{ m.content }}){% endfor %}", ["one", "two", "a)(b", " four "]),
        ("{% for m in messages %}({{ m.content | trim }}){% endfor %}", ["one", "two", "a)(b", "four"]),
        (
            "{% for m in messages %}<{{ loop.index }}>{{ m.content | upper }}{% endfor %}",
            ["ONE", "TWO", "A)(B", " FOUR "]
        ),
        ("{% for m in messages %}({{ m.content | upper }}){% endfor %}", nil),
    ])
    func contentsAreFoundWhereverTheyCanBeReadInOneWayOnly(_ template: String, _ expected: [String]?) throws {
        let directory = try TemporaryDirectory()
        let processor = try processor(template, directory)
        let options = ProcessingOptions()
        let texts = ["one", "two", "a)(b", " four "]
        let conversation = Conversation(messages: texts.map { ChatMessage(role: "user", content: $0) })
        let text = Array(try processor.rendered(conversation, options: options).text.utf8)
        let located = try #require(
            ContentLocator(conversation, text: text, of: [0, 1, 2, 3]) { changed in
                (try? processor.rendered(changed, options: options)).map { Array($0.text.utf8) }
            }
        )
        let found = (0...3).map { index in located.ranges[index].map { String(decoding: text[$0], as: UTF8.self) } }
        #expect(found == expected ?? [nil, nil, nil, nil])
    }

    @Test func bytesAreFoundAsASlowSearchFindsThem() {
        var random = TestSeed.generator()
        for _ in 0..<500 {
            let text = (0..<random.below(40)).map { _ in UInt8(random.below(2)) }
            let pattern = (0..<random.below(5)).map { _ in UInt8(random.below(2)) }
            let slow = (0...text.count).first { text[$0...].starts(with: pattern) }
            #expect(ByteSearch(pattern).first(in: text[...]) == slow, "\(TestSeed.note)")
        }
    }

    @Test func anEndOfTurnThatIsNotASpecialTokenIsTrained() throws {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        // As add_tokens leaves it: a token of its own, not a special one.
        let path = "\(copy)/tokenizer.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let added = try #require(JSON(parsing: Array(text.utf8))["added_tokens"]?.array)
        let name = try #require(added.last?["content"]?.string)
        var json = try JSON(parsing: Array(text.replacingOccurrences(of: "\"\(name)\"", with: "\"<|im_end|>\"").utf8))
        var tokens = added
        tokens[tokens.count - 1].set("<|im_end|>", at: "content")
        tokens[tokens.count - 1].set(false, at: "special")
        json.set(.array(tokens), at: "added_tokens")
        try directory.write(json.text(), to: "source/tokenizer.json")
        try directory.write(Array(try #require(Self.templates["chatml"]).utf8), to: "source/chat_template.jinja")
        let encoder = try DataSupport.encoder(AutoBridge.fromHF(copy).processor())
        let conversation = try conversation(turns: 2, callsTools: false)
        let runs = try DataSupport.trained(encoder.encode(conversation), encoder.processor)
        #expect(runs.map { $0.filter { $0 != " " } } == ["same<|im_end|>", "spaced<|im_end|>"], "\(runs)")
        #expect(encoder.notes.sentences.isEmpty)
    }

    @Test func anEndOfTurnInPlainTextIsTrained() throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(processor(try #require(Self.templates["chatml"]), directory))
        let runs = try DataSupport.trained(encoder.encode(conversation(turns: 3, callsTools: true)), encoder.processor)
        #expect(runs.count == 4 && runs.allSatisfy { $0.hasSuffix("<|im_end|>") }, "\(runs)")
    }

    /// The end is what the template writes behind an answer, by its text.
    @Test(arguments: [
        // Nothing ends the last message; the same with a generation prompt that ends the one before.
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% if not loop.last %}{{ '<|im_end|>\n' }}"
            + "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% if not loop.last %}{{ '<|im_end|>\n' }}"
            + "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_end|>\n<|im_start|>assistant\n' }}{% endif %}",
        // A system prompt of the template's own before the first header, which moves where the conversation is longer.
        "{{ bos_token }}<{{ messages | length }}>{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
            + "{% if not loop.last %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        // No part of a conversation can be rendered.
        "{% if messages | length < 6 %}{{ raise_exception('short') }}{% endif %}{% for m in messages %}"
            + "{{ m.role + ': ' + m.content + '<|im_end|>\n' }}{% endfor %}",
        // Words as headers, and an end between the messages only.
        "{% for m in messages %}{{ m.role + ': ' + m.content }}{% if not loop.last %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}"
            + "{% if add_generation_prompt %}assistant: {% endif %}",
        // What precedes depends on the whole.
        "{% for m in messages %}{% if m.role == 'user' and loop.index0 == messages | length - 2 %}(last) {% endif %}"
            + "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ])
    func theEndOfTurnsBeforeTheLastIsTrainedWhateverTheTemplateDoesWithTheLast(_ template: String) throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(processor(template, directory))
        let messages: JSON = [
            ["role": "user", "content": "one"], ["role": "assistant", "content": "eins"],
            ["role": "user", "content": "two"], ["role": "assistant", "content": "zwei"],
            ["role": "user", "content": "three"], ["role": "assistant", "content": "drei"],
        ]
        let runs = try DataSupport.trained(
            encoder.encode(Conversation(json: messages, name: "test")),
            encoder.processor
        )
        let texts = runs.map { String($0.drop { $0 == " " }) }
        #expect(texts.count == 3 && texts.prefix(2) == ["eins<|im_end|>", "zwei<|im_end|>"], "\(texts)")
        #expect(texts.last?.hasPrefix("drei") == true)
    }

    /// Where no end is, none is invented: the text between is the next header.
    @Test(arguments: [
        "{% for m in messages %}{{ '### ' + m.role + ':\n' + m.content + '\n\n' }}{% endfor %}"
            + "{% if add_generation_prompt %}{{ '### assistant:\n' }}{% endif %}",
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }} {% endif %}"
            + "{% endfor %}",
        "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}<eou>{% else %}<bot>{{ m.content }}{% endif %}{% endfor %}"
            + "{% if add_generation_prompt %}<bot>{% endif %}",
    ])
    func aHeaderIsNotAnEnd(_ template: String) throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(processor(template, directory))
        let messages: JSON = [
            ["role": "user", "content": "one"], ["role": "assistant", "content": "eins"],
            ["role": "user", "content": "two"], ["role": "assistant", "content": "zwei"],
        ]
        let runs = try DataSupport.trained(
            encoder.encode(Conversation(json: messages, name: "test")),
            encoder.processor
        )
        #expect(runs.map { $0.filter { $0 != " " } } == ["eins", "zwei"], "\(runs)")
    }

    /// The mask is that of transformers: the tokens of all marked parts, which for three parts of a turn are these texts.
    @Test func allMarkedPartsOfATurnAreTrained() throws {
        let directory = try TemporaryDirectory()
        let template =
            "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}"
            + "{% generation %}{{ m.reasoning_content }}{% endgeneration %}|{% generation %}{{ m.content }}{% endgeneration %}"
            + "#{% generation %}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
        let encoder = try DataSupport.encoder(processor(template, directory))
        let messages: JSON = [
            ["role": "user", "content": "one"],
            ["role": "assistant", "content": "eins", "reasoning_content": "hm"],
            ["role": "user", "content": "two"],
            ["role": "assistant", "content": "zwei", "reasoning_content": "so"],
        ]
        let conversation = try Conversation(json: messages, name: "test")
        let runs = try DataSupport.trained(encoder.encode(conversation), encoder.processor)
        #expect(
            runs.map { $0.filter { $0 != " " } } == ["hm", "eins", "</s>", "so", "zwei", "</s>"],
            "\(runs)"
        )
    }

    @Test func textAndCallsOfOneMessageAreOneTurn() throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(processor(try #require(Self.templates["chatml"]), directory))
        let messages: JSON = [
            ["role": "user", "content": "a"],
            ["role": "assistant", "content": "I look.", "tool_calls": [["function": ["name": "look"]]]],
            ["role": "tool", "content": "seen"], ["role": "assistant", "content": "Done."],
        ]
        let conversation = try Conversation(json: messages, name: "test")
        let runs = try DataSupport.trained(encoder.encode(conversation), encoder.processor)
        #expect(runs.map { $0.drop { $0 == " " } } == ["I look.[call look]<|im_end|>", "Done.<|im_end|>"], "\(runs)")
    }

    @Test(arguments: [false, true])
    func answersWithoutATrainedEndAreNoted(_ marks: Bool) throws {
        let directory = try TemporaryDirectory()
        let marked =
            "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:{% else %}{% generation %}"
            + "{{ m.content }}{% endgeneration %}{{ eos_token }}{% endif %}{% endfor %}"
        let encoder = try DataSupport.encoder(
            processor(marks ? marked : try #require(Self.templates["no end"]), directory)
        )
        _ = try encoder.encode(conversation(turns: 2, callsTools: false))
        #expect(encoder.notes.rowsWithoutEnd == 1)
        #expect(encoder.notes.sentences.count == 1 && encoder.notes.sentences[0].contains("does not learn to stop"))
    }
}
