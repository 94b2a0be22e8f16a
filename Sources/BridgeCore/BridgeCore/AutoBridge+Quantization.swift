import BridgeSupport
import CheckpointFormats
public import Conversion
public import ModelSchema
public import Recipes
import TensorRuntime

extension Recipe {
    /// Which weights of a run have fewer bits; nil for none.
    public var quantization: WeightQuantization? {
        guard model.isQuantized,
            let layers = QuantizedFormat(bits: model.loadIn4bit ? 4 : 8, groupSize: model.quantizationGroupSize)
        else { return nil }
        return WeightQuantization(
            layers: layers,
            tables: QuantizedFormat(bits: 8, groupSize: model.quantizationGroupSize)
        )
    }
}

extension AutoBridge {
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
