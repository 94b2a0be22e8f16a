import BridgeCore
import Datasets
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

@Suite struct DatasetOpenerTests {
    private func opener(_ kind: Recipe.DatasetSection.Kind, model: String = "mistral") throws -> DatasetOpener {
        var section = Recipe.DatasetSection()
        section.datasetType = kind
        return try DatasetOpener(section: section, encoder: DataSupport.encoder(DataSupport.processor(model)), seed: 9)
    }

    @Test func aTokenizedFileGivesExactBatchesInItsOrder() throws {
        let directory = try TemporaryDirectory()
        let rows = (3...6).map { "{\"input_ids\": [\($0), 1, \($0)], \"labels\": [-100, -100, \($0)]}" }
        var opener = try opener(.tokenized)
        opener.section.trainDataPath = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "train.jsonl")
        opener.section.shuffle = false
        opener.section.padToMultipleOf = 4
        let preparer = try opener.preparer(opener.training())
        let batch = try preparer.prepare(from: 3, count: 2).batch
        let padding = try #require(opener.encoder.processor.tokenizer.id(of: "<pad>"))
        #expect(batch.tokens == [6, 1, 6, padding, 3, 1, 3, padding])
        #expect(batch.targets == [-100, 6, -100, -100, -100, 3, -100, -100])
        #expect(try opener.validation().isEmpty)
        opener.section.packSequencesInBatch = true
        #expect(try opener.preparer(opener.training()).prepare(from: 3, count: 2).batch.batch == 1)
    }

    @Test(arguments: [(0.3, 3), (4.0, 4), (0.5, 5), (0.05, 1)])
    func someSamplesAreSetApart(_ size: Double, _ count: Int) throws {
        let directory = try TemporaryDirectory()
        let rows = (0..<10).map { "{\"input_ids\": [\($0), 1], \"labels\": [-100, \($0)]}" }
        var opener = try opener(.tokenized)
        opener.section.trainDataPath = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "train.jsonl")
        opener.section.valSetSize = size
        func parts() throws -> (training: [Int32], validation: [Int32]) {
            let sources = try opener.sources(validates: true)
            func all(_ source: any SampleSource) throws -> [Int32] {
                try (0..<source.count).map { try source.sample(at: $0).tokens[0] }
            }
            return (try all(sources.training), try all(try #require(sources.validation.first).samples))
        }
        let first = try parts()
        #expect(first.validation.count == count)
        #expect((first.training + first.validation).sorted() == Array(0..<10))
        let second = try parts()
        #expect(first == second)
        opener.seed += 1
        #expect(try parts() != first)
    }

    @Test(arguments: [10.0, 11.0, 0.01, 0.99]) func aSplitWithoutSamplesIsRefused(_ size: Double) throws {
        let directory = try TemporaryDirectory()
        let rows = (0..<10).map { "{\"input_ids\": [\($0), 1], \"labels\": [-100, \($0)]}" }
        var opener = try opener(.tokenized)
        opener.section.trainDataPath = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "train.jsonl")
        opener.section.valSetSize = size
        expectError(mentioning: "dataset.val_set_size is", "of 10 samples apart") {
            try opener.sources(validates: true)
        }
    }

    /// A run without validations needs no file of theirs.
    @Test func validationSamplesAreOpenedForARunThatValidates() throws {
        let directory = try TemporaryDirectory()
        var opener = try opener(.tokenized)
        let row = Array("{\"input_ids\": [1, 2], \"labels\": [-100, 2]}".utf8)
        opener.section.trainDataPath = try directory.write(row, to: "train.jsonl")
        opener.section.validDataPath = directory.path("missing.jsonl")
        #expect(try opener.sources(validates: false).validation.isEmpty)
        expectError(mentioning: "missing.jsonl") { try opener.sources(validates: true) }
    }

    @Test func syntheticImagesForValidationDifferFromThoseForTraining() throws {
        var opener = try opener(.mock, model: "gemma3")
        opener.mockCount = 37
        let (train, valid) = (try opener.training(), try #require(try opener.validation().first).samples)
        #expect(train.count == 37)
        #expect(try train.sample(at: 0).tokens == valid.sample(at: 0).tokens)
        #expect(try train.sample(at: 0).images != valid.sample(at: 0).images)
    }

    private struct Row: DatasetRow {
        let location: String
        let columns = ["image", "ground_truth", "image_id", "question", "answer"]
        func string(_ column: String) throws -> String? { column }
        func image(_ column: String) throws -> ImageSource? { .file(DataSupport.image) }
        func images(_ column: String) throws -> [ImageSource] { [.file(DataSupport.image)] }
        func value(_ column: String) throws -> JSON? { nil }
    }

    private struct Table: DatasetTable {
        let name: String
        let count = 2
        func row(at index: Int) throws -> any DatasetRow { Row(location: "\(name), row \(index)") }
    }

    @Test func aTableIsOpenedByItsPathOrTheMakersOwn() throws {
        var opener = try opener(.hf, model: "gemma3")
        expectError(mentioning: "path_or_dataset") { try opener.training() }
        opener.openTable = { path, split in Table(name: "\(path) (\(split))") }
        opener.section.makerName = "medpix"
        let sample = try opener.training().sample(at: 1)
        #expect(try DataSupport.trained(sample, opener.encoder.processor) == ["answer<end_of_turn>"])
        #expect(sample.images.count == 1)
        opener.section.makerName = "cord_v2"
        expectError(mentioning: "naver-clova-ix/cord-v2 (train), row 0", "JSON") { try opener.training().sample(at: 0) }
        opener.section.pathOrDataset = "mine"
        expectError(mentioning: "mine (validation), row 1") { try opener.validation().first?.samples.sample(at: 1) }
        opener.section.makerName = "unknown"
        expectError(mentioning: "no maker named unknown") { try opener.training() }
    }

    @Test func aFileThatIsNotNamedIsAskedFor() throws {
        expectError(mentioning: "train_data_path") { try opener(.preloaded).training() }
    }
}
