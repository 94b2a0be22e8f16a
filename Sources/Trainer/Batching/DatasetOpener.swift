public import BridgeCore
public import Datasets
import Tokenizers

/// Opens the data set of a recipe.
public struct DatasetOpener: Sendable {
    /// The section `dataset` of the recipe.
    public var section: Recipe.DatasetSection
    /// Converts conversations to samples.
    public var encoder: SampleEncoder
    /// The seed of synthetic samples and of shuffling.
    public var seed: UInt64
    /// The number of synthetic samples.
    public var mockCount = 1024
    /// A maker that replaces the section's.
    public var maker: ConversationMaker?
    /// Opens a table for the section's path or the maker's data set, and a split.
    public var openTable: (@Sendable (_ path: String, _ split: String) throws -> any DatasetTable)?

    /// An opener for a section.
    public init(section: Recipe.DatasetSection, encoder: SampleEncoder, seed: UInt64) {
        self.section = section
        self.encoder = encoder
        self.seed = seed
    }

    /// The training samples.
    ///
    /// - Throws: `BridgeError` when the section has none, or they cannot be opened.
    public func training() throws -> any SampleSource {
        switch section.datasetType {
        case .preloaded, .tokenized:
            guard !section.trainDataPath.isEmpty else {
                throw BridgeError(
                    .badArgument,
                    "dataset.train_data_path is empty, expected the file of training samples"
                )
            }
            return try file(section.trainDataPath)
        case .mock: return try MockSource(count: mockCount, imageCount: section.numImages, seed: seed, encoder: encoder)
        case .hf: return try table(split: "train")
        }
    }

    /// The validation samples; nil if the section has none, or the data set has no validation split.
    ///
    /// - Throws: `BridgeError` when they cannot be opened.
    public func validation() throws -> (any SampleSource)? {
        switch section.datasetType {
        case .preloaded, .tokenized: return section.validDataPath.isEmpty ? nil : try file(section.validDataPath)
        case .mock:
            // Images that differ from those of training.
            return try MockSource(count: mockCount, imageCount: section.numImages, seed: ~seed, encoder: encoder)
        case .hf:
            // Some data sets have no validation split.
            do { return try table(split: "validation") } catch let error as BridgeError
                where error.code == .missingSplit
            {
                return nil
            }
        }
    }

    /// The training and the validation samples; the latter nil if there are none.
    ///
    /// - Parameter validates: Whether the run needs the validation samples.
    /// - Returns: The samples of both.
    /// - Throws: `BridgeError` when they cannot be opened or divided.
    public func sources(validates: Bool) throws -> (training: any SampleSource, validation: (any SampleSource)?) {
        let all = try training()
        guard section.valSetSize > 0 else { return (all, validates ? try validation() : nil) }
        // The training samples are the same with and without validations.
        let parts = try SampleSubset.split(all, size: section.valSetSize, seed: seed)
        return (parts.training, validates ? parts.validation : nil)
    }

    /// The micro-batches of a source, with the settings of the section.
    ///
    /// - Parameters:
    ///   - source: The samples.
    ///   - shuffles: Whether samples are shuffled in each epoch; nil for the setting of the section.
    /// - Returns: The collator that makes micro-batches.
    /// - Throws: `BridgeError` for invalid lengths, and for a source without samples.
    public func preparer(_ source: any SampleSource, shuffles: Bool? = nil) throws -> BatchCollator {
        let tokenizer = encoder.processor.tokenizer
        var options = CollatedBatch.Options()
        options.paddingToken = tokenizer.settings.paddingToken.flatMap { tokenizer.id(of: $0) } ?? 0
        options.padToMultipleOf = section.padToMultipleOf
        options.packedLength = section.packSequencesInBatch ? section.seqLength : nil
        return try BatchCollator(
            source: source,
            order: EpochSampler(count: source.count, shuffles: shuffles ?? section.shuffle, seed: seed),
            fitter: SampleTruncation(
                seqLength: section.seqLength,
                imageTokenID: encoder.processor.imageTokens?.featureID
            ),
            options: options
        )
    }

    private func file(_ path: String) throws -> any SampleSource {
        guard section.datasetType == .tokenized else {
            return try PreloadedSource(path: path, imageFolder: section.imageFolder, encoder: encoder)
        }
        return try TokenizedSource(
            path: path,
            imageFolder: section.imageFolder,
            processor: encoder.processor,
            options: encoder.options,
            notes: encoder.notes
        )
    }

    /// Whether the data set is on the hub and not in the cache.
    func isOnTheHubOnly(_ hub: Hub) -> Bool {
        guard section.datasetType == .hf, let maker = try? maker ?? ConversationMaker(named: section.makerName) else {
            return false
        }
        let name = section.pathOrDataset.isEmpty ? maker.dataset : section.pathOrDataset
        let id = String(name.prefix { $0 != "#" })
        guard !Files.exists(id), let repository = HubRepository(id, kind: .dataset) else {
            return false
        }
        return hub.cache.commit(of: repository) == nil
    }

    private func table(split: String) throws -> any SampleSource {
        let maker = try maker ?? ConversationMaker(named: section.makerName)
        let path = section.pathOrDataset.isEmpty ? maker.dataset : section.pathOrDataset
        guard let openTable, !path.isEmpty else {
            throw BridgeError(
                .badArgument,
                "dataset.path_or_dataset is not a table that can be opened, expected a directory with Parquet files or a hub id"
            )
        }
        return TableSource(table: try openTable(path, split), maker: maker, encoder: encoder)
    }
}
