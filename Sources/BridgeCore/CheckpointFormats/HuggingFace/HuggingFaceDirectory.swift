package import BridgeSupport
public import JSONTree
import ModelSchema
public import TensorFiles

/// A directory with a model as Hugging Face or the model's makers publish it.
public struct HuggingFaceDirectory: Sendable {
    /// Which files hold configuration and weights.
    public enum Style: String, Sendable, Codable, CaseIterable {
        /// `config.json` and `model*.safetensors`.
        case transformers
        /// `params.json` and `consolidated*.safetensors`, as Mistral publishes.
        case consolidated

        /// The file with the configuration.
        public var configurationName: String { self == .transformers ? "config.json" : "params.json" }
        /// The prefix of the weight files' names.
        package var weightsPrefix: String { self == .transformers ? "model" : "consolidated" }
        /// The index of several weight files.
        package var indexName: String { "\(weightsPrefix).safetensors.index.json" }
    }

    /// A file with weights.
    public struct Shard: Sendable {
        /// Its name in the directory.
        public var name: String
        /// Its header.
        public var header: SafetensorsHeader

        package init(name: String, header: SafetensorsHeader) {
            self.name = name
            self.header = header
        }
    }

    /// The directory.
    public let path: String
    /// Which files count.
    public let style: Style
    /// The configuration.
    public let configuration: JSON
    /// The weight files, sorted by name.
    public let shards: [Shard]
    /// The index's name when there is one.
    public let indexName: String?
    /// All tensors of all weight files.
    public let tensors: [String: StoredTensor]
    /// The files that are carried along unchanged, as paths inside the directory.
    public let sideFiles: [String]
    /// Weight files that were skipped, because they hold the same model in another format.
    public let leftOut: [String]
    /// The bytes of the weight files.
    package let weightStorages: [any ByteStorage]

    /// Opens a directory and reads the headers of its weight files.
    ///
    /// - Throws: `BridgeError` when a file is missing or cannot be what it claims to be.
    public init(path: String) throws { try self.init(path: path, elsewhere: [:]) }

    /// Opens a directory that lacks some weight files.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - elsewhere: The storages of their bytes, by their names in the directory.
    /// - Throws: `BridgeError` when a file is missing or cannot be what it claims to be.
    package init(path: String, elsewhere: [String: any ByteStorage]) throws {
        let path = Files.trimmed(path)
        guard Files.kind(of: path) == .directory else {
            throw FoundPath.error(path, expected: Self.expectation)
        }
        let here: [String] = try Files.list(path)
        let names = here.filter { elsewhere[$0] == nil } + elsewhere.keys.sorted()
        guard let style = Self.style(of: names) else { throw Self.noModel(in: path, names) }
        let weights = try Self.weightFiles(of: style, in: path, names)
        if names.contains(AdapterFiles.configuration), names.contains(where: { $0.hasPrefix("adapter_model.") }) {
            throw BridgeError(
                .badArgument,
                "\(path) holds a model and an adapter (\(AdapterFiles.configuration)), and transformers would load the adapter on "
                    + "its base model; give the model with --adapter \(path), or move the adapter's files away to use the model alone"
            )
        }

        var shards: [Shard] = []
        var tensors: [String: StoredTensor] = [:]
        var homes: [String: String] = [:]
        var storages: [any ByteStorage] = []
        for name in weights.files {
            let location = Files.join(path, name)
            let file = try SafetensorsFile(path: location, storage: elsewhere[name] ?? FileStorage(path: location))
            shards.append(Shard(name: name, header: file.header))
            storages.append(file.storage)
            guard tensors.count + file.header.entries.count <= 2 * SafetensorsHeader.mostTensors else {
                throw BridgeError(
                    .corruptInput,
                    "the weight files of \(path) list more than \(2 * SafetensorsHeader.mostTensors) tensors, which no model has"
                )
            }
            for tensor in file.tensors {
                if let other = homes.updateValue(name, forKey: tensor.name) {
                    throw BridgeError(
                        .corruptInput,
                        "the tensor \(tensor.name) is in both \(other) and \(name) of \(path)"
                    )
                }
                tensors[tensor.name] = tensor
            }
        }
        var index = weights.index
        // transformers ignores an index next to a single file, so an outdated one has no effect.
        if weights.isSingle {
            if (try? index?.check(against: homes)) == nil { index = nil }
        } else {
            try index?.check(against: homes)
        }
        self.path = path
        self.style = style
        configuration = try JSON(contentsOf: Files.join(path, style.configurationName))
        self.shards = shards
        indexName = index?.name
        self.tensors = tensors
        weightStorages = storages
        (sideFiles, leftOut) = try Self.otherFiles(in: path, besides: Set(weights.files), index: index?.name)
    }

    /// The tensors' bytes together.
    public var byteCount: Int { shards.reduce(0) { $0 + $1.header.dataByteCount } }

    /// Keeps `--overwrite` from taking away a directory that holds something else.
    package static func checkReplaceable(_ path: String) throws {
        guard Files.kind(of: path) == .directory else { return }
        let names = try Files.list(path)
        let isModel = Style.allCases.contains { names.contains($0.configurationName) }
        guard isModel || names.allSatisfy({ $0.hasSuffix(".gguf") }) else {
            throw BridgeError(
                .destinationTaken,
                "\(path) is not empty and no directory with a Hugging Face model or GGUF files; choose another directory"
            )
        }
    }

