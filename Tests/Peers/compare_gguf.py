#!/usr/bin/env python3
"""Compares GGUF files with the gguf package and with llama.cpp.

    compare_gguf.py [BRIDGE] [--seed N] [--only TEXT ...]

Both are in the environment .venv-llama (BRIDGE_LLAMA_VENV names another one; scripts/setup-llama makes it). For a new tiny model of
every family, from its Hugging Face directory and from a Megatron checkpoint of two by two ranks:

files       `convert export --format gguf` as f32, f16, bf16, q8_0 and q4_0: the tensors under llama.cpp's names, rearranged and
            quantised here by gguf's own code, bit for bit; the same files from both sources; the settings by their keys.
names       those that are expected here are those of gguf's own table.
logits      llama.cpp's logits of each file beside the bridge's of the model with the weights of the file, dequantised by
            gguf. Only the arithmetic differs then: llama.cpp rounds the inputs of a product to the type of its matrix (to 8 bits
            for the quantised ones), and takes GELU from a table in float16. The bounds are shares of the largest logit.
tokens      llama.cpp's token ids of texts beside those of transformers.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import torch
from checkpoints import read_json, read_tensors
from runner import Failure, Runner, main
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent.parent.parent
FAMILIES = ("mistral", "ministral3", "gemma3")
# The largest difference of two logits, as a share of the largest logit: about three times what was seen.
BOUNDS = {"f32": 1e-5, "f16": 6e-3, "bf16": 3e-2, "q8_0": 8e-2, "q4_0": 8e-2}
# GELU from a table.
TABLE_BOUND = 2e-3
TEXTS = [
    "", "Hello", " hello  world", "The quick brown fox\njumps over\n\n\nthe lazy dog.",
    "camelCaseHTTPRequest x1234567",
    "def f(x):\n    return x ** 2  # 3.14", "it's WE'LL don't", "a\tb\r\nc", "!!! ... --- //", "Straße naïve",
    "<s>[INST] hi [/INST]</s>", "<bos><start_of_turn>user\nhi<end_of_turn>\n", "你好，世界。", "👍🏽 ok", "   ",
    "0x1F {\"k\": [1, 2.5e-3]}",
]  # fmt: skip


def paired(weight, heads):
    """llama.cpp rotates neighbouring rows of a head, transformers the two halves."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, -1).transpose(1, 2).reshape(weight.shape)


def halved(weight, heads):
    """The inverse."""
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


LAYER = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
NORMS = {
    "llama": {"post_attention_layernorm": "ffn_norm"},
    "gemma": {
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    },
}
PIXTRAL = {
    "attention_norm": "ln1", "ffn_norm": "ln2", "attention.q_proj": "attn_q", "attention.k_proj": "attn_k",
    "attention.v_proj": "attn_v", "attention.o_proj": "attn_out", "feed_forward.gate_proj": "ffn_gate",
    "feed_forward.up_proj": "ffn_up", "feed_forward.down_proj": "ffn_down",
}  # fmt: skip
SIGLIP = {
    "layer_norm1": "ln1", "layer_norm2": "ln2", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.out_proj": "attn_out", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
}  # fmt: skip
OTHERS = {
    "patch_conv.weight": "v.patch_embd.weight", "ln_pre.weight": "v.pre_ln.weight",
    "embeddings.patch_embedding.weight": "v.patch_embd.weight", "embeddings.patch_embedding.bias": "v.patch_embd.bias",
    "embeddings.position_embedding.weight": "v.position_embd.weight",
    "post_layernorm.weight": "v.post_ln.weight", "post_layernorm.bias": "v.post_ln.bias",
    "norm.weight": "mm.input_norm.weight", "patch_merger.merging_layer.weight": "mm.patch_merger.weight",
    "linear_1.weight": "mm.1.weight", "linear_2.weight": "mm.2.weight", "linear_1.bias": "mm.1.bias", "linear_2.bias": "mm.2.bias",
    "mm_soft_emb_norm.weight": "mm.soft_emb_norm.weight", "mm_input_projection_weight": "mm.input_projection.weight",
}  # fmt: skip


