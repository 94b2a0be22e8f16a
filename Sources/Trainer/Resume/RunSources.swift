public import BridgeCore
import BridgeSupport
import JSONTree

/// What a run reads besides its checkpoints, as fingerprints by setting: the weights that stay frozen, and the training data.
///
/// A resumed run continues with other numbers when one of them was replaced at the same path.
public struct RunSources: Sendable, Equatable {
    /// The file's name in an iteration's directory.
    static let fileName = "sources.json"

    /// The fingerprints; a hub id has none, as its commit is in the recipe.
    let fingerprints: [String: String]

    private static let weights = "checkpoint.pretrained_checkpoint"
    private static let adapter = "peft.adapter_name_or_path"
    private static let data = "dataset.train_data_path"
    private static let prepared = "dataset.prepared_path"

    /// Those of a recipe.
    ///
    /// - Throws: `BridgeError` for a file that cannot be read.
    public init(_ recipe: Recipe) throws {
        let model = recipe.model
        let isFrozen =
            recipe.peft.scheme != .none || model.freezeLanguageModel || model.freezeVisionModel
            || model.freezeVisionProjection
        var found: [String: String] = [:]
        if isFrozen { found[Self.weights] = try Self.fingerprint(ofModel: recipe.checkpoint.pretrainedCheckpoint) }
        if !recipe.peft.adapterNameOrPath.isEmpty {
            found[Self.adapter] = try Self.fingerprint(ofModel: recipe.peft.adapterNameOrPath)
        }
        let files = Self.dataFiles(of: recipe)
        if !files.isEmpty { found[Self.data] = try ContentFingerprint.of(files) }
        if let keys = try Self.preparedKeys(of: recipe) { found[Self.prepared] = keys }
        fingerprints = found
    }

    /// A checksum of what the log-probabilities of answers under the model before training depend on.
    ///
    /// - Throws: `BridgeError` for a file that cannot be read.
    static func key(ofReference recipe: Recipe) throws -> String {
        let files = dataFiles(of: recipe) + recipe.dataset.validationFiles.filter { Files.kind(of: $0) == .file }
        let section = RecipeTable.fields.filter { $0.key.hasPrefix("dataset.") }.map { field in
            "\(field.key)=\(String(decoding: field.value(of: recipe).text(pretty: false), as: UTF8.self))"
        }
        let weights = recipe.checkpoint.pretrainedCheckpoint
        let adapter = recipe.peft.adapterNameOrPath
        let facts =
            (adapter.isEmpty ? [] : [try fingerprint(ofModel: adapter) ?? ""]) + section + [
                weights, recipe.mixedPrecision.rawValue,
                recipe.checkpoint.randomInit ? "\(recipe.rng.seed)" : "", try fingerprint(ofModel: weights) ?? "",
                files.isEmpty ? "" : try ContentFingerprint.of(files),
            ]
        return ContentFingerprint.of { add in Array(facts.joined(separator: "\n").utf8).withUnsafeBytes(add) }
    }

    /// Those of an iteration; nil for one without.
    init?(iteration path: String) throws {
        let name = Files.join(path, Self.fileName)
        guard Files.exists(name) else { return nil }
        var found: [String: String] = [:]
        for (key, value) in try JSON(contentsOf: name).object ?? JSONObject() { found[key] = value.string }
        fingerprints = found
    }

    var json: JSON { .object(JSONObject(fingerprints.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })) }

    /// Compares with what the run began with.
    ///
    /// - Returns: A sentence for each data file that was changed.
    /// - Throws: `BridgeError` when the weights were.
    func changes(from old: RunSources, of path: String, _ recipe: Recipe) throws -> [String] {
        let changed = Set(old.fingerprints.filter { $0.value != fingerprints[$0.key, default: $0.value] }.keys)
        for (key, source) in [
            (Self.weights, recipe.checkpoint.pretrainedCheckpoint), (Self.adapter, recipe.peft.adapterNameOrPath),
        ] where changed.contains(key) {
            throw BridgeError(
                .badArgument,
                "\(path) was trained on other weights: those of \(source) have changed since; restore them, or start a new run with "
                    + "another checkpoint.save"
            )
        }
        let files = Self.dataFiles(of: recipe).joined(separator: ", ")
        return (changed.contains(Self.data) ? ["the content of \(files) has changed since"] : [])
            + (changed.contains(Self.prepared)
                ? ["the prepared data in \(recipe.dataset.preparedPath) has changed since"] : [])
    }

    /// The keys of prepared data whose data sets are not there; nil where all are, since these are compared then.
    private static func preparedKeys(of recipe: Recipe) throws -> String? {
        let dataset = recipe.dataset
        guard !dataset.preparedPath.isEmpty, [.preloaded, .tokenized].contains(dataset.datasetType) else { return nil }
        let missing = dataset.trainingSources.filter { !Files.exists($0) }
        guard !missing.isEmpty else { return nil }
        let entries = try PreparedStore(path: dataset.preparedPath).entries().data
        return entries.filter { missing.contains($0.source) }.map(\.key).sorted().joined(separator: " ")
    }

    private static func dataFiles(of recipe: Recipe) -> [String] {
        guard [.preloaded, .tokenized].contains(recipe.dataset.datasetType) else { return [] }
        return recipe.dataset.trainingSources.filter { Files.kind(of: $0) == .file }
    }

    /// Of a Megatron checkpoint its manifest, which has the checksums of all files; without one, and of a model, the files of
    /// the weights and the configuration.
    private static func fingerprint(ofModel path: String) throws -> String? {
        guard Files.kind(of: path) == .directory else { return nil }
        if let checkpoint = try? NativeCheckpoint(path: path) {
            let names = try Files.list(checkpoint.path)
            let manifest = ["manifest.json", "bridge_manifest.json"].first(where: names.contains)
            let weights = names.filter { $0.hasSuffix(".distcp") || [".metadata", "run_config.yaml"].contains($0) }
            return try ContentFingerprint.of(
                (manifest.map { [$0] } ?? weights.sorted()).map { Files.join(checkpoint.path, $0) }
            )
        }
        let names = try Files.list(path).filter {
            $0.hasSuffix(".safetensors") || ["config.json", "params.json", "adapter_config.json"].contains($0)
        }
        return try ContentFingerprint.of(names.sorted().map { Files.join(path, $0) })
    }
}
