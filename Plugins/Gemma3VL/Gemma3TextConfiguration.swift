import BridgeCore
import JSONTree
import TensorRuntime

/// Gemma 3's decoder: layers with full and with sliding attention, four norms a layer.
struct Gemma3TextConfiguration: ConfigurationRoot, Equatable {
    var decoder = DecoderConfiguration()
    /// Attention is scaled by the inverse square root of this.
    var queryPreAttentionScalar = 0
    /// The base of the rotary frequencies of sliding layers; `decoder.rotaryBase` is that of full ones.
    var rotaryLocalBase = 0.0
    /// How the rotary frequencies of sliding layers are scaled.
    var localScaling = RopeScaling()
    /// Every layer with this period has full attention.
    var slidingWindowPattern = 0

    func validate(name: String) throws {
        try decoder.validate(name: name)
        if let problem = localScaling.problem {
            throw BridgeError(.badConfiguration, "\(name) has, for sliding attention, \(problem)")
        }
        guard queryPreAttentionScalar > 0 else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has a query_pre_attn_scalar of \(queryPreAttentionScalar), expected more than 0"
            )
        }
    }

    private static let source = "Gemma3TextConfig, transformers 5.23"
    private static let fields = DecoderFields<Gemma3TextConfiguration>(\.decoder, source: source)

    /// A text configuration with one spelling of each setting.
    @Sendable static func standardized(_ json: JSON) -> JSON {
        DecoderConfiguration.withCurrentLayerTypes(RopeStandardization.layered(json, theta: (1_000_000, 10000)))
    }

    /// The text configuration and the fields, without `tie_word_embeddings` and the type, which are at the top level.
    static let table = ConfigurationTable<Gemma3TextConfiguration>(standardizing: standardized) {
        Field(
            "model_type",
            "text_model_type",
            \.decoder.modelType,
            ifAbsent: .classDefault("gemma3_text", source: source)
        )
        fields.numLayers(26)
        fields.hiddenSize(2304)
        fields.ffnHiddenSize(9216)
        fields.numAttentionHeads(8)
        fields.numQueryGroups(4)
        Field("head_dim", "kv_channels", \.decoder.kvChannels, ifAbsent: .classDefault(256, source: source))
        fields.vocabSize(262_208)
        fields.seqLength(131_072)
        fields.layernormEpsilon(1e-6)
        fields.rotaryBase(1_000_000)
        RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling, ignoresPartialRotaryFactor: true)
        Field(
            "rope_local_base_freq",
            "rotary_base_local",
            \.rotaryLocalBase,
            ifAbsent: .classDefault(10000, source: source)
        )
        RopeScaling.fields(
            in: "rope_parameters.sliding_attention",
            \.localScaling,
            suffix: "_local",
            ignoresPartialRotaryFactor: true
        )
        RopeStandardization.otherSpellings(
            of: "rope_scaling",
            ["rope_parameters.full_attention", "rope_parameters.sliding_attention"]
        )
        Field.standardized(["rope_parameters.truncate"], as: "truncate of both")
        fields.slidingWindow(4096)
        fields.initMethodStd(0.02)
        fields.attentionDropout(0)
        Field(
            "query_pre_attn_scalar",
            "query_pre_attn_scalar",
            \.queryPreAttentionScalar,
            ifAbsent: .classDefault(256, source: source)
        )
        Field(
            "sliding_window_pattern",
            "sliding_window_pattern",
            \.slidingWindowPattern,
            ifAbsent: .derived(rule: "6 (\(source)); ignored if layer_types is present", nullIsMissing: true) { _ in 6 }
        )
        Field(
            "layer_types",
            "layer_types",
            \.decoder.layerTypes,
            ifAbsent: .derived(rule: "every sliding_window_pattern-th layer is full_attention", nullIsMissing: true) {
                text in
                (0..<min(max(text.decoder.numLayers, 0), 4096)).map {
                    ($0 + 1) % max(text.slidingWindowPattern, 1) == 0
                        ? DecoderConfiguration.fullAttention : DecoderConfiguration.slidingAttention
                }
            }
        )
        fields.activation("gelu_pytorch_tanh", key: "hidden_activation")
        Field.fixed("attention_bias", [false], ifAbsent: source)
        Field.fixed("attn_logit_softcapping", [nil], ifAbsent: source)
        Field.fixed("final_logit_softcapping", [nil], ifAbsent: source)
        Field.fixed("use_bidirectional_attention", [false, nil], ifAbsent: source)
        Field.noEffect("hidden_act", because: "the class reads hidden_activation")
        Field.noEffect(
            "_sliding_window_pattern",
            because: "it is informative; sliding_window_pattern is read"
        )
        Field.noEffect(
            "dtype",
            "torch_dtype",
            because: "a type at the top level takes precedence; weights keep their own"
        )
    }

    /// The options of the decoder.
    ///
    /// Source: `modeling_gemma3.py`, transformers 5.23.
    func form(elementType: ElementType) throws -> DecoderArchitecture {
        let (full, sliding) = (0, 1)
        var form = DecoderArchitecture(
            layers: (0..<decoder.numLayers).map { layer in
                decoder.layerTypes?[layer] == DecoderConfiguration.fullAttention
                    ? .init(rotary: full) : .init(window: decoder.slidingWindow, rotary: sliding)
            },
            rotary: [decoder.rotaryEmbedding, localScaling.embedding(base: rotaryLocalBase, in: decoder)],
            norm: .gemma(epsilon: decoder.layernormEpsilon),
            activation: try ElementFunction(huggingFace: decoder.activation),
            attentionScale: Float(1 / Double(queryPreAttentionScalar).squareRoot())
        )
        // The root is rounded to the type of the weights: 50.5 for a width of 2560 in bfloat16, and not 50.596.
        form.embeddingScale = elementType.rounded(Float(decoder.hiddenSize).squareRoot())
        form.normalizesHeads = true
        form.normalizesOutputs = true
        return form
    }

    /// The decoder's parameters.
    ///
    /// - Parameters:
    ///   - names: The names of tensors in transformers.
    ///   - prefix: The prefix of Megatron's names.
    /// - Returns: The rows of a parameter table.
    @ParameterTable.Builder
    func parameters(_ names: DecoderParameters.Names, prefix: String = "") -> [ParameterMapping] {
        let parameters = DecoderParameters(decoder, names: names, prefix: prefix)
        parameters.embedding
        Layers(decoder.numLayers) {
            parameters.attention
            parameters.headNorms
            parameters.norm(
                "self_attention.linear_proj.post_layernorm.weight",
                "post_attention_layernorm.weight",
                decoder.hiddenSize
            )
            parameters.gatedMLP
            parameters.norm(
                "mlp.linear_fc2.post_layernorm.weight",
                "post_feedforward_layernorm.weight",
                decoder.hiddenSize
            )
        }
        parameters.head
    }
}

extension RMSNormOptions {
    /// Gemma's norms store the distance of their weight from 1, and multiply before they round.
    static func gemma(epsilon: Double) -> RMSNormOptions {
        RMSNormOptions(epsilon: Float(epsilon), gainOffset: 1, roundsBeforeGain: false)
    }
}
