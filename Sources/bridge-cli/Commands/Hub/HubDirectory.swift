import BridgeCore
import Foundation

/// The directories of commands: local ones, and repositories of the hub by id.
///
/// All commands use this, so that downloads have the same output and handling of signals.
enum HubDirectory {
    /// The hub of the environment, with a progress bar on a terminal.
    static func hub(_ cachePolicy: Hub.CachePolicy = .ifMissing) -> Hub {
        let context = Watch.context(endsBarWhenDone: true)
        let environment = HubEnvironment(variables: ProcessInfo.processInfo.environment)
        return Hub(environment: environment, context: context, cachePolicy: cachePolicy)
    }

    /// The directory of a path or an id, downloaded if necessary.
    static func resolve(_ text: String, for purpose: HubPurpose = .model) throws -> String {
        try watched { try $0.directory(of: text, for: purpose) }
    }

    /// Uses a model that may still be downloading from the hub.
    ///
    /// - Parameters:
    ///   - text: A directory or an id.
    ///   - catalog: The families.
    ///   - path: The destination of the result, if the download is not kept; nil to keep it in the cache.
    ///   - body: The work.
    /// - Returns: What `body` returns.
    /// - Throws: `BridgeError`, and errors of `body`.
    static func whileDownloading<Result>(
        _ text: String,
        _ catalog: PluginCatalog,
        keepingNoCopyBeside path: String?,
        _ body: (AutoBridge) throws -> Result
    ) throws -> Result {
        try watched { hub in
            var hub = hub
            var source: TemporaryCache?
            // Files in the cache are not downloaded again.
            if let path, (try? hub.isHere(text)) != true {
                source = try TemporaryCache(nextTo: path)
                hub.environment.cache = source?.path ?? ""
            }
            defer { withExtendedLifetime(source) {} }
            return try AutoBridge.whileDownloading(text, catalog: catalog, hub: hub) { bridge in
                // From here on the bar shows the progress of the work.
                Watch.bar.finish()
                return try body(bridge)
            }
        }
    }

    /// A model for inspection: of a model on the hub only the headers of its weight files are downloaded.
    static func planning(_ text: String, _ catalog: PluginCatalog) throws -> AutoBridge {
        try watched { try .forPlanning(text, catalog: catalog, hub: $0) }
    }

    /// The processor of a model of any kind; no weights are needed.
    static func processor(_ text: String, _ catalog: PluginCatalog) throws -> any ModelProcessor {
        try processing(text, catalog).processor()
    }

    /// A model of any kind for its processor; no weights are needed.
    static func processing(_ text: String, _ catalog: PluginCatalog) throws -> AutoBridge {
        try AutoBridge.forProcessing(resolve(text, for: .processor), catalog: catalog)
    }

    /// Uses the hub; Ctrl-C stops downloads cleanly, so that they can be resumed.
    static func watched<Result>(
        _ cachePolicy: Hub.CachePolicy = .ifMissing,
        _ body: (Hub) throws -> Result
    ) throws -> Result {
        try Watch.run { _ in try body(hub(cachePolicy)) }
    }
}

/// A cache next to a result, for a download that is not kept; removed at the end.
private final class TemporaryCache {
    let path: String
    private let lock: FileLock

    /// - Throws: `BridgeError` when another run downloads for the same result.
    init(nextTo result: String) throws {
        let target = Destination.resolved(result)
        path = Files.join(Files.parent(of: target), ".\(Files.name(of: target)).source")
        guard let lock = try FileLock.take("\(path).lock", isTemporary: true) else {
            throw BridgeError(
                .destinationTaken,
                "another run is writing \(result); wait for it, or choose another directory"
            )
        }
        self.lock = lock
    }

    deinit { try? Files.remove(path) }
}
