import BridgeCore
import Datasets
import JSONTree
import TestSupport
import Testing

@testable import Trainer

/// Blends of several data sets, with the order of the package datasets.
///
/// See `Tests/Fixtures/make_blend_fixtures.py`.
@Suite struct BlendTests {
    private static let recorded = Result { try JSON(contentsOf: "\(Fixtures.root)/training-data/blends.json") }

    @Test func theNumbersAreThoseOfNumpy() throws {
        let entries = try #require(try Self.recorded.get()["numbers"]?.array)
        #expect(entries.count == 4)
        for entry in entries {
            var generator = PCG64(seed: try #require(UInt64(entry["seed"]?.string ?? "")))
            for value in try #require(entry["values"]?.array) { #expect(generator.uniform() == value.double) }
        }
    }

    @Test func theOrderIsThatOfThePackage() throws {
        let entries = try #require(try Self.recorded.get()["blends"]?.array)
        #expect(entries.count == 71)
        for entry in entries {
            let order = try BlendOrder(
                counts: try #require(entry["counts"]?.array).compactMap(\.integer),
                blend: try #require(Recipe.DatasetSection.Blend(json: entry["blend"] ?? .null)),
                weights: try #require(entry["weights"]?.array).compactMap(\.double),
                seed: try #require(UInt64(entry["seed"]?.string ?? ""))
            )
            let expected = try #require(entry["order"]?.array).map { $0.array?.compactMap(\.integer) }
            #expect(
                order.samples.map { [$0.source, $0.row] } == expected,
                "\(entry["counts"] ?? .null) \(entry["blend"] ?? .null)"
            )
        }
    }

    @Test func aBlendWithoutEndIsRefused() {
        for blend in [Recipe.DatasetSection.Blend.allExhausted, .withoutReplacement] {
            expectError(mentioning: "raise the smallest of dataset.source_weights") {
                try BlendOrder(counts: [1000, 1000], blend: blend, weights: [1, 1e-9], seed: 1)
            }
        }
        expectError(mentioning: "dataset.blend=first_exhausted") {
            try BlendOrder(counts: [1 << 40, 1], blend: .concatenate, weights: [], seed: 1)
        }
    }

    // MARK: Sources

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// An opener of files with tokenized rows of the given lengths; the first token of a row is its number.
    private func opener(_ files: [[Int]]) throws -> DatasetOpener {
        var section = Recipe.DatasetSection()
        (section.datasetType, section.seqLength) = (.tokenized, 6)
        var number = 0
        for (index, lengths) in files.enumerated() {
            let rows = lengths.map { length in
                number += 1
                let tokens = [number] + (1..<length).map { _ in 7 }
                return "{\"input_ids\": \(tokens), \"labels\": \(tokens)}"
            }
            let text = Array(rows.joined(separator: "\n").utf8)
            section.source.append(try directory.write(text, to: "part\(index).jsonl"))
        }
        return try DatasetOpener(
            section: section,
            encoder: DataSupport.encoder(DataSupport.processor("mistral")),
            seed: 9
        )
    }

    private func numbers(_ source: any SampleSource) throws -> [Int32] {
        try (0..<source.count).map { try source.sample(at: $0).tokens[0] }
    }

    @Test func sourcesAreJoinedAndCutToTheirFirstSamples() throws {
        var opener = try opener([[2, 2, 2], [2, 2], [2, 2, 2, 2]])
        #expect(try numbers(opener.training()) == [1, 2, 3, 4, 5, 6, 7, 8, 9])
        opener.section.maxSamples = 2
        #expect(try numbers(opener.training()) == [1, 2, 4, 5, 6, 7])
        opener.section.blend = .firstExhausted
        #expect(try numbers(opener.training()) == [1, 4, 6, 2, 5, 7])
        #expect(try opener.training().location(of: 1).contains("part1.jsonl"))
    }

