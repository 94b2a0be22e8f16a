import BridgeCore
import JSONTree

/// Toy models of the text models of Gemma 3.
enum Gemma3TextToy {
    static let recipe = ToyRecipe(
        tiny: tiny,
        realSizes: [
            ("270m", real(layers: 18, hidden: 640, ffn: 2048, heads: 4, groups: 1, window: 512)),
            ("1b", real(layers: 26, hidden: 1152, ffn: 6912, heads: 4, groups: 1, window: 512)),
        ],
        layersPath: "num_hidden_layers",
        hiddenPath: "hidden_size",
        hiddenDivisor: { configuration in
            let heads = configuration["num_attention_heads"]?.integer ?? 8
            return ToyDivisor(heads, "the number of attention heads")
        },
        values: [(NameGlob("*norm.weight"), ToyValues(around: 0, spread: 0.25))],
        sideFiles: { Gemma3VLToy.textFiles($0, imageToken: nil) }
    )

    /// The decoder of the toy with a vision tower, and every fourth layer with full attention.
    private static let tiny: JSON = [
        "architectures": ["Gemma3ForCausalLM"],
        "bos_token_id": 2,
        "eos_token_id": [1, 6],
        "head_dim": 10,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 56,
        "intermediate_size": 92,
        "max_position_embeddings": 768,
        "model_type": "gemma3_text",
        "num_attention_heads": 8,
        "num_hidden_layers": 7,
        "num_key_value_heads": 4,
        "pad_token_id": 0,
        "query_pre_attn_scalar": 14,
        "rms_norm_eps": 0.002,
        "rope_local_base_freq": 3000.0,
        "rope_theta": 90000.0,
        "sliding_window": 12,
        "sliding_window_pattern": 4,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
        "vocab_size": 680,
    ]

    /// The published sizes, with all settings in their files.
    private static func real(layers: Int, hidden: Int, ffn: Int, heads: Int, groups: Int, window: Int) -> JSON {
        func number(_ value: Int) -> JSON { JSON(value) }
        return [
            "architectures": ["Gemma3ForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": 2,
            "eos_token_id": [1, 106],
            "head_dim": 256,
            "hidden_activation": "gelu_pytorch_tanh",
            "hidden_size": number(hidden),
            "initializer_range": 0.02,
            "intermediate_size": number(ffn),
            "max_position_embeddings": 32768,
            "model_type": "gemma3_text",
            "num_attention_heads": number(heads),
            "num_hidden_layers": number(layers),
            "num_key_value_heads": number(groups),
            "pad_token_id": 0,
            "query_pre_attn_scalar": 256,
            "rms_norm_eps": 0.000001,
            "rope_local_base_freq": 10000.0,
            "rope_theta": 1_000_000.0,
            "sliding_window": number(window),
            "sliding_window_pattern": 6,
            "torch_dtype": "bfloat16",
            "transformers_version": "4.50.0.dev0",
            "use_cache": true,
            "vocab_size": 262_144,
        ]
    }
}
