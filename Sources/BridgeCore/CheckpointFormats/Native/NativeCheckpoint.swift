import BridgeSupport
public import JSONTree
package import ModelSchema
package import TensorFiles
import TensorRuntime

/// A Megatron checkpoint, open for reading: in the native container, or in that of Megatron-Core.
public struct NativeCheckpoint: Sendable {
    /// How the files of a checkpoint are laid out.
    public enum Container: String, Sendable {
        /// Bridge's own: `manifest.json` and a safetensors file for each rank.
        case native
        /// Megatron-Core's: `.metadata` and `.distcp` files.
        case torchDist = "torch_dist"
    }

    /// The directory of the iteration, an `iter_NNNNNNN`.
    public let path: String
    /// The container.
    public let container: Container
    /// The manifest; for a checkpoint of another program, what is known of it.
    public let manifest: NativeManifest
    /// The model's configuration, as it was imported; null where nothing describes the model.
    public let configuration: JSON

    package let parameters: [GlobalParameter]
    /// Whether the weights are compared with their checksums as they are read.
    private let isVerified: Bool
    private let cache: BlockCache
    private let sideFiles = SideFileCheck()
    /// The files of Megatron-Core's container.
    package let torchDist: TorchDistDirectory?
    /// What is worth knowing about the tensors that are not the model's.
    package let notes: [String]
    /// Keys of another program's description of the model that nothing reads.
    package let unreadKeys: [String]
    /// What is wrong with the files that describe the tensors, one sentence each; a checkpoint that is verified as it is
    /// read has none, because it cannot be opened with damage.
    package let damage: [String]

    /// The file with the number of the newest checkpoint.
    package static let latestName = "latest_checkpointed_iteration.txt"
    /// The name, instead of an iteration's, of weights alone, as Megatron-LM's converters write them.
    package static let releaseName = "release"
    package static let manifestName = "manifest.json"
    package static let huggingFaceDirectory = "huggingface"
    /// The directory of the headers of the source's weight files.
    package static let shardDirectory = "huggingface/.safetensors"

    /// The name of the directory of an iteration.
    public static func iterationName(_ iteration: Int) -> String {
        "iter_\(iteration.padded(to: 7))"
    }

    /// The iteration in a directory's name; nil for another name.
    package static func iteration(inName name: String) -> Int? {
        guard name.hasPrefix("iter_"), name.dropFirst(5).allSatisfy(\.isNumber) else { return nil }
        return Int(name.dropFirst(5))
    }

    /// Opens a checkpoint: an iteration's directory, or a directory of iterations, whose newest is opened.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - isVerified: Whether the weights are compared with their checksums as they are read, so that damaged weights
    ///     are an error.
    /// - Throws: `BridgeError` when there is none, or a file is missing or differs from the manifest.
    public init(path: String, isVerified: Bool = true) throws {
        try self.init(path: path, isVerified: isVerified) { _ in nil }
    }

    /// Opens a checkpoint whose model may be described elsewhere.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - isVerified: Whether the weights are compared with their checksums as they are read.
    ///   - describe: Describes the model of a directory that another program wrote; nil where it does not know.
    /// - Throws: `BridgeError` when there is none, or a file is missing or differs from the manifest.
    package init(
        path: String,
        isVerified: Bool = true,
        describe: (TorchDistDirectory) throws -> ModelDescription?
    ) throws {
        let path = try Self.iterationPath(path)
        self.path = path
        self.isVerified = isVerified
        // With the buffers of the writers, 8 MiB each, 56 MiB on the threads of a small machine.
        cache = BlockCache(limit: max(2, Workers.defaultCount - 1))
        guard Files.exists(Files.join(path, Self.manifestName)) else {
            let contents = try TorchDistContents(path: path, cache: isVerified ? cache : nil, describe: describe)
            container = .torchDist
            (manifest, configuration) = (contents.manifest, contents.configuration)
            (parameters, notes) = (contents.parameters, contents.notes)
            (torchDist, damage, unreadKeys) = (contents.directory, contents.damage, contents.unreadKeys)
            return
        }
        container = .native
        torchDist = nil
        (notes, damage, unreadKeys) = ([], [], [])
        let manifest = try Self.manifest(of: path)
        self.manifest = manifest
        configuration = try JSON(
            contentsOf: Files.join(path, Files.join(Self.huggingFaceDirectory, manifest.style.configurationName))
        )
        parameters = try Self.parameters(manifest.parameters, path, isVerified ? (manifest, cache) : nil)
    }

    /// The optimizer's state, by names that begin with `optimizer.`; empty without training.
    ///
    /// - Throws: `BridgeError` when a file is missing or differs from the manifest.
    package func optimizerParameters() throws -> [GlobalParameter] {
        if let torchDist {
            let ranks = torchDist.isOwn ? 1 : manifest.layout.tensorSize
            return try torchDist.optimizerParameters().map { parameter in
                var parameter = parameter
                parameter.view = TorchDistContents.whole(parameter.view, named: parameter.name, storedBy: ranks)
                return parameter
            }
        }
        return try Self.parameters(manifest.optimizer, path, isVerified ? (manifest, cache) : nil)
    }

