import BridgeSupport
import CheckpointFormats
public import Conversion
public import ModelPlugins
public import ModelSchema

extension Checkpoint {
    /// Opens a checkpoint of either kind.
    ///
    /// - Parameters:
    ///   - path: The directory.
    ///   - catalog: The supported families.
    ///   - allowMissing: Names of tensors that may be missing.
    ///   - description: The bridge of the same model, asked for where the checkpoint does not describe it; nil for none.
    /// - Throws: `BridgeError` when there is none, or its tensors are not accounted for.
    public init(
        path: String,
        catalog: PluginCatalog,
        allowMissing: [NameGlob] = [],
        describedBy description: () throws -> AutoBridge? = { nil }
    ) throws {
        if NativeCheckpoint.isOne(path) {
            // A comparison writes nothing, and reports differences itself.
            var native = try AutoBridge.open(path, isVerified: false, catalog: catalog)
            if !native.isDescribed, let description = try description() {
                native = try AutoBridge.open(path, isVerified: false, catalog: catalog, describedBy: description)
            }
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
