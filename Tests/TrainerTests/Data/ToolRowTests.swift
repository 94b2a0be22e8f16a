import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

/// Tools, their calls and results, and reasoning, in the forms that data sets have them.
@Suite struct ToolRowTests {
    private func conversation(_ row: String) throws -> Conversation {
        let directory = try TemporaryDirectory()
        let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        return try PreloadedSource(path: path, encoder: encoder).conversation(at: 0)
    }

    private static let function = #"{"name": "weather", "parameters": {"type": "object", "properties": {}}}"#
    private static let tool = #"{"type": "function", "function": \#(function)}"#

    private static func text(_ json: String) -> String {
        String(decoding: JSON.string(json).text(pretty: false), as: UTF8.self)
    }

    private func row(_ more: String) -> String {
        #"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]\#(more)}"#
    }

    @Test(arguments: [
        #""tools": \#(text("[\(tool)]"))"#, #""tools": [\#(text(tool))]"#, #""tools": \#(tool)"#,
        #""tools": \#(text(tool))"#,
        #""tools": \#(text("[\(function)]"))"#, #""functions": [\#(function)]"#,
        #""functions": \#(text("[\(function)]"))"#,
        #""tools": \#(text(#"[{"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}}]"#))"#,
        #""tools": [{"type": "function", "function": \#(text(function))}]"#,
    ])
    func toolsAreTheSameInEveryForm(_ options: String) throws {
        let plain = try conversation(row(#", "tools": [\#(Self.tool)]"#))
        #expect(plain.tools?.count == 1)
        #expect(try conversation(row(", \(options)")) == plain)
    }

    @Test(arguments: [#""tools": null"#, #""tools": """#, #""tools": "[]""#, #""tools": "null""#, #""tools": "  ""#])
    func aRowMayHaveNoTools(_ options: String) throws { #expect(try conversation(row(", \(options)")).tools == nil) }

    @Test(arguments: [
        (#""tools": 3"#, "tools is a number, expected a list"),
        (#""tools": "weather""#, "tools is a text that is not valid JSON"),
        (#""tools": [3]"#, "tools[0] is a number"), (#""tools": {"a": 1}"#, "tools is an object"),
        (#""tools": [\#(tool)], "functions": [{"name": "other"}]"#, "tools in tools and others in functions"),
    ])
    func toolsThatCannotBeReadAreRefused(_ options: String, _ words: String) throws {
        expectError(mentioning: "line 1", words) { try conversation(row(", \(options)")) }
    }

    @Test func aMessageMayBringTheToolsAlong() throws {
        let row =
            #"{"messages": [{"role": "system", "content": "s", "tools": [\#(Self.tool)]}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#
        #expect(try conversation(row).tools == conversation(self.row(#", "tools": [\#(Self.tool)]"#)).tools)
    }

    private static let call = #"{"name": "weather", "arguments": {"city": "Bern"}}"#

    @Test(arguments: [
        #"{"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": \#(text(call))}, {"from": "observation", "value": "dry"}, {"from": "gpt", "value": "a"}]}"#,
        #"{"messages": [{"role": "user", "content": "q"}, {"role": "tool_call", "content": \#(text(call))}, {"role": "tool_response", "content": "dry"}, {"role": "assistant", "content": "a"}]}"#,
        #"{"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": \#(text("[\(call)]"))}, {"from": "tool", "value": "dry"}, {"from": "gpt", "value": "a"}]}"#,
        #"{"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": \#(text("<tool_call>\n\(call)\n</tool_call>"))}, {"from": "observation", "value": "dry"}, {"from": "gpt", "value": "a"}]}"#,
        #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "function_call": {"name": "weather", "arguments": {"city": "Bern"}}}, {"role": "function", "content": "dry"}, {"role": "assistant", "content": "a"}]}"#,
    ])
    func aCallOfATurnOfItsOwnIsTheAssistants(_ row: String) throws {
        let messages = try conversation(row).messages
        try #require(messages.count == 4)
        #expect(
            messages[0] == ChatMessage(role: "user", content: "q")
                && messages[3] == ChatMessage(role: "assistant", content: "a")
        )
        let fields = messages[1].fields
        #expect(fields.first { $0.name == "role" }?.value == "assistant")
        guard case .list(let calls)? = fields.first(where: { $0.name == "tool_calls" })?.value else {
            Issue.record("no calls")
            return
        }
        #expect(calls.map { $0["function"]?["name"] } == ["weather"])
        #expect(calls[0]["function"]?["arguments"] == ["city": "Bern"])
        guard case .text(let id)? = calls[0]["id"] else {
            Issue.record("no id")
            return
        }
        #expect(
            id.count == 9
                && id.utf8.allSatisfy {
                    Character(Unicode.Scalar($0)).isLetter || Character(Unicode.Scalar($0)).isNumber
                }
        )
        let result = messages[2].fields
        #expect(result.first { $0.name == "role" }?.value == "tool")
        #expect(result.first { $0.name == "tool_call_id" }?.value == .text(id))
        #expect(result.first { $0.name == "content" }?.value == "dry")
    }

    @Test func neighbouringCallsAreOneTurn() throws {
        let calls = (1...2).map {
            #"{"role": "tool_call", "content": \#(Self.text(#"{"name": "f\#($0)", "arguments": {}}"#))}"#
        }
        let row =
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "I look."}, \#(calls.joined(separator: ", ")), {"role": "tool_response", "content": "x"}, {"role": "tool_response", "content": "y"}, {"role": "assistant", "content": "a"}]}"#
        let messages = try conversation(row).messages
        try #require(messages.count == 5)
        guard case .list(let found)? = messages[1].fields.first(where: { $0.name == "tool_calls" })?.value else {
            Issue.record("no calls")
            return
        }
        #expect(found.map { $0["function"]?["name"] } == ["f1", "f2"])
        #expect(messages[1].fields.contains { $0.name == "content" && $0.value == "I look." })
        for (result, call) in zip(messages[2...3], found) {
            #expect(result.fields.first { $0.name == "tool_call_id" }?.value == call["id"])
        }
    }

    @Test(arguments: ["not json", "3", #"{"arguments": {}}"#, "[]"])
    func aCallThatIsNoneIsRefused(_ value: String) throws {
        let row =
            #"{"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": \#(Self.text(value))}]}"#
        expectError(mentioning: "line 1", "conversations[1]") { try conversation(row) }
    }

    @Test func callsInATextAreThoseOfAList() throws {
        let list = #"[{"id": "abcdefghi", "type": "function", "function": \#(Self.call)}]"#
        func row(_ calls: String) -> String {
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": \#(calls)}]}"#
        }
        #expect(try conversation(row(Self.text(list))) == conversation(row(list)))
    }

    @Test func reasoningIsAPartOfTheAnswer() throws {
        let directory = try TemporaryDirectory()
        let copy = try directory.copy(ofCheckpoint: "mistral")
        // As the templates of reasoning models write it: with a text only.
        let template =
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}"
            + "{% if m.content is string %}{{ m.content }}{% else %}{% for b in m.content %}{% if b.type == 'text' %}{{ b.text }}"
            + "{% elif b.type == 'thinking' %}{{ '<think>' + b.thinking + '</think>' }}{% endif %}{% endfor %}{% endif %}"
            + "{{ eos_token }}{% endif %}{% endfor %}"
        try directory.write(Array(template.utf8), to: "source/chat_template.jinja")
        let encoder = try DataSupport.encoder(AutoBridge.fromHF(copy).processor())
        let parts = [
            #"{"type": "thinking", "thinking": "why", "closed": true}"#,
            #"{"type": "thinking", "thinking": [{"type": "text", "text": "w"}, {"type": "text", "text": "hy"}], "text": null}"#,
            #"{"type": "reasoning", "text": "why"}"#,
        ]
        for part in parts {
            let row =
                #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": [\#(part), {"type": "text", "text": "So."}]}]}"#
            let path = try directory.write(Array(row.utf8), to: "rows.jsonl")
            let sample = try PreloadedSource(path: path, encoder: encoder).sample(at: 0)
            let runs = try DataSupport.trained(sample, encoder.processor)
            #expect(runs.count == 1 && runs[0].hasSuffix("<think>why</think>So.</s>"), "\(runs)")
        }
    }
}
