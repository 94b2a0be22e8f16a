import BridgeSupport
import JSONTree
import ModelSchema
import TensorFiles
import TensorRuntime

/// What an open checkpoint in Megatron-Core's container consists of.
///
/// Bridge writes a manifest and the files of the source beside those of the container, which other programs do not look
/// at; a checkpoint without them is described by what is there.
struct TorchDistContents {
    let directory: TorchDistDirectory
    let manifest: NativeManifest
    let configuration: JSON
    let parameters: [GlobalParameter]
    let notes: [String]
    /// Keys of the description of the model that nothing reads.
    let unreadKeys: [String]
    /// What is wrong with the files that describe the tensors; empty where the checkpoint is verified as it is opened.
    let damage: [String]

    /// Opens the directory of an iteration.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - cache: Keeps blocks that are compared with their checksums; nil to open a damaged checkpoint, with what is wrong
    ///     with it in ``damage``, and to compare no weights.
    ///   - describe: Describes the model where Bridge has not written the checkpoint.
    /// - Throws: `BridgeError` for files that are missing or damaged.
    init(path: String, cache: BlockCache?, describe: (TorchDistDirectory) throws -> ModelDescription?) throws {
        var directory = try TorchDistDirectory(path: path)
        let file = Files.join(path, TorchDistDirectory.manifestName)
        var manifest: NativeManifest
        if Files.exists(file) {
            manifest = try NativeManifest(json: JSON(contentsOf: file), name: file)
            configuration = try JSON(
                contentsOf: Files.join(
                    path,
                    Files.join(NativeCheckpoint.huggingFaceDirectory, manifest.style.configurationName)
                )
            )
            unreadKeys = []
        } else {
            let description = try describe(directory)
            configuration = description?.configuration ?? .null
            unreadKeys = description?.unreadKeys ?? []
            manifest = NativeManifest(
                architecture: description?.architecture ?? Self.unknown,
                family: description?.family ?? Self.unknown,
                plugin: description?.writer ?? Self.unknown,
                style: .transformers,
                layout: description?.layout ?? .single,
                ledger: .object(JSONObject()),
                holdsAdapter: directory.metadata.holdsAdapter,
                files: try Self.files(in: path)
            )
        }
        let checksums = try FileChecksums.read(in: path)
        let problems = try directory.problems(comparedWith: checksums)
        if let cache, let checksums {
            if let problem = problems.first { throw BridgeError(.corruptInput, problem.sentence(in: path)) }
            let lines = Dictionary(checksums.files.map { ($0.name, $0) }) { first, _ in first }
            directory = directory.verified { name, storage in
                lines[name].map { line in VerifiedStorage(storage, cache: cache) { line.expects($0, $1) } }
            }
        }
        damage = cache == nil ? problems.map { $0.sentence(in: path) } : []
        let (views, notes) = try directory.parameters()
        let groups = Self.groups(in: configuration)
        let ranks = directory.isOwn ? 1 : manifest.layout.tensorSize
        parameters = views.map { name, view in
            CoreParameterRule.parameter(name, Self.whole(view, named: name, storedBy: ranks), groups: groups)
        }
        self.directory = directory
        self.manifest = manifest
        self.notes = notes
    }

    /// DoRA's magnitudes of a gated matrix, which Megatron Bridge stores rank by rank.
    ///
    /// Each rank has its rows of the gate, then the others. Source: `ParallelLinearDoRAAdapter.sharded_state_dict`, Megatron
    /// Bridge 0.3.1 and 0.6.2.
    private static let gatedMagnitude = ".linear_fc1.adapter.weight_magnitude"

    /// A parameter whose rows are not in the order of ranks: the gate of all ranks, then the other half.
    static func whole(_ view: TensorView, named name: String, storedBy ranks: Int) -> TensorView {
        let size = view.height / (2 * max(1, ranks))
        guard name.hasSuffix(gatedMagnitude), ranks > 1, size * 2 * ranks == view.height else { return view }
        let parts = (0..<2).flatMap { half in
            (0..<ranks).map { rank in
                let start = (2 * rank + half) * size
                return view.rows(start..<start + size)
            }
        }
        return .concatenate(rows: parts)
    }

    /// What stands for facts that no file of the checkpoint has.
    static let unknown = "unknown"

    /// The KV groups of an attention layer.
    private static func groups(in configuration: JSON) -> Int? {
        let text = configuration["text_config"] ?? configuration
        return text["num_key_value_heads"]?.integer.flatMap { $0 > 0 ? $0 : nil }
    }

    /// The files, whose checksums nobody knows.
    private static func files(in path: String) throws -> [NativeManifest.File] {
        try Files.list(path).compactMap { name in
            let file = Files.join(path, name)
            guard Files.kind(of: file) == .file else { return nil }
            return NativeManifest.File(name: name, byteCount: Files.size(of: file), checksum: "", blocks: [])
        }
    }
}

extension TorchDistDirectory {
    /// Whether Bridge has written the checkpoint.
    var isOwn: Bool { Files.exists(Files.join(path, Self.manifestName)) }

    /// Bridge's own description of a checkpoint in this container.
    package static let manifestName = "bridge_manifest.json"

    /// What stands for the program that wrote a checkpoint where no file has its name.
    package static let unknownWriter = TorchDistContents.unknown
}
