import BridgeSupport
import CheckpointFormats
public import HuggingFaceHub
public import ModelPlugins

extension AutoBridge {
    /// The bridge for inspecting a model: of a model on the hub, only the headers of the weight files are downloaded,
    /// no weights.
    ///
    /// ``plan(_:)`` works; methods that read weights which were not downloaded throw.
    ///
    /// - Parameters:
    ///   - text: A directory, or `org/name` or `org/name@revision`.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    ///   - hub: The hub for repository ids; by default that of the process's environment.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when there is no model, no plugin supports it, or the download fails.
    public static func forPlanning(
        _ text: String,
        catalog: PluginCatalog? = nil,
        hub: Hub = .standard
    ) throws -> AutoBridge {
        guard let repository = HubRepository(meantBy: text) else {
            return try fromHF(text, catalog: catalog, hub: hub)
        }
        let snapshot = try hub.snapshot(of: repository)
        let directory = try HuggingFaceDirectory(path: snapshot.directory, elsewhere: snapshot.fetchHeaders())
        return try AutoBridge(directory: directory, catalog: catalog ?? .standard())
    }

    /// Uses a model of the hub while it is downloaded: a conversion starts with the first downloaded weights.
    ///
    /// A local directory, or a complete repository in the cache, is used without a download.
    ///
    /// - Parameters:
    ///   - text: A directory, or `org/name` or `org/name@revision`.
    ///   - catalog: The supported families; nil for the plugins next to the core's library.
    ///   - hub: The hub for repository ids. Its context's cancellation stops the download, also when `body` fails.
    ///   - body: The work with the bridge. A conversion is moved to its destination only after all checksums were verified.
    /// - Returns: What `body` returns.
    /// - Throws: `BridgeError`, and errors of `body`; the conversion's destination is then unchanged.
    public static func whileDownloading<Result>(
        _ text: String,
        catalog: PluginCatalog? = nil,
        hub: Hub = .standard,
        _ body: (AutoBridge) throws -> Result
    ) throws -> Result {
        guard let repository = HubRepository(meantBy: text) else {
            return try body(fromHF(text, catalog: catalog, hub: hub))
        }
        var hub = hub
        let caller = hub.context.cancellation
        // A child cancellation: cancelled with the caller's, or here without cancelling the caller's.
        hub.context.cancellation = Cancellation(after: caller)
        let stream = try HubStream(hub.snapshot(of: repository))
        defer {
            hub.context.cancellation.cancel()
            stream.wait()
        }
        let result: Result
        do {
            let directory = try HuggingFaceDirectory(path: stream.directory, elsewhere: stream.pendingFiles)
            let bridge = try AutoBridge(directory: directory, catalog: catalog ?? .standard())
            stream.hide()
            result = try body(bridge)
        } catch let error as BridgeError where error.code == .corruptInput || error.code == .unaccountedTensors {
            // The error may come from damaged bytes that were read before their checksum was verified.
            try stream.confirm()
            throw error
        }
        try stream.confirm()
        return result
    }
}
