import BridgeCore
import JSONTree

/// Megatron Bridge's class for Gemma 3, whose fields have other meanings than those of its other classes.
///
/// Source: gemma3_vl_bridge.py and gemma3_provider.py, Megatron Bridge 0.3.1.
enum Gemma3ProviderClass {
    static let images = ProviderClass(
        "megatron.bridge.models.gemma_vl.gemma3_vl_provider.Gemma3VLModelProvider",
        architecture: "Gemma3ForConditionalGeneration",
        fields: fields,
        configuration: configuration
    )

    private static let vision = "transformers.models.siglip.configuration_siglip.SiglipVisionConfig"
    private static let projector =
        "megatron.bridge.models.gemma_vl.modeling_gemma3_vl.Gemma3VLMultimodalProjectorConfig"

    @Sendable private static func fields(_ configuration: JSON, _ own: JSONObject) -> [(name: String, value: JSON)] {
        let scale = own["query_pre_attn_scalar"]?.double.map { 1 / $0.squareRoot() }
        let pattern = own["sliding_window_pattern"]?.integer ?? 6
        let tower = configuration["vision_config"] ?? .object(JSONObject())
        return [
            // Local, then global.
            ("rotary_base", .array([own["rotary_base_local"] ?? .null, own["rotary_base"] ?? .null])),
            ("window_size", own["sliding_window"] ?? .null),
            ("interleaved_attn_pattern", .array([JSON(max(pattern, 1) - 1), JSON(1)])),
            ("softmax_scale", scale.map { JSON($0) } ?? .null),
            ("rope_scaling_factor", own["rotary_scaling_factor"]?.nonNull ?? JSON(1.0)),
            ("mm_tokens_per_image", own["mm_tokens_per_image"] ?? .null),
            ("image_token_id", own["image_token_id"] ?? .null),
            ("vision_start_token_id", own["boi_token_id"] ?? .null),
            ("vision_end_token_id", own["eoi_token_id"] ?? .null),
            ("vision_config", ProviderClass.embedded(tower, as: vision)),
            (
                "vision_projector_config",
                [
                    "_target_": .string(projector), "_call_": .bool(true),
                    "input_size": own["vision_hidden_size"] ?? .null, "hidden_size": own["hidden_size"] ?? .null,
                ]
            ),
        ]
    }

    /// The `config.json` of the fields; nil where the tower is not described, which then has to come from elsewhere.
    @Sendable private static func configuration(_ model: JSON) -> JSON? {
        guard let tower = ProviderClass.embedded(in: model["vision_config"]),
            let bases = model["rotary_base"]?.array, bases.count == 2
        else { return nil }
        var text: JSON = ["model_type": "gemma3_text", "rope_local_base_freq": bases[0], "rope_theta": bases[1]]
        for (key, field) in textFields { text.set(model[field]?.nonNull, at: key) }
        if let scale = model["softmax_scale"]?.double, scale > 0 {
            text.set(JSON((1 / (scale * scale) * 1024).rounded() / 1024), at: "query_pre_attn_scalar")
        }
        if let factor = model["rope_scaling_factor"]?.nonNull, factor.double != 1 {
            text.set(["rope_type": "linear", "factor": factor], at: "rope_scaling")
        }
        if let pattern = model["interleaved_attn_pattern"]?.array, pattern.count == 2, pattern[1].integer == 1,
            let local = pattern[0].integer, (0..<4096).contains(local)
        {
            text.set(JSON(local + 1), at: "sliding_window_pattern")
        }
        var json: JSON = ["model_type": "gemma3", "text_config": text, "vision_config": tower]
        for (key, field) in topFields { json.set(model[field]?.nonNull, at: key) }
        return json
    }

    private static let textFields = [
        ("num_hidden_layers", "num_layers"), ("hidden_size", "hidden_size"), ("intermediate_size", "ffn_hidden_size"),
        ("num_attention_heads", "num_attention_heads"), ("num_key_value_heads", "num_query_groups"),
        ("head_dim", "kv_channels"), ("vocab_size", "vocab_size"), ("max_position_embeddings", "seq_length"),
        ("rms_norm_eps", "layernorm_epsilon"), ("sliding_window", "window_size"),
        ("initializer_range", "init_method_std"),
    ]
    private static let topFields = [
        ("mm_tokens_per_image", "mm_tokens_per_image"), ("image_token_index", "image_token_id"),
        ("boi_token_index", "vision_start_token_id"), ("eoi_token_index", "vision_end_token_id"),
        ("tie_word_embeddings", "share_embeddings_and_output_weights"),
    ]
}
