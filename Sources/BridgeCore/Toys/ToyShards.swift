import CheckpointFormats
import JSONTree
import TensorFiles
import TensorRuntime

/// The weight files of a toy: tensors in shards as on the hub, and their index.
struct ToyShards {
    /// The size above which the hub starts a new file.
    static let largestShard = 5_000_000_000

    /// The shards, each with its tensors in the order of their bytes.
    let shards: [(name: String, tensors: [StoredTensor])]

    /// Spreads tensors over files in the order in which they come.
    ///
    /// A model that would fit into one file gets two or three, so that there is an index to read.
    init(_ tensors: [StoredTensor]) {
        let total = tensors.reduce(0) { $0 + $1.byteCount }
        let limit = total > Self.largestShard ? Self.largestShard : (total + 1) / 2
        var parts: [[StoredTensor]] = []
        var size = 0
        for tensor in tensors {
            if parts.isEmpty || size + tensor.byteCount > limit {
                parts.append([])
                size = 0
            }
            parts[parts.count - 1].append(tensor)
            size += tensor.byteCount
        }
        let count = parts.count
        // safetensors' own writer sorts the tensors of a file by name.
        shards = parts.enumerated().map { index, part in
            (
                "model-\(Self.padded(index + 1))-of-\(Self.padded(count)).safetensors",
                part.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
            )
        }
    }

    /// The files.
    var images: [PlannedFile] {
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
        let homes = shards.flatMap { name, tensors in tensors.map { ($0.name, name) } }
        let size = shards.reduce(0) { $1.tensors.reduce($0) { $0 + $1.byteCount } }
        let sorted = homes.sorted { Array($0.0.utf8).lexicographicallyPrecedes(Array($1.0.utf8)) }
        return [
            "metadata": ["total_size": .number(JSONNumber(size))],
            "weight_map": .object(JSONObject(sorted.map { ($0, .string($1)) })),
        ]
    }

    private static func padded(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }
}
