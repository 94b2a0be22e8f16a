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
    /// - Throws: `BridgeError` for a file that is no index or that names files outside its folder.
    package init(path: String) throws { try self.init(path: path, json: JSON(contentsOf: path)) }

    package init(path: String, json: JSON) throws {
        guard let weightMap = json["weight_map"]?.object, !weightMap.isEmpty else {
            throw BridgeError(.corruptInput, "\(path) has no weight_map with tensors in it")
        }
        var files: Set<String> = []
        for (tensor, file) in weightMap {
            guard let file = file.string, Files.isPlainName(file), file.hasSuffix(".safetensors") else {
                let text = String(decoding: file.text(pretty: false), as: UTF8.self)
                throw BridgeError(
                    .corruptInput,
                    "\(path) places \(tensor) in \(text), expected the name of a .safetensors file in the same folder"
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
                ? nil : "\(tensor): \(file.string ?? "?") lists it, \(homes[tensor] ?? "no file") holds it"
        }
        let unlisted = homes.keys.filter { weightMap[$0] == nil }.sorted().map { "\($0): not in the index" }
        guard wrong.isEmpty, unlisted.isEmpty else {
            throw BridgeError(
                .corruptInput,
                "\(path) and the files beside it disagree about \(wrong.count + unlisted.count) tensors; fetch the index and the files again",
                names: wrong + unlisted
            )
        }
    }
}
