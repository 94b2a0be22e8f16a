import BridgeCore
import JSONTree
import TensorRuntime

/// A model as `Gemma3ForConditionalGeneration` computes it: a decoder with local and global layers that sees images
/// through a SigLIP tower.
struct Gemma3VLProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var vision = SigLIPConfiguration()
    var elementType: ElementType?
    /// The scale of attention is the inverse root of this.
    var queryPreAttentionScalar = 0
    /// The base of the rotary frequencies of local layers; `decoder.rotaryBase` is that of global ones.
    var rotaryLocalBase = 0.0
    /// For every layer, `sliding_attention` or `full_attention`.
    var layerTypes: [String] = []
    /// Of so many layers in a row, the last is global.
    var slidingWindowPattern = 0
    /// The token that image features take the place of.
    var imageTokenID = 0
    /// The token before an image.
    var beginOfImageTokenID = 0
    /// The token behind an image.
    var endOfImageTokenID = 0
    /// Features of an image; a square number.
    var tokensPerImage = 0

    func validate(name: String) throws {
        try decoder.validate(name: name)
        try vision.validate(name: name)
        if let problem = decoder.ropeScaling.problem {
            throw BridgeError(.badConfiguration, "\(name) asks for \(problem)")
        }
        guard layerTypes.count == decoder.numLayers else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has \(layerTypes.count) layer_types for \(decoder.numLayers) layers"
            )
        }
        if let other = layerTypes.first(where: { !["sliding_attention", "full_attention"].contains($0) }) {
            throw BridgeError(
                .badConfiguration,
                "\(name) has a layer of type \(other); sliding_attention and full_attention are computed here"
            )
        }
        guard queryPreAttentionScalar > 0 else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has a query_pre_attn_scalar of \(queryPreAttentionScalar), expected more than 0"
            )
        }
        let side = (0...1024).first { $0 * $0 >= tokensPerImage } ?? 0
        guard tokensPerImage > 0, side * side == tokensPerImage, vision.patchesPerSide % side == 0 else {
            throw BridgeError(
                .badConfiguration,
                "\(name) pools \(vision.patchesPerSide) x \(vision.patchesPerSide) patches to \(tokensPerImage) tokens; "
                    + "that has to be a square number whose root divides \(vision.patchesPerSide)"
            )
        }
    }
}

extension Gemma3VLProvider {
    private static let source = "Gemma3Config, transformers 5.23"
    private static let textSource = "Gemma3TextConfig, transformers 5.23"

    /// `config.json` and the provider's fields.
    static let table = ConfigurationTable<Gemma3VLProvider> {
        Field.fixed("model_type", ["gemma3"], ifAbsent: source)
        Field(
            ["torch_dtype", "dtype", "text_config.dtype", "text_config.torch_dtype"],
            "params_dtype",
            \.elementType,
            ifAbsent: .classDefault(nil, source: source),
            isSpelledOut: true,
            firstCounts: true
        )
        Field(
            ["image_token_index", "image_token_id"],
            "image_token_id",
            \.imageTokenID,
            ifAbsent: .classDefault(262_144, source: source)
        )
        Field(
            ["boi_token_index", "boi_token_id"],
            "boi_token_id",
            \.beginOfImageTokenID,
            ifAbsent: .classDefault(255_999, source: source)
        )
        Field(
            ["eoi_token_index", "eoi_token_id"],
            "eoi_token_id",
            \.endOfImageTokenID,
            ifAbsent: .classDefault(256_000, source: source)
        )
        Field(
            "mm_tokens_per_image",
            "mm_tokens_per_image",
            \.tokensPerImage,
            ifAbsent: .classDefault(256, source: source)
        )
        Field(
            ["text_config.tie_word_embeddings", "tie_word_embeddings"],
            "share_embeddings_and_output_weights",
            \.decoder.shareEmbeddingsAndOutputWeights,
            ifAbsent: .classDefault(true, source: source),
            firstCounts: true
        )
        ConfigurationTable.section("text_config", \.decoder, text)
        Field(
            "text_config.query_pre_attn_scalar",
            "query_pre_attn_scalar",
            \.queryPreAttentionScalar,
            ifAbsent: .classDefault(256, source: textSource)
        )
        Field(
            ["text_config.rope_local_base_freq", "text_config.rope_parameters.sliding_attention.rope_theta"],
            "rotary_base_local",
            \.rotaryLocalBase,
            ifAbsent: .classDefault(10000, source: textSource)
        )
        // Local layers are never stretched.
        Field.fixed(
            "text_config.rope_parameters.sliding_attention.rope_type",
            ["default"],
            ifAbsent: textSource,
            isSpelledOut: false
        )
        Field(
            ["text_config.sliding_window_pattern", "text_config._sliding_window_pattern"],
            "sliding_window_pattern",
            \.slidingWindowPattern,
            ifAbsent: .classDefault(6, source: textSource)
        )
        Field(
            "text_config.layer_types",
            "layer_types",
            \.layerTypes,
            ifAbsent: .follows(rule: "every sliding_window_pattern-th layer is full_attention", nullToo: true) {
                provider in
                (0..<min(max(provider.decoder.numLayers, 0), 4096)).map {
                    ($0 + 1) % max(provider.slidingWindowPattern, 1) == 0 ? "full_attention" : "sliding_attention"
                }
            }
        )
        ConfigurationTable.section("vision_config", \.vision, SigLIPConfiguration.table)
    }

