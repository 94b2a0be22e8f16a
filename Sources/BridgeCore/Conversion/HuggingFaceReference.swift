import BridgeSupport
package import CheckpointFormats
package import JSONTree
import TensorFiles
import TensorRuntime

/// The expected content of an exported directory: the source directory's side files, and its weight files' headers.
package struct HuggingFaceReference {
    /// The directory of the reference, for messages.
    let name: String
    package let style: HuggingFaceDirectory.Style
    /// The configuration file's content.
    let configuration: JSON
    let shards: [HuggingFaceDirectory.Shard]
    /// Everything except weights, as paths inside the directory.
    let sideFiles: [(name: String, storage: any ByteStorage)]

    /// The reference that a native checkpoint carries.
    package init(_ checkpoint: NativeCheckpoint) throws {
        let root = Files.join(checkpoint.path, NativeCheckpoint.huggingFaceDirectory)
        guard checkpoint.carriesSource else {
            // What another program wrote: the configuration is translated, and the tokenizer's files are in a directory.
            name = checkpoint.path
            style = checkpoint.manifest.style
            configuration = checkpoint.configuration
            shards = []
            sideFiles = try checkpoint.tokenizerFiles.map {
                (Files.name(of: $0), try CarriedFiles.open($0, in: checkpoint.path))
            }
            return
        }
        let shardRoot = "\(NativeCheckpoint.shardDirectory)/"
        var shards: [HuggingFaceDirectory.Shard] = []
        var sideFiles: [(String, any ByteStorage)] = []
        for file in checkpoint.manifest.files where file.name.hasPrefix("\(NativeCheckpoint.huggingFaceDirectory)/") {
            let path = Files.join(checkpoint.path, file.name)
            if file.name.hasPrefix(shardRoot) {
                let name = String(file.name.dropFirst(shardRoot.count).dropLast(".json".count))
                shards.append(
                    .init(name: name, header: try SafetensorsHeader(parsing: Files.contents(of: path), name: path))
                )
            } else {
                sideFiles.append(
                    (
                        String(file.name.dropFirst(NativeCheckpoint.huggingFaceDirectory.count + 1)),
                        try CarriedFiles.open(file.name, in: checkpoint.path)
                    )
                )
            }
        }
        name = root
        style = checkpoint.manifest.style
        configuration = checkpoint.configuration
        self.shards = shards.map(Self.unpacked)
        self.sideFiles = sideFiles
    }

    /// A Hugging Face directory as the reference.
    package init(_ directory: HuggingFaceDirectory) throws {
        name = directory.path
        style = directory.style
        configuration = directory.configuration
        shards = directory.shards.map(Self.unpacked)
        sideFiles = try directory.sideFiles.map { ($0, try CarriedFiles.open($0, in: directory.path)) }
    }

    /// No source: a configuration alone, with new weight files and no other files.
    package init(configuration: JSON, style: HuggingFaceDirectory.Style) {
        name = "the model's parameter table"
        self.style = style
        self.configuration = configuration
        (shards, sideFiles) = ([], [])
    }

    /// A weight file whose packed weights, and all that describes them, are the weights: those are exported.
    private static func unpacked(_ shard: HuggingFaceDirectory.Shard) -> HuggingFaceDirectory.Shard {
        let ending = Quantisation.packedEnding
        let bases = Set(
            shard.header.entries.filter { $0.name.hasSuffix(ending) }.map { String($0.name.dropLast(ending.count)) }
        )
        guard !bases.isEmpty else { return shard }
        let tensors = shard.header.entries.compactMap { entry -> (String, ElementType, [Int])? in
            if entry.name.hasSuffix(".weight_shape"), bases.contains(String(entry.name.dropLast(".weight_shape".count)))
            {
                return nil
            }
            guard entry.name.hasSuffix(ending) else { return (entry.name, entry.elementType, entry.shape) }
            return ("\(entry.name.dropLast(ending.count)).weight", .int32, entry.shape)
        }
        return .init(name: shard.name, header: SafetensorsHeader(tensors: tensors, metadata: shard.header.metadata))
    }

    /// The names of all tensors.
    var tensorNames: Set<String> { Set(shards.flatMap { $0.header.entries.map(\.name) }) }
}