    @Test func longSamplesAreTruncatedDroppedOrRefused() throws {
        var opener = try opener([[2, 9, 6], [7, 3]])
        #expect(try numbers(opener.training()) == [1, 2, 3, 4, 5])
        opener.section.excessLengthStrategy = .drop
        let sources = try opener.sources(validates: true)
        #expect(try numbers(sources.training) == [1, 3, 5])
        #expect(
            sources.notes
                == opener.section.source.indices.map {
                    "\(opener.section.source[$0]): 1 sample of \([3, 2][$0]) dropped, longer than dataset.seq_length=6 tokens"
                }
        )
        opener.section.excessLengthStrategy = .error
        let error = #expect(throws: BridgeError.self) { try opener.training() }
        #expect(error?.message.contains("1 of 3 samples have more than dataset.seq_length=6 tokens") == true)
        #expect(error?.names.count == 1 && error?.names.first?.hasSuffix(": 9 tokens") == true)
    }

    @Test func equalSamplesOfAllSourcesAreDropped() throws {
        var opener = try opener([[2, 3], [2]])
        let (first, second) = (opener.section.source[0], opener.section.source[1])
        opener.section.source = [first, second, first]
        opener.section.exactDeduplication = true
        expectError(mentioning: "part0.jsonl is left: 2 samples of 2 dropped, equal to an earlier one") {
            try opener.training()
        }
        let text = #"{"input_ids": [1, 7], "labels": [1, 7]}"# + "\n" + #"{"input_ids": [1, 7], "labels": [-100, 7]}"#
        opener.section.source = [first, try directory.write(Array(text.utf8), to: "more.jsonl")]
        let sources = try opener.sources(validates: false)
        // The labels differ, so the second one trains something else.
        #expect(sources.training.count == 3)
        #expect(
            sources.notes.count == 1 && sources.notes[0].hasSuffix("1 sample of 2 dropped, equal to an earlier one")
        )
    }

    @Test func eachSourceHasItsOwnValidation() throws {
        var opener = try opener([[2, 2, 2, 2], [2, 2]])
        opener.section.valSetSize = 1
        let sources = try opener.sources(validates: true)
        #expect(sources.validation.map(\.name) == opener.section.source)
        #expect(sources.training.count == 4 && sources.validation.allSatisfy { $0.samples.count == 1 })
        opener.section.valSetSize = 0
        opener.section.validationSource = [opener.section.source[1], opener.section.source[0]]
        #expect(try opener.sources(validates: true).validation.map(\.samples.count) == [2, 4])
    }

    @Test func aSourceMayBeAMaker() throws {
        var opener = try opener([])
        opener.section.datasetType = .hf
        opener.section.makerName = "make_conversation_dataset"
        opener.section.source = ["mine", "cord_v2"]
        let opened = Opened()
        opener.openTable = { path, split in
            opened.names.append("\(path) (\(split))")
            return Table()
        }
        _ = try opener.training()
        #expect(opened.names == ["mine (train)", "naver-clova-ix/cord-v2 (train)"])
    }

    private final class Opened: @unchecked Sendable { var names: [String] = [] }

    private struct Table: DatasetTable {
        let count = 2
        func row(at index: Int) throws -> any DatasetRow { throw BridgeError(.badArgument, "no row is read") }
    }

    @Test(arguments: [
        (["dataset.source=[a,b]", "dataset.source_weights=[1]"], "has 1 numbers and"),
        (["dataset.source=[a,b]", "dataset.source_weights=[1,2]"], "dataset.blend is concatenate"),
        (
            ["dataset.source=[a,b]", "dataset.source_weights=[1,0]", "dataset.blend=all_exhausted"],
            "expected numbers above 0"
        ),
        (["dataset.source=[a,b]", "dataset.train_data_path=c"], "are both set"),
        (["dataset.source=[a,\"\"]"], "has an empty name"),
        (["dataset.source=[a]", "dataset.max_samples=0"], "dataset.max_samples is 0"),
        (
            ["dataset.source=[a]", "dataset.validation_source=[b]", "dataset.val_set_size=0.1"],
            "there is one validation set"
        ),
    ]) func aBlendThatCannotBeIsRefused(_ settings: [String], _ words: String) throws {
        var recipe = Recipe(name: "test")
        try recipe.apply(["dataset.dataset_type=tokenized", "checkpoint.pretrained_checkpoint=m"] + settings)
        let problems = RecipeCheck(recipe).problems
        #expect(problems.contains { $0.contains(words) }, "\(problems)")
    }
}