    /// Whether the checkpoint, or the files beside it, describe its model.
    package var isDescribed: Bool { !configuration.isNull }

    /// The files besides the weights that differ from the manifest, because they were edited or damaged; read once.
    ///
    /// - Returns: Their paths inside the checkpoint.
    /// - Throws: `BridgeError` when one cannot be read.
    package func changedSideFiles() throws -> [String] { try sideFiles.changed(in: self) }

    /// The files that differ from the manifest and are not read, because the model is that of `huggingface/`.
    ///
    /// - Returns: Their paths inside the checkpoint.
    /// - Throws: `BridgeError` when one cannot be read.
    package func changedUnreadFiles() throws -> [String] {
        guard carriesSource else { return [] }
        return try manifest.files.filter { $0.name == TorchDistDirectory.runConfigurationName }
            .filter { try SideFileCheck.isChanged($0, in: path) }.map(\.name)
    }

    /// A note for a plan that copies these files; none where all are as they were written.
    package func sideFileNotes() throws -> [String] {
        let changed = try changedSideFiles()
        guard !changed.isEmpty else { return [] }
        return [
            "\(changed.joined(separator: ", ")): not as written with the checkpoint, edited or damaged since; "
                + "copied as \(changed.count == 1 ? "it is" : "they are")"
        ]
    }

    /// The manifest of an iteration's directory, alone.
    package static func manifest(of path: String) throws -> NativeManifest {
        let name = Files.join(path, manifestName)
        return try NativeManifest(json: JSON(contentsOf: name), name: name)
    }

    /// Whether an iteration has adapters without their base model, as far as it can be read.
    package static func holdsAdapter(_ directory: String) -> Bool {
        for name in [manifestName, TorchDistDirectory.manifestName] {
            let file = Files.join(directory, name)
            guard Files.exists(file) else { continue }
            return (try? NativeManifest(json: JSON(contentsOf: file), name: file).holdsAdapter) ?? false
        }
        let metadata = Files.join(directory, DistributedMetadata.name)
        return (try? DistributedMetadata(path: metadata).holdsAdapter) ?? false
    }

    /// Whether a directory has the files of a Megatron checkpoint, complete or not.
    package static func isOne(_ path: String) -> Bool {
        if isIteration(path) || Files.exists(Files.join(path, latestName)) { return true }
        // A directory of iterations whose newest no file names.
        guard Files.kind(of: path) == .directory else { return false }
        return (try? iterations(in: path).isEmpty) == false
    }

    /// Whether a directory is an iteration in a container that can be read.
    public static func isIteration(_ directory: String) -> Bool {
        if Files.exists(Files.join(directory, manifestName)) { return true }
        // A directory with a configuration is a Hugging Face model, whatever else is in it.
        return Files.exists(Files.join(directory, DistributedMetadata.name))
            && !Files.exists(Files.join(directory, HuggingFaceDirectory.Style.transformers.configurationName))
    }

    /// The iteration's directory that a path means.
    package static func iterationPath(_ path: String) throws -> String {
        let path = Files.trimmed(path)
        if isIteration(path) { return path }
        let latest = Files.join(path, latestName)
        if Files.exists(latest) {
            let text = String(decoding: try Files.contents(of: latest, limit: 64), as: UTF8.self)
            let digits = text.filter { !$0.isWhitespace }
            let release = Files.join(path, releaseName)
            if digits == releaseName, isIteration(release) { return release }
            guard let iteration = Int(digits), iteration >= 0 else {
                throw BridgeError(.corruptInput, "\(latest) holds \"\(digits)\", expected the number of an iteration")
            }
            let directory = Files.join(path, iterationName(iteration))
            if let names = try? Files.list(directory), FoundPath.otherContainer(names) != nil {
                throw FoundPath.error(directory, expected: expectation)
            }
            guard isIteration(directory) else {
                throw BridgeError(
                    .corruptInput,
                    "\(latest) names iteration \(iteration), but \(directory) "
                        + (Files.exists(directory)
                            ? "has no \(manifestName) and no \(DistributedMetadata.name)" : "does not exist")
                )
            }
            return directory
        }
        // Megatron Bridge itself takes the newest one where no file names it.
        if Files.kind(of: path) == .directory, let newest = try iterations(in: path).last { return newest.path }
        throw FoundPath.error(path, expected: expectation)
    }

    /// What commands for Megatron checkpoints expect at a path.
    package static let expectation =
        "a Megatron checkpoint: a directory with \(manifestName) or \(DistributedMetadata.name), or one with \(latestName) and "
        + "iterations"

