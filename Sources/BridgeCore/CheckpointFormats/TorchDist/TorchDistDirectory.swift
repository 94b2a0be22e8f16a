import BridgeSupport
import JSONTree
package import TensorFiles
import TensorRuntime
package import TorchFiles

/// A directory of one iteration as Megatron-Core's distributed checkpoints have it (`torch_dist`), open for reading.
///
/// Source: megatron/core/dist_checkpointing, megatron-core 0.16 to 0.19.
package struct TorchDistDirectory: Sendable {
    /// The directory.
    package let path: String
    package let metadata: DistributedMetadata
    /// The files of the items, by their names.
    private let storages: [String: FileStorage]
    /// What tensors are read through, where it is not the file itself: compares it with its checksums.
    private var verified: [String: any ByteStorage] = [:]

    package static let descriptionName = "metadata.json"
    package static let commonName = "common.pt"
    /// The version of the backend `torch_dist`.
    private static let backendVersion = 1
    package static let trainStateName = "train_state.pt"
    package static let latestTrainStateName = "latest_train_state.pt"
    package static let runConfigurationName = "run_config.yaml"
    /// The object that took the place of `common.pt` in megatron-core 0.19.
    package static let commonKey = "common_state/shard_0_1"

    /// The checksums of all files, which Megatron-Core writes on demand since 0.17.
    package static let integrityName = "integrity.json"

    /// Whether a file belongs to the container and not to the model or the run.
    package static func isOwnFile(_ name: String) -> Bool {
        name.hasSuffix(".distcp")
            || [
                DistributedMetadata.name, descriptionName, commonName, trainStateName, integrityName, manifestName,
                FileChecksums.fileName,
            ].contains(name)
    }

    /// Whether the names in a directory are those of an iteration.
    package static func isOne(_ names: [String]) -> Bool { names.contains(DistributedMetadata.name) }

    /// Opens a directory: reads `.metadata` and opens the files that it names, but reads no tensor.
    ///
    /// - Throws: `BridgeError` for another container, a damaged file and a file that is missing.
    package init(path: String) throws {
        let names = try Files.list(path)
        guard Self.isOne(names) else {
            throw BridgeError(
                .corruptInput,
                names.contains { $0.hasSuffix(".distcp") }
                    ? "\(path) has .distcp files but no \(DistributedMetadata.name), which is written last; the checkpoint is not complete"
                    : "\(path) has no \(DistributedMetadata.name), expected a torch_dist checkpoint"
            )
        }
        let metadata = try DistributedMetadata(path: Files.join(path, DistributedMetadata.name))
        if names.contains(Self.descriptionName) {
            let name = Files.join(path, Self.descriptionName)
            let description = try JSONReader(JSON(contentsOf: name, limit: 1 << 20), name: name)
            let backend = try description.string("sharded_backend")
            guard backend == "torch_dist" else {
                throw BridgeError(
                    .corruptInput,
                    "\(name) names the backend \(backend), expected torch_dist; convert the checkpoint with Megatron-Core first"
                )
            }
            let version = description.json["sharded_backend_version"]?.integer ?? Self.backendVersion
            guard version == Self.backendVersion else {
                throw BridgeError(
                    .corruptInput,
                    "\(name) names version \(version) of the backend torch_dist, expected \(Self.backendVersion), which Megatron-Core 0.16 "
                        + "to 0.19 write"
                )
            }
        } else if metadata.entries.contains(where: { $0.key.hasPrefix("model.module.") }) {
            throw BridgeError(
                .badArgument,
                "\(path) has no \(Self.descriptionName): it is an fsdp_dtensor checkpoint of Megatron-FSDP, which cannot be read; "
                    + "save it as torch_dist"
            )
        }
        var storages: [String: FileStorage] = [:]
        let missing = metadata.files.filter { !names.contains($0) }
        guard missing.isEmpty else {
            throw BridgeError(
                .corruptInput,
                "\(path) lacks \(ByteFormat.counted(missing.count, "file")) that its \(DistributedMetadata.name) names; copy "
                    + "the files of all ranks into it",
                names: missing
            )
        }
        for name in metadata.files { storages[name] = try FileStorage(path: Files.join(path, name)) }
        self.path = path
        self.metadata = metadata
        self.storages = storages
    }

    /// The same directory with its tensors read through storages that compare them with their checksums.
    ///
    /// - Parameter verify: The storage for a file; nil for one without checksums.
    /// - Returns: The directory.
    func verified(_ verify: (_ name: String, FileStorage) -> (any ByteStorage)?) -> TorchDistDirectory {
        var directory = self
        for (name, file) in storages { directory.verified[name] = verify(name, file) }
        return directory
    }

    /// A file of the items, or one beside them.
    func file(_ name: String) throws -> FileStorage {
        try storages[name] ?? FileStorage(path: Files.join(path, name))
    }

    // MARK: Items

    /// The file of `torch.save` that an item is.
    ///
    /// - Throws: `BridgeError` when it reaches outside its file, or is damaged.
    package func archive(_ item: DistributedMetadata.Item, of key: String, globals: PickleGlobals) throws
        -> TorchArchive
    {
        let storage = try file(item.file)
        guard item.range.upperBound <= storage.byteCount else {
            throw BridgeError(
                .corruptInput,
                "\(storage.name) has \(storage.byteCount) bytes, but \(key) in it ends at byte \(item.range.upperBound); "
                    + "the file is truncated, copy it again"
            )
        }
        return try TorchArchive(
            storage,
            in: item.range,
            name: "\(key) in \(storage.name)",
            globals: globals
        )
    }

    /// The elements of a tensor's chunks.
    ///
    /// - Throws: `BridgeError` for chunks that are not as `.metadata` describes them.
    func tensor(_ entry: DistributedMetadata.Entry) throws -> ChunkedTensor {
        tensor(entry, of: try entry.chunks.map { try piece($0, of: entry) })
    }

    /// The elements of one chunk.
    ///
    /// - Throws: `BridgeError` for a chunk that is not as `.metadata` describes it.
    func piece(_ chunk: DistributedMetadata.Chunk, of entry: DistributedMetadata.Entry) throws -> ChunkedTensor.Piece {
        let archive = try archive(chunk.item, of: entry.key, globals: .listed(PickleGlobals.tensors))
        guard var stored = try archive.tensor(archive.content, named: entry.key) else {
            throw BridgeError(.corruptInput, "\(archive.name) is not a tensor")
        }
        guard stored.shape == chunk.sizes, stored.elementType == entry.elementType else {
            throw BridgeError(
                .corruptInput,
                "\(archive.name) has the shape \(stored.shape) of \(stored.elementType.rawValue), expected \(chunk.sizes) of "
                    + "\(entry.elementType.rawValue) as in \(DistributedMetadata.name)"
            )
        }
        // Neighbours in a file are one stored tensor to a reader only if their names differ by nothing but position.
        stored.name = entry.key
        if let verified = verified[chunk.item.file] { stored.storage = verified }
        return ChunkedTensor.Piece(offsets: chunk.offsets, sizes: chunk.sizes, stored: stored)
    }

    /// A tensor of its chunks.
    func tensor(_ entry: DistributedMetadata.Entry, of pieces: [ChunkedTensor.Piece]) -> ChunkedTensor {
        ChunkedTensor(
            name: "\(entry.key) in \(path)",
            elementType: entry.elementType,
            shape: entry.shape,
            pieces: pieces
        )
    }

    /// What the ranks have in common: `common.pt`, or the object that took its place; nil where there is neither.
    ///
    /// Classes that are not known stay names: Megatron-LM puts its arguments and enumerations here.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    package func common() throws -> TorchArchive? {
        let file = Files.join(path, Self.commonName)
        if Files.exists(file) {
            return try TorchArchive(FileStorage(path: file), name: file, globals: .opaque)
        }
        guard let object = metadata.objects.first(where: { $0.key == Self.commonKey }) else { return nil }
        return try archive(object.item, of: object.key, globals: .opaque)
    }

    /// The dictionary of ``common()``.
    package func commonState() throws -> PickleGraph.Reference? {
        guard let content = try common()?.content else { return nil }
        // Since 0.19 it is the only item of a list.
        return content.items?.first ?? content
    }
}

