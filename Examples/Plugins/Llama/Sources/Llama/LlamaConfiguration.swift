import BridgeCore
import JSONTree
import TensorRuntime

/// A Llama model, as `LlamaForCausalLM` computes it.
struct LlamaProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?

    func validate(name: String) throws {
        guard decoder.modelType == "llama" else {
            throw BridgeError(
                .badConfiguration,
                "\(name): model_type is \"\(decoder.modelType)\"; supported: llama"
            )
        }
        guard decoder.numAttentionHeads == 0 || decoder.hiddenSize % decoder.numAttentionHeads == 0 else {
            throw BridgeError(
                .badConfiguration,
                "\(name): hidden_size is \(decoder.hiddenSize), expected a multiple of the \(decoder.numAttentionHeads) "
                    + "attention heads, as transformers requires for this class"
            )
        }
        try decoder.validate(name: name)
    }
}

extension LlamaProvider {
    private static let source = "LlamaConfig, transformers 5.23"
    private static let fields = DecoderFields<LlamaProvider>(\.decoder, source: source)

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<LlamaProvider>(standardizing: standardized) {
        Field("model_type", "model_type", \.decoder.modelType, ifAbsent: .classDefault("llama", source: source))
        fields.numLayers(32)
        fields.hiddenSize(4096)
        fields.ffnHiddenSize(11008)
        fields.numAttentionHeads(32)
        Field(
            "num_key_value_heads",
            "num_query_groups",
            \.decoder.numQueryGroups,
            ifAbsent: .derived(rule: "num_attention_heads", nullIsMissing: true) { $0.decoder.numAttentionHeads }
        )
        Field(
            "head_dim",
            "kv_channels",
            \.decoder.kvChannels,
            ifAbsent: .derived(rule: "hidden_size / num_attention_heads", nullIsMissing: true) {
                $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
            }
        )
        fields.vocabSize(32000)
        fields.seqLength(2048)
        fields.layernormEpsilon(1e-6)
        fields.rotaryBase(10000)
        RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling, ignoresPartialRotaryFactor: true)
        RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
        Field(
            "tie_word_embeddings",
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(false, source: source)
        )
        fields.initMethodStd(0.02)
        fields.attentionDropout(0)
        Field(["torch_dtype", "dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
        fields.activation("silu")
        Field.fixed("attention_bias", [false], ifAbsent: source, writesDefault: false, "its projections have biases")
        Field.fixed("mlp_bias", [false], ifAbsent: source, writesDefault: false, "its MLP has biases")
    }

    @Sendable private static func standardized(_ json: JSON) -> JSON {
        RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
    }
}
