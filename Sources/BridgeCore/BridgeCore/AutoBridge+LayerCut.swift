import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins

extension AutoBridge {
    /// The plan of a model with the first decoder layers of this one, which ``exportCheckpoint(_:to:options:)`` writes.
    ///
    /// The bytes of all tensors that stay are kept: a small model for trying something on real weights. Its output means nothing.
    ///
    /// - Parameter count: The number of layers.
    /// - Returns: The plan.
    /// - Throws: `BridgeError` for a bridge that was not made from a Hugging Face directory in the style of transformers, and for
    ///   a number of layers that the model does not have.
    public func layerCutPlan(layers count: Int) throws -> ConversionPlan {
        guard let directory, directory.style == .transformers else {
            throw BridgeError(
                .badArgument,
                "layers are cut from a Hugging Face directory with config.json; export the checkpoint to one first"
            )
        }
        let layers = model.provider.decoder.numLayers
        guard (1...layers).contains(count) else {
            throw BridgeError(
                .badArgument,
                "\(directory.path) has \(layers) layers, so \(count) cannot be kept; expected 1 to \(layers)"
            )
        }
        let configuration = LayerCut.configuration(directory.configuration, layers: count)
        let cut = try FamilyModel(
            json: configuration,
            style: directory.style,
            name: "the configuration with \(count) layers",
            catalog: catalog
        )
        return try LayerCut(directory, whole: model, cut: cut, configuration: configuration).plan()
    }
}
