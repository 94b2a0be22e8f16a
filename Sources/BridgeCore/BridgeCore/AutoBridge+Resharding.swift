import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins

extension AutoBridge {
    /// The plan of a conversion of this bridge's checkpoint to another layout or container.
    ///
    /// - Parameter options: Layout, container and types.
    /// - Returns: The plan, which `NativeCheckpoint.reshard` writes.
    /// - Throws: `BridgeError` for a bridge that was not made from a checkpoint, and for a layout that does not fit.
    public func reshardPlan(_ options: ConversionOptions) throws -> ConversionPlan {
        guard let checkpoint else {
            throw BridgeError(.badArgument, "this bridge was not made from a checkpoint; use fromMegatron")
        }
        return try Resharder(
            checkpoint: checkpoint,
            options: options,
            model: model,
            providerClass: catalog.providerClass(of: model.architecture)
        ).plan()
    }
}
