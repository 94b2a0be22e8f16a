import BridgeCore
import JSONTree

/// The cache of the hub: where it is, what it holds, and whether it can be written.
struct CacheCheck {
    /// The directory, which need not exist yet.
    let path: String
    /// The time for the sizes of its files.
    var limit: Duration = .seconds(1)

    func run() -> Finding {
        let directory = DiskCheck.existing(path)
        guard Files.kind(of: directory) == .directory, Files.isWritable(directory) else {
            return Finding(
                .failed,
                "\(directory) cannot be written",
                advice: "correct its permissions, or set HF_HUB_CACHE to another directory",
                facts: ["path": .string(path)]
            )
        }
        guard directory == path else {
            return Finding(.ok, "\(path), which the first download makes", facts: ["path": .string(path)])
        }
        let cache = HubCache(path: path)
        let repositories: [HubCache.CachedRepository]?
        do { repositories = try TimedTask { try cache.repositories() }.value(atMost: limit) } catch {
            return Finding(.failed, (error as? BridgeError)?.message ?? "\(error)", facts: ["path": .string(path)])
        }
        guard let repositories else {
            return Finding(.ok, "\(path), too large to be counted in time", facts: ["path": .string(path)])
        }
        let size = repositories.reduce(0) { $0 + $1.byteCount }
        let count = repositories.count == 1 ? "1 repository" : "\(repositories.count) repositories"
        return Finding(
            .ok,
            "\(path), \(count), \(ByteFormat.text(size))",
            facts: ["path": .string(path), "repositories": JSON(repositories.count), "bytes": JSON(size)]
        )
    }
}