// MARK: - Parameters

extension TorchDistDirectory {
    /// The parameters of the model under Megatron-Core's names, and notes about what else is there.
    ///
    /// - Throws: `BridgeError` for chunks that do not fit together.
    package func parameters() throws -> (views: [(name: String, view: TensorView)], notes: [String]) {
        let views = try views(metadata.entries.map { ($0.key, $0) })
        let count = metadata.entries.count { MegatronKey.kind(of: $0.key) == .optimizer }
        guard count > 0 else { return (views, []) }
        let note =
            "the optimizer's state (\(ByteFormat.counted(count, "tensor"))) is not part of the model and is skipped"
        return (views, [note])
    }

    /// The optimizer's values for each parameter, as `optimizer.KIND.PARAMETER`; empty where there are none, or where
    /// they are in buffers of ranks, which only a run with the same layout can divide.
    ///
    /// - Throws: `BridgeError` for chunks that do not fit together.
    package func optimizerParameters() throws -> [GlobalParameter] {
        let shared = metadata.sharedMainParameters
        var kinds: [String: [(key: String, entry: DistributedMetadata.Entry)]] = [:]
        for entry in metadata.entries {
            guard let state = MegatronKey.optimizerState(entry.key), !shared.contains(entry.key) else { continue }
            kinds[state.kind, default: []].append((state.parameter, entry))
        }
        return try kinds.sorted { $0.key < $1.key }.flatMap { kind, entries in
            try views(entries).map { name, view in
                var parameter = CoreParameterRule.parameter(name, view, groups: nil)
                parameter.name = "optimizer.\(kind).\(name)"
                return parameter
            }
        }
    }