    /// The iterations below a directory, oldest first.
    public static func iterations(in path: String) throws -> [(iteration: Int, path: String)] {
        try Files.list(path).compactMap { name in
            let directory = Files.join(path, name)
            guard let iteration = iteration(inName: name), isIteration(directory) else { return nil }
            return (iteration, directory)
        }.sorted { $0.iteration < $1.iteration }
    }

    private static func parameters(
        _ lines: [NativeManifest.Parameter],
        _ path: String,
        _ verification: (manifest: NativeManifest, cache: BlockCache)?
    ) throws -> [GlobalParameter] {
        var tensors: [String: [String: StoredTensor]] = [:]
        for name in Set(lines.flatMap { $0.chunks.map(\.file) }).sorted() {
            let storage = try FileStorage(path: Files.join(path, name))
            let file = try SafetensorsFile(path: storage.name, storage: storage)
            let line = verification?.manifest.files.first { $0.name == name }
            let verified: VerifiedStorage? =
                if let line, let verification {
                    VerifiedStorage(storage, cache: verification.cache) { line.expects($0, $1) }
                } else {
                    nil
                }
            tensors[name] = Dictionary(
                file.tensors.map { tensor in
                    var tensor = tensor
                    if let verified { tensor.storage = verified }
                    return (tensor.name, tensor)
                }
            ) { first, _ in first }
        }
        return try lines.map { parameter in
            func corrupt(_ what: String) -> BridgeError {
                BridgeError(.corruptInput, "\(Files.join(path, manifestName)): \(parameter.name) \(what)")
            }
            let height = parameter.shape.first ?? 1
            let width = parameter.shape.dropFirst().reduce(1, *)
            var covered = 0
            let blocks = try parameter.chunks.map { chunk in
                guard let tensor = tensors[chunk.file]?[parameter.name] else {
                    throw corrupt("is not in \(chunk.file)")
                }
                guard tensor.elementType == parameter.elementType else {
                    throw corrupt(
                        "is \(tensor.elementType.rawValue) in \(chunk.file), expected \(parameter.elementType.rawValue)"
                    )
                }
                guard chunk.local[0] + chunk.size[0] <= tensor.height, chunk.local[1] + chunk.size[1] <= tensor.width,
                    chunk.global[0] + chunk.size[0] <= height, chunk.global[1] + chunk.size[1] <= width
                else {
                    throw corrupt(
                        "has a chunk in \(chunk.file) that reaches outside the tensor of shape \(tensor.shape)"
                    )
                }
                covered += chunk.size[0] * chunk.size[1]
                guard covered <= height * width else { throw corrupt("has chunks that hold a part twice") }
                return TensorView.Block(
                    rows: chunk.global[0]..<chunk.global[0] + chunk.size[0],
                    columns: chunk.global[1]..<chunk.global[1] + chunk.size[1],
                    content: .init(
                        tensor: tensor,
                        row: chunk.local[0],
                        column: chunk.local[1],
                        isTransposed: false,
                        scale: nil
                    )
                )
            }.sorted { ($0.rows.lowerBound, $0.columns.lowerBound) < ($1.rows.lowerBound, $1.columns.lowerBound) }
            guard covered == height * width, TensorView.cover(blocks, height: height, width: width) else {
                throw corrupt("has chunks with gaps or overlaps")
            }
            return GlobalParameter(
                name: parameter.name,
                view: TensorView(elementType: parameter.elementType, shape: parameter.shape, blocks: blocks),
                split: parameter.split,
                stage: parameter.stage,
                layer: parameter.layer,
                parts: parameter.parts
            )
        }
    }
}

/// A Megatron parameter as a whole, whatever files its parts are in.
package struct GlobalParameter: Sendable {
    package var name: String
    package var view: TensorView
    package var split: SplitRule
    package var stage: ParameterMapping.Stage
    package var layer: Int?
    package var parts: Int?

    package init(
        name: String,
        view: TensorView,
        split: SplitRule,
        stage: ParameterMapping.Stage,
        layer: Int? = nil,
        parts: Int? = nil
    ) {
        self.name = name
        self.view = view
        self.split = split
        self.stage = stage
        self.layer = layer
        self.parts = parts
    }

    /// The parameter of an entry of a table.
    package init(_ entry: ParameterTable.Entry, _ view: TensorView) {
        self.init(
            name: entry.megatron,
            view: view,
            split: entry.mapping.split,
            stage: entry.mapping.stage,
            layer: entry.layer,
            parts: entry.mapping.parts
        )
    }
}

extension TensorView {
    /// Whether blocks that together have the right number of elements also have none twice.
    static func cover(_ blocks: [Block], height: Int, width: Int) -> Bool {
        for (index, block) in blocks.enumerated() {
            // Sorted by first row: what starts below this block's last row cannot overlap it.
            for other in blocks[(index + 1)...] {
                if other.rows.lowerBound >= block.rows.upperBound { break }
                if other.columns.overlaps(block.columns) { return false }
            }
        }
        return true
    }
}
