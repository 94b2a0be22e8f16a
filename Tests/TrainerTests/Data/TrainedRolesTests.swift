import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers

@testable import Datasets
@testable import Trainer

/// Losses on the turns of other roles than the assistant: dataset.roles_to_train.
@Suite struct TrainedRolesTests {
    /// A case of `Tests/Fixtures/training-data/roles.json`, made by `Tests/Fixtures/make_training_data_fixtures.py`.
    private static let recorded = Result {
        try Fixtures.cases("training-data/roles.json", "samples").map { RecordedSample(json: $0) }
    }

    private static func subsets(_ roles: [String]) -> [Set<String>] {
        (1..<1 << roles.count).map { bits in Set(roles.indices.filter { bits >> $0 & 1 == 1 }.map { roles[$0] }) }
    }

    private func encoder(
        _ processor: any ModelProcessor,
        _ roles: Set<String>,
        _ mode: Recipe.LossMode = .assistant
    ) throws -> SampleEncoder {
        var options = ProcessingOptions()
        options.template.date = try ChatDate("2025-03-09")
        return SampleEncoder(processor: processor, lossMode: mode, roles: roles, options: options)
    }

    @Test(arguments: try recorded.get()) func labelsAreThoseOfTransformers(_ recorded: RecordedSample) throws {
        let labels = try #require(recorded.json["labels"]?.object)
        let processor = try recorded.processor(template: nil)
        for roles in Self.subsets(labels.map(\.key)) {
            let sample = try encoder(processor, roles).encode(recorded.conversation())
            #expect(sample.tokens == recorded.numbers("input_ids"))
            // A token has a label in the turns of one role.
            let own = roles.map { role in labels[role]?.array?.compactMap { $0.integer.map { Int32($0) } } ?? [] }
            let expected = sample.tokens.indices.map { index in own.map { $0[index] }.max() ?? -100 }
            #expect(sample.labels == expected, "\(roles.sorted())")
        }
    }

    private static let header = "<|im_start|>"
    private static let templates: [String: (template: String, before: [String: String], after: [String: String])] = [
        "chatml": (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
                + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            [
                "user": "<|im_start|>user\n", "assistant": "<|im_start|>assistant\n", "system": "<|im_start|>system\n",
                "tool": "<|im_start|>tool\n",
            ],
            ["user": "<|im_end|>", "assistant": "<|im_end|>", "system": "<|im_end|>", "tool": "<|im_end|>"]
        ),
        "brackets": (
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
                + "{% elif m.role == 'system' %}SYS {{ m.content }};{% elif m.role == 'tool' %}GOT {{ m.content }}\n"
                + "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}",
            ["user": "[INST]", "assistant": "", "system": "SYS ", "tool": "GOT "],
            ["user": "[/INST]", "assistant": "</s>", "system": ";", "tool": ""]
        ),
    ]

    /// The spans are those of the text that the template writes, put together message by message.
    @Test(arguments: templates.keys.sorted()) func spansAreThoseOfTheTemplatesText(_ name: String) throws {
        let (template, before, after) = try #require(Self.templates[name])
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let processor = try AutoBridge.fromHF(copy).processor()
        let options = try encoder(processor, ["user"]).options
        var random = TestSeed.generator()
        let words = ["same", "so", "one two", "[INST]", "é橋", "a\n\nb", "x </s> y", "GOT it", "12"]
        for _ in 0..<12 {
            var roles = random.below(2) == 0 ? ["system"] : []
            for _ in 0..<1 + random.below(6) {
                roles += random.below(3) == 0 ? ["user", "assistant", "tool", "assistant"] : ["user", "assistant"]
            }
            let messages = roles.map { ChatMessage(role: $0, content: words[random.below(words.count)]) }
            let conversation = Conversation(messages: messages)
            let chat = try processor.rendered(conversation, options: options)
            var text = name == "brackets" ? "<s>" : ""
            var spans: [String: [Range<Int>]] = [:]
            for (role, message) in zip(roles, messages) {
                text += before[role] ?? ""
                let start = text.utf8.count
                guard case .text(let content)? = message.field("content") else { continue }
                text += content + (after[role] ?? "")
                spans[role, default: []].append(start..<text.utf8.count)
                if name == "chatml" || role == "tool" { text += "\n" }
            }
            #expect(chat.text == text)
            for wanted in Self.subsets(Set(roles).sorted()) {
                let expected = wanted.flatMap { spans[$0] ?? [] }.sorted { $0.lowerBound < $1.lowerBound }
                for mode in [Recipe.LossMode.assistant, .lastTurn] {
                    var finder = SupervisedSpans(
                        conversation: conversation,
                        chat: chat,
                        roles: wanted,
                        processor,
                        options
                    )
                    let found = try finder.find(mode).spans
                    #expect(found == (mode == .assistant ? expected : expected.suffix(1)), "\(wanted) \(TestSeed.note)")
                }
            }
        }
    }

