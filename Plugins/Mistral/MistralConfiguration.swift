import BridgeCore
import JSONTree
import TensorRuntime

/// A Mistral model, as `MistralForCausalLM` computes it, or, with a type for each layer, `MinistralForCausalLM`.
struct MistralProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?

    func validate(name: String) throws {
        guard Self.modelTypes.contains(decoder.modelType) else {
            throw BridgeError(
                .badConfiguration,
                "\(name): model_type is \"\(decoder.modelType)\"; supported: \(Self.modelTypes.joined(separator: " or "))"
            )
        }
        try decoder.validate(name: name)
    }
}

extension MistralProvider {
    private static let source = "MistralConfig, transformers 5.23"
    private static let modelTypes = ["mistral", "ministral"]

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<MistralProvider>(standardizing: standardized) {
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
            ifAbsent: .classDefault(8, source: source),
            ifNull: "num_attention_heads",
            \.decoder.numAttentionHeads
        )
        Field(
            "head_dim",
            "kv_channels",
            \.decoder.kvChannels,
            ifAbsent: .derived(rule: "hidden_size / num_attention_heads", nullIsMissing: true) {
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
        Field("rope_theta", "rotary_base", \.decoder.rotaryBase, ifAbsent: .classDefault(10000, source: source))
        RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling)
        RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
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
        ).dropout
        Field(["torch_dtype", "dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
        Field("hidden_act", "activation_func", \.decoder.activation, ifAbsent: .classDefault("silu", source: source))
        Field(
            ["layer_types"],
            "layer_types",
            \.decoder.layerTypes,
            ifAbsent: .classDefault(nil, source: "MinistralConfig, transformers 5.23"),
            writesDefault: false
        )
        Field.noEffect(
            "attention_bias",
            "mlp_bias",
            because: "the class has no biases; a bias in the weights is refused as a tensor without a parameter"
        )
    }

    /// AutoConfig takes a `mistral` with `layer_types` for a `ministral`, whose layers have these types.
    @Sendable private static func standardized(_ json: JSON) -> JSON {
        DecoderConfiguration.withCurrentLayerTypes(
            RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
        )
    }
}
