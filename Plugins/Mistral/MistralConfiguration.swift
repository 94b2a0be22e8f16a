import BridgeCore
import JSONTree
import TensorRuntime

/// A Mistral model, as `MistralForCausalLM` computes it.
struct MistralProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?

    func validate(name: String) throws {
        try decoder.validate(name: name)
        if let problem = decoder.ropeScaling.problem {
            throw BridgeError(.badConfiguration, "\(name) asks for \(problem)")
        }
    }
}

extension MistralProvider {
    private static let source = "MistralConfig, transformers 5.23"

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<MistralProvider> {
        Field("model_type", "model_type", \.decoder.modelType, ifAbsent: .classDefault("mistral", source: source))
        Field("num_hidden_layers", "num_layers", \.decoder.numLayers, ifAbsent: .classDefault(32, source: source))
        Field("hidden_size", "hidden_size", \.decoder.hiddenSize, ifAbsent: .classDefault(4096, source: source))
        Field(
            "intermediate_size",
            "ffn_hidden_size",
            \.decoder.ffnHiddenSize,
            ifAbsent: .classDefault(14336, source: source)
        )
        Field(
            "num_attention_heads",
            "num_attention_heads",
            \.decoder.numAttentionHeads,
            ifAbsent: .classDefault(32, source: source)
        )
        Field(
            "num_key_value_heads",
            "num_query_groups",
            \.decoder.numQueryGroups,
            ifAbsent: .classDefault(8, source: source)
        )
        Field(
            "head_dim",
            "kv_channels",
            \.decoder.kvChannels,
            ifAbsent: .follows(rule: "hidden_size / num_attention_heads", nullToo: true) {
                $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
            }
        )
        Field("vocab_size", "vocab_size", \.decoder.vocabSize, ifAbsent: .classDefault(32000, source: source))
        Field(
            "max_position_embeddings",
            "seq_length",
            \.decoder.seqLength,
            ifAbsent: .classDefault(131_072, source: source)
        )
        Field(
            "rms_norm_eps",
            "layernorm_epsilon",
            \.decoder.layernormEpsilon,
            ifAbsent: .classDefault(1e-6, source: source)
        )
        Field(
            ["rope_theta", "rope_parameters.rope_theta"],
            "rotary_base",
            \.decoder.rotaryBase,
            ifAbsent: .classDefault(10000, source: source)
        )
        RopeScaling.fields(in: ["rope_scaling", "rope_parameters"], \.decoder.ropeScaling)
        Field(
            "sliding_window",
            "sliding_window",
            \.decoder.slidingWindow,
            ifAbsent: .classDefault(4096, source: source)
        )
        Field(
            "tie_word_embeddings",
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(false, source: source)
        )
        Field(
            "initializer_range",
            "init_method_std",
            \.decoder.initMethodStd,
            ifAbsent: .classDefault(0.02, source: source)
        )
        Field(
            "attention_dropout",
            "attention_dropout",
            \.decoder.attentionDropout,
            ifAbsent: .classDefault(0, source: source)
        )
        Field(["torch_dtype", "dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
        Field.fixed("hidden_act", ["silu"], ifAbsent: source)
    }
}