def place(name, config):
    """llama.cpp's name of a tensor, the heads whose rows are paired, and what is added; None for a tensor that it does not need."""
    text, vision = config.get("text_config", config), config.get("vision_config", {})
    is_gemma = "gemma" in text["model_type"]
    name = name.replace("vision_model.", "")
    if "vision_tower.head." in name:
        return None
    for start in ("vision_tower.transformer.layers.", "vision_tower.encoder.layers."):
        if name.startswith(start):
            layer, path = name.removeprefix(start).split(".", 1)
            path, ending = path.rsplit(".", 1)
            heads = vision["num_attention_heads"] if path in ("attention.q_proj", "attention.k_proj") else None
            return f"v.blk.{layer}.{(PIXTRAL | SIGLIP)[path]}.{ending}", heads, 0
    for start in ("vision_tower.", "multi_modal_projector."):
        if name.startswith(start):
            own = OTHERS[name.removeprefix(start)]
            return own, None, 1 if own == "mm.soft_emb_norm.weight" else 0
    name = name.removeprefix("language_model.")
    if name == "lm_head.weight":
        return "output.weight", None, 0
    name = name.removeprefix("model.").removesuffix(".weight")
    offset = 1 if is_gemma and name.endswith("norm") else 0
    if not name.startswith("layers."):
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[name], None, offset
    _, layer, path = name.split(".", 2)
    heads = {"self_attn.q_proj": "num_attention_heads", "self_attn.k_proj": "num_key_value_heads"}.get(path)
    paired_heads = text[heads] if heads and not is_gemma else None
    own = (LAYER | NORMS["gemma" if is_gemma else "llama"])[path]
    return f"blk.{layer}.{own}.weight", paired_heads, offset


