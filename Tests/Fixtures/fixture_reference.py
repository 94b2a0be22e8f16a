"""Records what transformers computes for a fixture: inputs under transformers' own names, float32 logits, and for FP8
the dequantised weights."""

import tempfile
from pathlib import Path

import fixture_cases
import fixture_native
import numpy as np
import torch
from checkpoints import dequantise_all, load, read_json, read_tensors, write_json
from safetensors.torch import load_file, save_file


def ids(seed, count, low, high):
    generator = np.random.Generator(np.random.PCG64([seed, 4242]))
    return generator.integers(low, high, size=count).tolist()


def pixels(seed, shape):
    """Normalised pixels in [-1, 1), exact in float32."""
    generator = np.random.Generator(np.random.PCG64([seed, 777]))
    return torch.from_numpy(generator.integers(-512, 512, size=shape).astype(np.float32) / np.float32(512))


def text_inputs(config, fixture):
    # The last two rows of the vocabulary hold edge values in one fixture.
    prompt = [1, *ids(fixture["seed"], fixture.get("prompt", 23), 20, config["vocab_size"] - 2)]
    return {"input_ids": torch.tensor([prompt])}


def ministral3_inputs(config, fixture):
    """Two images of different shapes, neither square, between pieces of text."""
    cell = config["vision_config"]["patch_size"] * config["spatial_merge_size"]
    grids = [(2, 3), (3, 1)]
    side = 3 * cell
    pixel_values = torch.zeros(2, 3, side, side)
    values = pixels(fixture["seed"], (2, 3, side, side))
    words = ids(fixture["seed"], fixture.get("prompt", 17), 20, config["text_config"]["vocab_size"])
    prompt, sizes = [1, *words[:4]], []
    for i, (rows, columns) in enumerate(grids):
        height, width = rows * cell, columns * cell
        pixel_values[i, :, :height, :width] = values[i, :, :height, :width]
        sizes.append([height, width])
        for row in range(rows):
            prompt += [10] * columns + [13 if row == rows - 1 else 12]
        prompt += words[4:9] if i == 0 else words[9:]
    return {
        "input_ids": torch.tensor([prompt]), "pixel_values": pixel_values, "image_sizes": torch.tensor(sizes),
    }  # fmt: skip


def gemma3_inputs(config, fixture):
    """Two images, each longer than the sliding window where the fixture has 16 tokens per image."""
    soft, tokens = config["image_token_index"], config["mm_tokens_per_image"]
    size = config["vision_config"]["image_size"]
    words = ids(fixture["seed"], 14, 263, soft - 2)
    image = [config["boi_token_index"], *[soft] * tokens, config["eoi_token_index"]]
    prompt = torch.tensor([[2, *words[:3], *image, *words[3:8], *image, *words[8:]]])
    return {
        "input_ids": prompt,
        "token_type_ids": (prompt == soft).long(),
        "pixel_values": pixels(fixture["seed"], (2, 3, size, size)),
    }


def short_text(config, fixture, count, attempt):
    """A text prompt of the further cases; `attempt` chooses another one."""
    text = config.get("text_config", config)
    first, low, high = 1, 20, text["vocab_size"] - 2
    if "image_token_index" in config and "mm_tokens_per_image" in config:
        first, low, high = 2, 263, config["image_token_index"] - 2
    return {"input_ids": torch.tensor([[first, *ids(fixture["seed"] + 2000 + 37 * attempt, count - 1, low, high)]])}


def one_image(config, fixture, attempt):
    """One image in the middle of a text."""
    words = short_text(config, fixture, 9, 1000 + attempt)["input_ids"][0].tolist()
    seed = fixture["seed"] + 3000 + attempt
    if "mm_tokens_per_image" in config:
        soft, size = config["image_token_index"], config["vision_config"]["image_size"]
        image = [config["boi_token_index"], *[soft] * config["mm_tokens_per_image"], config["eoi_token_index"]]
        prompt = torch.tensor([[*words[:5], *image, *words[5:]]])
        return {
            "input_ids": prompt, "token_type_ids": (prompt == soft).long(),
            "pixel_values": pixels(seed, (1, 3, size, size)),
        }  # fmt: skip
    cell = config["vision_config"]["patch_size"] * config["spatial_merge_size"]
    rows, columns = 2, 1
    image = ([10] * columns + [12]) * (rows - 1) + [10] * columns + [13]
    return {
        "input_ids": torch.tensor([[*words[:5], *image, *words[5:]]]),
        "pixel_values": pixels(seed, (1, 3, rows * cell, columns * cell)),
        "image_sizes": torch.tensor([[rows * cell, columns * cell]]),
    }


INPUTS = {
    "MistralForCausalLM": text_inputs,
    "Mistral3ForConditionalGeneration": ministral3_inputs,
    "Gemma3ForConditionalGeneration": gemma3_inputs,
}


def plain_copy(folder, config, scratch):
    """A folder that transformers loads without quantisation: the same weights, dequantised by our own rule."""
    block = config.get("quantization_config", {}).get("weight_block_size")
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    write_json(scratch / "config.json", plain)
    save_file(dequantise_all(read_tensors(folder), block), scratch / "model.safetensors", metadata={"format": "pt"})


def eager(folder, dtype):
    return load(folder, dtype=dtype, attn_implementation="eager")[0].eval()


def logits_of(folder, inputs, keep, dtype):
    model = eager(folder, dtype)
    with torch.no_grad():
        cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
        return model(**cast, use_cache=False, logits_to_keep=keep).logits.float()


def record(name, fixture, checkpoints, references):
    folder = checkpoints / fixture.get("twin", name)
    config = fixture_native.native_config(folder, fixture) if "twin" in fixture else read_json(folder / "config.json")
    inputs = INPUTS[config["architectures"][0]](config, fixture)
    result = dict(inputs)
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        plain_copy(folder, config, scratch)
        keep = 8 if "pixel_values" not in inputs else 5
        result["logits"] = logits_of(scratch, inputs, keep, torch.float32).contiguous()
        half = logits_of(scratch, inputs, keep, torch.bfloat16)
        result["bfloat16_error"] = (half - result["logits"]).abs().max().reshape(1)
        if length := fixture.get("long_prompt"):
            long = torch.tensor([[1, *ids(fixture["seed"] + 1000, length - 1, 20, config["vocab_size"])]])
            result["long.input_ids"] = long.to(torch.int32)
            result["long.logits"] = logits_of(scratch, {"input_ids": long}, 2, torch.float32).contiguous()
        result |= fixture_cases.further(
            config, fixture, eager(scratch, torch.float32),
            lambda count, attempt: short_text(config, fixture, count, attempt),
            (lambda attempt: one_image(config, fixture, attempt)) if "vision_config" in config else None,
        )  # fmt: skip
        if "quantization_config" in config and "twin" not in fixture:
            plain = load_file(scratch / "model.safetensors")
            layer = "language_model.model.layers.1."
            # Two weights of one layer, their last rows only so that the file stays small: of 132 rows in blocks of 128
            # they show both the whole and the cut block.
            for weight in ("self_attn.k_proj.weight", "mlp.down_proj.weight"):
                result["dequantised." + layer + weight] = plain[layer + weight][-12:].contiguous()
    save_file(result, references / f"{name}.safetensors")
