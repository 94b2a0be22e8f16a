import BridgeSupport
package import JSONTree

/// The index of a checkpoint in several files: which tensor is in which.
package struct ShardIndex {
    /// The index's own name.
    let name: String
    /// The files, sorted by name.
    package let files: [String]

    private let path: String
    private let weightMap: JSONObject

    /// Reads an index.
    ///
    /// - Throws: `BridgeError` for an invalid index and for one with files outside its directory.
    package init(path: String) throws { try self.init(path: path, json: JSON(contentsOf: path)) }

    package init(path: String, json: JSON) throws {
        guard let weightMap = json["weight_map"]?.object, !weightMap.isEmpty else {
            throw BridgeError(.corruptInput, "\(path) has no weight_map with tensors in it")
        }
        var files: Set<String> = []
        for (tensor, file) in weightMap {
            guard let file = file.string, Files.isPlainName(file), file.hasSuffix(".safetensors") else {
                let text = file.compactText
                throw BridgeError(
                    .corruptInput,
                    "weight_map of \(path) has \(tensor) in \(text), expected the name of a .safetensors file in the same directory; "
                        + "download the index again, or correct the name"
                )
            }
            files.insert(file)
        }
        self.path = path
        name = Files.name(of: path)
        self.files = files.sorted()
        self.weightMap = weightMap
    }

    /// Compares the index with what the files hold.
    ///
    /// - Parameter homes: The file that each tensor was found in.
    /// - Throws: `BridgeError` naming every tensor that is somewhere else.
    func check(against homes: [String: String]) throws {
        let wrong = weightMap.compactMap { tensor, file in
            homes[tensor] == file.string
                ? nil : "\(tensor): weight_map has \(file.string ?? "?"), found in \(homes[tensor] ?? "no file")"
        }
        let unlisted = homes.sorted { $0.key < $1.key }.filter { weightMap[$0.key] == nil }
            .map { "\($0.key): not in weight_map, found in \($0.value)" }
        guard wrong.isEmpty, unlisted.isEmpty else {
            throw BridgeError(
                .corruptInput,
                "weight_map of \(path) does not match the weight files next to it: \(ByteFormat.counted(wrong.count, "tensor")) found in "
                    + "another file or in none, \(unlisted.count) not listed; expected every tensor in the file that weight_map names. "
                    + "Download the index and the weight files again from one revision, or correct weight_map",
                names: wrong + unlisted
            )
        }
    }

    /// The content of an index.
    ///
    /// - Parameters:
    ///   - homes: Each tensor with the name of its file.
    ///   - byteCount: The bytes of all tensors.
    /// - Returns: The index, with the tensors in the order of the bytes of their names.
    package static func json(_ homes: [(tensor: String, file: String)], byteCount: Int) -> JSON {
        let sorted = homes.sorted { $0.tensor.utf8.lexicographicallyPrecedes($1.tensor.utf8) }
        return [
            "metadata": ["total_size": JSON(byteCount)],
            "weight_map": .object(JSONObject(sorted.map { ($0.tensor, .string($0.file)) })),
        ]
    }
}