    private static func style(of names: [String]) -> Style? {
        Style.allCases.first { style in
            names.contains(style.configurationName)
                && names.contains {
                    $0.hasPrefix(style.weightsPrefix) && ($0.hasSuffix(".safetensors") || $0 == style.indexName)
                }
        }
    }

    private static func noModel(in path: String, _ names: [String]) -> BridgeError {
        if let adapter = adapter(in: path, names) { return adapter }
        if names.contains("config.json"), names.contains(where: { $0.hasSuffix(".bin") || $0.hasSuffix(".pth") }) {
            return BridgeError(
                .corruptInput,
                "\(path) holds pickled weights only; convert them to safetensors first, pickles can run code when they are read"
            )
        }
        if names.contains("config.json"),
            let variant = names.first(where: { $0.hasPrefix("model.") && $0.hasSuffix(".safetensors") })
        {
            return BridgeError(
                .corruptInput,
                "\(path) has only the variant \(variant) of the weights, expected model.safetensors; rename it to use it"
            )
        }
        guard names.contains("config.json") else { return FoundPath.error(path, expected: expectation) }
        return BridgeError(.corruptInput, "\(path) has config.json and no model*.safetensors; download the weights too")
    }

    /// What commands for Hugging Face models expect at a path.
    package static let expectation =
        "a directory with config.json and model*.safetensors, or the id of a model on the hub, such as org/name"

    /// The advice for a directory that holds an adapter and was given as a model; nil for another directory.
    package static func adapter(in path: String, _ names: [String]) -> BridgeError? {
        guard names.contains(AdapterFiles.configuration) || names.contains(AdapterFiles.lora) else {
            return nil
        }
        let json = try? JSON(contentsOf: Files.join(path, AdapterFiles.configuration))
        let base = json?["base_model_name_or_path"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        return BridgeError(
            .badArgument,
            "\(path) \(FoundPath.description(of: path)), expected a model; give its base model\(base.map { " \($0)" } ?? "") with --hf-model and "
                + "\(path) with --adapter, or merge the two with 'bridge adapter merge'"
        )
    }

    /// The weight files in the order in which transformers looks for them: a single file, then those of an index.
    ///
    /// Source: `_get_resolved_checkpoint_files` in modeling_utils.py, transformers 5.23.
    private static func weightFiles(
        of style: Style,
        in path: String,
        _ names: [String]
    ) throws -> (files: [String], index: ShardIndex?, isSingle: Bool) {
        let single = "\(style.weightsPrefix).safetensors"
        if names.contains(single) {
            let index = names.contains(style.indexName) ? try? ShardIndex(path: Files.join(path, style.indexName)) : nil
            return ([single], index?.files == [single] ? index : nil, true)
        }
        if names.contains(style.indexName) {
            let index = try ShardIndex(path: Files.join(path, style.indexName))
            let missing = index.files.filter { !names.contains($0) }
            guard missing.isEmpty else {
                throw BridgeError(
                    .corruptInput,
                    "\(path) lacks \(missing.count) of the \(index.files.count) files that \(style.indexName) lists: found "
                        + Self.listed(names.filter { $0.hasSuffix(".safetensors") })
                        + ", expected \(Self.listed(index.files)); "
                        + "download the missing files, or correct weight_map where they have another name",
                    names: missing
                )
            }
            return (index.files, index, false)
        }
        let numbered = names.filter { NamePattern("\(style.weightsPrefix)-*-of-*.safetensors").match($0) != nil }
        guard
            let total = numbered.first.flatMap({
                NamePattern("\(style.weightsPrefix)-*-of-*.safetensors").match($0)?.last
            })
        else {
            throw noModel(in: path, names)
        }
        guard numbered.count == Int(total) else {
            throw BridgeError(
                .corruptInput,
                "\(path) has \(numbered.count) of \(total) weight files and no \(style.indexName); fetch the others"
            )
        }
        return (numbered, nil, false)
    }

    /// Names of files for a message.
    private static func listed(_ names: [String]) -> String {
        names.isEmpty ? "no weight file" : names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", ..." : "")
    }

    /// Endings of files that hold weights, and are therefore never carried along.
    private static let weightEndings = [
        ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".onnx", ".h5", ".msgpack", ".ot", ".npz",
        ".distcp", ".bin.index.json", ".safetensors.index.json",
    ]

    private static func otherFiles(in path: String, besides weights: Set<String>, index: String?) throws -> (
        side: [String], leftOut: [String]
    ) {
        var side: [String] = []
        var leftOut: [String] = []
        try Files.walk(path) { entry in
            let (name, inside) = (entry.name, entry.path)
            switch entry.kind {
            case .directory where !name.hasPrefix("."): return true
            case .file where weights.contains(inside): break
            case .file where inside == index: side.append(inside)
            case .file where weightEndings.contains { name.hasSuffix($0) }: leftOut.append(inside)
            case .file: side.append(inside)
            // Caches and editors leave links that lead nowhere under such names.
            case nil where name.hasPrefix("."): break
            case nil where weightEndings.contains { name.hasSuffix($0) }: leftOut.append(inside)
            case nil:
                throw BridgeError(
                    .fileSystem,
                    "\(Files.join(path, inside)) cannot be looked at: it is a link that leads nowhere, or its name is not UTF-8; fetch or rename it"
                )
            default: break
            }
            return false
        }
        return (side, leftOut)
    }
}
