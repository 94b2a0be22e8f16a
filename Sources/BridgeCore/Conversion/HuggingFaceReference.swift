import BridgeSupport
package import CheckpointFormats
import JSONTree
import TensorFiles

/// What an exported folder has to look like: the source folder's files besides its weights, and its weight files' headers.
package struct HuggingFaceReference {
    /// The folder the reference stands in, for messages.
    let name: String
    let style: HuggingFaceFolder.Style
    /// The configuration file's content.
    let configuration: JSON
    let shards: [HuggingFaceFolder.Shard]
    /// Everything besides weights, as paths inside the folder.
    let sideFiles: [(name: String, storage: any ByteStorage)]

    /// The reference that a native checkpoint carries.
    package init(_ checkpoint: NativeCheckpoint) throws {
        let root = Files.join(checkpoint.path, NativeCheckpoint.huggingFaceFolder)
        let shardRoot = "\(NativeCheckpoint.shardFolder)/"
        var shards: [HuggingFaceFolder.Shard] = []
        var sideFiles: [(String, any ByteStorage)] = []
        for file in checkpoint.manifest.files where file.name.hasPrefix("\(NativeCheckpoint.huggingFaceFolder)/") {
            let path = Files.join(checkpoint.path, file.name)
            if file.name.hasPrefix(shardRoot) {
                let name = String(file.name.dropFirst(shardRoot.count).dropLast(".json".count))
                shards.append(
                    .init(name: name, header: try SafetensorsHeader(parsing: Files.contents(of: path), name: path))
                )
            } else {
                sideFiles.append(
                    (
                        String(file.name.dropFirst(NativeCheckpoint.huggingFaceFolder.count + 1)),
                        try CarriedFiles.open(file.name, in: checkpoint.path)
                    )
                )
            }
        }
        name = root
        style = checkpoint.manifest.style
        configuration = checkpoint.configuration
        self.shards = shards
        self.sideFiles = sideFiles
    }

    /// A Hugging Face folder as the reference.
    package init(_ folder: HuggingFaceFolder) throws {
        name = folder.path
        style = folder.style
        configuration = folder.configuration
        shards = folder.shards
        sideFiles = try folder.sideFiles.map { ($0, try CarriedFiles.open($0, in: folder.path)) }
    }

    /// The names of all tensors.
    var tensorNames: Set<String> { Set(shards.flatMap { $0.header.entries.map(\.name) }) }
}
