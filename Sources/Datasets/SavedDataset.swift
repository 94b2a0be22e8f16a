import BridgeCore
import JSONTree

/// A directory written by `datasets.save_to_disk`: Arrow files, with a `state.json` that lists them, or such a
/// directory for each split with a `dataset_dict.json`.
struct SavedDataset {
    /// The directory of the split.
    let path: String
    /// Its files in their order.
    let files: [String]

    private static let largestFile = 1 << 26

    /// Finds a split; nil where the directory was not written by `save_to_disk`.
    ///
    /// - Throws: `BridgeError` when there is no such split, or the directory does not describe its files.
    init?(path: String, split: String) throws {
        if let splits = try Self.json(path + "/dataset_dict.json") {
            guard let names = splits["splits"]?.array?.map(\.string), !names.contains(nil) else {
                throw BridgeError(.corruptInput, "\(path)/dataset_dict.json has no list of splits")
            }
            let known = names.compactMap { $0 }
            guard known.contains(split), Self.isName(split) else {
                throw BridgeError(
                    .missingSplit,
                    "\(path), which save_to_disk wrote, has no split '\(split)'; choose one of these",
                    names: known
                )
            }
            guard let state = try Self.json("\(path)/\(split)/state.json") else {
                throw BridgeError(
                    .fileSystem,
                    "\(path)/\(split)/state.json does not exist, and dataset_dict.json names the split"
                )
            }
            try self.init(path: "\(path)/\(split)", state: state)
            return
        }
        guard let state = try Self.json(path + "/state.json"), state["_data_files"] != nil else { return nil }
        // A data set that was saved alone is used for training, whatever split it comes from.
        guard split == "train" || state["_split"]?.string == split else {
            throw BridgeError(
                .missingSplit,
                "\(path) is one data set that save_to_disk wrote and has no split '\(split)'; choose this",
                names: ["train"]
            )
        }
        try self.init(path: path, state: state)
    }

    private init(path: String, state: JSON) throws {
        func names(_ key: String) throws -> [String] {
            try (state[key] ?? .null).array?.map { entry in
                guard let name = entry["filename"]?.string, Self.isName(name) else {
                    throw BridgeError(.corruptInput, "\(path)/state.json has no usable file name in \(key)")
                }
                return name
            } ?? []
        }
        guard try names("_indices_data_files").isEmpty else {
            throw BridgeError(
                .corruptInput,
                "\(path) has indices separate from the rows, as old versions of datasets saved it; load it and save it "
                    + "again, or write it with to_parquet"
            )
        }
        files = try names("_data_files")
        guard !files.isEmpty else { throw BridgeError(.corruptInput, "\(path)/state.json lists no data file") }
        self.path = path
    }

    /// Whether a name is one of a file in the directory itself.
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "/") }
    }

    private static func json(_ path: String) throws -> JSON? {
        guard Files.exists(path) else { return nil }
        return try JSON(contentsOf: path, limit: largestFile)
    }
}
