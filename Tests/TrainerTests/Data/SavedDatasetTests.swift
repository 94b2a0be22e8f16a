import BridgeCore
import Foundation
import JSONTree
import Parquet
import TestSupport
import Testing
import Tokenizers

@testable import Datasets
@testable import Trainer

/// What `datasets.save_to_disk` wrote (Tests/Fixtures/arrow/make.py), and files that other programs compress or mark.
@Suite struct SavedDatasetTests {
    private let fixtures = "\(Fixtures.root)/arrow"

    private func conversation(_ path: String, split: String = "train", row: Int = 0) throws -> Conversation {
        let table = try HuggingFaceTable(path, split: split, hub: nil)
        return try ConversationMaker(named: "make_conversation_dataset").conversation(table.row(at: row))
    }

    @Test(arguments: ["saved", "saved-splits"])
    func conversationsOfArrowFilesHoldNoNullsThatPaddingBroughtIn(_ name: String) throws {
        #expect(try HuggingFaceDataset("\(fixtures)/\(name)").count == 2)
        let conversation = try conversation("\(fixtures)/\(name)")
        try #require(conversation.messages.count == 4)
        guard case .list(let calls)? = conversation.messages[1].field("tool_calls") else {
            Issue.record("no calls")
            return
        }
        // The table's structure gives each call the arguments of the other.
        #expect(calls.map { $0["function"]?["arguments"] } == [["city": "Bern"], ["zone": 2]])
        // A null in a JSON text was written by somebody.
        #expect(conversation.tools?.first?["function"]?["parameters"] == ["default": .null])
        #expect(try self.conversation("\(fixtures)/\(name)", row: 1).tools == nil)
    }