    private func trained(
        _ row: String,
        _ roles: Set<String>,
        mode: Recipe.LossMode = .assistant,
        template: String? = nil
    ) throws -> (runs: [String], notes: [String]) {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        if let template { try directory.write(Array(template.utf8), to: "source/chat_template.jinja") }
        let encoder = try encoder(AutoBridge.fromHF(copy).processor(), roles, mode)
        let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
        let sample = try PreloadedSource(path: path, encoder: encoder).sample(at: 0)
        let runs = try DataSupport.trained(sample, encoder.processor).map { $0.filter { $0 != " " } }
        return (runs, encoder.notes.sentences)
    }

    private func row(_ mark: String = "", first: String = "") -> String {
        """
        {"messages": [\(first){"role": "user", "content": "q"\(mark)}, {"role": "assistant", "content": "first"}, \
        {"role": "human", "content": "r"}, {"role": "gpt", "content": "second"}]}
        """
    }

    /// Marks of the template hold for the assistant, also beside other roles.
    private static let marked =
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
        + "{% elif m.role == 'assistant' %}>{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"

    @Test func marksOfRowsAndTemplatesHoldForOtherRolesToo() throws {
        for template in [nil, Self.marked] {
            #expect(try trained(row(), ["user"], template: template).runs == ["q[/INST]", "r[/INST]"])
            #expect(try trained(row(#", "train": false"#), ["user"], template: template).runs == ["r[/INST]"])
            #expect(try trained(row(), ["user"], mode: .lastTurn, template: template).runs == ["r[/INST]"])
            let both = try trained(row(#", "weight": 0"#), ["user", "assistant"], template: template).runs
            #expect(both == ["first</s>", "r[/INST]", "second</s>"] || both == ["first</s>", "r[/INST]second</s>"])
        }
        let mark = #", "train": true"#
        #expect(try trained(row(mark), ["assistant"]).notes.contains { $0.contains("dataset.roles_to_train") })
        #expect(try trained(row(mark), ["user"]).notes.isEmpty)
        #expect(try trained(row(mark), ["assistant"], mode: .full).notes.isEmpty)
    }

    @Test func aRoleThatCannotBeFoundIsAnError() throws {
        // The system prompt of this template is not in the text, or in another place.
        let system = #"{"role": "system", "content": "s"}, "#
        expectError(mentioning: "message 0 of the system", "remove system from dataset.roles_to_train") {
            try trained(row(first: system), ["system"], template: Self.marked)
        }
        let twice = "{% for m in messages %}({{ m.content }}|{{ m.content }}){% endfor %}"
        expectError(mentioning: "message 0 of the user", "remove user from dataset.roles_to_train") {
            try trained(row(), ["user"], template: twice)
        }
        expectError(mentioning: "no turn of system, tool", "its roles are assistant, user") {
            try trained(row(), ["tool", "system"])
        }
        var recipe = Recipe(name: "run")
        try recipe.apply(["dataset.roles_to_train=[human, gpt]"])
        #expect(recipe.dataset.trainedRoles == ["user", "assistant"])
        for (setting, problem) in [
            (
                "dataset.roles_to_train=[usr, assistant]",
                "dataset.roles_to_train has usr, expected roles of conversations: assistant, system"
            ),
            ("dataset.roles_to_train=[]", "dataset.roles_to_train is empty"),
        ] {
            try recipe.apply([setting])
            #expect(RecipeCheck(recipe, abilities: .init(readsImages: true)).problems.contains { $0.contains(problem) })
        }
        try recipe.apply(["dataset.roles_to_train=[user]", "preference.loss_type=dpo"])
        #expect(
            RecipeCheck(recipe, abilities: .init(readsImages: true)).problems.contains {
                $0.contains("compares the assistant's answers only")
            }
        )
    }
}