    /// The parameters of tensors, of which stacks and halves are taken apart and put together.
    ///
    /// - Parameter entries: The tensors, and the keys that they would have as parameters.
    /// - Returns: The parameters; what is not one is skipped.
    /// - Throws: `BridgeError` for chunks that do not fit together.
    private func views(_ entries: [(key: String, entry: DistributedMetadata.Entry)]) throws
        -> [(name: String, view: TensorView)]
    {
        var views: [(name: String, view: TensorView)] = []
        var halves: [String: (gate: TensorView?, up: TensorView?)] = [:]
        for (key, entry) in entries {
            switch MegatronKey.kind(of: key) {
            case .parameter: views.append((key, try tensor(entry).view()))
            case .stacked:
                for (layer, tensor) in try tensor(entry).layers().enumerated() {
                    views.append((MegatronKey.name(ofLayer: layer, in: key), try tensor.view()))
                }
            case .gate: halves[MegatronKey.fused(key), default: (nil, nil)].gate = try tensor(entry).view()
            case .up: halves[MegatronKey.fused(key), default: (nil, nil)].up = try tensor(entry).view()
            case .optimizer, .extraState, .run: break
            }
        }
        for (name, halves) in halves.sorted(by: { $0.key < $1.key }) {
            guard let gate = halves.gate, let up = halves.up, gate.shape == up.shape,
                gate.elementType == up.elementType
            else {
                throw BridgeError(
                    .corruptInput,
                    "\(path) has only one half of \(name), or halves of different shapes; expected \(name)_w and \(name)_v"
                )
            }
            views.append((name, .concatenate(rows: [gate, up])))
        }
        var seen: Set<String> = []
        if let twice = views.first(where: { !seen.insert($0.name).inserted }) {
            throw BridgeError(.corruptInput, "\(path) has \(twice.name) twice, in a stack of layers and by itself")
        }
        return views
    }
}
