"""The model and the data of training.py: 12 layers, hidden 768, a vocabulary of 32,000, rows of 512 tokens."""

import json
import math
import subprocess

import torch
from safetensors.torch import save_file

HIDDEN, LAYERS, HEADS, HEAD, FFN, VOCABULARY, LENGTH = 768, 12, 12, 64, 2048, 32000, 512


def make(bridge, root, rows):
    """A Mistral of 134 million parameters in bfloat16 and rows of random tokens: (folder, JSONL file)."""
    folder = root / "model"
    command = [bridge, "toy", "--family", "mistral", "--output", folder]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    config = json.loads((folder / "config.json").read_text()) | {
        "hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "head_dim": HEAD, "intermediate_size": FFN, "vocab_size": VOCABULARY, "tie_word_embeddings": False,
        "sliding_window": None, "max_position_embeddings": 4096,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    torch.manual_seed(1)
    tensors = {}

    def normal(name, height, width):
        tensors[f"{name}.weight"] = (torch.randn(height, width) * 0.02 * math.sqrt(768 / width)).bfloat16()

    normal("model.embed_tokens", VOCABULARY, HIDDEN)
    normal("lm_head", VOCABULARY, HIDDEN)
    tensors["model.norm.weight"] = torch.ones(HIDDEN).bfloat16()
    for layer in range(LAYERS):
        own = f"model.layers.{layer}"
        for name in "qkvo":
            normal(f"{own}.self_attn.{name}_proj", HIDDEN, HIDDEN)
        normal(f"{own}.mlp.gate_proj", FFN, HIDDEN)
        normal(f"{own}.mlp.up_proj", FFN, HIDDEN)
        normal(f"{own}.mlp.down_proj", HIDDEN, FFN)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{own}.{name}.weight"] = torch.ones(HIDDEN).bfloat16()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder, write_rows(root / "rows.jsonl", rows, LENGTH)


def write_rows(path, rows, length):
    """Writes rows of random tokens to a JSONL file; its path."""
    with open(path, "w") as file:
        for row in range(rows):
            generator = torch.Generator().manual_seed(row)
            ids = torch.randint(20, VOCABULARY - 20, (length,), generator=generator).tolist()
            file.write(json.dumps({"input_ids": ids, "labels": ids}) + "\n")
    return path
