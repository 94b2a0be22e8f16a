"""Mistral's own checkpoint format, and FP8 weights: what the hub has beside transformers' own files.

The names and the rotary permutation are the inverse of what transformers' conversion scripts for Mistral and
Ministral 3 read (they are in its repository, not in the wheel).
"""

import re

import torch
from checkpoints import read_json

# transformers' in-memory name (text prefix removed) -> native name.
TEXT_NAMES = [
    (r"^lm_head\.weight$", r"output.weight"),
    (r"^norm\.weight$", r"norm.weight"),
    (r"^embed_tokens\.weight$", r"tok_embeddings.weight"),
    (r"^layers\.(\d+)\.input_layernorm\.weight$", r"layers.\1.attention_norm.weight"),
    (r"^layers\.(\d+)\.post_attention_layernorm\.weight$", r"layers.\1.ffn_norm.weight"),
    (r"^layers\.(\d+)\.self_attn\.(q|k|v|o)_proj\.(\w+)$", r"layers.\1.attention.w\2.\3"),
    (r"^layers\.(\d+)\.mlp\.gate_proj\.(\w+)$", r"layers.\1.feed_forward.w1.\2"),
    (r"^layers\.(\d+)\.mlp\.down_proj\.(\w+)$", r"layers.\1.feed_forward.w2.\2"),
    (r"^layers\.(\d+)\.mlp\.up_proj\.(\w+)$", r"layers.\1.feed_forward.w3.\2"),
]
LAYER = r"^vision_tower\.transformer\.layers\.(\d+)\."
NATIVE_LAYER = r"vision_encoder.transformer.layers.\1."
VISION_NAMES = [
    (r"^vision_tower\.(patch_conv|ln_pre)\.weight$", r"vision_encoder.\1.weight"),
    (LAYER + r"(attention_norm|ffn_norm)\.weight$", NATIVE_LAYER + r"\2.weight"),
    (LAYER + r"attention\.(q|k|v|o)_proj\.weight$", NATIVE_LAYER + r"attention.w\2.weight"),
    (LAYER + r"feed_forward\.gate_proj\.weight$", NATIVE_LAYER + r"feed_forward.w1.weight"),
    (LAYER + r"feed_forward\.down_proj\.weight$", NATIVE_LAYER + r"feed_forward.w2.weight"),
    (LAYER + r"feed_forward\.up_proj\.weight$", NATIVE_LAYER + r"feed_forward.w3.weight"),
    (r"^multi_modal_projector\.norm\.weight$", r"pre_mm_projector_norm.weight"),
    (r"^multi_modal_projector\.patch_merger\.merging_layer\.weight$", r"patch_merger.merging_layer.weight"),
    (r"^multi_modal_projector\.linear_1\.(\w+)$", r"vision_language_adapter.w_in.\1"),
    (r"^multi_modal_projector\.linear_2\.(\w+)$", r"vision_language_adapter.w_out.\1"),
]


