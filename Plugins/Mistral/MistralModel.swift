import BridgeCore
import TensorRuntime

/// A Mistral model: the decoder that all Llamas share, with a window where the configuration has one.
final class MistralModel: CausalModel {
    let decoder: TransformerDecoder

    init(_ provider: MistralProvider, _ weights: ModelWeights) throws {
        decoder = try TransformerDecoder(
            provider.decoder,
            form: try DecoderArchitecture(alike: provider.decoder),
            weights: weights
        )
    }
}

extension MistralProvider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel { try MistralModel(self, weights) }
}
