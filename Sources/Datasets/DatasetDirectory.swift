import BridgeCore
import Glibc
import Yams

/// A directory with the files of a data set: which of them make up which configuration and split.
///
/// The rules are those of the hub: https://huggingface.co/docs/hub/datasets-data-files-configuration
package struct DatasetDirectory {
    private typealias Splits = [(name: String, files: [String])]

    /// The directory.
    let path: String
    private let files: [String]

    init(path: String) throws {
        self.path = path
        var files: [String] = []
        // Links to directories are skipped, as are hidden files.
        try Files.walk(path, depth: 8) { entry in
            guard !entry.name.hasPrefix(".") else { return false }
            if entry.kind != .directory || entry.isLink, Self.isData(entry.path) { files.append(entry.path) }
            return !entry.isLink
        }
        self.files = Self.ordered(files)
    }

    /// A directory of which only some of the files are cached, README.md among them if there is one.
    init(path: String, listing: [String]) {
        self.path = path
        files = Self.ordered(listing.filter(Self.isData))
    }

    /// Whether a path is that of a file with rows.
    package static func isData(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        // `datasets` stores the results of its transformations in the directory of a data set.
        if parts.last?.hasPrefix("cache-") == true, path.hasSuffix(".arrow") { return false }
        return !parts.contains { $0.hasPrefix(".") } && parts.last.map { !sideFiles.contains(String($0)) } ?? false
            && ([".parquet", ".arrow"] + texts + compressedTexts).contains(where: path.hasSuffix)
    }

    private static let texts = [".jsonl", ".json"]
    private static let compressedTexts = texts.flatMap { [$0 + ".gz", $0 + ".zst"] }

    /// The data files in their order; of a file that is there unpacked as well, not the compressed one.
    private static func ordered(_ files: [String]) -> [String] {
        let names = Set(files)
        return files.filter { file in
            let packed = compressedTexts.contains(where: file.hasSuffix)
            return !packed || !names.contains(String(file[..<(file.lastIndex(of: ".") ?? file.endIndex)]))
        }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// The files of a split.
    func files(config: String?, split: String) throws -> (config: String, split: String, files: [String]) {
        let configs = try declared() ?? guessed()
        let names = configs.map(\.name)
        guard !configs.isEmpty else {
            throw BridgeError(
                .fileSystem,
                "\(path) has no file with rows (.parquet, .arrow, .jsonl, .json, or one of the last two with .gz or .zst); name the "
                    + "directory of a data set"
            )
        }
        let preset = configs.count == 1 ? names[0] : configs.first { $0.isDefault || $0.name == "default" }?.name
        guard let wanted = config ?? preset, let chosen = configs.first(where: { $0.name == wanted }) else {
            throw BridgeError(
                .badArgument,
                config.map { "\(path) has no configuration '\($0)'; choose one of these" }
                    ?? "\(path) has several configurations and no default; choose one of these",
                names: names
            )
        }
        let splits = chosen.splits
        guard let found = splits.first(where: { $0.name == split }), !found.files.isEmpty else {
            throw BridgeError(
                .missingSplit,
                "configuration \(wanted) of \(path) has no split '\(split)' with files; choose one of these",
                names: splits.filter { !$0.files.isEmpty }.map(\.name)
            )
        }
        return (wanted, split, found.files)
    }

    private typealias Config = (name: String, isDefault: Bool, splits: Splits)

    /// The configurations that the head of README.md declares; nil where it declares none.
    private func declared() throws -> [Config]? {
        let readme = path + "/README.md"
        guard let bytes = try? Files.contents(of: readme, limit: 1 << 24), let block = Self.configBlock(bytes) else {
            return nil
        }
        // Yams parses by recursion, and no list of files is nested deeply.
        guard block.utf8.count <= 1 << 16, block.utf8.count(where: { "[{".utf8.contains($0) }) <= 256,
            block.split(separator: "- ", omittingEmptySubsequences: false).count <= 4096,
            !block.contains("- - - -"), !block.contains(String(repeating: " ", count: 100))
        else { throw BridgeError(.corruptInput, "the configs of \(readme) are too large or too deeply nested") }
        let root: Node?
        do { root = try Yams.compose(yaml: block) } catch {
            throw BridgeError(.corruptInput, "the head of \(readme) is not valid YAML", cause: error)
        }
        guard let list = root?.mapping?["configs"]?.sequence else { return nil }
        var configs: [Config] = []
        for entry in list {
            let name = entry.mapping?["config_name"]?.string ?? "default"
            let prefix = entry.mapping?["data_dir"]?.string.map { $0.hasSuffix("/") ? $0 : $0 + "/" } ?? ""
            let isDefault = entry.mapping?["default"]?.bool ?? false
            guard let data = entry.mapping?["data_files"] else {
                let inside = files.filter { $0.hasPrefix(prefix) }
                configs.append((name, isDefault, Self.splits(of: inside, below: prefix)))
                continue
            }
            var splits: Splits = []
            func add(_ split: String, _ patterns: Node?) {
                let globs = patterns?.sequence.map { $0.compactMap(\.string) } ?? patterns?.string.map { [$0] } ?? []
                // In the order of the patterns, and again for each that fits, as `datasets` has it.
                let found = globs.flatMap { glob in files.filter { Self.matches($0, prefix + glob) } }
                if let index = splits.firstIndex(where: { $0.name == split }) {
                    splits[index].files += found
                } else {
                    splits.append((split, found))
                }
            }
            if let parts = data.sequence, parts.contains(where: { $0.mapping != nil }) {
                for part in parts { add(part.mapping?["split"]?.string ?? "train", part.mapping?["path"]) }
            } else if let mapping = data.mapping {
                for (split, patterns) in mapping { add(split.string ?? "train", patterns) }
            } else {
                add("train", data)
            }
            configs.append((name, isDefault, splits))
        }
        return configs.isEmpty ? nil : configs
    }

    /// The lines of the head's key `configs`, with the key.
    private static func configBlock(_ bytes: [UInt8]) -> String? {
        let lines = String(decoding: bytes, as: UTF8.self).split(omittingEmptySubsequences: false) { $0.isNewline }
        guard lines.first == "---" else { return nil }
        let head = lines.dropFirst().prefix { $0 != "---" }
        guard let start = head.firstIndex(where: { $0.hasPrefix("configs:") }) else { return nil }
        let rest = head[(start + 1)...].prefix {
            $0.isEmpty || $0.hasPrefix(" ") || $0.hasPrefix("-") || $0.hasPrefix("#")
        }
        return ([head[start]] + rest).joined(separator: "\n")
    }

    /// The configurations that follow from the names of the files.
    private func guessed() -> [Config] {
        // JSON next to Parquet files is metadata; alone it is the data.
        let parquet = self.files.filter { $0.hasSuffix(".parquet") }
        let tables = parquet.isEmpty ? self.files.filter { $0.hasSuffix(".arrow") } : parquet
        let files = tables.isEmpty ? self.files : tables
        let directories = Set(
            files.compactMap { $0.contains("/") ? $0.split(separator: "/").first.map(String.init) : nil }
        )
        let configs = directories.filter { $0 != "data" && Self.keyword(in: $0) == nil }.sorted()
        let rest = files.filter { file in !configs.contains { file.hasPrefix($0 + "/") } }
        if !rest.isEmpty || configs.isEmpty {
            return rest.isEmpty ? [] : [("default", true, Self.splits(of: rest, below: ""))]
        }
        return configs.map { name in
            (name, false, Self.splits(of: files.filter { $0.hasPrefix(name + "/") }, below: name + "/"))
        }
    }

    /// Sorts files into splits by their names, `train` where a name has no split.
    private static func splits(of files: [String], below prefix: String) -> Splits {
        var splits: Splits = []
        for file in files {
            let name = String(file.dropFirst(prefix.count))
            let stem = name.split(separator: "/").last.map(String.init) ?? name
            // `<split>-00000-of-00004.parquet` names any split.
            let shard = stem.firstMatch(of: #/^(\w+)-\d{5}-of-\d{5,}/#).map { String($0.output.1) }
            let split = shard ?? keyword(in: name) ?? "train"
            if let index = splits.firstIndex(where: { $0.name == split }) {
                splits[index].files.append(file)
            } else {
                splits.append((split, [file]))
            }
        }
        return splits
    }

    /// The split that a name speaks of, by the words that `datasets` looks for.
    private static func keyword(in name: String) -> String? {
        let words = name.lowercased().split { !$0.isLetter }
        let known = [
            ("test", ["test", "testing", "eval", "evaluation"]),
            ("validation", ["validation", "valid", "dev", "val"]),
            ("train", ["train", "training"]),
        ]
        return known.first { $0.1.contains { words.contains(Substring($0)) } }?.0
    }

    /// Whether a path fits a pattern, in which `*` stays within a directory and `**` does not.
    static func matches(_ path: String, _ pattern: String) -> Bool {
        var pieces = pattern.split(separator: "/").map(String.init)
        if pieces.first == "." { pieces.removeFirst() }
        let parts = path.split(separator: "/").map(String.init)
        // The part numbers that the files so far cover.
        var reached = [true] + Array(repeating: false, count: parts.count)
        for piece in pieces {
            var next = Array(repeating: false, count: parts.count + 1)
            for index in 0...parts.count {
                if piece == "**" {
                    next[index] = reached[index] || (index > 0 && next[index - 1])
                } else if index > 0, reached[index - 1] {
                    next[index] = fnmatch(piece, parts[index - 1], 0) == 0
                }
            }
            reached = next
        }
        return reached[parts.count]
    }

    /// JSON files that describe a data set and are none of its rows.
    private static let sideFiles: Set<String> = [
        "dataset_infos.json", "dataset_dict.json", "dataset_info.json", "state.json",
    ]
}
