import BridgeCore
import Datasets
import Foundation
import TestSupport
import Testing
import Tokenizers
import Trainer

/// Keys of messages and of parts of contents: what a row holds is honoured, refused or reported.
@Suite struct RowKeysTests {
    private static let template =
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{% if m.content is string %}{{ m.content }}"
        + "{% else %}{% for p in m.content %}{{ p.text or '' }}{% endfor %}{% endif %}[/INST]"
        + "{% elif m.role == 'assistant' %}{% generation %}{% if m.content is string %}{{ m.content }}"
        + "{% else %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endif %}{{ eos_token }}{% endgeneration %}"
        + "{% endif %}{% endfor %}"

    /// What is trained of a row, and the notes about it.
    private func read(
        _ row: String,
        mode: Recipe.LossMode = .assistant,
        template: String = Self.template
    ) throws -> (trained: [String], notes: DataNotes) {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let encoder = try DataSupport.encoder(AutoBridge.fromHF(copy).processor(), mode)
        let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
        let sample = try PreloadedSource(path: path, encoder: encoder).sample(at: 0)
        let trained = try DataSupport.trained(sample, encoder.processor).map { $0.filter { $0 != " " } }
        return (trained, encoder.notes)
    }

    private func row(answer: String, user: String = #""q""#, keys: String = "") -> String {
        #"{"messages": [{"role": "user", "content": \#(user)\#(keys)}, {"role": "assistant", "content": "first"}, "#
            + #"{"role": "user", "content": "r"}, {"role": "assistant", "content": \#(answer)}]}"#
    }

    // MARK: Parts

    @Test(arguments: [
        #"[{"type": "text", "text": "A", "train": false}]"#, #"[{"type": "text", "text": "A", "weight": 0}]"#,
        #"[{"type": "text", "text": "A", "masked": true}, {"type": "text", "text": "B", "weight": 0}]"#,
    ])
    func anAnswerWhosePartsAreMarkedIsNotTrained(_ answer: String) throws {
        #expect(try read(row(answer: answer)).trained == ["first</s>"])
    }