def interleave(weight, heads):
    """Rotary pairs (i, i + d/2) of each head, as transformers has them, to neighbours (2i, 2i + 1)."""
    rows, columns = weight.shape
    # A view as bytes, because not every operation knows float8; rows move whole.
    raw = weight.contiguous().view(torch.uint8).reshape(heads, 2, rows // heads // 2, -1)
    return raw.transpose(1, 2).contiguous().view(weight.dtype).reshape(rows, columns)


def native_tensors(tensors, config):
    """The consolidated tensors of a checkpoint in a hub dialect (`model.` or `language_model.model.` names)."""
    text = config.get("text_config", config)
    result = {}
    for name, tensor in tensors.items():
        vision = name.startswith(("vision_tower.", "multi_modal_projector."))
        short = name if vision else re.sub(r"^(language_model\.)?(model\.)?", "", name)
        heads = None
        if re.search(r"\.(q|k)_proj\.weight$", short):
            if vision:
                heads = config["vision_config"]["num_attention_heads"]
            else:
                heads = text["num_attention_heads" if ".q_proj." in short else "num_key_value_heads"]
            tensor = interleave(tensor, heads)
        for pattern, replacement in VISION_NAMES if vision else TEXT_NAMES:
            native, count = re.subn(pattern, replacement, short)
            if count:
                native = native.replace("weight_scale_inv", "qscale_weight").replace("activation_scale", "qscale_act")
                result[native] = tensor.contiguous()
                break
        else:
            raise ValueError(f"{name} has no native name")
    return result


def native_config(twin, fixture):
    """The config.json that transformers' conversion would give for a native fixture."""
    config = read_json(twin / "config.json")
    if "rope" in fixture:
        config["text_config"]["rope_parameters"].update(fixture["rope"])
    return config


def native_parameters(config):
    """params.json for a config.json."""
    text = config.get("text_config", config)
    rope = text.get("rope_parameters", {})
    parameters = {
        "dim": text["hidden_size"],
        "n_layers": text["num_hidden_layers"],
        "head_dim": text["head_dim"],
        "hidden_dim": text["intermediate_size"],
        "n_heads": text["num_attention_heads"],
        "n_kv_heads": text["num_key_value_heads"],
        "rope_theta": rope.get("rope_theta", text.get("rope_theta")),
        "norm_eps": text["rms_norm_eps"],
        "vocab_size": text["vocab_size"],
        "tied_embeddings": text["tie_word_embeddings"],
        "max_position_embeddings": text["max_position_embeddings"],
    }
    if rope:
        original = rope["original_max_position_embeddings"]
        parameters["llama_4_scaling"] = {
            "original_max_position_embeddings": original, "beta": rope["llama_4_scaling_beta"],
        }  # fmt: skip
        parameters["yarn"] = {
            "original_max_position_embeddings": original, "factor": rope["factor"], "apply_scale": False,
            "beta": rope["beta_fast"], "alpha": rope["beta_slow"],
        }  # fmt: skip
    if "quantization_config" in config:
        parameters["quantization"] = {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}
    if vision := config.get("vision_config"):
        parameters["vision_encoder"] = {
            "image_token_id": config["image_token_index"],
            "image_break_token_id": 12,
            "image_end_token_id": 13,
            "intermediate_size": vision["intermediate_size"],
            "num_hidden_layers": vision["num_hidden_layers"],
            "num_attention_heads": vision["num_attention_heads"],
            "mm_projector_id": "patch_merge",
            "spatial_merge_size": config["spatial_merge_size"],
            "hidden_size": vision["hidden_size"],
            "num_channels": vision["num_channels"],
            "image_size": vision["image_size"],
            "max_image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "rope_theta": vision["rope_parameters"]["rope_theta"],
            "add_pre_mm_projector_layer_norm": True,
            "adapter_bias": config["multimodal_projector_bias"],
        }
    return parameters


FP8_LIMIT = torch.finfo(torch.float8_e4m3fn).max


def to_fp8(weight, scale):
    # torch's cast to float8 does not saturate.
    return (weight.to(torch.float32) / scale).clamp(-FP8_LIMIT, FP8_LIMIT).to(torch.float8_e4m3fn)


def quantise(weight, kind, block=None):
    """An FP8 weight and its scale: one bfloat16 number ("tensor"), float32 per row or per block."""
    magnitude = weight.to(torch.float32).abs()
    if kind == "tensor":
        # The hub's per-tensor scales are bfloat16 scalars; the weight is divided by what is stored.
        scale = (magnitude.amax() / FP8_LIMIT).to(torch.bfloat16)
        return to_fp8(weight, scale.to(torch.float32)), scale
    if kind == "row":
        scale = magnitude.amax(1, keepdim=True) / FP8_LIMIT
        return to_fp8(weight, scale), scale
    rows, columns = weight.shape
    height, width = block
    scale = torch.empty(-(-rows // height), -(-columns // width))
    result = torch.empty(rows, columns, dtype=torch.float8_e4m3fn)
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            part = (slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
            scale[i, j] = magnitude[part].amax() / FP8_LIMIT
            result[part] = to_fp8(weight[part], scale[i, j])
    return result, scale


def quantise_text(tensors, kind, block=None):
    """Quantises the linear layers of the text model, as the hub's FP8 checkpoints do; the rest stays."""
    result = {}
    for name, tensor in tensors.items():
        if not re.search(r"language_model.*\.(self_attn|mlp)\.\w+_proj\.weight$", name):
            result[name] = tensor
            continue
        stem = name.removesuffix("weight")
        # Rows get different sizes, so that a scale applied to the wrong row shows.
        spread = torch.linspace(0.3, 1.7, tensor.shape[0]).unsqueeze(1)
        result[name], result[stem + "weight_scale_inv"] = quantise(tensor.to(torch.float32) * spread, kind, block)
        if kind == "tensor":
            # A function of the name alone: nothing here measures activations.
            result[stem + "activation_scale"] = torch.tensor(
                0.01 + 0.001 * (sum(map(ord, name)) % 17), dtype=torch.bfloat16
            )
    return result