class Comparison(Runner):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        home = Path(os.environ.get("BRIDGE_LLAMA_VENV", ROOT / ".venv-llama"))
        self.python = home / "bin" / "python"
        if not self.python.exists():
            raise SystemExit(f"{self.python} does not exist; run scripts/setup-llama")

    def peer(self, *arguments):
        command = [self.python, Path(__file__).parent / "llama_peer.py", *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise Failure(f"llama_peer.py {arguments[0]} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
        return done.stdout

    def family(self, family):
        draw = self.draw(family)
        home = self.work / family
        model = home / "model"
        home.mkdir(parents=True)
        sizes = ["--hidden-size", 64 * draw.randint(1, 2), "--num-layers", draw.randint(2, 4)]
        self.call("toy", "--family", family, "--output", model, "--seed", draw.randrange(2**31), *sizes)
        self.judge(f"refuses {family}", lambda: self.refuses(home, model))
        config, tensors = read_json(model / "config.json"), read_tensors(model)
        vocabulary = config.get("text_config", config)["vocab_size"]
        # No placeholders of images.
        ids = [1] + [draw.randrange(32, min(vocabulary, 250)) for _ in range(60)]
        (home / "ids.json").write_text(json.dumps(ids), encoding="utf-8")
        self.call("convert", "import", "--hf-model", model, "--megatron-path", home / "megatron", "--tp", 2, "--pp", 2)
        for kind in BOUNDS:
            self.judge(f"files {family} {kind}", lambda: self.files(home, model, config, tensors, kind))
            self.judge(f"logits {family} {kind}", lambda: self.logits(home, model, config, tensors, ids, kind))
        self.judge(f"names {family}", lambda: self.names(home, config, tensors))
        self.judge(f"tokens {family}", lambda: self.tokens(home, model))

    def refuses(self, home, model):
        """Toys have settings that llama.cpp does not compute with; here they get those that it does."""
        config, problems = read_json(model / "config.json"), []
        text = config.get("text_config", config)
        if "gemma" in text["model_type"]:
            changes = [(text, "query_pre_attn_scalar", text["head_dim"])]
        else:
            changes = [(text, "sliding_window", None)]
            if "vision_config" in config:
                rope = config["vision_config"].get("rope_parameters", config["vision_config"])
                changes += [(rope, "rope_theta", 10000.0), (config, "projector_hidden_act", "gelu")]
        for settings, key, value in changes:
            if settings.get(key) in (None, value):
                continue
            try:
                self.call("convert", "export", "--format", "gguf", "--hf-model", model, "--hf-path", home / "refused")
                problems.append(f"{key} {settings[key]} is accepted")
            except Failure as failure:
                problems += [] if "llama.cpp cannot compute with" in str(failure) else [f"{key}: {failure}"]
            settings[key] = value
        (model / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        return ", ".join(key for _, key, _ in changes), problems

    def names(self, home, config, tensors):
        """The names that are expected here are those of gguf's own table."""
        (home / "names.json").write_text(json.dumps(sorted(tensors)), encoding="utf-8")
        blocks = config.get("text_config", config)["num_hidden_layers"]
        found = json.loads(self.peer("names", self.architecture(config), blocks, home / "names.json"))
        own = {name: place(name, config)[0] for name in tensors if place(name, config)}
        problems = [f"{name} is {found[name]}, not {target}" for name, target in own.items() if found[name] != target]
        return f"{len(own)} names", problems

    @staticmethod
    def architecture(config):
        return {"mistral": "llama", "mistral3": "mistral3"}.get(config["model_type"], "gemma3")

    def expected(self, config, tensors, kind, is_projectors):
        """The float32 tensors of a file, in llama.cpp's order of rows."""
        found = {}
        for name, tensor in tensors.items():
            where = place(name, config)
            if where is None or where[0].startswith(("v.", "mm.")) != is_projectors:
                continue
            own, heads, offset = where
            tensor = tensor.float()
            found[own] = ((paired(tensor, heads) if heads else tensor) + offset).contiguous().numpy()
        if is_projectors and "v.pre_ln.weight" in found:
            row = [name for name in tensors if name.endswith("embed_tokens.weight")][0]
            found["v.token_embd.img_break"] = tensors[row][self.break_token].float().numpy()
        return found

    def files(self, home, model, config, tensors, kind):
        out = home / kind
        export = ("convert", "export", "--format", "gguf", "--gguf-type", kind)
        self.call(*export, "--hf-model", model, "--hf-path", out)
        again = home / f"{kind}-again"
        self.call(*export, "--megatron-path", home / "megatron", "--hf-path", again)
        problems = [file.name for file in out.iterdir() if file.read_bytes() != (again / file.name).read_bytes()]
        problems = [f"{name} differs between the two sources" for name in problems]
        count = 0
        for file in sorted(out.iterdir()):
            is_projectors = file.name.startswith("mmproj")
            tokens = {entry["content"]: entry["id"] for entry in read_json(model / "tokenizer.json")["added_tokens"]}
            self.break_token = tokens.get("[IMG_BREAK]", 0)
            wanted = self.expected(config, tensors, kind, is_projectors)
            np.savez(home / "expected.npz", **wanted)
            found = json.loads(self.peer("tensors", file, home / f"{kind}-{is_projectors}.npz", home / "expected.npz"))
            problems += found["problems"]
            problems += [
                f"{name} is {own}" for name, own in found["types"].items() if own not in self.types(name, wanted[name], kind)
            ]
            keys = json.loads(self.peer("keys", file))
            problems += self.key_problems(keys, config, is_projectors)
            count += len(wanted)
        return f"{count} tensors", problems

    @staticmethod
    def types(name, tensor, kind):
        """The types that a tensor may have in a file."""
        if tensor.ndim == 1:
            return {"F32"}
        if name.startswith(("v.", "mm.")):
            own = {"f32": "F32", "bf16": "BF16"}.get(kind, "F16")
            # Those that llama.cpp convolves with, adds or transposes.
            special = {"v.patch_embd.weight", "mm.patch_merger.weight", "v.position_embd.weight", "mm.input_projection.weight"}
            return {"F32", "F16"} if name in special else {own}
        own = kind.upper()
        if own.startswith("Q") and tensor.shape[-1] % 32:
            return {"F16"}
        return {"Q8_0"} if kind == "q4_0" and name in ("token_embd.weight", "output.weight") else {own}

    def key_problems(self, keys, config, is_projectors):
        text, vision = config.get("text_config", config), config.get("vision_config", {})
        if is_projectors:
            wanted = {
                "general.architecture": "clip", "clip.has_vision_encoder": True,
                "clip.vision.image_size": vision["image_size"], "clip.vision.patch_size": vision["patch_size"],
                "clip.vision.embedding_length": vision["hidden_size"], "clip.vision.block_count": vision["num_hidden_layers"],
                "clip.vision.feed_forward_length": vision["intermediate_size"],
                "clip.vision.attention.head_count": vision["num_attention_heads"],
                "clip.vision.projection_dim": text["hidden_size"],
            }  # fmt: skip
        else:
            architecture = self.architecture(config)
            wanted = {"general.architecture": architecture} | {
                f"{architecture}.{key}": text[own]
                for key, own in {
                    "block_count": "num_hidden_layers", "embedding_length": "hidden_size",
                    "context_length": "max_position_embeddings", "feed_forward_length": "intermediate_size",
                    "attention.head_count": "num_attention_heads", "attention.head_count_kv": "num_key_value_heads",
                    "attention.key_length": "head_dim", "vocab_size": "vocab_size",
                }.items()
            }  # fmt: skip
        return [f"{key} is {keys.get(key)}, expected {value}" for key, value in wanted.items() if keys.get(key) != value]

    def logits(self, home, model, config, tensors, ids, kind):
        # The model with the weights of the file.
        stored = np.load(home / f"{kind}-False.npz")
        weights = {}
        for name, tensor in tensors.items():
            where = place(name, config)
            if where is None or where[0] not in stored:
                weights[name] = tensor.float().contiguous()
                continue
            own, heads, offset = where
            value = torch.from_numpy(stored[own].copy()) - offset
            weights[name] = (halved(value, heads) if heads else value).contiguous()
        same = home / "same"
        same.mkdir(exist_ok=True)
        for file in model.iterdir():
            if file.suffix == ".json" and "index" not in file.name or file.suffix == ".jinja":
                (same / file.name).write_bytes(file.read_bytes())
        save_file(weights, same / "model.safetensors", metadata={"format": "pt"})
        save_file({"input_ids": torch.tensor([ids])}, home / "in.safetensors")
        self.call(
            "forward", "--hf-model", same, "--inputs", home / "in.safetensors", "--output", home / "out.safetensors",
            "--dtype", "float32",
        )  # fmt: skip
        ours = load_file(home / "out.safetensors")["logits"][0].numpy()
        self.peer("logits", home / kind / f"model-{kind.upper()}.gguf", home / "ids.json", home / "theirs.npy")
        theirs = np.load(home / "theirs.npy")
        if ours.shape != theirs.shape:
            return "", [f"llama.cpp has {theirs.shape} logits, the bridge {ours.shape}"]
        share = float(np.abs(ours - theirs).max() / np.abs(ours).max())
        bound = max(BOUNDS[kind], TABLE_BOUND if self.architecture(config) == "gemma3" else 0)
        problems = [] if share <= bound else [f"they differ by {share:.2g} of the largest, allowed {bound:g}"]
        return f"{share:.1e} of the largest", problems

    def tokens(self, home, model):
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model)
        (home / "texts.json").write_text(json.dumps(TEXTS), encoding="utf-8")
        found = json.loads(self.peer("tokens", home / "f32" / "model-F32.gguf", home / "texts.json"))
        problems = []
        for text, ids in zip(TEXTS, found, strict=True):
            expected = tokenizer.encode(text)
            if ids != expected:
                problems.append(f"{text!r} becomes {ids}, expected {expected}")
        return f"{len(TEXTS)} texts", problems


def run(comparison, _):
    for family in FAMILIES:
        comparison.family(family)


if __name__ == "__main__":
    main(__doc__, run, Comparison)
