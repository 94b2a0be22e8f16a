import BridgeCore
import Datasets
import Tokenizers

/// Prepared data in place of data sets.
extension DatasetOpener {
    /// A data set that can be prepared.
    struct Origin {
        /// Its name, for messages.
        let name: String
        /// What decides its tokens and images.
        let facts: PreparedFacts
        /// Its files; nil where it is not there.
        let files: [String]?
        /// The directory of its images.
        let imageFolder: String
        /// Opens it with another encoder.
        let open: (DatasetOpener) throws -> any SampleSource
    }

    /// A file of samples.
    func file(at path: String) throws -> Origin {
        Origin(
            name: path,
            facts: try facts(nil, isPacked: section.datasetType == .tokenized && PackedFileSource.isOne(path)),
            files: Files.kind(of: path) == .file ? [path] : nil,
            imageFolder: ImagePaths.directory(section.imageFolder, for: path),
            open: { try $0.raw(file: path) }
        )
    }

    /// The split of a table.
    ///
    /// - Throws: `BridgeError` for a data set without the split.
    func table(at source: String, split: String) throws -> Origin {
        guard maker == nil else {
            throw BridgeError(
                .badArgument,
                "dataset.prepared_path is set, but the maker is one of the caller, which no name identifies; remove the setting"
            )
        }
        let (maker, path) = try location(of: source)
        var files: [String]?
        do { files = try open(source, split: split).files } catch let error as BridgeError
            where [.fileSystem, .network].contains(error.code)
        { files = nil }
        guard files?.isEmpty != true else {
            throw BridgeError(.badArgument, "\(path) has no files of the split \(split), so it cannot be prepared")
        }
        return Origin(
            name: "\(path) (\(split))",
            facts: try facts((maker.name, split)),
            files: files,
            imageFolder: "",
            open: { try $0.raw($0.open(source, split: split), of: source) }
        )
    }

    private func facts(_ table: (maker: String, split: String)?, isPacked: Bool = false) throws -> PreparedFacts {
        guard var facts else {
            throw BridgeError(.badArgument, "prepared data needs the model that it was prepared for")
        }
        let kind = section.datasetType
        facts.add("dataset.dataset_type", kind.rawValue)
        facts.add("rows", readsPairs ? PreparedFacts.pairs : isPacked ? PreparedFacts.packedRows : "samples")
        if let table {
            facts.add("dataset.maker_name", table.maker)
            facts.add("split", table.split)
        }
        if kind != .tokenized || readsPairs { facts.add("dataset.loss_mode", encoder.lossMode.rawValue) }
        // Only where it is not the default, so that data that was prepared before the setting still fits.
        if kind != .tokenized, let roles = encoder.trainedRoles, roles != ["assistant"] {
            facts.add("dataset.roles_to_train", roles.sorted().joined(separator: ", "))
        }
        if kind != .tokenized, encoder.processor.writesDate, let date = encoder.options.template.date {
            let parts = [date.year, date.month, date.day].map { $0 < 10 ? "0\($0)" : "\($0)" }
            facts.add("dataset.date", parts.joined(separator: "-"))
        }
        return facts
    }

    // MARK: Reading

