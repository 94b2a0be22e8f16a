import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

@testable import Trainer

/// Files of packed samples of NeMo and Megatron Bridge.
///
/// See `Tests/Fixtures/make_packed_fixtures.py`.
@Suite struct PackedFileTests {
    private static let names = ["packed.npy", "packed-numpy1.npy"]
    private static func path(_ name: String) -> String { "\(Fixtures.root)/training-data/\(name)" }
    private static func content(_ name: String) throws -> [UInt8] {
        try [UInt8](Data(contentsOf: URL(filePath: path(name))))
    }

    private func opener(_ path: String, model: String = "mistral") throws -> DatasetOpener {
        var recipe = PreparedSupport.recipe(model, path)
        (recipe.dataset.datasetType, recipe.dataset.imageFolder) = (.tokenized, "")
        return try PreparedSupport.opener(recipe, preparing: true)
    }

    /// In a step each sample has one token more than in Megatron Bridge, its last one, which predicts nothing.
    @Test(arguments: names) func inputsAndLabelsAreThoseOfMegatronBridge(_ name: String) throws {
        let expected = try #require(try JSON(contentsOf: Self.path("packed.json")).array)
        let opener = try opener(Self.path(name))
        let source = try opener.training()
        #expect(source.count == expected.count && source.count == 5)
        let collator = try opener.preparer(source, shuffles: false)
        for (number, samples) in expected.enumerated() {
            let batch = try collator.prepare(from: number, count: 1).batch
            #expect(batch.batch == 1)
            var start = 0
            for (segment, sample) in try #require(samples.array).enumerated() {
                let inputs = try #require(sample["inputs"]?.array).map { Int32($0.integer ?? -1) }
                let labels = try #require(sample["labels"]?.array).map { Int32($0.integer ?? -1) }
                let range = start..<start + inputs.count
                #expect(Array(batch.tokens[range]) == inputs)
                #expect(Array(batch.targets[range]) == labels)
                #expect(batch.targets[range.upperBound] == -100)
                #expect(Array(batch.positions[range]) == inputs.indices.map { Int32($0) })
                if let segments = batch.segments { #expect(segments[range].allSatisfy { $0 == segment }) }
                start = range.upperBound + 1
            }
            #expect(start == batch.tokens.count)
        }
        #expect(try collator.prepare(from: 0, count: 3).batch.batch == 3)
    }

    @Test func theyArePreparedAsTheyAre() throws {
        let directory = try TemporaryDirectory()
        var opener = try opener(Self.path("packed.npy"))
        let expected = try opener.training()
        let store = PreparedStore(path: directory.path("prepared"))
        #expect(try opener.prepare(in: store, .init(), validates: false)[0].isNew)
        opener.section.preparedPath = store.path
        let source = try opener.training()
        #expect(source.isPacked && source.count == 5)
        for row in 0..<5 {
            #expect(try source.samples(at: row) == expected.samples(at: row))
            #expect(try source.lengths(at: row) == expected.lengths(at: row))
        }
        opener.section.packedSequenceSize = 8192
        expectError(mentioning: "are packed in their file; remove the setting") { try opener.training() }
        opener.section.preparedPath = ""
        opener.section.packedSequenceSize = 0
        opener.section.packSequencesInBatch = true
        expectError(mentioning: "dataset.pack_sequences_in_batch is true, which has no effect") {
            try opener.preparer(expected)
        }
        opener.readsPairs = true
        expectError(mentioning: "preference.loss_type needs pairs") { try opener.training() }
    }

    @Test func tokensOfAnotherModelAreRefused() throws {
        let directory = try TemporaryDirectory()
        // 0x4d is BININT2; its number is a token of three digits.
        var bytes = try Self.content("packed.npy")
        let place = try #require(bytes.indices.dropLast(2).first { bytes[$0] == 0x4d && bytes[$0 + 2] == 1 })
        bytes[place + 2] = 0xff
        let path = try directory.write(bytes, to: "large.npy")
        expectError(mentioning: "large.npy, row ", "pack the data with the tokenizer of the model") {
            try opener(path).training()
        }
    }

    static let edits: [(String, String, String)] = [
        ("|O", "<i8", "has an array of numbers"), ("input_ids", "input_idz", "has no list input_ids in row 0"),
        ("seq_start_id", "seq_start_ix", "has no list seq_start_id"),
        ("\u{93}NUMPY", "\u{93}NUMPX", "is not a NumPy file"),
        ("ndarray", "memmapx", "numpy.memmapx"), ("_reconstruct", "_reconstrucx", "multiarray._reconstrucx"),
    ]

    @Test(arguments: edits) func anotherContentIsRefusedByName(_ text: String, _ other: String, _ words: String) throws
    {
        let directory = try TemporaryDirectory()
        func latin(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }
        let bytes = try Self.content("packed.npy")
        let (old, new) = (latin(text), latin(other))
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: old) })
        let path = try directory.write(Array(bytes[..<place]) + new + bytes[(place + old.count)...], to: "edited.npy")
        expectError(mentioning: words, "edited.npy") { try opener(path).training() }
    }

    @Test func everyCutAndEveryChangedByteIsAnErrorOrARow() throws {
        let directory = try TemporaryDirectory()
        let bytes = try Self.content("packed.npy")
        let path = directory.path("damaged.npy")
        let processor = try DataSupport.processor("mistral")
        for count in stride(from: 0, to: bytes.count, by: 7) {
            try Data(bytes.prefix(count)).write(to: URL(filePath: path))
            #expect(throws: BridgeError.self) { try PackedFileSource(path: path, processor: processor) }
        }
        for place in stride(from: 0, to: bytes.count, by: 3) {
            var changed = bytes
            changed[place] ^= 0xa5
            try Data(changed).write(to: URL(filePath: path))
            do {
                let source = try PackedFileSource(path: path, processor: processor)
                for row in 0..<source.count {
                    _ = try CollatedBatch(packed: [source.samples(at: row)], options: .init())
                }
            } catch is BridgeError {}
        }
    }
}
