"""Records what transformers understands of every fixture's config.json, under Megatron-Core's names.

    python Tests/Fixtures/record_configurations.py      (transformers as in Tests/Peers/requirements.txt)

Writes reference/configurations.json. Class defaults, derived values and both spellings of the rope keys are thereby
those of transformers itself.
"""

import json
from pathlib import Path

from transformers import AutoConfig

HERE = Path(__file__).parent


def decoder(text):
    rope = text.rope_parameters
    full = rope.get("full_attention", rope)
    return {
        "num_layers": text.num_hidden_layers,
        "hidden_size": text.hidden_size,
        "ffn_hidden_size": text.intermediate_size,
        "num_attention_heads": text.num_attention_heads,
        "num_query_groups": text.num_key_value_heads,
        "kv_channels": text.head_dim,
        "vocab_size": text.vocab_size,
        "seq_length": text.max_position_embeddings,
        "layernorm_epsilon": text.rms_norm_eps,
        "rotary_base": full["rope_theta"],
        "rotary_scaling_type": full["rope_type"],
        "rotary_scaling_factor": full.get("factor"),
        "yarn_original_max_position_embeddings": full.get("original_max_position_embeddings"),
        "yarn_beta_fast": full.get("beta_fast"),
        "yarn_beta_slow": full.get("beta_slow"),
        "yarn_mscale": full.get("mscale"),
        "yarn_mscale_all_dim": full.get("mscale_all_dim"),
        "llama_4_scaling_beta": full.get("llama_4_scaling_beta"),
        "sliding_window": text.sliding_window,
    }


def gemma(config):
    text, vision = config.text_config, config.vision_config
    return {
        "query_pre_attn_scalar": text.query_pre_attn_scalar,
        "rotary_base_local": text.rope_parameters["sliding_attention"]["rope_theta"],
        "layer_types": text.layer_types,
        "image_token_id": config.image_token_index,
        "boi_token_id": config.boi_token_index,
        "eoi_token_id": config.eoi_token_index,
        "mm_tokens_per_image": config.mm_tokens_per_image,
        "vision_layernorm_epsilon": vision.layer_norm_eps,
        **tower(vision),
    }


def ministral(config):
    return {
        "image_token_id": config.image_token_index,
        "spatial_merge_size": config.spatial_merge_size,
        "projector_hidden_act": config.projector_hidden_act,
        "multimodal_projector_bias": config.multimodal_projector_bias,
        "vision_feature_layer": config.vision_feature_layer,
        "vision_hidden_act": config.vision_config.hidden_act,
        "vision_rotary_base": config.vision_config.rope_parameters["rope_theta"],
        **tower(config.vision_config),
    }


def tower(vision):
    return {
        "vision_num_layers": vision.num_hidden_layers,
        "vision_hidden_size": vision.hidden_size,
        "vision_ffn_hidden_size": vision.intermediate_size,
        "vision_num_attention_heads": vision.num_attention_heads,
        "vision_num_channels": vision.num_channels,
        "vision_image_size": vision.image_size,
        "vision_patch_size": vision.patch_size,
    }


def understood(folder):
    """What transformers makes of a folder's config.json."""
    config = AutoConfig.from_pretrained(folder)
    result = decoder(config.get_text_config())
    if config.model_type == "gemma3":
        result.update(gemma(config))
    if config.model_type == "mistral3":
        result.update(ministral(config))
    return result


def main():
    folders = sorted(folder for folder in (HERE / "checkpoints").iterdir() if (folder / "config.json").exists())
    result = {folder.name: understood(folder) for folder in folders}
    (HERE / "reference" / "configurations.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
