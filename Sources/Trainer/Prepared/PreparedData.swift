import BridgeCore
import JSONTree
import Network

/// Prepared data: a directory with the tokens, labels and images of a data set, and a description.
///
///     prepared.json                       what it was prepared from and with, its counts, and its files with their checksums
///     images.json                         the files of images that it was prepared from, if there are any
///     samples-00001-of-00002.safetensors  rows, see ``PreparedShard``
public struct PreparedData: Sendable {
    /// The name of the description.
    public static let fileName = "prepared.json"
    static let imagesName = "images.json"
    private static let format = "bridge_prepared_data"

    /// Counts of rows, tokens and images.
    public struct Counts: Sendable, Equatable {
        /// Rows of the data set.
        public var rows = 0
        /// Samples: one of each row, or two of a pair.
        public var samples = 0
        /// Tokens, before truncation.
        public var tokens = 0
        /// Tokens that are supervised.
        public var supervised = 0
        /// Images.
        public var images = 0
        /// The number of tokens of the longest sample.
        public var longest = 0

        fileprivate static let fields: [(String, any WritableKeyPath<Counts, Int> & Sendable)] = [
            ("rows", \.rows), ("samples", \.samples), ("tokens", \.tokens), ("supervised_tokens", \.supervised),
            ("images", \.images), ("longest_sample", \.longest),
        ]
    }

    /// A file with rows.
    struct Shard: Sendable, Equatable {
        var file: String
        var rows: Int
        var sha256: String
    }

    /// The directory.
    public internal(set) var path = ""
    /// The SHA-256 of what it was prepared with and of the content that it was prepared from.
    public let key: String
    /// What it was prepared with.
    public let facts: PreparedFacts
    /// The data set, as the recipe names it.
    public let source: String
    /// The files of the data set.
    let files: [SourceFile]
    /// Numbers of what it has.
    public internal(set) var counts = Counts()
    var shards: [Shard] = []
    /// What there is to report about the rows, see ``DataNotes``.
    var notes: JSON = .null
    /// Whether files of images are described in a file beside the description.
    var hasImageFiles = false

    /// Prepared data that is not written yet.
    ///
    /// - Throws: `BridgeError` without the library of checksums.
    init(facts: PreparedFacts, source: String, files: [SourceFile]) throws {
        (self.facts, self.source, self.files) = (facts, source, files)
        let parts: JSON = ["facts": facts.json, "content": .array(files.map { .string($0.sha256) })]
        key = try FileHash.sha256(of: parts.text(pretty: false))
    }

    /// Whether a path is a directory of prepared data.
    public static func isOne(_ path: String) -> Bool { Files.kind(of: Files.join(path, fileName)) == .file }

    /// Opens the description of prepared data.
    ///
    /// - Parameter path: The directory.
    /// - Throws: `BridgeError` for another version, and for a damaged description.
    public init(path: String) throws {
        self.path = Files.trimmed(path)
        let name = Files.join(self.path, Self.fileName)
        let reader = JSONReader(try JSON(contentsOf: name), name: name)
        guard reader.json["format"]?.string == Self.format else {
            throw reader.wrong("format", reader.json["format"], expected: "\"\(Self.format)\"")
        }
        let version = try reader.integer("version")
        guard version == PreparedFacts.version else {
            throw BridgeError(
                .corruptInput,
                "\(name) has the version \(version), this program reads \(PreparedFacts.version); prepare the data again with 'bridge data prepare --overwrite'"
            )
        }
        func list(_ key: String) throws -> [JSONReader] {
            try reader.required(key, "a list", \.array).enumerated().map {
                JSONReader($1, name: "\(name): \(key)[\($0)]")
            }
        }
        key = try reader.string("key")
        facts = try PreparedFacts(reader)
        source = try reader.string("source")
        files = try list("source_files").map { try SourceFile($0) }
        for (key, field) in Counts.fields { counts[keyPath: field] = try reader.integer(key) }
        shards = try list("shards").map { entry in
            let file = try entry.string("file")
            guard Files.isPlainName(file) else {
                throw entry.problem("file is not the name of a file in the directory")
            }
            return Shard(file: file, rows: try entry.integer("rows"), sha256: try entry.string("sha256"))
        }
        guard counts.rows > 0, shards.reduce(0, { $0 + $1.rows }) == counts.rows else {
            throw reader.problem("the rows of the shards are not \(counts.rows), expected at least one row")
        }
        notes = reader.json["notes"] ?? .null
        hasImageFiles = try reader.flag("has_image_files")
    }

    /// The description.
    var json: JSON {
        var json: JSON = [
            "format": .string(Self.format), "version": JSON(PreparedFacts.version), "key": .string(key),
            "source": .string(source), "facts": facts.json, "source_files": .array(files.map(\.json)),
        ]
        for (key, field) in Counts.fields { json.set(JSON(counts[keyPath: field]), at: key) }
        json.set(
            .array(
                shards.map { ["file": .string($0.file), "rows": JSON($0.rows), "sha256": .string($0.sha256)] }
            ),
            at: "shards"
        )
        json.set(notes, at: "notes")
        json.set(.bool(hasImageFiles), at: "has_image_files")
        return json
    }

    /// The files of images that it was prepared from, with paths below the directory of images.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    func imageFiles() throws -> [SourceFile] {
        guard hasImageFiles else { return [] }
        let name = Files.join(path, Self.imagesName)
        let reader = JSONReader(try JSON(contentsOf: name, limit: 1 << 31), name: name)
        return try reader.required("files", "a list", \.array).enumerated().map {
            try SourceFile(JSONReader($1, name: "\(name): files[\($0)]"))
        }
    }

    /// Adds what there is to report about its rows.
    public func report(to notes: DataNotes) { notes.add(kept: self.notes) }

    /// Compares the files with their checksums.
    ///
    /// - Throws: `BridgeError` for a file that is not the one that was written.
    public func check() throws {
        for shard in shards {
            let name = Files.join(path, shard.file)
            let found = try FileHash.sha256(of: name)
            guard found == shard.sha256 else {
                throw BridgeError(
                    .verificationFailed,
                    "\(name) has the SHA-256 \(found), expected \(shard.sha256); prepare the data again with 'bridge data prepare --overwrite'"
                )
            }
        }
    }
}
