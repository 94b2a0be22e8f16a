import BridgeCore

/// llama.cpp's architecture `llama`, which has no window.
extension MistralBridge {
    func gguf(of provider: MistralProvider, files: ProcessorFiles) throws -> GGUFModel {
        let decoder = GGUFDecoder(provider.decoder, architecture: "llama", hasPairedHeads: true)
        return GGUFModel(
            architecture: "llama",
            settings: decoder.settings + decoder.ropeScaling(hasRamp: false) + decoder.withoutWindow
                + [decoder.activation(["silu"])],
            tensors: decoder.tensors + [decoder.norm("post_attention_layernorm", "ffn_norm")]
        )
    }
}
