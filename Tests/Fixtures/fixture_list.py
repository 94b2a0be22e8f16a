"""The list of fixtures: what each one is, under its name. README.md says what each is for."""

import fixture_configs as configs

STATIC_FP8 = {
    "activation_scheme": "static", "dequantize": False,
    "modules_to_not_convert": ["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    "quant_method": "fp8", "weight_block_size": None,
}  # fmt: skip
DYNAMIC_FP8 = {**STATIC_FP8, "activation_scheme": "dynamic"}
BLOCK_FP8 = {**DYNAMIC_FP8, "weight_block_size": [128, 128]}

PIXTRAL = {"hidden": 24, "heads": 3, "ffn": 44, "layers": 2, "image": 96, "patch": 6}
SIGLIP = {"hidden": 36, "heads": 2, "ffn": 52, "layers": 2, "image": 32, "patch": 4}

MINISTRAL3 = dict(hidden=40, heads=8, groups=4, head=16, ffn=72, layers=5, vocabulary=1000, vision=PIXTRAL, tied=True)
# params.json has no mscale: transformers' conversion writes 1 for both.
NATIVE_ROPE = {"mscale": 1.0, "mscale_all_dim": 1.0}


def all_fixtures():
    """name -> description. `kind` says how the folder is made; `seed` seeds its weights."""
    return {
        "mistral": dict(
            seed=11, kind="mistral", shards="110KB",
            config=configs.mistral(hidden=36, heads=8, groups=4, head=10, ffn=68, layers=4, vocabulary=1000),
        ),
        "mistral-window": dict(
            seed=12, kind="mistral", shards="150KB", hidden_states=True,
            config=configs.mistral(hidden=44, heads=8, groups=4, head=6, ffn=52, layers=5, vocabulary=612, window=7),
        ),
        "mistral-absent-window": dict(
            seed=13, kind="mistral", shards="140KB", long_prompt=4103, embedding_scale=1 / 64,
            config={
                key: value
                for key, value in configs.mistral(
                    hidden=64, heads=16, groups=8, head=4, ffn=96, layers=4, vocabulary=440
                ).items()
                if key
                in {
                    "architectures", "bos_token_id", "eos_token_id", "hidden_size", "intermediate_size", "model_type",
                    "num_attention_heads", "num_hidden_layers", "torch_dtype", "transformers_version", "vocab_size",
                }
            },
        ),
        "mistral-tied": dict(
            seed=14, kind="mistral", shards="120KB",
            config=configs.mistral(
                hidden=40, heads=12, groups=4, head=8, ffn=76, layers=6, vocabulary=716, tied=True
            ),
        ),
        "mistral-odd-vocab": dict(
            seed=15, kind="mistral", shards="100KB",
            config=configs.mistral(hidden=28, heads=8, groups=4, head=14, ffn=60, layers=4, vocabulary=1001),
        ),
        "mistral-yarn": dict(
            seed=16, kind="mistral", shards="100KB", text_prompt=60,
            config=configs.mistral(
                hidden=32, heads=8, groups=4, head=12, ffn=56, layers=5, vocabulary=808, theta=2000.0,
                rope_scaling={
                    "beta_fast": 1.1, "beta_slow": 0.2, "factor": 12.0, "original_max_position_embeddings": 48,
                    "rope_type": "yarn",
                },
                max_position_embeddings=576,
            ),
        ),
        "mistral-single-file": dict(
            seed=17, kind="mistral", shards="10MB",
            config=configs.mistral(
                hidden=20, heads=8, groups=4, head=18, ffn=48, layers=4, vocabulary=904, dtype="float16"
            ),
        ),
        "mistral-float32": dict(
            seed=18, kind="mistral", shards="90KB", style="5.x", edge_values=True,
            config=configs.mistral(
                hidden=20, heads=8, groups=4, head=6, ffn=36, layers=4, vocabulary=520, dtype="float32"
            ),
        ),
        "mistral-both-formats": dict(
            seed=19, kind="mistral", shards="10MB", consolidated=True,
            config=configs.mistral(hidden=28, heads=8, groups=4, head=12, ffn=44, layers=4, vocabulary=424),
        ),
        "mistral-native": dict(seed=11, kind="native", twin="mistral"),
        "ministral3": dict(
            seed=21, kind="ministral3", shards="130KB", names="legacy", system_prompt=True,
            config=configs.ministral3(**MINISTRAL3),
        ),
        "ministral3-untied": dict(
            seed=22, kind="ministral3", shards="160KB", names="legacy",
            config=configs.ministral3(
                hidden=52, heads=8, groups=4, head=12, ffn=56, layers=4, vocabulary=603, tied=False, top_tied=True,
                rope={"mscale": None, "mscale_all_dim": None}, vision={**PIXTRAL, "act": "gelu"},
            ),
        ),
        "ministral3-shortctx": dict(
            seed=23, kind="ministral3", shards="130KB", names="legacy", prompt=45, hidden_states=True,
            config=configs.ministral3(
                hidden=32, heads=12, groups=4, head=20, ffn=60, layers=4, vocabulary=720, tied=True, vision=PIXTRAL,
                rope={
                    "original_max_position_embeddings": 8, "factor": 12.0, "beta_fast": 0.9, "beta_slow": 0.11,
                    "mscale": 1.0, "mscale_all_dim": 1.0,
                },
            ),
        ),
        "ministral3-new-names": dict(
            seed=24, kind="ministral3", shards="100KB", names="new",
            config=configs.ministral3(
                hidden=28, heads=8, groups=4, head=18, ffn=52, layers=4, vocabulary=640, tied=False, top_tied=False,
                vision={**PIXTRAL, "hidden": 32, "heads": 2, "patch": 4}, merge=3, feature_layer=-2,
                projector_bias=True, projector_act="silu",
            ),
        ),
        "ministral3-fp8": dict(
            seed=21, kind="ministral3", shards="150KB", names="legacy", fp8="tensor",
            config=configs.ministral3(**MINISTRAL3, rope=NATIVE_ROPE, quantisation=STATIC_FP8),
        ),
        "ministral3-fp8-row": dict(
            seed=25, kind="ministral3", shards="140KB", names="legacy", fp8="row",
            config=configs.ministral3(
                hidden=36, heads=8, groups=4, head=10, ffn=76, layers=4, vocabulary=608, tied=False, top_tied=False,
                vision=PIXTRAL, quantisation=DYNAMIC_FP8,
            ),
        ),
        "ministral3-fp8-block": dict(
            seed=26, kind="ministral3", shards="330KB", names="legacy", fp8="block",
            config=configs.ministral3(
                hidden=132, heads=8, groups=4, head=8, ffn=136, layers=4, vocabulary=280, tied=True, vision=PIXTRAL,
                quantisation=BLOCK_FP8,
            ),
        ),
        "ministral3-native": dict(seed=21, kind="native", twin="ministral3", rope=NATIVE_ROPE),
        "ministral3-native-fp8": dict(seed=21, kind="native", twin="ministral3-fp8", rope=NATIVE_ROPE),
        "gemma3": dict(
            seed=31, kind="gemma3", shards="150KB", names="legacy", embedding_scale=1 / 64,
            config=configs.gemma3(
                base=640, image_tokens=16, vision=SIGLIP,
                # As in gemma-3-4b-it: the heads and all else come from the class. Only what would make the model
                # big (vocabulary, head width) is added.
                text={
                    "head_dim": 12, "hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 7,
                    "rope_scaling": {"factor": 5.0, "rope_type": "linear"}, "sliding_window": 8, "vocab_size": 648,
                },
            ),
        ),
        "gemma3-452-names": dict(
            seed=32, kind="gemma3", shards="160KB", names="4.52", hidden_states=True, distinct=2,
            config=configs.gemma3(
                base=600, image_tokens=4,
                vision={**SIGLIP, "hidden": 44, "image": 36, "patch": 6, "ffn": 60, "eps": 2e-03},
                dtype_key="torch_dtype", version="4.52.0.dev0",
                text={
                    "attention_bias": False, "attention_dropout": 0.0, "attn_logit_softcapping": None,
                    "cache_implementation": "hybrid", "final_logit_softcapping": None, "head_dim": 10,
                    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 36, "initializer_range": 0.02,
                    "intermediate_size": 56, "max_position_embeddings": 1536, "num_attention_heads": 12,
                    "num_hidden_layers": 7, "num_key_value_heads": 4, "query_pre_attn_scalar": 22,
                    "rms_norm_eps": 4e-03, "rope_local_base_freq": 7000.0,
                    "rope_scaling": {"factor": 3.0, "rope_type": "linear"}, "rope_theta": 700_000.0,
                    "sliding_window": 6, "sliding_window_pattern": 3, "use_cache": True, "vocab_size": 608,
                },
            ),
        ),
        "gemma3-5x": dict(
            seed=33, kind="gemma3", shards="120KB", style="5.x", distinct=2,
            config=configs.gemma3(
                base=620, image_tokens=16, vision={**SIGLIP, "ffn": 44},
                text={
                    "head_dim": 6, "hidden_size": 48, "intermediate_size": 76, "max_position_embeddings": 1280,
                    "num_attention_heads": 16, "num_hidden_layers": 7, "num_key_value_heads": 4,
                    "query_pre_attn_scalar": 20, "rms_norm_eps": 5e-03, "rope_local_base_freq": 6000.0,
                    "rope_scaling": {"factor": 4.0, "rope_type": "linear"}, "rope_theta": 600_000.0,
                    "sliding_window": 9, "vocab_size": 628,
                },
            ),
        ),
        "gemma3-untied": dict(
            seed=34, kind="gemma3", shards="120KB", names="legacy",
            config=configs.gemma3(
                base=760, image_tokens=16, vision=SIGLIP, tied=False,
                # 769 is not a multiple of any tensor-parallel size but 1.
                text={
                    "head_dim": 18, "hidden_size": 24, "intermediate_size": 44, "num_attention_heads": 12,
                    "num_hidden_layers": 7, "num_key_value_heads": 4, "query_pre_attn_scalar": 20,
                    "rope_scaling": {"factor": 6.0, "rope_type": "linear"}, "sliding_window": 8,
                    "tie_word_embeddings": False, "vocab_size": 769,
                },
            ),
        ),
    }  # fmt: skip
