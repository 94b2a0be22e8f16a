import BridgeCore
import TensorRuntime

/// A Gemma 3 model: a decoder with local and global layers and four norms in each, and the SigLIP tower.
final class Gemma3VLModel: CausalModel {
    let decoder: TransformerDecoder
    let vision: (any VisionEncoder)?
    let imageTokenID: Int?
    let imagesAttendBothWays = true

    init(_ provider: Gemma3VLProvider, _ weights: ModelWeights) throws {
        decoder = try TransformerDecoder(
            provider.decoder,
            form: provider.form(elementType: weights.elementType),
            weights: weights,
            prefix: "language_model."
        )
        vision = try SigLIPEncoder(provider, weights)
        imageTokenID = provider.imageTokenID
    }
}

extension Gemma3VLProvider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel { try Gemma3VLModel(self, weights) }

    /// Source: `modeling_gemma3.py`, transformers 5.23.
    fileprivate func form(elementType: ElementType) -> DecoderForm {
        let (global, local) = (0, 1)
        var form = DecoderForm(
            layers: layerTypes.map {
                $0 == "full_attention"
                    ? .init(rotary: global) : .init(window: decoder.slidingWindow, rotary: local)
            },
            rotary: [
                decoder.rotaryEmbedding, RotaryEmbedding(width: decoder.kvChannels, base: rotaryLocalBase),
            ],
            norm: .gemma(epsilon: decoder.layernormEpsilon),
            activation: .geluTanh,
            attentionScale: Float(1 / Double(queryPreAttentionScalar).squareRoot())
        )
        // The root is rounded to the type of the weights: 50.5 for a width of 2560 in bfloat16, and not 50.596.
        form.embeddingScale = elementType.rounded(Float(decoder.hiddenSize).squareRoot())
        form.normalizesHeads = true
        form.normalizesOutputs = true
        return form
    }
}

extension RMSNormForm {
    /// Gemma's norms store the distance of their gain from 1, and multiply before they round.
    static func gemma(epsilon: Double) -> RMSNormForm {
        RMSNormForm(epsilon: Float(epsilon), gainOffset: 1, roundsBeforeGain: false)
    }
}
