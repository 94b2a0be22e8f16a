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
            form: provider.text.form(elementType: weights.elementType),
            weights: weights,
            prefix: "language_model."
        )
        vision = weights.preProcess ? try SigLIPEncoder(provider, weights) : nil
        imageTokenID = provider.imageTokenID
    }
}

extension Gemma3VLProvider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel { try Gemma3VLModel(self, weights) }
}