    private static let text = ConfigurationTable<DecoderConfiguration> {
        Field("model_type", "text_model_type", \.modelType, ifAbsent: .classDefault("gemma3_text", source: textSource))
        Field("num_hidden_layers", "num_layers", \.numLayers, ifAbsent: .classDefault(26, source: textSource))
        Field("hidden_size", "hidden_size", \.hiddenSize, ifAbsent: .classDefault(2304, source: textSource))
        Field(
            "intermediate_size",
            "ffn_hidden_size",
            \.ffnHiddenSize,
            ifAbsent: .classDefault(9216, source: textSource)
        )
        Field(
            "num_attention_heads",
            "num_attention_heads",
            \.numAttentionHeads,
            ifAbsent: .classDefault(8, source: textSource)
        )
        Field(
            "num_key_value_heads",
            "num_query_groups",
            \.numQueryGroups,
            ifAbsent: .classDefault(4, source: textSource)
        )
        Field("head_dim", "kv_channels", \.kvChannels, ifAbsent: .classDefault(256, source: textSource))
        Field("vocab_size", "vocab_size", \.vocabSize, ifAbsent: .classDefault(262_208, source: textSource))
        Field(
            "max_position_embeddings",
            "seq_length",
            \.seqLength,
            ifAbsent: .classDefault(131_072, source: textSource)
        )
        Field(
            "rms_norm_eps",
            "layernorm_epsilon",
            \.layernormEpsilon,
            ifAbsent: .classDefault(1e-6, source: textSource)
        )
        Field(
            ["rope_theta", "rope_parameters.full_attention.rope_theta"],
            "rotary_base",
            \.rotaryBase,
            ifAbsent: .classDefault(1_000_000, source: textSource)
        )
        RopeScaling.fields(in: ["rope_scaling", "rope_parameters.full_attention"], \.ropeScaling)
        Field("sliding_window", "sliding_window", \.slidingWindow, ifAbsent: .classDefault(4096, source: textSource))
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
        Field.fixed("hidden_activation", ["gelu_pytorch_tanh"], ifAbsent: textSource)
        Field.fixed("attention_bias", [false], ifAbsent: textSource)
        Field.fixed("attn_logit_softcapping", [nil], ifAbsent: textSource)
        Field.fixed("final_logit_softcapping", [nil], ifAbsent: textSource)
        Field.fixed("use_bidirectional_attention", [false, nil], ifAbsent: textSource)
        Field.carried("use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "cache_implementation", "hidden_act")
    }
}
