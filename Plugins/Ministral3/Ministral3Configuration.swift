import BridgeCore
import JSONTree
import TensorRuntime

/// A model of `Mistral3ForConditionalGeneration`: a decoder with a Pixtral tower.
struct Ministral3Provider: ModelProvider {
    var decoder = DecoderConfiguration()
    var vision = PixtralConfiguration()
    var elementType: ElementType?
    /// The placeholder token of image features.
    var imageTokenID = 0
    /// The number of patches along each side that are merged to one feature.
    var spatialMergeSize = 0
    /// The activation between the projector's two matrices.
    var projectorActivation = ""
    /// Whether the projector's matrices have biases.
    var projectorHasBias = false
    /// The layers of the tower whose output is used; negative indices count from the end.
    var visionFeatureLayer = IntegerOrList(single: 0)

    func validate(name: String) throws {
        try decoder.validate(name: name)
        try vision.validate(name: name)
        guard Self.textTypes.contains(decoder.modelType) else {
            throw BridgeError(
                .badConfiguration,
                "\(name): text_config.model_type is \"\(decoder.modelType)\"; supported: "
                    + Self.textTypes.joined(separator: ", ")
            )
        }
        do { _ = try ElementFunction(huggingFace: projectorActivation) } catch let error as BridgeError {
            throw BridgeError(.badConfiguration, "\(name): projector_hidden_act: \(error.message)")
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
    private static let fields = DecoderFields<DecoderConfiguration>(\.self, source: textSource)

    private static let textTypes = ["mistral", "ministral", "ministral3"]

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Ministral3Provider>(standardizing: standardized) {
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
        // The text part takes precedence; the default of transformers' composite class is true.
        Field(
            ["text_config.tie_word_embeddings", "tie_word_embeddings"],
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(true, source: source),
            firstMatchWins: true
        )
        ConfigurationTable.section("text_config", \.decoder, text)
        ConfigurationTable.section("vision_config", \.vision, PixtralConfiguration.table)
    }

    private static let text = ConfigurationTable<DecoderConfiguration> {
        Field("model_type", "text_model_type", \.modelType, ifAbsent: .classDefault("mistral", source: source))
        Field("num_hidden_layers", "num_layers", \.numLayers)
        Field("hidden_size", "hidden_size", \.hiddenSize)
        Field("intermediate_size", "ffn_hidden_size", \.ffnHiddenSize)
        fields.numAttentionHeads(32)
        fields.numQueryGroups(8, nullMeansAll: true)
        Field(
            "head_dim",
            "kv_channels",
            \.kvChannels,
            ifAbsent: byType("128", "hidden_size / num_attention_heads") {
                $0.modelType == "ministral3" ? 128 : $0.hiddenSize / max($0.numAttentionHeads, 1)
            }
        )
        Field(
            "vocab_size",
            "vocab_size",
            \.vocabSize,
            ifAbsent: byType("131072", "32000") {
                $0.modelType == "ministral3" ? 131_072 : 32000
            }
        )
        Field(
            "max_position_embeddings",
            "seq_length",
            \.seqLength,
            ifAbsent: byType("262144", "131072") {
                $0.modelType == "ministral3" ? 262_144 : 131_072
            }
        )
        Field(
            "rms_norm_eps",
            "layernorm_epsilon",
            \.layernormEpsilon,
            ifAbsent: byType("1e-05", "1e-06") {
                $0.modelType == "ministral3" ? 1e-5 : 1e-6
            }
        )
        Field("rope_parameters.rope_theta", "rotary_base", \.rotaryBase)
        RopeScaling.fields(in: "rope_parameters", \.ropeScaling, ignoresPartialRotaryFactor: true)
        RopeStandardization.otherSpellings(of: "rope_parameters", ["rope_scaling"])
        Field(
            "sliding_window",
            "sliding_window",
            \.slidingWindow,
            ifAbsent: byType("null", "4096") {
                $0.modelType == "ministral3" ? nil : 4096
            }
        )
        fields.initMethodStd(0.02)
        fields.attentionDropout(0)
        fields.activation("silu")
        Field(
            ["layer_types"],
            "layer_types",
            \.layerTypes,
            ifAbsent: .classDefault(nil, source: "only MinistralConfig has them, transformers 5.23"),
            writesDefault: false
        )
        Field.noEffect("dtype", "torch_dtype", because: "the type at the top level is used")
        Field.noEffect(
            "attention_bias",
            "mlp_bias",
            because: "the class has no biases; a bias in the weights is refused as a tensor without a parameter"
        )
    }

    /// A default that depends on the class of the text model.
    private static func byType<Value: ConfigurationValue>(
        _ ministral3: String,
        _ others: String,
        _ value: @escaping @Sendable (DecoderConfiguration) -> Value
    ) -> Field<DecoderConfiguration>.Absence<Value> {
        .derived(rule: "\(ministral3); for the text models mistral and ministral \(others) (\(textSource))", value)
    }

    /// Source: `Ministral3Config.__post_init__`, transformers 5.23.
    private static func defaultRope(_ text: JSON) -> JSON? {
        guard text["model_type"] == "ministral3" else { return nil }
        return [
            "type": "yarn", "rope_theta": 1_000_000.0, "factor": 16.0, "original_max_position_embeddings": 16384,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0, "mscale": 1.0, "llama_4_scaling_beta": 0.1,
        ]
    }

    @Sendable private static func standardized(_ json: JSON) -> JSON {
        var result = json
        if let given = json["text_config"], given.object != nil {
            var text = RopeStandardization.flat(
                given,
                into: "rope_parameters",
                defaultTheta: 10000,
                classDefault: defaultRope(given)
            )
            // Only MinistralConfig has types for its layers; the others' classes do not read them.
            if text["model_type"] == "ministral" {
                text = DecoderConfiguration.withCurrentLayerTypes(text)
            } else {
                text.set(nil, at: "layer_types")
            }
            result.set(text, at: "text_config")
        }
        if let vision = json["vision_config"] {
            result.set(
                RopeStandardization.flat(vision, into: "rope_parameters", defaultTheta: 10000),
                at: "vision_config"
            )
        }
        return result
    }
}
