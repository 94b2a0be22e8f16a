import BridgeCore
import TensorRuntime

/// A Qwen model: a decoder whose last layers may have a window, with biases or with norms of heads.
final class QwenModel: CausalModel {
    let decoder: TransformerDecoder

    init(_ settings: QwenSettings, normalizesHeads: Bool, _ weights: ModelWeights) throws {
        var form = try DecoderArchitecture(alike: settings.decoder)
        form.layers = settings.windows.map { DecoderArchitecture.Layer(window: $0) }
        form.normalizesHeads = normalizesHeads
        // Biases of the projections are read where the parameter table has them.
        decoder = try TransformerDecoder(settings.decoder, form: form, weights: weights)
    }
}

extension Qwen2Provider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel {
        try QwenModel(settings, normalizesHeads: false, weights)
    }
}

extension Qwen3Provider {
    func provide(_ weights: ModelWeights) throws -> any CausalModel {
        try QwenModel(settings, normalizesHeads: true, weights)
    }
}