    @Test(arguments: [
        (
            #"[{"type": "text", "text": "A", "train": false}, {"type": "text", "text": "B"}]"#,
            "messages[3].content[0] is marked as not to be trained"
        ),
        (#"[{"type": "text", "text": "A", "weight": 0.5}]"#, "messages[3].content[0].weight is 0.5"),
        (#"[{"type": "text", "text": "A", "train_detail": [{"train": false}]}]"#, "has train_detail"),
        (#"[{"type": "text", "text": "A", "weight": 0}], "train": true"#, "contradict each other"),
    ])
    func aPartThatCannotBeExcludedAloneIsRefused(_ answer: String, _ words: String) throws {
        expectError(mentioning: "rows.jsonl, line 1", words) { try read(row(answer: answer)) }
    }

    @Test func keysOfPartsAreReported() throws {
        let user = #"[{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}, "empty": null}]"#
        let found = try read(row(answer: #"[{"type": "text", "text": "A", "weight": 1, "note": 1}]"#, user: user))
        #expect(found.trained == ["first</s>", "A</s>"])
        #expect(found.notes.unreadKeys == ["messages[].content[].cache_control", "messages[].content[].note"])
    }

    @Test func keysOfImagesAreReported() throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(DataSupport.processor("gemma3"))
        let image = DataSupport.image
        let rows = [
            #"[{"type": "image", "path": "\#(image)", "max_pixels": 9, "resized_height": 28}, {"type": "text", "text": "q"}]"#,
            #"[{"type": "image_url", "image_url": {"url": "\#(image)", "detail": "low"}}, {"type": "text", "text": "q"}]"#,
            #"[{"type": "image", "path": "\#(image)", "url": "other.png"}, {"type": "text", "text": "q"}]"#,
        ].map {
            #"{"messages": [{"role": "user", "content": \#($0)}, {"role": "assistant", "content": "a"}]}"#
        }
        let object =
            #"{"messages": [{"role": "user", "content": "<image>q"}, {"role": "assistant", "content": "a"}], "#
            + #""images": [{"path": "\#(image)", "min_pixels": 4}]}"#
        let path = try directory.write(Array((rows + [object]).joined(separator: "\n").utf8), to: "rows.jsonl")
        let source = try PreloadedSource(path: path, encoder: encoder)
        for index in 0..<source.count { #expect(try source.sample(at: index).images.count == 1) }
        #expect(
            encoder.notes.unreadKeys
                == ["images[].min_pixels"]
                + ["image_url.detail", "max_pixels", "resized_height", "url"].map { "messages[].content[].\($0)" }
        )
    }

    /// As `apply_chat_template` of transformers passes parts to the template.
    @Test func theTemplateSeesTheKeysOfParts() throws {
        let template = Self.template.replacingOccurrences(of: "{{ p.text or '' }}", with: "{{ p.text }}{{ p.note }}")
        let user = #"[{"type": "text", "text": "q", "note": "N"}, {"type": "text", "text": "r", "note": "M"}]"#
        let found = try read(row(answer: #""A""#, user: user), mode: .full, template: template)
        #expect(found.trained.joined().contains("[INST]qNrM[/INST]") && found.notes.unreadKeys.isEmpty)
    }

    // MARK: Messages

    /// axolotl trains these, and OpenAI's format has no weight there.
    @Test(arguments: [#""train": true"#, #""weight": 1"#, #""trainable": true"#])
    func aMarkThatAPromptIsTrainedIsReported(_ mark: String) throws {
        let key = mark.split(separator: "\"")[0]
        let found = try read(row(answer: #""A""#, keys: ", \(mark)"))
        #expect(found.trained == ["first</s>", "A</s>"])
        #expect(found.notes.marksOfPrompts == ["messages[].\(key)"])
        #expect(found.notes.sentences.contains { $0.contains("messages[].\(key)") && $0.contains("loss_mode=full") })
        #expect(try read(row(answer: #""A""#, keys: ", \(mark)"), mode: .full).notes.marksOfPrompts.isEmpty)
    }

    @Test func aListOfMarksThatTrainsPromptsIsReported() throws {
        let messages = String(row(answer: #""A""#).dropLast())
        #expect(try read(messages + #", "loss_mask": [1, 1, 0, 1]}"#).notes.marksOfPrompts == ["loss_mask"])
        #expect(try read(messages + #", "loss_mask": [0, 1, 0, 1], "train": true}"#).notes.marksOfPrompts.isEmpty)
    }

    @Test(arguments: [
        (#"{"role": "user", "content": "q", "value": "other"}"#, "messages[0] has a content and another text as value"),
        (#"{"role": "user", "from": "gpt", "content": "q"}"#, "messages[0] has the role user and is from gpt"),
    ])
    func aMessageThatContradictsItselfIsRefused(_ message: String, _ words: String) throws {
        let row = #"{"messages": [\#(message), {"role": "assistant", "content": "a"}]}"#
        expectError(mentioning: "rows.jsonl, line 1", words) { try read(row) }
    }

    @Test(arguments: [
        (#"{"role": "user", "from": "human", "content": "q", "value": "q"}"#, []),
        (#"{"role": "user", "content": "q", "value": ""}"#, []),
        (#"{"role": "user", "from": "Alice", "content": "q"}"#, ["from"]),
        (#"{"role": "user", "content": "q", "value": 0.5}"#, ["value"]),
        (#"{"role": "user", "content": "q", "tool_calls": [{"function": {"name": "f"}}]}"#, ["tool_calls"]),
        (#"{"role": "user", "content": "q", "name": "Bob", "id": 4, "prefix": false}"#, ["name"]),
        (
            #"{"role": "user", "content": "q", "prefix": true, "tool_call_id": "abcdefghi"}"#,
            ["prefix", "tool_call_id"]
        ),
    ])
    func whatAMessageHasMoreIsReported(_ message: String, _ keys: [String]) throws {
        let found = try read(#"{"messages": [\#(message), {"role": "assistant", "content": "a"}]}"#)
        #expect(found.trained == ["a</s>"] && found.notes.unreadKeys == keys.map { "messages[].\($0)" })
    }

    @Test func aNameInsideAnotherNameIsNotRead() throws {
        let template = Self.template + "{% set nickname = 1 %}"
        let row =
            #"{"messages": [{"role": "user", "content": "q", "name": "B"}, {"role": "assistant", "content": "a"}]}"#
        #expect(try read(row, template: template).notes.unreadKeys == ["messages[].name"])
        #expect(try read(row, template: template + "{{ messages[0].name }}").notes.unreadKeys.isEmpty)
    }

    @Test func whatAMessageOfCallsHasMoreIsReported() throws {
        let template =
            "{% for m in messages %}{% generation %}{{ m.content or m.tool_calls }}{{ eos_token }}{% endgeneration %}{% endfor %}"
        let call =
            #"{"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}", "thinking": "t", "name": "n"}"#
        let found = try read(#"{"conversations": [{"from": "human", "value": "q"}, \#(call)]}"#, template: template)
        #expect(found.notes.unreadKeys == ["messages[].name", "messages[].thinking"])
    }

    /// The template of transformers renders nothing for it either.
    @Test func aSystemMessageThatVanishesIsReported() throws {
        let messages = row(answer: #""A""#).dropLast()
        let found = try read(messages + #", "system": "Be brief."}"#)
        #expect(found.trained == ["first</s>", "A</s>"])
        #expect(found.notes.sentences == [Conversation.omittedSystem])
        let rendering = "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}" + Self.template
        #expect(try read(messages + #", "system": " Be brief.\n"}"#, template: rendering).notes.sentences.isEmpty)
    }
}
