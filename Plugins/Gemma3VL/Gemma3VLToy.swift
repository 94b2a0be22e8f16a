import BridgeCore
import JSONTree

/// Toy models of the Gemma 3 VL family.
enum Gemma3VLToy {
    static let recipe = ToyRecipe(
        tiny: tiny,
        realSizes: [
            ("4b", real(layers: 34, hidden: 2560, ffn: 10240)),
            (
                "12b",
                real(layers: 48, hidden: 3840, ffn: 15360, [("num_attention_heads", 16), ("num_key_value_heads", 8)])
            ),
            (
                "27b",
                real(
                    layers: 62,
                    hidden: 5376,
                    ffn: 21504,
                    [
                        ("head_dim", 128), ("num_attention_heads", 32), ("num_key_value_heads", 16),
                        ("query_pre_attn_scalar", 168),
                    ]
                )
            ),
        ],
        keyMapping: "hub",
        layersPath: "text_config.num_hidden_layers",
        hiddenPath: "text_config.hidden_size",
        hiddenDivisor: { configuration in
            // The class default is 8 (Gemma3TextConfig, transformers 5.23), and refuses other widths.
            let heads = configuration[path: "text_config.num_attention_heads"]?.integer ?? 8
            return ToyDivisor(heads, "the number of attention heads")
        },
        values: [
            // The tower's norms multiply by their weight, all others by 1 + weight.
            (NameGlob("vision_tower.*norm*.weight"), ToyValues(around: 1, spread: 0.25)),
            (NameGlob("*norm.weight"), ToyValues(around: 0, spread: 0.25)),
        ],
        sideFiles: sideFiles
    )

    /// All relevant values differ from the class's defaults; the last layer but one is the only global one.
    private static let tiny: JSON = [
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": 670,
        "eoi_token_index": 671,
        "eos_token_id": [1, 6],
        "image_token_index": 672,
        "initializer_range": 0.02,
        "mm_tokens_per_image": 16,
        "model_type": "gemma3",
        "text_config": [
            "head_dim": 10,
            "hidden_size": 56,
            "intermediate_size": 92,
            "max_position_embeddings": 768,
            "model_type": "gemma3_text",
            "num_attention_heads": 8,
            "num_hidden_layers": 7,
            "num_key_value_heads": 4,
            "query_pre_attn_scalar": 14,
            "rms_norm_eps": 0.002,
            "rope_local_base_freq": 3000.0,
            "rope_scaling": ["factor": 6.0, "rope_type": "linear"],
            "rope_theta": 90000.0,
            "sliding_window": 12,
            "vocab_size": 680,
        ],
        "torch_dtype": "bfloat16",
        "transformers_version": "4.50.0.dev0",
        "vision_config": [
            "hidden_size": 36,
            "image_size": 32,
            "intermediate_size": 60,
            "layer_norm_eps": 0.001,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 3,
            "num_hidden_layers": 2,
            "patch_size": 4,
            "vision_use_head": false,
        ],
    ]

    /// The hub's files have few settings; the others are class defaults.
    private static func real(layers: JSON, hidden: JSON, ffn: JSON, _ others: [(String, JSON)] = []) -> JSON {
        let text: [(String, JSON)] =
            others + [
                ("hidden_size", hidden), ("intermediate_size", ffn), ("model_type", "gemma3_text"),
                ("num_hidden_layers", layers), ("rope_scaling", ["factor": 8.0, "rope_type": "linear"]),
                ("sliding_window", 1024),
            ]
        return [
            "architectures": ["Gemma3ForConditionalGeneration"],
            "boi_token_index": 255_999,
            "eoi_token_index": 256_000,
            "eos_token_id": [1, 106],
            "image_token_index": 262_144,
            "initializer_range": 0.02,
            "mm_tokens_per_image": 256,
            "model_type": "gemma3",
            "text_config": .object(JSONObject(text.sorted { $0.0 < $1.0 })),
            "torch_dtype": "bfloat16",
            "transformers_version": "4.50.0.dev0",
            "vision_config": [
                "hidden_size": 1152,
                "image_size": 896,
                "intermediate_size": 4304,
                "model_type": "siglip_vision_model",
                "num_attention_heads": 16,
                "num_hidden_layers": 27,
                "patch_size": 14,
                "vision_use_head": false,
            ],
        ]
    }
}
