#!/usr/bin/env python3
"""Lets transformers use a toy folder: configuration, tokenizer, chat template, image processor, weights, a forward pass.

    check_toy.py FOLDER

Prints what is wrong; exit status 1 if anything is. PixtralProcessor as a whole needs torchvision; without it its image
processor and the tokenizer are checked one by one.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

import torch
from check_export import index_problems
from checkpoints import load, loading_problems, read_json
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoProcessor, AutoTokenizer

TEXTS = [
    "The bridge is the model.", "  two  spaces\tand\na line\n\n", "Äpfel, 42 Brücken; où ? ¿Qué? Мост 橋 다리 🙂",
    "def main():\n    return x[0] + y  # ok", "aaaa THE The camelCase HTTPServer 1234567890", "",
]  # fmt: skip
FILES = [
    "README.md", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors.index.json",
    "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
]  # fmt: skip
TURNS = [
    {"role": "user", "content": "What is in the image?"}, {"role": "assistant", "content": "A bridge."},
    {"role": "user", "content": "Of what?"},
]  # fmt: skip


def tokenizer_problems(folder, config):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    size = config.get_text_config().vocab_size
    problems = [] if len(tokenizer) <= size else [f"the tokenizer has {len(tokenizer)} tokens, the model {size}"]
    identifiers = sorted(tokenizer.get_vocab().values())
    if identifiers != list(range(len(identifiers))):
        problems.append("the ids of the tokenizer have gaps or repeat")
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        back = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if back != text:
            problems.append(f"{text!r} comes back as {back!r}")
        if ids and max(ids) >= size:
            problems.append(f"{text!r} has the id {max(ids)}, the model knows {size}")
    if tokenizer.encode("a")[0] != tokenizer.bos_token_id:
        problems.append("a text does not start with the bos token")
    words = len(tokenizer.encode(" the image and the model", add_special_tokens=False))
    if words > 8:
        problems.append(f"five common words take {words} tokens, so the merges do nothing")
    for name in ["bos_token_id", "eos_token_id", "pad_token_id"]:
        if getattr(tokenizer, name) is None:
            problems.append(f"the tokenizer has no {name}")
    rendered = tokenizer.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)
    if not rendered.startswith(tokenizer.bos_token) or "Of what?" not in rendered:
        problems.append(f"the chat template gives {rendered!r}")
    ids = tokenizer.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=True)["input_ids"]
    if ids != tokenizer.encode(rendered, add_special_tokens=False) or ids.count(tokenizer.bos_token_id) != 1:
        problems.append("the chat template's ids are not those of its text")
    return tokenizer, problems


def picture():
    return Image.frombytes("RGB", (61, 47), bytes((7 * i + i // 61) % 256 for i in range(3 * 61 * 47)))


def vision_inputs(folder, config, tokenizer):
    """Ids and pixels of a prompt with one image, through the processor where it can be made."""
    images = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    pixels = images(picture(), return_tensors="pt")
    if config.model_type == "gemma3":
        processor = AutoProcessor.from_pretrained(folder, use_fast=False)
        text = f"{tokenizer.boi_token} What is it?"
        return dict(processor(text=[text], images=[[picture()]], return_tensors="pt"))
    if importlib.util.find_spec("torchvision"):
        AutoProcessor.from_pretrained(folder)
    side = config.vision_config.patch_size * config.spatial_merge_size
    height, width = (int(n) // side for n in pixels["image_sizes"][0])
    rows = ["[IMG]" * width] * height
    ids = tokenizer("[INST]" + "[IMG_BREAK]".join(rows) + "[IMG_END]What is it?[/INST]", return_tensors="pt")
    return {
        "input_ids": ids["input_ids"], "pixel_values": pixels["pixel_values"], "image_sizes": pixels["image_sizes"],
    }  # fmt: skip


def check(folder):
    """Sentences about everything that is wrong; none when the toy is right."""
    folder = Path(folder)
    problems = [f"there is no {name}" for name in FILES if not (folder / name).exists()]
    shards = set(read_json(folder / "model.safetensors.index.json")["weight_map"].values())
    if len(shards) < 2:
        problems.append("all weights are in one file")
    problems += index_problems(folder)
    config = AutoConfig.from_pretrained(folder)
    tokenizer, found = tokenizer_problems(folder, config)
    problems += found
    model, report = load(folder)
    problems += [f"loading: {what}" for what in loading_problems(report)]
    inputs = [dict(tokenizer("The bridge is the model, and that is what it is.", return_tensors="pt"))]
    if hasattr(config, "vision_config"):
        inputs.append(vision_inputs(folder, config, tokenizer))
    for one in inputs:
        one.pop("attention_mask", None)
        if "pixel_values" in one:
            one["pixel_values"] = one["pixel_values"].to(model.dtype)
        with torch.no_grad():
            logits = model(**one).logits.float()
        what = "with an image" if "pixel_values" in one else "of text"
        if not torch.isfinite(logits).all():
            problems.append(f"logits {what} are not finite")
        elif not 0.01 < logits.std().item() < 100:
            problems.append(f"logits {what} have the deviation {logits.std().item():.3g}")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    problems = check(parser.parse_args().folder)
    for problem in problems:
        print(problem)
    if not problems:
        print("transformers can use it")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
