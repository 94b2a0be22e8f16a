"""The models, prompts and texts of inference.py."""

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent

# About a billion parameters in the proportions of a small Mistral: 16 query and 4 KV heads of 128.
HIDDEN, LAYERS, HEADS, GROUPS, HEAD, FFN = 2048, 20, 16, 4, 128, 5632

# The towers of the published sizes behind a text model of one layer. `grid` is the image in merged patches.
VISION = {
    "Pixtral": {"family": "ministral3", "size": "3b", "grid": (20, 28), "words": "560x784, 2240 patches"},
    "SigLIP": {"family": "gemma3", "size": "4b", "grid": None, "words": "896x896, 4096 patches"},
}


def toy(bridge, family, size, folder, *options):
    command = [bridge, "toy", "--family", family, "--size", size, "--output", folder, *options]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def make_tokenizer(bridge, root, text):
    """A folder with a byte-level BPE of 32768 tokens that learnt its merges from the first half of the text."""
    folder = root / "tokenizer"
    toy(bridge, "mistral", "7b", folder, "--num-layers", 1, "--hidden-size", 64)
    file = str(folder / "tokenizer.json")
    tokenizer = Tokenizer.from_file(file)
    special = sorted(tokenizer.get_added_tokens_decoder().items())
    trainer = trainers.BpeTrainer(
        vocab_size=tokenizer.get_vocab_size(),
        special_tokens=[token.content for _, token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = text.read_text(encoding="utf-8").split("\n")
    tokenizer.train_from_iterator(lines[: len(lines) // 2], trainer)
    tokenizer.save(file)
    return folder


def prompt(count, vocabulary):
    """The ids that peer_transformers.py and peer_llama.c make."""
    return torch.tensor([[1] + [20 + (7919 * i) % (vocabulary - 40) for i in range(1, count)]])


def make(bridge, root, prompts, cache, size="1b"):
    """A folder with a billion parameters, its GGUF and the prompts beside it: (folder, bytes per token, parameters).

    A tiny one has two layers.
    """
    source, layers = root / "source", 2 if size == "tiny" else LAYERS
    shutil.rmtree(source, ignore_errors=True)  # of an earlier part
    toy(bridge, "mistral", "7b", source, "--num-layers", 1, "--hidden-size", 64)  # for the tokenizer and the side files
    for file in source.glob("*.safetensors*"):
        file.unlink()
    config = json.loads((source / "config.json").read_text()) | {
        "hidden_size": HIDDEN, "num_hidden_layers": layers, "num_attention_heads": HEADS, "num_key_value_heads": GROUPS,
        "head_dim": HEAD, "intermediate_size": FFN, "tie_word_embeddings": False, "sliding_window": None,
    }  # fmt: skip
    (source / "config.json").write_text(json.dumps(config, indent=2))
    tensors = weights(config["vocab_size"], layers)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    for count, name in prompts:
        save_file({"input_ids": prompt(count, config["vocab_size"])}, root / f"{name}-{count}.safetensors")
    if (cache / "version").exists():
        version = (cache / "version").read_text().strip()
        package = cache / f"llama_cpp_python-{version}" / "vendor" / "llama.cpp" / "gguf-py"
        command = [sys.executable, HERE / "write_gguf.py", source, root / "model.gguf"]
        subprocess.run(command, check=True, env=os.environ | {"GGUF_PY": str(package)}, stdout=subprocess.DEVNULL)
    # A token reads every weight but the embedding, of which it needs one row, and the keys and values before it.
    read = sum(t.numel() * 2 for name, t in tensors.items() if "embed_tokens" not in name)
    cached = prompts[0][0] * layers * 2 * GROUPS * HEAD * 2
    return source, read + cached, sum(t.numel() for t in tensors.values())


def make_prompts(file, count):
    """A JSONL file of prompts of 5 to some 100 words."""
    words = "the model reads each of its weights once for all of the sequences that it continues at a time".split()
    lines = [" ".join(words[(7 * i + j) % len(words)] for j in range(5 + 37 * i % 96)) for i in range(count)]
    file.write_text("".join(json.dumps({"prompt": line}) + "\n" for line in lines))


def weights(vocabulary, layers):
    torch.manual_seed(1)

    def normal(rows, columns):
        return (torch.randn(rows, columns) / math.sqrt(columns)).bfloat16()

    def norm():
        return (1 + torch.randn(HIDDEN) / 10).bfloat16()

    result = {
        "model.embed_tokens.weight": normal(vocabulary, HIDDEN), "lm_head.weight": normal(vocabulary, HIDDEN),
        "model.norm.weight": norm(),
    }  # fmt: skip
    for layer in range(layers):
        name = f"model.layers.{layer}"
        result |= {
            f"{name}.self_attn.q_proj.weight": normal(HEADS * HEAD, HIDDEN),
            f"{name}.self_attn.k_proj.weight": normal(GROUPS * HEAD, HIDDEN),
            f"{name}.self_attn.v_proj.weight": normal(GROUPS * HEAD, HIDDEN),
            f"{name}.self_attn.o_proj.weight": normal(HIDDEN, HEADS * HEAD),
            f"{name}.mlp.gate_proj.weight": normal(FFN, HIDDEN), f"{name}.mlp.up_proj.weight": normal(FFN, HIDDEN),
            f"{name}.mlp.down_proj.weight": normal(HIDDEN, FFN), f"{name}.input_layernorm.weight": norm(),
            f"{name}.post_attention_layernorm.weight": norm(),
        }  # fmt: skip
    return result


def make_vision(bridge, root, tower):
    """A folder with a tower of its published size, and inputs with one image."""
    which = VISION[tower]
    source, inputs = root / tower.lower(), root / f"{tower.lower()}-inputs.safetensors"
    toy(bridge, which["family"], which["size"], source, "--num-layers", 1)
    config = json.loads((source / "config.json").read_text())
    vision, generator = config["vision_config"], torch.Generator().manual_seed(1)
    if which["grid"]:
        rows, columns = which["grid"]
        cell = vision["patch_size"] * config["spatial_merge_size"]
        height, width = rows * cell, columns * cell
        line = [10] * columns
        ids = [1, *(line + [12]) * (rows - 1), *line, 13, 50, 51]
        tensors = {"image_sizes": torch.tensor([[height, width]])}
    else:
        height = width = vision["image_size"]
        soft = config["image_token_index"]
        ids = [2, config["boi_token_index"], *[soft] * config["mm_tokens_per_image"], config["eoi_token_index"], 300]
        tensors = {"token_type_ids": (torch.tensor([ids]) == soft).long()}
    pixels = torch.rand(1, 3, height, width, generator=generator) * 2 - 1
    save_file(tensors | {"input_ids": torch.tensor([ids]), "pixel_values": pixels}, inputs)
    return source, inputs


def make_text(file, size=10_000_000):
    """Ten megabytes of what there is on every machine: this repository's text and Python's own library."""
    sources = sorted(HERE.parent.glob("*.md")) + sorted(HERE.parent.glob("Tests/**/*.md"))
    sources += sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8", errors="ignore") for path in sources)
    whole = (text * (size // len(text) + 1))[:size]
    file.write_text(whole, encoding="utf-8")
    return file.stat().st_size
