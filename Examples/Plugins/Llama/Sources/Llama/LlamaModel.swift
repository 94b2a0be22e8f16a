import BridgeCore
import TensorRuntime

/// A Llama model: the decoder that the core's defaults describe.
final class LlamaModel: CausalModel {
    let decoder: TransformerDecoder

    init(_ provider: LlamaProvider, _ weights: ModelWeights) throws {
        decoder = try TransformerDecoder(
            provider.decoder,
            form: try DecoderArchitecture(alike: provider.decoder),
            weights: weights
        )
    }
}

extension LlamaProvider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel { try LlamaModel(self, weights) }
}
