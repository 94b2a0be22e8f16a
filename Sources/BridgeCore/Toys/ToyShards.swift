import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime

/// The weight files of a toy: tensors in shards as on the hub, and their index.
struct ToyShards {
    /// The shards, each with its tensors in the order of their bytes.
    let shards: [(name: String, tensors: [StoredTensor])]

    /// Divides tensors into files in their order.
    ///
    /// A model that would fit into one file gets two or three, so that there is an index to read.
    init(_ tensors: [StoredTensor]) {
        let total = tensors.reduce(0) { $0 + $1.byteCount }
        let limit = total > ShardPlanner.largestShard ? ShardPlanner.largestShard : (total + 1) / 2
        // safetensors' own writer sorts the tensors of a file by name.
        shards = ShardPlanner.shards(tensors, limit: limit, prefix: "model", byteCount: \.byteCount).map {
            ($0.name, $0.tensors.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) })
        }
    }

    /// The files.
    var plannedFiles: [PlannedFile] {
        let weights = shards.map { name, tensors in
            PlannedFile.safetensors(
                name: name,
                header: SafetensorsHeader(
                    tensors: tensors.map { ($0.name, $0.elementType, $0.shape) },
                    metadata: JSONObject([("format", "pt")])
                ),
                views: tensors.map { TensorView($0) }
            )
        }
        return weights + [.literal(name: "model.safetensors.index.json", index.text())]
    }

    private var index: JSON {
        let homes = shards.flatMap { name, tensors in tensors.map { (tensor: $0.name, file: name) } }
        let size = shards.reduce(0) { $1.tensors.reduce($0) { $0 + $1.byteCount } }
        return ShardIndex.json(homes, byteCount: size)
    }
}
