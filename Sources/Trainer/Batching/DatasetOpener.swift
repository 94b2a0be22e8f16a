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
    /// Whether rows are pairs of a chosen and a rejected answer.
    public var readsPairs = false
    /// The number of synthetic samples.
    public var mockCount = 1024
    /// A maker that replaces the section's.
    public var maker: ConversationMaker?
    /// What the model makes of the data, which decides whether prepared data fits; nil where none is used.
    public var facts: PreparedFacts?
    /// Opens a table for the section's path or the maker's data set, and a split.
    public var openTable: (@Sendable (_ path: String, _ split: String) throws -> any DatasetTable)?

    /// An opener for a section.
    public init(section: Recipe.DatasetSection, encoder: SampleEncoder, seed: UInt64) {
        self.section = section
        self.encoder = encoder
        self.seed = seed
    }

    /// The opener of a run, without what opens tables.
    ///
    /// - Parameters:
    ///   - recipe: The recipe, with the date of the run in `dataset.date`.
    ///   - bridge: The model.
    ///   - isForPreparation: Whether data is prepared, not read.
    /// - Throws: `BridgeError` for a model without a tokenizer, and for a text that is not a date.
    public init(_ recipe: Recipe, for bridge: AutoBridge, isForPreparation: Bool = false) throws {
        var options = ProcessingOptions()
        options.template.date = try Self.date(recipe.dataset.date)
        options.template.fillsDatePlaceholders = true
        let encoder = SampleEncoder(
            processor: try bridge.processor(),
            lossMode: recipe.dataset.lossMode,
            roles: recipe.dataset.trainedRoles,
            options: options
        )
        self.init(section: recipe.dataset, encoder: encoder, seed: recipe.rng.seed)
        readsPairs = recipe.preference.isOn
        if isForPreparation || !section.preparedPath.isEmpty { facts = try PreparedFacts(bridge, encoder) }
    }

    private static func date(_ text: String) throws -> ChatDate {
        do throws(TemplateError) { return try ChatDate(text) } catch {
            throw BridgeError(.badArgument, "dataset.date is \(text): \(error.message)")
        }
    }

    /// The samples of a run.
    public struct Sources {
        /// The training samples.
        public var training: any SampleSource
        /// The validation samples by the name of their data set; none for a run without validations.
        public var validation: [(name: String, samples: any SampleSource)]
        /// What was dropped of the data, in sentences.
        public var notes: [String] = []
    }

    /// The training samples, of all data sets of the section.
    ///
    /// - Throws: `BridgeError` when the section has none, or they cannot be opened.
    public func training() throws -> any SampleSource { try sources(validates: false).training }

    /// The validation samples by the name of their data set; empty if the section has none, or the data sets have no validation
    /// split.
    ///
    /// - Throws: `BridgeError` when they cannot be opened.
    public func validation() throws -> [(name: String, samples: any SampleSource)] {
        switch section.datasetType {
        case .preloaded, .tokenized: return try section.validationFiles.map { ($0, try file($0)) }
        case .mock:
            // Images that differ from those of training.
            let images = try MockSource(
                count: mockCount,
                imageCount: section.numImages,
                seed: ~seed,
                encoder: encoder
            )
            return [("synthetic", images)]
        case .hf:
            return try section.trainingSources.compactMap { source in
                // Some data sets have no validation split.
                do { return (name(of: source), try table(source, split: "validation")) } catch let error as BridgeError
                    where error.code == .missingSplit
                {
                    return nil
                }
            }
        }
    }

    /// The training and the validation samples.
    ///
    /// - Parameter validates: Whether the run needs the validation samples.
    /// - Returns: The samples of both.
    /// - Throws: `BridgeError` when they cannot be opened or divided.
    public func sources(validates: Bool) throws -> Sources {
        var filter = SampleFilter(section)
        var (training, validation): ([any SampleSource], [(name: String, samples: any SampleSource)]) = ([], [])
        var notes: [String] = []
        for source in section.trainingSources {
            var samples = try open(source)
            if let most = section.maxSamples, most < samples.count {
                samples = SampleSubset(source: samples, rows: Array(0..<most))
            }
            var dropped: [String] = []
            if filter.isNeeded {
                let found = try filter.rows(of: samples)
                dropped = found.sentences(section)
                notes += dropped.map { "\(name(of: source)): \($0)" }
                samples = SampleSubset(source: samples, rows: found.rows)
            }
            guard samples.count > 0 else {
                throw BridgeError(
                    .badArgument,
                    dropped.isEmpty
                        ? "\(name(of: source)) has no samples, expected at least one"
                        : "no sample of \(name(of: source)) is left: \(dropped.joined(separator: "; "))"
                )
            }
            // The training samples are the same with and without validations.
            if section.valSetSize > 0 {
                let parts = try SampleSubset.split(samples, size: section.valSetSize, seed: seed)
                samples = parts.training
                if validates { validation.append((name(of: source), parts.validation)) }
            }
            training.append(samples)
        }
        if section.valSetSize == 0, validates { validation = try self.validation() }
        var all: any SampleSource =
            training.count == 1 ? training[0] : try BlendedSource(training, section, seed: seed)
        if section.packsAhead {
            let packed = try PackedSource(all, named: "training", section, seed: seed)
            notes.append(packed.note)
            all = packed
            validation = try validation.map { name, samples in
                let packed = try PackedSource(samples, named: name, section, seed: seed)
                notes.append(packed.note)
                return (name, packed)
            }
        }
        return Sources(training: all, validation: validation, notes: notes)
    }

    private func open(_ source: String) throws -> any SampleSource {
        switch section.datasetType {
        case .preloaded, .tokenized:
            guard !source.isEmpty else {
                throw BridgeError(
                    .badArgument,
                    "dataset.train_data_path is empty, expected the file of training samples"
                )
            }
            return try file(source)
        case .mock: return try MockSource(count: mockCount, imageCount: section.numImages, seed: seed, encoder: encoder)
        case .hf: return try table(source, split: trainingSplit(of: source))
        }
    }

    /// The split of training samples: for a maker's own data set that of the maker.
    func trainingSplit(of source: String) throws -> String {
        let (maker, path) = try location(of: source)
        return path == maker.dataset ? maker.split : "train"
    }

    /// The name of a data set for messages and logs.
    private func name(of source: String) -> String {
        guard source.isEmpty else { return source }
        return section.datasetType == .mock ? "synthetic" : section.makerName
    }

    /// The micro-batches of a source, with the settings of the section.
    ///
    /// - Parameters:
    ///   - source: The samples.
    ///   - shuffles: Whether samples are shuffled in each epoch; nil for the setting of the section.
    /// - Returns: The collator that makes micro-batches.
    /// - Throws: `BridgeError` for invalid lengths, for a source without samples, and for packed rows that would be packed again.
    public func preparer(_ source: any SampleSource, shuffles: Bool? = nil) throws -> BatchCollator {
        guard !section.packSequencesInBatch || !source.isPacked else {
            throw BridgeError(
                .badArgument,
                "dataset.pack_sequences_in_batch is true, which has no effect on rows that are packed in their file; set it to false"
            )
        }
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
        try section.preparedPath.isEmpty ? raw(file: path) : prepared(file(at: path))
    }

    /// The samples of a file itself.
    func raw(file path: String) throws -> any SampleSource {
        guard section.datasetType == .tokenized else {
            guard readsPairs else {
                return try PreloadedSource(path: path, imageFolder: section.imageFolder, encoder: encoder)
            }
            let images = ImagePaths.directory(section.imageFolder, for: path)
            return PreferenceSource(.file(try RowFile(path: path), imageFolder: images), encoder: encoder)
        }
        guard !PackedFileSource.isOne(path) else {
            guard !readsPairs else {
                throw BridgeError(
                    .badArgument,
                    "\(path) has packed samples, but preference.loss_type needs pairs of answers; expected a JSONL file of pairs"
                )
            }
            return try PackedFileSource(path: path, processor: encoder.processor)
        }
        let source = try TokenizedSource(
            path: path,
            imageFolder: section.imageFolder,
            processor: encoder.processor,
            options: encoder.options,
            notes: encoder.notes
        )
        return readsPairs ? PreferenceSource(.tokens(source), encoder: encoder) : source
    }

    /// Whether a data set is on the hub and not in the cache.
    func isOnTheHubOnly(_ hub: Hub) -> Bool {
        guard section.datasetType == .hf else { return false }
        return section.trainingSources.contains { source in
            guard let name = try? location(of: source).path else { return false }
            let id = String(name.prefix { $0 != "#" })
            guard !Files.exists(id), let repository = HubRepository(id, kind: .dataset) else { return false }
            return hub.cache.commit(of: repository) == nil
        }
    }

    /// The maker and the path of a data set: a source may be a maker's name, which then has its own data set.
    func location(of source: String) throws -> (maker: ConversationMaker, path: String) {
        if section.source.contains(source), maker == nil, let own = try? ConversationMaker(named: source) {
            return (own, own.dataset)
        }
        let maker = try maker ?? ConversationMaker(named: section.makerName)
        return (maker, source.isEmpty ? maker.dataset : source)
    }

    private func table(_ source: String, split: String) throws -> any SampleSource {
        try section.preparedPath.isEmpty
            ? raw(open(source, split: split), of: source) : prepared(table(at: source, split: split))
    }

    /// Opens the table of a data set.
    func open(_ source: String, split: String) throws -> any DatasetTable {
        let path = try location(of: source).path
        guard let openTable, !path.isEmpty else {
            throw BridgeError(
                .badArgument,
                "dataset.path_or_dataset is not a table that can be opened, expected a directory with Parquet files or a hub id"
            )
        }
        return try openTable(path, split)
    }

    /// The samples of a table.
    func raw(_ table: any DatasetTable, of source: String) throws -> any SampleSource {
        let maker = try location(of: source).maker
        guard readsPairs else { return TableSource(table: table, maker: maker, encoder: encoder) }
        guard maker.readsConversations else {
            throw BridgeError(
                .badArgument,
                "dataset.maker_name is \(maker.name), whose rows have one answer; set make_conversation_dataset for a table with the "
                    + "columns chosen and rejected"
            )
        }
        return PreferenceSource(.table(table), encoder: encoder)
    }
}
