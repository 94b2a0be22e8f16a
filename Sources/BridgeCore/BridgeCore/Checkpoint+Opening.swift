import BridgeSupport
import CheckpointFormats
public import Conversion
public import ModelPlugins
public import ModelSchema

extension Checkpoint {
    /// Opens a checkpoint of either kind.
    ///
    /// - Throws: `BridgeError` when there is none, or its tensors are not accounted for.
    public init(path: String, catalog: PluginCatalog, allowMissing: [NameGlob] = []) throws {
        if NativeCheckpoint.isOne(path) {
            // A comparison writes nothing, and reports differences itself.
            let native = try AutoBridge.open(path, isVerified: false, catalog: catalog)
            try self.init(native, model: AutoBridge(checkpoint: native, catalog: catalog).model)
        } else {
            try self.init(AutoBridge.fromHF(path, catalog: catalog), allowMissing: allowMissing)
        }
    }

    /// The checkpoint of a bridge, whose weights are read lazily.
    ///
    /// - Throws: `BridgeError` for a bridge without weights, and for tensors that are not accounted for.
    public init(_ bridge: AutoBridge, allowMissing: [NameGlob] = []) throws {
        guard let directory = bridge.directory else {
            throw BridgeError(.badArgument, "the bridge was made without weights; use AutoBridge.fromHF")
        }
        try self.init(directory, model: bridge.model, allowMissing: allowMissing)
    }
}
