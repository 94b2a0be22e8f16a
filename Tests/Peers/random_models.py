"""Draws tiny models of every family, with random numbers in every place where an architecture has a choice, and inputs
for them. Everything follows from one random.Random."""

import sys
from pathlib import Path

import torch
from checkpoints import write_json

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Fixtures"))

import fixture_configs as configs  # noqa: E402
import fixture_side_files as side_files  # noqa: E402
from fixture_cases import padded  # noqa: E402
from make_fixtures import build_model  # noqa: E402

FAMILIES = ["mistral", "ministral3", "gemma3"]
# Those of the plugins in Examples/Plugins.
EXAMPLES = {"llama": "Llama", "qwen2": "Qwen", "qwen3": "Qwen"}


def even(draw, low, high):
    return 2 * draw.randint(low // 2, high // 2)


def decoder(draw):
    """The sizes that every decoder has. Two, four or eight KV groups, so that tensor parallel 2 is possible."""
    groups = draw.choice([2, 4])
    return dict(
        hidden=even(draw, 18, 72), heads=groups * draw.randint(1, 4), groups=groups, head=even(draw, 4, 22),
        ffn=even(draw, 24, 100), layers=draw.randint(2, 6), vocabulary=draw.randint(420, 900),
    )  # fmt: skip


def yarn(draw):
    return {
        "beta_fast": draw.uniform(0.8, 30),
        "beta_slow": draw.uniform(0.1, 0.7),
        "factor": draw.choice([2.5, 6.0, 12.0]),
        "original_max_position_embeddings": draw.choice([8, 20, 128]),
        "rope_type": "yarn",
    }


def mistral(draw):
    scaling = draw.choice([None, {"rope_type": "linear", "factor": draw.uniform(1.5, 6)}, yarn(draw)])
    config = configs.mistral(
        **decoder(draw), theta=draw.choice([900.0, 10_000.0, 1_000_000.0]), tied=draw.random() < 0.5,
        window=draw.choice([None, draw.randint(3, 15)]),
    )  # fmt: skip
    config["rms_norm_eps"] = draw.choice([1e-6, 1e-5, 4e-3])
    if scaling:
        config["rope_scaling"] = scaling
    return config


def pixtral(draw):
    heads = draw.randint(1, 3)
    patch = draw.choice([4, 6, 7])
    return {
        "hidden": heads * 4 * draw.randint(1, 4),  # rows and columns share the width of a head, each needs pairs
        "heads": heads,
        "ffn": even(draw, 20, 60),
        "layers": draw.randint(1, 3),
        "image": 16 * patch,
        "patch": patch,
        "act": draw.choice(["silu", "gelu"]),
        "theta": draw.choice([500.0, 10_000.0]),
    }


def ministral3(draw):
    tied = draw.random() < 0.5
    rope = yarn(draw) | {"llama_4_scaling_beta": draw.uniform(0.05, 0.5), "rope_theta": draw.choice([3_000.0, 1e6])}
    pair = draw.choice([(None, None), (1.0, 1.0), (draw.uniform(0.5, 1.2), draw.uniform(0.5, 1.2))])
    rope |= dict(zip(("mscale", "mscale_all_dim"), pair, strict=True))
    config = configs.ministral3(
        **decoder(draw), vision=pixtral(draw), tied=tied, top_tied=tied, rope=rope, merge=draw.choice([1, 2, 3]),
        feature_layer=draw.choice([-1, -1, -2]), projector_bias=draw.random() < 0.5,
        projector_act=draw.choice(["gelu", "silu", "relu"]),
    )  # fmt: skip
    config["text_config"]["max_position_embeddings"] = 640  # the prompts pass the original context by far
    return config


def gemma3(draw):
    sizes = decoder(draw)
    least = -(-16 // sizes["heads"])
    sizes["hidden"] = sizes["heads"] * draw.randint(least, least + 5)  # the class refuses another width
    base = draw.randint(600, 760)
    heads, side, pooled = draw.randint(1, 4), *draw.choice([(8, 4), (8, 2), (6, 3), (6, 2), (9, 3)])
    patch = draw.choice([3, 4, 6])
    vision = {
        "hidden": heads * even(draw, 4, 14), "heads": heads, "ffn": even(draw, 20, 60), "layers": draw.randint(1, 3),
        "image": side * patch, "patch": patch, "eps": draw.choice([1e-6, 2e-3]),
    }  # fmt: skip
    tied = draw.random() < 0.7
    text = {
        "head_dim": sizes["head"],
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["ffn"],
        "max_position_embeddings": 1024,
        "num_attention_heads": sizes["heads"],
        "num_hidden_layers": sizes["layers"] + 1,
        "num_key_value_heads": sizes["groups"],
        "query_pre_attn_scalar": draw.randint(5, 40),
        "rms_norm_eps": draw.choice([1e-6, 5e-3]),
        "rope_local_base_freq": draw.choice([700.0, 10_000.0]),
        "rope_theta": draw.choice([50_000.0, 1e6]),
        "sliding_window": draw.randint(4, 24),
        "sliding_window_pattern": draw.randint(2, 4),
        "tie_word_embeddings": tied,
        "vocab_size": base + draw.randint(1, 12),
    }
    if draw.random() < 0.7:
        text["rope_scaling"] = {"factor": draw.uniform(1.5, 8), "rope_type": "linear"}
    return configs.gemma3(base=base, image_tokens=pooled**2, text=text, vision=vision, tied=tied)


def text_decoder(draw, architecture, model_type, head_is_given):
    """A decoder whose class divides the hidden size by the heads, or has a width of heads of its own."""
    sizes = decoder(draw)
    sizes["hidden"] = sizes["heads"] * even(draw, 4, 12)
    config = configs.mistral(**sizes, theta=draw.choice([900.0, 10_000.0, 1_000_000.0]), tied=draw.random() < 0.5)
    config |= {"architectures": [architecture], "model_type": model_type, "rms_norm_eps": draw.choice([1e-6, 1e-5, 4e-3])}
    del config["sliding_window"]
    if not head_is_given:
        del config["head_dim"]
    return config


def llama(draw):
    config = text_decoder(draw, "LlamaForCausalLM", "llama", draw.random() < 0.5)
    llama3 = {
        "factor": draw.choice([2.5, 8.0]), "low_freq_factor": draw.choice([1.0, 1.5]),
        "high_freq_factor": draw.choice([4.0, 6.0]), "original_max_position_embeddings": draw.choice([16, 64, 256]),
        "rope_type": "llama3",
    }  # fmt: skip
    if scaling := draw.choice([llama3, llama3, {"rope_type": "linear", "factor": draw.uniform(1.5, 6)}, None]):
        config["rope_scaling"] = scaling
    return config


def qwen(draw, architecture, model_type, head_is_given):
    config = text_decoder(draw, architecture, model_type, head_is_given)
    return config | {
        "max_window_layers": draw.randint(0, config["num_hidden_layers"]),
        "sliding_window": draw.randint(3, 20),
        "use_sliding_window": draw.random() < 0.6,
    }


def qwen2(draw):
    return qwen(draw, "Qwen2ForCausalLM", "qwen2", False)


def qwen3(draw):
    return qwen(draw, "Qwen3ForCausalLM", "qwen3", True)


CONFIGURATIONS = {
    "mistral": mistral, "ministral3": ministral3, "gemma3": gemma3, "llama": llama, "qwen2": qwen2, "qwen3": qwen3,
}  # fmt: skip


def save(draw, family, folder):
    """A folder of the family as transformers saves it, weights in bfloat16. Returns its configuration in words."""
    folder.mkdir(parents=True)
    config = CONFIGURATIONS[family](draw)
    write_json(folder / "config.json", config)
    # Gemma's embeddings are scaled up by the root of the width.
    scale = draw.choice([1 / 64, 1 / 8]) if family == "gemma3" else 0.75
    model = build_model(folder, {"seed": draw.randrange(2**31), "embedding_scale": scale})
    model.save_pretrained(folder, max_shard_size=f"{draw.randint(40, 400)}KB")
    if draw.random() < 0.5:
        write_json(folder / "config.json", config)  # else as transformers writes it
    side_files.write(folder, config, {"kind": "mistral" if family in EXAMPLES else family})
    return describe(config)


def describe(config):
    text = config.get("text_config", config)
    parts = [
        f"hidden {text['hidden_size']}",
        f"{text['num_attention_heads']}/{text['num_key_value_heads']}x{text.get('head_dim', '')}",
        f"{text['num_hidden_layers']} layers", f"window {text.get('sliding_window')}",
        f"rope {(text.get('rope_scaling') or text.get('rope_parameters') or {}).get('rope_type', 'plain')}",
        "tied" if text["tie_word_embeddings"] else "untied",
    ]  # fmt: skip
    if vision := config.get("vision_config"):
        parts.append(f"image {vision['image_size']}/{vision['patch_size']}")
    return ", ".join(parts)


def words(draw, config, count):
    text = config.get("text_config", config)
    low, high = (263, config["image_token_index"] - 2) if config["model_type"] == "gemma3" else (20, text["vocab_size"])
    return [draw.randrange(low, high) for _ in range(count)]


def pixels(draw, shape):
    generator = torch.Generator().manual_seed(draw.randrange(2**31))
    return torch.rand(shape, generator=generator) * 2 - 1


def text_inputs(draw, config, low=1, high=60):
    first = 2 if config["model_type"] == "gemma3" else 1
    return {"input_ids": torch.tensor([[first, *words(draw, config, draw.randint(low, high))]])}


def padded_inputs(draw, config):
    """Two or three rows of unequal length, padded on one side, as generate gives them to a model."""
    rows = [text_inputs(draw, config, 1, 30) for _ in range(draw.randint(2, 3))]
    return padded(rows, draw.choice(["left", "left", "right"]))


def image_inputs(draw, config):
    """One to three images between pieces of text; in Ministral 3 of different sizes."""
    return (gemma3_images if config["model_type"] == "gemma3" else ministral3_images)(draw, config, draw.randint(1, 3))


def gemma3_images(draw, config, count):
    soft, size = config["image_token_index"], config["vision_config"]["image_size"]
    prompt = [2]
    for _ in range(count):
        prompt += words(draw, config, draw.randint(0, 6))
        prompt += [config["boi_token_index"], *[soft] * config["mm_tokens_per_image"], config["eoi_token_index"]]
    ids = torch.tensor([prompt + words(draw, config, draw.randint(1, 20))])
    return {
        "input_ids": ids, "token_type_ids": (ids == soft).long(), "pixel_values": pixels(draw, (count, 3, size, size)),
    }  # fmt: skip


def ministral3_images(draw, config, count):
    cell = config["vision_config"]["patch_size"] * config["spatial_merge_size"]
    # transformers 5.23 squeezes a single feature away and then fails, hence at least two columns.
    grids = [(draw.randint(1, 4), draw.randint(2, 4)) for _ in range(count)]
    values = torch.zeros(count, 3, cell * max(rows for rows, _ in grids), cell * max(columns for _, columns in grids))
    prompt = [1]
    for i, (rows, columns) in enumerate(grids):
        values[i, :, : rows * cell, : columns * cell] = pixels(draw, (3, rows * cell, columns * cell))
        prompt += words(draw, config, draw.randint(0, 6))
        prompt += ([10] * columns + [12]) * (rows - 1) + [10] * columns + [13]
    return {
        "input_ids": torch.tensor([prompt + words(draw, config, draw.randint(1, 20))]), "pixel_values": values,
        "image_sizes": torch.tensor([[rows * cell, columns * cell] for rows, columns in grids]),
    }  # fmt: skip
