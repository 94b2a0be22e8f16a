import BridgeCore
import Datasets
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

/// Rows with a prompt and its answer are the conversations of the same turns.
@Suite struct CompletionRowTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func source(_ row: String) throws -> PreloadedSource {
        let path = try scratch.write(Array(row.utf8), to: "\(UUID()).jsonl")
        let encoder = try DataSupport.encoder(DataSupport.processor("gemma3"))
        return try PreloadedSource(path: path, imageFolder: "", encoder: encoder)
    }

    @Test(arguments: [
        #"{"prompt": "Where?", "completion": "Left."}"#,
        #"{"input": "Where?", "output": "Left.", "messages": null}"#,
        #"{"prompt": [{"role": "user", "content": "Where?"}], "completion": [{"role": "assistant", "content": "Left."}]}"#,
        #"{"prompt": {"from": "human", "value": "Where?"}, "completion": {"from": "gpt", "value": "Left."}}"#,
    ]) func aPairIsAConversation(_ row: String) throws {
        let turns =
            #"{"messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Left."}]}"#
        let (pair, whole) = (try source(row), try source(turns))
        #expect(try pair.conversation(at: 0) == whole.conversation(at: 0))
        let (one, other) = (try pair.sample(at: 0), try whole.sample(at: 0))
        #expect(one.tokens == other.tokens && one.labels == other.labels)
    }

    @Test func imagesAndTheSystemMessageAreTheRows() throws {
        let images = #""images": ["a.png"], "system": "Be brief.""#
        let pair = try source("{\"prompt\": \"<image>What?\", \"completion\": \"A map.\", \(images)}")
        let turns =
            #""messages": [{"role": "user", "content": "<image>What?"}, {"role": "assistant", "content": "A map."}]"#
        let found = try pair.conversation(at: 0)
        #expect(try found == source("{\(turns), \(images)}").conversation(at: 0))
        #expect(found.images.count == 1 && found.messages.map(\.role) == ["system", "user", "assistant"])
    }

    /// As trl computes the loss of a completion.
    @Test func answersOfThePromptAreNotSupervised() throws {
        let turns =
            #"{"role": "user", "content": "One?"}, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Two?"}"#
        let source = try source("{\"prompt\": [\(turns)], \"completion\": \"Yes.\"}")
        let trained = try DataSupport.trained(source.sample(at: 0), DataSupport.processor("gemma3"))
        #expect(trained == ["Yes.<end_of_turn>"])
    }

    @Test(arguments: [
        (#"{"completion": "a"}"#, "prompt is missing, expected a text or messages"),
        (#"{"prompt": 5, "completion": "a"}"#, "prompt is a number"),
        (#"{"prompt": "q", "completion": []}"#, "completion is empty"),
        (
            #"{"prompt": "q", "completion": [{"role": "user", "content": "a"}]}"#,
            "does not begin with a turn of the assistant"
        ),
        (#"{"prompt": "q", "completion": "a", "output": "b"}"#, "both completion and output"),
        (#"{"instruction": "Add.", "input": "2 3", "output": "5"}"#, "write all of it into prompt"),
        (#"{"instruction": "Add 2 and 3.", "output": "5"}"#, "the row has instruction beside output"),
        (#"{"prompt": "q", "completion": ""}"#, "messages[1]"),
        (#"{"prompt": "q"}"#, "or with prompt and completion"),
    ]) func aRowWithoutOneOfThemIsAnError(_ row: String, _ words: String) throws {
        let source = try source(row)
        expectError(mentioning: "line 1", words) { try source.sample(at: 0) }
    }

    @Test func otherKeysAreReported() throws {
        let encoder = try DataSupport.encoder(DataSupport.processor("gemma3"))
        let rows = [
            #"{"prompt": "q", "completion": "a", "hint": "h", "id": 1}"#,
            #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "prompt": "q"}"#,
        ]
        for (row, keys) in zip(rows, [["hint"], ["hint", "prompt"]]) {
            let path = try scratch.write(Array(row.utf8), to: "rows.jsonl")
            _ = try PreloadedSource(path: path, imageFolder: "", encoder: encoder).sample(at: 0)
            #expect(encoder.notes.unreadKeys == keys)
        }
    }

    @Test func aTableAndAFileOfQuestionsHavePairsToo() throws {
        try FileManager.default.createDirectory(at: scratch.url("set"), withIntermediateDirectories: true)
        let path = try scratch.write(
            Array(#"{"prompt": "Where?", "completion": "Left.", "hint": "h"}"#.utf8),
            to: "set/train.jsonl"
        )
        let table = try HuggingFaceTable(scratch.path("set"), split: "train", hub: nil)
        let encoder = try DataSupport.encoder(DataSupport.processor("gemma3"))
        let maker = try ConversationMaker(named: "conversation")
        let sample = try TableSource(table: table, maker: maker, encoder: encoder).sample(at: 0)
        #expect(try DataSupport.trained(sample, encoder.processor) == ["Left.<end_of_turn>"])
        #expect(encoder.notes.unreadKeys == ["hint"])
        let question = try AnswerFile(path: path).question(at: 0)
        #expect(question.answer == "Left." && question.conversation == Conversation(prompt: "Where?"))
    }
}
