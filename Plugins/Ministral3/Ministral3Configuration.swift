import BridgeCore
import JSONTree
import TensorRuntime

/// A model as `Mistral3ForConditionalGeneration` computes it: a decoder that sees images through a Pixtral tower.
struct Ministral3Provider: ModelProvider {
    var decoder = DecoderConfiguration()
    var vision = PixtralConfiguration()
    var elementType: ElementType?
    /// The token that image features take the place of.
    var imageTokenID = 0
    /// How many patches along each side become one feature.
    var spatialMergeSize = 0
    /// The activation between the projector's two matrices.
    var projectorActivation = ""
    /// Whether the projector's matrices have biases.
    var projectorHasBias = false
    /// The layers of the tower whose output is used; negative numbers count from the end.
    var visionFeatureLayer = IntegerOrList(single: 0)

    func validate(name: String) throws {
        try decoder.validate(name: name)
        try vision.validate(name: name)
        if let problem = decoder.ropeScaling.problem {
            throw BridgeError(.badConfiguration, "\(name) asks for \(problem)")
        }
        guard (1...64).contains(spatialMergeSize) else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has a spatial_merge_size of \(spatialMergeSize), expected 1 to 64"
            )
        }
        guard !visionFeatureLayer.values.isEmpty, visionFeatureLayer.values.count <= 64 else {
            throw BridgeError(
                .badConfiguration,
                "\(name) names \(visionFeatureLayer.values.count) vision feature layers, expected 1 to 64"
            )
        }
    }
}

extension Ministral3Provider {
    private static let source = "Mistral3Config, transformers 5.23"
    private static let textSource = "Ministral3Config, transformers 5.23"

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Ministral3Provider> {
        Field(["dtype", "torch_dtype"], "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
        Field.fixed("model_type", ["mistral3"], ifAbsent: source)
        Field(
            ["image_token_index", "image_token_id"],
            "image_token_id",
            \.imageTokenID,
            ifAbsent: .classDefault(10, source: source)
        )
        Field(
            "multimodal_projector_bias",
            "multimodal_projector_bias",
            \.projectorHasBias,
            ifAbsent: .classDefault(false, source: source)
        )
        Field(
            "projector_hidden_act",
            "projector_hidden_act",
            \.projectorActivation,
            ifAbsent: .classDefault("gelu", source: source)
        )
        Field(
            "spatial_merge_size",
            "spatial_merge_size",
            \.spatialMergeSize,
            ifAbsent: .classDefault(2, source: source)
        )
        Field(
            "vision_feature_layer",
            "vision_feature_layer",
            \.visionFeatureLayer,
            ifAbsent: .classDefault(IntegerOrList(single: -1), source: source)
        )
        // The text part decides where it speaks; transformers' composite class says true where neither does.
        Field(
            ["text_config.tie_word_embeddings", "tie_word_embeddings"],
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(true, source: source),
            firstCounts: true
        )
        ConfigurationTable.section("text_config", \.decoder, text)
        ConfigurationTable.section("vision_config", \.vision, PixtralConfiguration.table)
    }

    private static let text = ConfigurationTable<DecoderConfiguration> {
        Field("model_type", "text_model_type", \.modelType, ifAbsent: .classDefault("mistral", source: source))
        Field("num_hidden_layers", "num_layers", \.numLayers)
        Field("hidden_size", "hidden_size", \.hiddenSize)
        Field("intermediate_size", "ffn_hidden_size", \.ffnHiddenSize)
        Field(
            "num_attention_heads",
            "num_attention_heads",
            \.numAttentionHeads,
            ifAbsent: .classDefault(32, source: textSource)
        )
        Field(
            "num_key_value_heads",
            "num_query_groups",
            \.numQueryGroups,
            ifAbsent: .classDefault(8, source: textSource)
        )
        Field(
            "head_dim",
            "kv_channels",
            \.kvChannels,
            ifAbsent: .follows(
                rule: "128; for the text model mistral, hidden_size / num_attention_heads (\(textSource))"
            ) {
                $0.modelType == "ministral3" ? 128 : $0.hiddenSize / max($0.numAttentionHeads, 1)
            }
        )
        Field("vocab_size", "vocab_size", \.vocabSize, ifAbsent: .classDefault(131_072, source: textSource))
        Field(
            "max_position_embeddings",
            "seq_length",
            \.seqLength,
            ifAbsent: .classDefault(262_144, source: textSource)
        )
        Field(
            "rms_norm_eps",
            "layernorm_epsilon",
            \.layernormEpsilon,
            ifAbsent: .follows(rule: "1e-05; for the text model mistral, 1e-06 (\(textSource))") {
                $0.modelType == "ministral3" ? 1e-5 : 1e-6
            }
        )
        Field(["rope_parameters.rope_theta", "rope_theta"], "rotary_base", \.rotaryBase)
        RopeScaling.fields(in: ["rope_parameters", "rope_scaling"], \.ropeScaling)
        Field(
            "sliding_window",
            "sliding_window",
            \.slidingWindow,
            ifAbsent: .follows(rule: "null; for the text model mistral, 4096 (\(textSource))") {
                $0.modelType == "ministral3" ? nil : 4096
            }
        )
        Field(
            "initializer_range",
            "init_method_std",
            \.initMethodStd,
            ifAbsent: .classDefault(0.02, source: textSource)
        )
        Field(
            "attention_dropout",
            "attention_dropout",
            \.attentionDropout,
            ifAbsent: .classDefault(0, source: textSource)
        )
        Field.fixed("hidden_act", ["silu"], ifAbsent: textSource)
        Field.carried(
            "use_cache",
            "rope_parameters.max_position_embeddings",
            "pad_token_id",
            "bos_token_id",
            "eos_token_id"
        )
    }
}