    /// The samples of prepared data that fits a data set.
    ///
    /// - Throws: `BridgeError` that names the differences where there is none.
    func prepared(_ origin: Origin) throws -> any SampleSource {
        let store = PreparedStore(path: section.preparedPath)
        guard Files.exists(store.path) else {
            throw BridgeError(
                .fileSystem,
                "dataset.prepared_path is \(store.path), which does not exist; prepare the data with 'bridge data prepare', or remove "
                    + "the setting"
            )
        }
        let (entries, problems) = try store.entries()
        let fitting = entries.filter { $0.facts == origin.facts }
        let found: PreparedData?
        var changed: [String] = []
        if let paths = origin.files {
            let known = fitting.flatMap(\.files)
            let checksums = try fitting.isEmpty ? [] : paths.map { try SourceFile(path: $0, known: known).sha256 }
            found = fitting.first { $0.files.map(\.sha256) == checksums }
            changed = fitting.filter { $0.source == origin.name }
                .map { "\($0.path): the content of \($0.source) has changed" }
        } else {
            let named = fitting.filter { $0.source == origin.name }
            found = named.count == 1 ? named[0] : nil
            changed = named.map {
                "\($0.path): one of several that were prepared from \(origin.name), which does not exist"
            }
        }
        guard let found else {
            let near = entries.filter { $0.source == origin.name }
            let differences = (near.isEmpty ? entries : near).flatMap { entry in
                origin.facts.differences(from: entry.facts).map { "\(entry.path): \($0)" }
            }
            throw BridgeError(
                .badArgument,
                "\(store.path) has no data that was prepared from \(origin.name) for this model and with these settings; run 'bridge data prepare' "
                    + "with the settings of the run, or remove dataset.prepared_path",
                names: Array((changed + differences + problems).prefix(Self.mostDifferences))
            )
        }
        if let image = try found.changedImage(in: origin.imageFolder) {
            throw BridgeError(
                .badArgument,
                "\(image) has changed since \(found.path) was prepared; run 'bridge data prepare' again, or remove dataset.prepared_path"
            )
        }
        if origin.files == nil {
            encoder.notes.add("\(origin.name) does not exist; \(found.path) is used, which was prepared from it")
        }
        found.report(to: encoder.notes)
        return try PreparedSource(found, for: encoder.processor)
    }

    private static let mostDifferences = 20

    // MARK: Preparing

    /// What was prepared of a data set.
    public struct PreparedResult: Sendable {
        /// The data set.
        public let name: String
        /// The prepared data.
        public let data: PreparedData
        /// Whether it was prepared by this call, and not before.
        public let isNew: Bool
    }

    /// Prepares the data sets of the section, training and validation, as a run reads them.
    ///
    /// - Parameters:
    ///   - store: The directory.
    ///   - preparation: How.
    ///   - validates: Whether the validation samples are prepared too.
    /// - Returns: What there is now.
    /// - Throws: `BridgeError` for data sets that cannot be opened, and for rows that cannot be used.
    public func prepare(
        in store: PreparedStore,
        _ preparation: PreparedStore.Preparation,
        validates: Bool
    ) throws -> [PreparedResult] {
        var origins: [Origin] = []
        for source in section.trainingSources {
            switch section.datasetType {
            case .preloaded, .tokenized: origins.append(try file(at: source))
            case .hf:
                origins.append(try table(at: source, split: trainingSplit(of: source)))
                guard validates, section.valSetSize == 0 else { continue }
                do { origins.append(try table(at: source, split: "validation")) } catch let error as BridgeError
                    where error.code == .missingSplit
                { continue }
            case .mock:
                throw BridgeError(
                    .badArgument,
                    "dataset.dataset_type is mock, whose samples are made during the run; choose preloaded, tokenized or hf"
                )
            }
        }
        if validates, section.datasetType != .hf { origins += try section.validationFiles.map { try file(at: $0) } }
        return try origins.map { try prepare($0, in: store, preparation) }
    }

    private func prepare(
        _ origin: Origin,
        in store: PreparedStore,
        _ preparation: PreparedStore.Preparation
    ) throws -> PreparedResult {
        // Of a data set that is not there opening has the reason.
        guard let paths = origin.files else {
            _ = try origin.open(self)
            throw BridgeError(.fileSystem, "\(origin.name) does not exist")
        }
        let known = (try? store.entries().data.flatMap(\.files)) ?? []
        let files = try paths.map { try SourceFile(path: $0, known: known, cancellation: preparation.cancellation) }
        let data = try PreparedData(facts: origin.facts, source: origin.name, files: files)
        let result = try store.prepare(data, imageFolder: origin.imageFolder, preparation) {
            // Notes of its own.
            var own = self
            own.encoder = SampleEncoder(
                processor: encoder.processor,
                lossMode: encoder.lossMode,
                roles: encoder.roles,
                options: encoder.options
            )
            return (try origin.open(own), own.encoder.notes)
        }
        return PreparedResult(name: origin.name, data: result.data, isNew: result.isNew)
    }
}
