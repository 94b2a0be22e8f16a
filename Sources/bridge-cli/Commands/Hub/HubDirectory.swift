import BridgeCore
import Foundation

/// The directories that commands are given: those that are here, and those of repositories on the hub, by their ids.
///
/// Every command comes through here, so that a download looks the same and is stopped the same way everywhere.
enum HubDirectory {
    /// The hub that the environment describes, with a progress bar where a person is watching.
    static func hub(_ cachePolicy: Hub.CachePolicy = .ifMissing) -> Hub {
        let context = Watch.context(endsBarWhenDone: true)
        let environment = HubEnvironment(variables: ProcessInfo.processInfo.environment)
        return Hub(environment: environment, context: context, cachePolicy: cachePolicy)
    }

    /// The directory that a person means, downloaded where it is not here.
    static func resolve(_ text: String, for purpose: HubPurpose = .model) throws -> String {
        try watched { try $0.directory(of: text, for: purpose) }
    }

    /// Does something with a model that may still be on its way from the hub.
    ///
    /// - Parameters:
    ///   - text: A directory or an id.
    ///   - catalog: The families.
    ///   - path: Where the result goes, when no copy of what comes from the hub is to stay; nil to keep it in the cache.
    ///   - body: What is done.
    /// - Returns: What `body` returns.
    /// - Throws: `BridgeError`, and what `body` throws.
    static func whileDownloading<Result>(
        _ text: String,
        _ catalog: PluginCatalog,
        keepingNoCopyBeside path: String?,
        _ body: (AutoBridge) throws -> Result
    ) throws -> Result {
        try watched { hub in
            var hub = hub
            var location: URL?
            // What is in the cache need not come again.
            if let path, (try? hub.isHere(text)) != true {
                let target = URL(filePath: path).standardizedFileURL
                location = target.deletingLastPathComponent().appending(path: ".\(target.lastPathComponent).source")
                hub.environment.cache = location?.path ?? ""
            }
            defer { if let location { try? FileManager.default.removeItem(at: location) } }
            return try AutoBridge.whileDownloading(text, catalog: catalog, hub: hub) { bridge in
                // From here on the bar is that of what is done.
                Watch.bar.finish()
                return try body(bridge)
            }
        }
    }

    /// A model that is only to be described: of one on the hub come the headers of its weight files and no weight.
    static func planning(_ text: String, _ catalog: PluginCatalog) throws -> AutoBridge {
        try watched { try .forPlanning(text, catalog: catalog, hub: $0) }
    }

    /// The processor of a model of any kind, of which no weights are needed.
    static func processor(_ text: String, _ catalog: PluginCatalog) throws -> any ModelProcessor {
        try AutoBridge.forProcessing(resolve(text, for: .processor), catalog: catalog).processor()
    }

    /// Does something with the hub; Ctrl-C then ends it in good order, so that what has come is gone on with.
    static func watched<Result>(
        _ cachePolicy: Hub.CachePolicy = .ifMissing,
        _ body: (Hub) throws -> Result
    ) throws -> Result {
        try Watch.run { _ in try body(hub(cachePolicy)) }
    }
}
