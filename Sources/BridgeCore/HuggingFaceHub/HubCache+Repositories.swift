import BridgeSupport
public import CheckpointFormats
import Glibc
import Network

extension HubCache {
    /// A repository in the cache.
    public struct CachedRepository: Sendable {
        /// Its id.
        public var id: String
        /// Its type.
        public var kind: HubRepository.Kind
        /// The bytes of its contents.
        public var byteCount: Int
        /// The bytes of incomplete downloads.
        public var incompleteByteCount: Int
        /// The cached branches and tags, and commits without one; sorted.
        public var revisions: [String]
        fileprivate var directory: String
    }

    /// The cached repositories, by id.
    ///
    /// - Throws: `BridgeError` when the directory cannot be read.
    public func repositories() throws -> [CachedRepository] {
        guard Files.kind(of: path) == .directory else { return [] }
        return try Files.list(path).compactMap { name in
            for kind in HubRepository.Kind.allCases where name.hasPrefix("\(kind.rawValue)s--") {
                let id = name.dropFirst(kind.rawValue.count + 3).split(separator: "--").joined(separator: "/")
                return try cachedRepository(id, kind, Files.join(path, name))
            }
            return nil
        }.sorted { ($0.id, $0.kind.rawValue) < ($1.id, $1.kind.rawValue) }
    }

    private func cachedRepository(_ id: String, _ kind: HubRepository.Kind, _ directory: String) throws
        -> CachedRepository
    {
        let blobs = Files.join(directory, "blobs")
        let contents = Files.kind(of: blobs) == .directory ? try Files.list(blobs) : []
        let parts = contents.filter { $0.hasSuffix(".incomplete") }
        func size(_ names: [String]) -> Int { names.reduce(0) { $0 + Self.blocks(of: Files.join(blobs, $1)) } }
        var named: [String] = []
        var commits: Set<String> = []
        let references = Files.join(directory, "refs")
        if Files.kind(of: references) == .directory {
            try Files.walk(references) { entry in
                if entry.kind != .directory,
                    let bytes = try? Files.contents(of: Files.join(references, entry.path), limit: 256)
                {
                    named.append(entry.path)
                    commits.insert(String(decoding: bytes, as: UTF8.self).trimmed)
                }
                return true
            }
        }
        let snapshots = Files.join(directory, "snapshots")
        let others =
            Files.kind(of: snapshots) == .directory ? try Files.list(snapshots).filter { !commits.contains($0) } : []
        // The blobs first: a hard link to a blob takes no space of its own.
        var seen: Set<UInt64> = []
        for name in parts {
            var status = stat()
            if stat(Files.join(blobs, name), &status) == 0 { seen.insert(UInt64(status.st_ino)) }
        }
        let byteCount = Self.bytesWithoutLinks(in: blobs, &seen) + Self.bytesWithoutLinks(in: snapshots, &seen)
        return CachedRepository(
            id: id,
            kind: kind,
            byteCount: byteCount,
            incompleteByteCount: size(parts),
            revisions: named.sorted() + others,
            directory: directory
        )
    }

    /// The bytes of the files in a directory that are not links and were not counted before under another name.
    ///
    /// Where links cannot be made, huggingface_hub stores the contents in the snapshots.
    private static func bytesWithoutLinks(in directory: String, _ seen: inout Set<UInt64>) -> Int {
        guard Files.kind(of: directory) == .directory else { return 0 }
        var sum = 0
        try? Files.walk(directory, skipsUnreadable: true) { entry in
            if entry.kind == .file, !entry.isLink, seen.insert(entry.inode).inserted { sum += entry.byteCount }
            return !entry.isLink
        }
        return sum
    }

    /// The bytes that a file takes on the disk; an incomplete one has holes.
    static func blocks(of path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
    }

    /// Removes a repository, unless a program is downloading it.
    ///
    /// - Throws: `BridgeError` when a program downloads it, or the directory cannot be removed.
    public func remove(_ repository: CachedRepository) throws {
        let locks = "\(path)/.locks/\(Files.name(of: repository.directory))"
        var taken: [FileLock] = []
        for name in Files.kind(of: locks) == .directory ? try Files.list(locks) : [] {
            guard let lock = try FileLock.take(Files.join(locks, name)) else {
                throw BridgeError(
                    .destinationTaken,
                    "\(repository.id) is being downloaded; wait until it is complete, or stop that download"
                )
            }
            taken.append(lock)
        }
        try withExtendedLifetime(taken) { try Files.remove(repository.directory) }
    }
}
