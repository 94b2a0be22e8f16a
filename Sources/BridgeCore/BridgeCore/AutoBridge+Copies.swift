import BridgeSupport
import CheckpointFormats
public import Conversion
import ModelPlugins
public import ModelSchema

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

    /// The plan of this model with weights of 8 or 4 bits, which ``exportCheckpoint(_:to:options:)`` writes.
    ///
    /// The layout is `pack-quantized` of compressed-tensors (0.12), which transformers and vLLM read too. All that is not
    /// quantized keeps its bytes.
    ///
    /// - Parameter quantization: Which weights are quantized, and how.
    /// - Returns: The plan.
    /// - Throws: `BridgeError` for a bridge that was not made from a Hugging Face directory in the style of transformers, and for
    ///   weights that are quantized already or have no whole groups.
    public func quantizationPlan(_ quantization: WeightQuantization) throws -> ConversionPlan {
        guard let directory, directory.style == .transformers else {
            throw BridgeError(
                .badArgument,
                "weights are quantized from a Hugging Face directory with config.json; export the checkpoint to one first"
            )
        }
        return try QuantizedCopy(directory, model, quantization).plan()
    }
}
