import BridgeCore
import Datasets
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

/// Marks of messages and rows that a turn is not to be trained, in the ways that other tools write them.
@Suite struct TurnMarksTests {
    private static let marked =
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]"
        + "{% else %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"

    /// What is trained of a row with two answers.
    private func trained(
        _ row: String,
        mode: Recipe.LossMode = .assistant,
        template: String? = nil
    ) throws -> [String] {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        if let template { try directory.write(Array(template.utf8), to: "source/chat_template.jinja") }
        let encoder = try DataSupport.encoder(AutoBridge.fromHF(copy).processor(), mode)
        let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
        let sample = try PreloadedSource(path: path, encoder: encoder).sample(at: 0)
        return try DataSupport.trained(sample, encoder.processor).map { $0.filter { $0 != " " } }
    }

    private func row(_ mark: String, _ other: String = "", row more: String = "") -> String {
        """
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "first"\(mark)}, \
        {"role": "user", "content": "r"}, {"role": "assistant", "content": "second"\(other)}]\(more)}
        """
    }

    @Test(arguments: [
        #""weight": 0"#, #""weight": 0.0"#, #""train": false"#, #""trainable": false"#, #""training": false"#,
        #""loss": false"#,
        #""loss_mask": 0"#, #""loss_mask": false"#, #""loss_weight": 0"#, #""masked": true"#, #""train": "false""#,
        #""train_on_turn": false"#, #""loss": 0"#, #""weight": 0, "train": false"#,
    ])
    func aMarkedTurnIsNotTrained(_ mark: String) throws {
        for template in [nil, Self.marked] {
            #expect(try trained(row(", \(mark)", #", "weight": 1"#), template: template) == ["second</s>"])
            #expect(try trained(row("", ", \(mark)"), template: template) == ["first</s>"])
            #expect(try trained(row("", ", \(mark)"), mode: .lastTurn, template: template).isEmpty)
            #expect(try trained(row(", \(mark)"), mode: .lastTurn, template: template) == ["second</s>"])
            let full = try trained(row(", \(mark)"), mode: .full, template: template).joined()
            #expect(!full.contains("first") && full.contains("second</s>") && full.contains("q"), "\(full)")
        }
        let shareGPT =
            #"{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", \#(mark)}, {"from": "human", "value": "r"}, {"from": "gpt", "value": "b"}]}"#
        #expect(try trained(shareGPT) == ["b</s>"])
    }

    @Test(arguments: [
        #""weight": 1"#, #""weight": null"#, #""train": true"#, #""masked": false"#, #""loss": 1"#,
        #""train_detail": null"#,
        #""train_detail": [{"begin_offset": 0, "end_offset": 3, "train": true}]"#, #""train_on_input": false"#,
    ])
    func aMarkThatExcludesNothingChangesNothing(_ mark: String) throws {
        #expect(try trained(row(", \(mark)")) == ["first</s>", "second</s>"])
    }

    @Test(arguments: [
        (#""loss_mask": [0, 1, 0, 0]"#, ["first</s>"]), (#""loss_mask": [0, 1]"#, ["second</s>"]),
        (#""loss_mask": [true, false, true, true]"#, ["second</s>"]), (#""weights": [1, 0]"#, ["first</s>"]),
        (#""weight": 0"#, []), (#""weight": 1.0"#, ["first</s>", "second</s>"]), (#""loss_weight": 0"#, []),
        (#""train": false"#, []), (#""masked": [true, false]"#, ["second</s>"]),
        (#""loss": 0.73"#, ["first</s>", "second</s>"]), (#""train_mask": false"#, []), (#""weights": 0"#, []),
        (#""loss_masks": 0"#, []), (#""loss_mask": false"#, []), (#""train_mask": true"#, ["first</s>", "second</s>"]),
    ])
    func aRowMarksItsTurns(_ mark: String, _ expected: [String]) throws {
        #expect(try trained(row("", row: ", \(mark)")) == expected)
    }

    @Test(arguments: [
        (#", "weight": 0.5"#, "", "messages[1].weight is 0.5, expected true or false, or 1 or 0"),
        (#", "weight": 0, "train": true"#, "", "messages[1] has weight and train, which contradict each other"),
        (#", "loss": "some""#, "", #"messages[1].loss is "some""#),
        (#", "loss_mask": [1, 0]"#, "", "messages[1].loss_mask is [1,0]"),
        (
            #", "train_detail": [{"begin_offset": 0, "end_offset": 3, "train": false}]"#, "",
            "messages[1] has train_detail"
        ),
        ("", #", "loss_mask": [1, 0, 1]"#, "loss_mask has 3 elements for 4 messages, of which 2"),
        ("", #", "loss_mask": [1, 0.5]"#, "loss_mask is 0.5"),
        ("", #", "weight": 0.5"#, "weight is 0.5, expected true or false, or 1 or 0"),
        ("", #", "weight": 2"#, "weight is 2, expected true or false, or 1 or 0"),
        ("", #", "loss_weight": -1"#, "loss_weight is -1"), ("", #", "loss_scale": "high""#, #"loss_scale is "high""#),
        ("", #", "train_on_inputs": true"#, "loss_mode=full"), ("", #", "weights": 0.5"#, "weights is 0.5"),
        ("", #", "train_mask": "half""#, #"train_mask is "half""#), ("", #", "loss_masks": 2"#, "loss_masks is 2"),
    ])
    func aMarkThatCannotBeFollowedIsRefused(_ mark: String, _ more: String, _ words: String) throws {
        expectError(mentioning: "rows.jsonl, line 1", words) { try trained(row(mark, row: more)) }
    }

    @Test func aMarkedQuestionCannotBeExcludedFromTheWhole() throws {
        let row =
            #"{"messages": [{"role": "user", "content": "q", "train": false}, {"role": "assistant", "content": "a"}]}"#
        #expect(try trained(row) == ["a</s>"])
        expectError(mentioning: "message 0 of the user", "loss_mode=assistant") { try trained(row, mode: .full) }
    }

    @Test func aTemplateThatMarksSeveralPartsOfATurnIsUnderstood() throws {
        let template = Self.marked.replacingOccurrences(
            of: "{{ m.content }}{{ eos_token }}",
            with: "{{ m.content }}{% endgeneration %}|{% generation %}{{ eos_token }}"
        )
        #expect(try trained(row(#", "weight": 0"#), template: template) == ["second", "</s>"])
    }

    @Test func keysThatNothingReadsAreListedOnce() throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        let rows = [
            row(
                #", "wieght": 0, "name": "x", "refusal": null"#,
                row: #", "id": 3, "loss": 0.7, "chat_template_kwargs": {"a": 1}, "empty": null"#
            ),
            row(#", "reasoning_content": "why", "wieght": 1"#),
        ]
        let path = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
        let source = try PreloadedSource(path: path, encoder: encoder)
        for index in 0..<2 { _ = try source.sample(at: index) }
        // The template of this model names no reasoning.
        let keys = [
            "chat_template_kwargs", "loss", "messages[].name", "messages[].reasoning_content", "messages[].wieght",
        ]
        #expect(encoder.notes.unreadKeys == keys)
        #expect(encoder.notes.sentences.count == 1 && keys.allSatisfy(encoder.notes.sentences[0].contains))
    }

    @Test func everyKeyHasOneVerdict() {
        for keys in [
            RowKeys.row.map(\.key), RowKeys.row.map(\.key) + RowKeys.completion.map(\.key), RowKeys.message.map(\.key),
        ] {
            #expect(Set(keys).count == keys.count, "\(keys)")
        }
        #expect(RowKeys.row.contains { $0.key == "loss_mask" && $0.verdict == .honoured })
        #expect(RowKeys.message.contains { $0.key == "weight" && $0.verdict == .honoured })
        #expect(RowKeys.message.contains { $0.key == "train_detail" && $0.verdict == .refused })
    }
}
