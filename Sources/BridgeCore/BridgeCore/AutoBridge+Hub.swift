import BridgeSupport
import CheckpointFormats
public import HuggingFaceHub
public import ModelPlugins

extension AutoBridge {
    /// The bridge for a model that is only to be described: of one on the hub the headers of the weight files are fetched
    /// and no weight.
    ///
    /// ``plan(_:)`` works as ever; whatever reads weights that are not here throws.
    ///
    /// - Parameters:
    ///   - text: A directory, or `org/name` or `org/name@revision`.
    ///   - catalog: The families to choose from; without one, the plugins beside the core's library.
    ///   - hub: Where ids lead to; the hub that the process's environment describes.
    /// - Returns: The bridge.
    /// - Throws: `BridgeError` when there is no model, or one that no plugin knows, or the hub does not give it.
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

    /// Uses a model of the hub while its weights still come: a conversion begins with the first of them.
    ///
    /// What is here already, a directory or a whole repository in the cache, is used as it is.
    ///
    /// - Parameters:
    ///   - text: A directory, or `org/name` or `org/name@revision`.
    ///   - catalog: The families to choose from; without one, the plugins beside the core's library.
    ///   - hub: Where ids lead to. Its context's cancellation ends the download, also when `body` fails.
    ///   - body: What is done with the bridge. A conversion is put in its place only after every checksum was right.
    /// - Returns: What `body` returns.
    /// - Throws: `BridgeError`, and what `body` throws; the conversion's destination is then as it was.
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
        // Ends with the caller's wish, or here; the caller's own switch is not for others to turn.
        hub.context.cancellation = Cancellation(after: caller)
        let stream = try HubStream(hub.snapshot(of: repository))
        defer {
            hub.context.cancellation.cancel()
            stream.wait()
        }
        let result: Result
        do {
            let directory = try HuggingFaceDirectory(path: stream.directory, elsewhere: stream.pendingFiles) {
                try stream.confirm()
            }
            let bridge = try AutoBridge(directory: directory, catalog: catalog ?? .standard())
            stream.hide()
            result = try body(bridge)
        } catch let error as BridgeError where error.code == .corruptInput || error.code == .unaccountedTensors {
            // Bytes that were read before their checksum was known are the first to be doubted.
            try stream.confirm()
            throw error
        }
        try stream.confirm()
        return result
    }
}
