import BridgeCore
import Foundation
import JSONTree
import Synchronization
import TestSupport
import Testing
import Tokenizers

@testable import Datasets
@testable import Trainer

/// The presets of Megatron Bridge, on tables with the columns of the public data sets (`Tests/Fixtures/make_preset_fixtures.py`).
@Suite struct PresetTests {
    private let expected: JSON
    private let scratch: TemporaryDirectory

    init() throws {
        expected = try JSON(contentsOf: "\(Fixtures.root)/presets/expected.json")
        scratch = try TemporaryDirectory()
    }

    /// A table of the fixtures as the split of a directory.
    private func table(_ name: String, split: String = "train") throws -> HuggingFaceTable {
        let data = try Data(contentsOf: URL(filePath: "\(Fixtures.root)/presets/\(name).parquet"))
        try FileManager.default.createDirectory(at: scratch.url(name), withIntermediateDirectories: true)
        try data.write(to: scratch.url("\(name)/\(split).parquet"))
        return try HuggingFaceTable(scratch.path(name), split: split, hub: nil)
    }

    @Test func dataSetsAndSplitsAreThoseOfMegatronBridge() throws {
        let presets = try #require(expected["presets"]?.object)
        #expect(presets.count == 9)
        for (name, preset) in presets {
            let maker = try #require(ConversationMaker.preset(name))
            let subset = preset["subset"]?.string.map { "#\($0)" } ?? ""
            #expect(maker.dataset == (preset["path_or_dataset"]?.string ?? "") + subset)
            #expect(maker.split == preset["split"]?.string)
            // The names of its command line.
            #expect(try ConversationMaker(named: name.replacing("_", with: "-")).name == maker.name)
            #expect(maker.name == "make_\(name)_dataset")
        }
    }

    @Test func conversationsAreThoseOfMegatronBridge() throws {
        let makers = try #require(expected["messages"]?.object)
        #expect(makers.map(\.key) == ["squad", "gsm8k", "tulu3", "openmathinstruct2", "openmathinstruct2_thinking"])
        for (name, rows) in makers {
            let table = try table(name.replacing("_thinking", with: ""))
            let maker = try ConversationMaker(named: name)
            let rows = try #require(rows.array)
            #expect(table.count == rows.count && rows.count > 1)
            for (index, messages) in rows.enumerated() {
                let conversation = try maker.conversation(table.row(at: index))
                let found = conversation.messages.map { message in
                    Dictionary(uniqueKeysWithValues: message.fields.map { ($0.name, $0.value) })
                }
                let wanted = try #require(messages.array).map { message in
                    Dictionary(
                        uniqueKeysWithValues: (message.object ?? JSONObject()).map { ($0.key, ChatValue($0.value)) }
                    )
                }
                #expect(found == wanted, "\(name), row \(index)")
                #expect(conversation.images.isEmpty)
            }
        }
    }

    @Test func theAnswerIsSupervised() throws {
        let processor = try DataSupport.processor("mistral")
        for (name, index, answers) in [
            ("squad", 0, ["a river"]), ("gsm8k", 1, ["five"]), ("tulu3", 0, ["Hello!", "Nothing."]),
        ] {
            let source = TableSource(
                table: try table(name),
                maker: try ConversationMaker(named: name),
                encoder: try DataSupport.encoder(processor)
            )
            let trained = try DataSupport.trained(try source.sample(at: index), processor)
            #expect(
                trained.count == answers.count && zip(trained, answers).allSatisfy { $0.contains($1) },
                "\(trained)"
            )
        }
    }

    @Test func reasoningThatTheChatTemplateDoesNotReadIsReported() throws {
        for (name, keys) in [
            ("openmathinstruct2_thinking", ["messages[].thinking"]), ("openmathinstruct2", []),
        ] {
            let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
            let table = try table("openmathinstruct2")
            let source = TableSource(table: table, maker: try ConversationMaker(named: name), encoder: encoder)
            _ = try source.sample(at: 0)
            #expect(encoder.notes.unreadKeys == keys)
        }
    }

    private struct Row: DatasetRow {
        let location = "rows.parquet, row 3"
        let values: JSONObject
        var columns: [String] { values.map(\.key) }
        func string(_ column: String) throws -> String? { values[column]?.string }
        func image(_ column: String) throws -> ImageSource? { nil }
        func images(_ column: String) throws -> [ImageSource] { [] }
        func value(_ column: String) throws -> JSON? { values[column]?.nonNull }
    }

    @Test(arguments: [
        ("squad", #"{"context": "c", "question": "q"}"#, "reads the columns context, question, answers"),
        ("squad", #"{"context": "c", "question": "q", "answers": "a"}"#, "answers holds no list of texts under text"),
        ("squad", #"{"context": "c", "question": "q", "answers": {"text": []}}"#, "answers is empty"),
        ("squad", #"{"context": null, "question": "q", "answers": {"text": ["a"]}}"#, "context holds no text"),
        ("gsm8k", #"{"question": "q", "answer": null}"#, "answer holds no text"),
        ("gsm8k", #"{"question": "q"}"#, "reads the columns question, answer, and the data has question;"),
        ("tulu3", #"{"messages": null}"#, "an object without a conversation"),
        ("tulu3", #"{"id": "1"}"#, "reads the column conversation or messages or conversations"),
        ("openmathinstruct2", #"{"problem": "p", "generated_solution": 5}"#, "generated_solution holds no text"),
        ("openmathinstruct2_thinking", #"{"problem": "p", "generated_solution": "s"}"#, "expected_answer"),
    ]) func aRowWithoutAFieldIsAnError(_ name: String, _ row: String, _ words: String) throws {
        let maker = try ConversationMaker(named: name)
        let values = try #require(try JSON(parsing: Array(row.utf8)).object)
        expectError(mentioning: "row 3", words) { try maker.conversation(Row(values: values)) }
    }

    @Test func theMakersSplitIsThatOfItsOwnDataSet() throws {
        let opened = Mutex<[String]>([])
        var opener = DatasetOpener(
            section: .init(),
            encoder: try DataSupport.encoder(DataSupport.processor("mistral")),
            seed: 1
        )
        let table = try table("openmathinstruct2")
        opener.openTable = { path, split in
            opened.withLock { $0.append("\(path) (\(split))") }
            return table
        }
        opener.section.datasetType = .hf
        opener.section.makerName = "openmathinstruct2"
        _ = try opener.training()
        opener.section.pathOrDataset = "mine"
        _ = try opener.training()
        opener.section.pathOrDataset = ""
        opener.section.makerName = "chat"
        opener.section.source = ["gsm8k", "other/set"]
        _ = try opener.training()
        #expect(
            opened.withLock(\.self) == [
                "nvidia/OpenMathInstruct-2 (train_1M)", "mine (train)", "openai/gsm8k#main (train)",
                "other/set (train)",
            ]
        )
    }

    @Test func aPathThatExistsIsNotAPreset() throws {
        #expect(ConversationMaker.preset(scratch.path("squad")) == nil)
        #expect(ConversationMaker.preset("conversation") == nil && ConversationMaker.preset("org/squad") == nil)
        #expect(ConversationMaker.preset("cord-v2")?.dataset == "naver-clova-ix/cord-v2")
        #expect(try ConversationMaker(named: "text_chat").name == "make_conversation_dataset")
    }
}
