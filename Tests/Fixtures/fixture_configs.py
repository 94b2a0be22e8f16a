"""The configurations of the fixtures: every number that changes the maths differs from the class's default, and no two
sizes of one model are alike, so that a number read from the wrong place shows."""

HUB_VERSION = "4.57.1"


def mistral(
    *, hidden, heads, groups, head, ffn, layers, vocabulary, theta=500_000.0, window=None, tied=False,
    dtype="bfloat16", **extra
):  # fmt: skip
    """A config.json in the hub's 4.x style."""
    return {
        "architectures": ["MistralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": head,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": ffn,
        "max_position_embeddings": 640,
        "model_type": "mistral",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": groups,
        "rms_norm_eps": 3e-03,
        "rope_theta": theta,
        "sliding_window": window,
        "tie_word_embeddings": tied,
        "torch_dtype": dtype,
        "transformers_version": HUB_VERSION,
        "use_cache": True,
        "vocab_size": vocabulary,
        **extra,
    }


def ministral3(
    *, hidden, heads, groups, head, ffn, layers, vocabulary, vision, tied, top_tied=None, rope=None, merge=2,
    feature_layer=-1, projector_bias=False, projector_act="gelu", quantisation=None
):  # fmt: skip
    """A config.json in the style of the hub's Ministral 3 folders."""
    rope_parameters = {
        "beta_fast": 6.0,
        "beta_slow": 0.4,
        "factor": 6.0,
        "llama_4_scaling_beta": 0.37,
        "mscale": 0.8,
        "mscale_all_dim": 0.6,
        "original_max_position_embeddings": 256,
        "rope_theta": 50_000.0,
        "rope_type": "yarn",
        "type": "yarn",
    }
    rope_parameters.update(rope or {})
    rope_parameters = {key: value for key, value in rope_parameters.items() if value is not None}
    config = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "dtype": "bfloat16",
        "image_token_index": 10,
        "model_type": "mistral3",
        "multimodal_projector_bias": projector_bias,
        "projector_hidden_act": projector_act,
    }
    if quantisation:
        config["quantization_config"] = quantisation
    config["spatial_merge_size"] = merge
    config["text_config"] = {
        "attention_dropout": 0.0,
        "head_dim": head,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": ffn,
        "max_position_embeddings": int(rope_parameters["factor"] * rope_parameters["original_max_position_embeddings"]),
        "model_type": "ministral3",
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": groups,
        "rms_norm_eps": 2e-03,
        "rope_parameters": rope_parameters,
        "sliding_window": None,
        "tie_word_embeddings": tied,
        "use_cache": True,
        "vocab_size": vocabulary,
    }
    if top_tied is not None:
        config["tie_word_embeddings"] = top_tied
    config["transformers_version"] = "5.0.0.dev0"
    config["vision_config"] = {
        "attention_dropout": 0.0,
        "head_dim": vision["hidden"] // vision["heads"],
        "hidden_act": vision.get("act", "silu"),
        "hidden_size": vision["hidden"],
        "image_size": vision["image"],
        "initializer_range": 0.02,
        "intermediate_size": vision["ffn"],
        "model_type": "pixtral",
        "num_attention_heads": vision["heads"],
        "num_channels": 3,
        "num_hidden_layers": vision["layers"],
        "patch_size": vision["patch"],
        "rope_parameters": {"rope_theta": vision.get("theta", 3000.0), "rope_type": "default"},
    }
    config["vision_feature_layer"] = feature_layer
    return config


def gemma3(*, base, text, vision, image_tokens, tied=None, dtype_key="torch_dtype", version="4.50.0.dev0"):
    """A config.json in the hub's style. `base` is the size of the tokenizer's vocabulary: the soft token follows it."""
    config = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "boi_token_index": base - 2,
        "eoi_token_index": base - 1,
        "eos_token_id": [1, 6],
        "image_token_index": base,
        "initializer_range": 0.02,
        "mm_tokens_per_image": image_tokens,
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", **text},
        dtype_key: "bfloat16",
        "transformers_version": version,
        "vision_config": {
            "hidden_size": vision["hidden"],
            "image_size": vision["image"],
            "intermediate_size": vision["ffn"],
            "model_type": "siglip_vision_model",
            "num_attention_heads": vision["heads"],
            "num_hidden_layers": vision["layers"],
            "patch_size": vision["patch"],
            "vision_use_head": False,
        },
    }
    if "eps" in vision:
        config["vision_config"]["layer_norm_eps"] = vision["eps"]
    if tied is not None:
        config["tie_word_embeddings"] = tied
    return config