    @Test func splitsAreThoseThatWereSaved() throws {
        #expect(try HuggingFaceDataset("\(fixtures)/saved-splits", split: "test").count == 1)
        let error = #expect(throws: BridgeError.self) {
            try HuggingFaceDataset("\(fixtures)/saved-splits", split: "validation")
        }
        #expect(error?.code == .missingSplit && error?.names == ["train", "test"])
        let alone = #expect(throws: BridgeError.self) {
            try HuggingFaceDataset("\(fixtures)/saved", split: "validation")
        }
        #expect(alone?.code == .missingSplit)
    }

    @Test(arguments: [
        (#"{"_data_files": [{"filename": "../data.arrow"}]}"#, "no usable file name"),
        (#"{"_data_files": []}"#, "lists no data file"),
        ("{", "not valid JSON"),
        (#"{"_data_files": [{"filename": "gone.arrow"}]}"#, "gone.arrow is not a readable Arrow file"),
        (
            #"{"_data_files": [{"filename": "a"}], "_indices_data_files": [{"filename": "b"}]}"#,
            "has indices separate from the rows"
        ),
    ])
    func aDirectoryWithAWrongDescriptionIsRefused(_ state: String, _ words: String) throws {
        let directory = try TemporaryDirectory()
        try directory.write(Array(state.utf8), to: "state.json")
        expectError(mentioning: words) { try HuggingFaceDataset(directory.path) }
    }

    @Test func aValidationSplitThatCannotBeOpenedIsAnError() throws {
        var section = Recipe.DatasetSection()
        section.datasetType = .hf
        section.pathOrDataset = "x"
        section.makerName = "make_conversation_dataset"
        var opener = try DatasetOpener(
            section: section,
            encoder: DataSupport.encoder(DataSupport.processor("mistral")),
            seed: 1
        )
        opener.openTable = { _, split in throw BridgeError(.badArgument, "\(split) is not to be read") }
        expectError(mentioning: "validation is not to be read") { try opener.validation() }
        opener.openTable = { _, _ in throw BridgeError(.missingSplit, "there is none") }
        #expect(try opener.validation().isEmpty)
        opener.section.pathOrDataset = "\(fixtures)/saved"
        opener.openTable = { try HuggingFaceTable($0, split: $1, hub: nil) }
        #expect(try opener.validation().isEmpty && opener.training().count == 2)
    }

    private static let row = #"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#

    @Test(arguments: ["rows.jsonl.gz", "rows.jsonl.zst", "list.json.gz"])
    func aCompressedFileHasTheRowsOfThePlainOne(_ name: String) throws {
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        let plain = try PreloadedSource(path: "\(fixtures)/compressed/rows.jsonl", encoder: encoder)
        let packed = try PreloadedSource(path: "\(fixtures)/compressed/\(name)", encoder: encoder)
        #expect(plain.count == 2 && packed.count == 2)
        // A directory of that file alone is a data set, too.
        let directory = try TemporaryDirectory()
        try directory.write([UInt8](Data(contentsOf: URL(filePath: "\(fixtures)/compressed/\(name)"))), to: name)
        for row in 0..<2 {
            #expect(try packed.conversation(at: row) == plain.conversation(at: row))
            #expect(try conversation(directory.path, row: row) == plain.conversation(at: row))
        }
    }

    @Test func aFileThatIsThereUnpackedAsWellIsReadOnce() throws {
        let directory = try TemporaryDirectory()
        for name in ["rows.jsonl", "rows.jsonl.gz"] {
            try directory.write([UInt8](Data(contentsOf: URL(filePath: "\(fixtures)/compressed/\(name)"))), to: name)
        }
        #expect(try HuggingFaceDataset(directory.path).count == 2)
    }

    @Test func whatCannotBeUnpackedIsASentence() throws {
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        for (name, format) in [("rows.jsonl.xz", "xz"), ("rows.jsonl.bz2", "bzip2")] {
            expectError(mentioning: name, "compressed with \(format)", "use gzip or zstd") {
                try PreloadedSource(path: "\(fixtures)/compressed/\(name)", encoder: encoder)
            }
        }
        let directory = try TemporaryDirectory()
        for name in ["rows.jsonl.gz", "rows.jsonl.zst"] {
            let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(fixtures)/compressed/\(name)")))
            for cut in 6..<bytes.count - 1 {
                let path = try directory.write(Array(bytes[..<cut]), to: name)
                // A cut between two members leaves a whole file of one row.
                if let source = try? PreloadedSource(path: path, encoder: encoder) { #expect(source.count == 1) }
            }
            // zstd's frames of this writer have no checksum.
            guard name.hasSuffix(".gz") else { continue }
            var damaged = bytes
            damaged[bytes.count / 3] ^= 0x55
            let path = try directory.write(damaged, to: name)
            expectError(mentioning: name) { try PreloadedSource(path: path, encoder: encoder).conversation(at: 1) }
        }
        let zeros = [UInt8](try Data(contentsOf: URL(filePath: "\(fixtures)/compressed/zeros.gz")))
        let error = #expect(throws: ParquetError.self) { try TextBytes.unpacked(zeros, limit: 1 << 20) }
        #expect(error?.description.contains("more than 1048576 bytes once it is unpacked") == true)
        #expect(try TextBytes.unpacked(zeros, limit: 1 << 22)?.count == 1 << 22)
    }

    @Test func aByteOrderMarkIsNotPartOfTheRows() throws {
        let directory = try TemporaryDirectory()
        let encoder = try DataSupport.encoder(DataSupport.processor("mistral"))
        let expected = try PreloadedSource(
            path: directory.write(Array(Self.row.utf8), to: "plain.jsonl"),
            encoder: encoder
        )
        .conversation(at: 0)
        for text in [Self.row + "\n", "[\(Self.row)]", "\r\n" + Self.row] {
            let path = try directory.write([0xEF, 0xBB, 0xBF] + Array(text.utf8), to: "rows.jsonl")
            #expect(try PreloadedSource(path: path, encoder: encoder).conversation(at: 0) == expected)
            let other = try TemporaryDirectory()
            try other.write([0xEF, 0xBB, 0xBF] + Array(text.utf8), to: "rows.jsonl")
            #expect(try self.conversation(other.path) == expected)
        }
        let path = try directory.write([0xFF, 0xFE] + Self.row.utf8.flatMap { [$0, 0] }, to: "rows.jsonl")
        expectError(mentioning: "UTF-16", "save it as UTF-8") { try PreloadedSource(path: path, encoder: encoder) }
    }
}
