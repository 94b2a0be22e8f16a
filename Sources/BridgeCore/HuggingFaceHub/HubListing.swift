import BridgeSupport
import JSONTree

/// A file of a repository, as the hub lists it.
public struct HubFile: Sendable, Hashable {
    /// Its path inside the repository.
    public var path: String
    /// Its size in bytes.
    public var byteCount: Int
    /// The git object id of its content, or of its LFS pointer: 40 hexadecimal digits.
    public var blobID: String
    /// The SHA-256 of its content if it is an LFS file: 64 hexadecimal digits.
    public var sha256: String?
    /// The id of its content in Xet storage, kept for huggingface_hub.
    var xetHash: String?

    /// The largest size of a file: hubs accept no larger ones, and the sum of a listing's sizes cannot overflow.
    private static let mostBytes = 1 << 40

    /// The name of its content in the cache.
    var blobName: String { sha256 ?? blobID }

    /// The file of an entry in a response of the hub; nil for a directory.
    ///
    /// - Throws: `BridgeError` for an invalid entry.
    init?(response: JSON, of location: String) throws {
        guard response["type"]?.string != "directory" else { return nil }
        try self.init(
            path: response["path"]?.string,
            byteCount: response["lfs"]?["size"]?.integer ?? response["size"]?.integer,
            blobID: response["oid"]?.string,
            sha256: response["lfs"]?["oid"]?.string,
            xetHash: response["xetHash"]?.string,
            of: location
        )
    }

    /// The file of an entry in a cached listing.
    fileprivate init(path: String, cached: JSON, of location: String) throws {
        try self.init(
            path: path,
            byteCount: cached["lfs_size"]?.integer ?? cached["size"]?.integer,
            blobID: cached["blob_id"]?.string,
            sha256: cached["lfs_sha256"]?.string,
            xetHash: cached["xet_hash"]?.string,
            of: location
        )
    }

    /// A cached file of which nothing else is known.
    init(path: String, byteCount: Int, blobID: String) {
        self.path = path
        self.byteCount = byteCount
        self.blobID = blobID
    }

    private init(
        path: String?,
        byteCount: Int?,
        blobID: String?,
        sha256: String?,
        xetHash: String?,
        of location: String
    ) throws {
        func isHexadecimal(_ text: String, _ count: Int) -> Bool {
            text.utf8.count == count && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        }
        guard let path, Self.isPlain(path), let byteCount, byteCount >= 0, byteCount <= Self.mostBytes, let blobID,
            isHexadecimal(blobID, 40), sha256.map({ isHexadecimal($0, 64) }) ?? true
        else {
            throw BridgeError(
                .network,
                "\(location) lists '\(path ?? "?")' with size \(byteCount.map { "\($0)" } ?? "?") and content "
                    + "'\(sha256 ?? blobID ?? "?")', which is not a file of a repository; check HF_ENDPOINT"
            )
        }
        self.path = path
        self.byteCount = byteCount
        self.blobID = blobID
        self.sha256 = sha256
        self.xetHash = xetHash
    }

    /// Whether a path stays inside its directory.
    private static func isPlain(_ path: String) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { Files.isPlainName(String($0)) }
            && path.utf8.count < 1024 && !path.utf8.contains { $0 < 32 || $0 == 127 }
    }
}

/// All files of a repository at one commit.
///
/// A commit never changes, so its listing is stored in `trees/COMMIT.json`, as huggingface_hub 2.4 does.
public struct HubListing: Sendable {
    /// The commit.
    public var commit: String
    /// The files, sorted by path.
    public var files: [HubFile]
    /// Whether it lists the cached files only, because the hub could not be requested.
    var isOfTheCache = false
    /// Whether it was read from the cache.
    private(set) var isKept = false

    init(commit: String, files: [HubFile]) {
        self.commit = commit
        self.files = files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    /// The file of a path.
    public func file(_ path: String) -> HubFile? { files.first { $0.path == path } }

    private static let formatVersion = 1

    /// A listing from the cache.
    ///
    /// - Throws: `BridgeError` for another format.
    init(commit: String, cached json: JSON, at location: String) throws {
        guard json["format_version"]?.integer == Self.formatVersion, let entries = json["files"]?.object else {
            throw BridgeError(.corruptInput, "\(location) is not a listing of format \(Self.formatVersion)")
        }
        try self.init(commit: commit, files: entries.map { try HubFile(path: $0.key, cached: $0.value, of: location) })
        isKept = true
    }

    /// The listing as it is stored in the cache.
    var json: JSON {
        let entries = files.map { file in
            var entry: JSON = ["size": JSON(file.byteCount), "blob_id": .string(file.blobID)]
            if let sha256 = file.sha256 {
                entry.set(.string(sha256), at: "lfs_sha256")
                entry.set(JSON(file.byteCount), at: "lfs_size")
            }
            if let xetHash = file.xetHash { entry.set(.string(xetHash), at: "xet_hash") }
            return (file.path, entry)
        }
        return ["format_version": JSON(Self.formatVersion), "files": .object(JSONObject(entries))]
    }
}
