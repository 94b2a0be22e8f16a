import BridgeCore
import Glibc
import TensorRuntime

/// A Ministral 3 model: a decoder whose queries grow with their position, and the Pixtral tower.
final class Ministral3Model: CausalModel {
    let decoder: TransformerDecoder
    let vision: (any VisionEncoder)?
    let imageTokenID: Int?

    init(_ provider: Ministral3Provider, _ weights: ModelWeights) throws {
        var form = try DecoderArchitecture(alike: provider.decoder)
        form.queryScale = Self.queryScale(provider.decoder)
        decoder = try TransformerDecoder(provider.decoder, form: form, weights: weights, prefix: "language_model.")
        vision = weights.preProcess ? try PixtralEncoder(provider, weights) : nil
        imageTokenID = provider.imageTokenID
    }

    /// Llama 4's scaling of queries by position, computed in float32; the text model `mistral` has none.
    ///
    /// Source: `get_llama_4_attn_scale` in `modeling_ministral3.py`, transformers 5.23.
    private static func queryScale(_ decoder: DecoderConfiguration) -> (@Sendable (Int32) -> Float)? {
        guard decoder.modelType == "ministral3", let beta = decoder.ropeScaling.llama4ScalingBeta, beta != 0 else {
            return nil
        }
        let original = max(1, Int32(clamping: decoder.ropeScaling.originalMaxPositionEmbeddings ?? decoder.seqLength))
        return { position in 1 + Float(beta) * logf(1 + Float(position / original)) }
    }
}

extension Ministral3Provider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel { try Ministral3Model(self, weights) }
}
