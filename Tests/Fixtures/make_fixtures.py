#!/usr/bin/env python3
"""Makes the fixtures of Tests/Fixtures: tiny checkpoints in every dialect, and reference numbers from transformers.

    make_fixtures.py [NAME ...]          make all, or these
    make_fixtures.py --check [NAME ...]  make them in a temporary folder and compare with what is committed

Weights come from numpy's PCG64 seeded by the fixture's seed and the parameter's name, by integer arithmetic and exact
scaling only, so the files are the same on every machine. Run it with the Python of scripts/setup-peers.
"""

import argparse
import filecmp
import hashlib
import json
import math
import shutil
import sys
import tempfile
import zlib
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Peers"))

import fixture_native as native
import fixture_reference
import fixture_side_files as side_files
import numpy as np
import torch
import transformers
from checkpoints import (
    bits, compare, dequantise_all, load, loading_problems, quantisation, read_json, read_tensors, weight_files,
    write_json,
)  # fmt: skip
from fixture_list import all_fixtures
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers.core_model_loading import PermuteForRope


# ---- weights


def weight_values(seed, name, shape):
    """Uniform numbers in [-1, 1), a function of the seed and the parameter's name; exact in float32."""
    generator = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
    steps = generator.integers(-(2**20), 2**20, size=tuple(shape), dtype=np.int64)
    return torch.from_numpy(steps.astype(np.float32) / np.float32(2**20))


def fill_parameter(seed, name, parameter, gemma, embedding_scale):
    """Values of a usual size for the parameter's kind; never ones or zeros."""
    values = weight_values(seed, name, parameter.shape)
    if "norm" in name or "ln_pre" in name:
        if name.endswith(".bias"):
            values = values * 0.25
        elif gemma and "vision_tower" not in name:
            values = values * 0.5  # Gemma multiplies by 1 + w
        else:
            values = values * 0.5 + 1.125
    elif name.endswith(".bias"):
        values = values * 0.25
    elif "embed_tokens" in name:
        values = values * embedding_scale
    elif "position_embedding" in name:
        values = values * 0.75
    else:
        rows = parameter.shape[0] if "mm_input_projection" in name else parameter.numel() // parameter.shape[0]
        # A power of two near 1 / sqrt(fan in), so that scaling is exact.
        values = values * 2.0 ** round(math.log2(1.7 / math.sqrt(rows)))
    parameter.copy_(values.to(parameter.dtype))


# Halfway cases, float16 and bfloat16 overflow and underflow, subnormals of all three types, both zeros.
EDGE_VALUES = [
    1.00390625, 1.01171875, -1.00390625, 1.0004882812, 1.0014648438, 65504.0, 65519.996, 65520.0, -65536.0,
    3.3895314e38, 3.4e38, -3.4028235e38, 5.9604645e-08, 2.9802322e-08, 2.98023242e-08, -8.9406967e-08, 6.1035156e-05,
    6.097555e-05, 1.1754944e-38, 9.1835e-41, 4.59177e-41, 4.5919e-41, 1.4e-45, -1.4e-45, 0.0, -0.0,
    float("inf"), float("-inf"),
]  # fmt: skip


def build_model(folder, fixture):
    """The model of a fixture with its weights, from the config.json in the folder."""
    config = read_json(folder / "config.json")
    config.pop("quantization_config", None)
    model_class = getattr(transformers, config["architectures"][0])
    with tempfile.TemporaryDirectory() as scratch:
        write_json(Path(scratch) / "config.json", config)
        parsed = model_class.config_class.from_pretrained(scratch)
    text = parsed.get_text_config()
    if "text_config" in config and text.tie_word_embeddings != parsed.tie_word_embeddings:
        # transformers obeys the top level; what is stored is what the text model says.
        parsed.tie_word_embeddings = text.tie_word_embeddings
    model = model_class(parsed).to(getattr(torch, config.get("dtype") or config["torch_dtype"]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # A small embedding makes the first norm's epsilon show, where the class supplies a tiny one.
            scale = fixture.get("embedding_scale", 0.75)
            fill_parameter(fixture["seed"], name, parameter, "gemma3" in config["model_type"], scale)
        if fixture.get("edge_values"):
            # In a row of the embedding that no prompt uses.
            row = model.get_input_embeddings().weight[-1]
            other = model.get_input_embeddings().weight[-2]
            edge = torch.tensor(EDGE_VALUES, dtype=torch.float32)
            row.copy_(edge[: row.numel()])
            other[: edge.numel() - row.numel()] = edge[row.numel() :]
    return model.eval()


# ---- dialects


def rename(name, names):
    """A name as transformers 5.23 saves it, in another dialect of the hub."""
    if name.startswith("vision_tower.") and names != "keep":
        tail = name.removeprefix("vision_tower.")
        if tail.startswith(("embeddings.", "encoder.", "post_layernorm.")):
            name = "vision_tower.vision_model." + tail
    if names in ("new", "4.52"):
        if name.startswith("language_model.model."):
            return "model.language_model." + name.removeprefix("language_model.model.")
        if name.startswith("language_model.lm_head."):
            return name.removeprefix("language_model.")
        if name.startswith(("vision_tower.", "multi_modal_projector.")):
            return "model." + name
    elif names == "legacy" and name.startswith("lm_head."):
        return "language_model." + name
    return name


def rewrite(folder, change):
    """Passes every shard's tensors through `change` and brings the index up to date."""
    index_file = folder / "model.safetensors.index.json"
    weight_map, total = {}, 0
    for file in weight_files(folder):
        tensors = change(load_file(file))
        save_file(tensors, file, metadata={"format": "pt"})
        weight_map |= {name: file.name for name in tensors}
        total += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if index_file.exists():
        index = read_json(index_file)
        index["metadata"]["total_size"] = total
        index["weight_map"] = dict(sorted(weight_map.items()))
        index_file.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


# ---- making one fixture


def make_transformers_style(folder, fixture):
    config = fixture["config"]
    require_distinct_sizes(folder.name, config)
    write_json(folder / "config.json", config)
    model = build_model(folder, fixture)
    with tempfile.TemporaryDirectory() as scratch:
        model.save_pretrained(scratch, max_shard_size=fixture["shards"])
        for file in Path(scratch).glob("model*"):
            shutil.copy(file, folder / file.name)
        if fixture.get("style") == "5.x":
            shutil.copy(Path(scratch) / "config.json", folder / "config.json")
    if "names" in fixture:
        rewrite(folder, lambda tensors: {rename(name, fixture["names"]): t for name, t in tensors.items()})
    if kind := fixture.get("fp8"):
        block = config["quantization_config"]["weight_block_size"]
        rewrite(folder, lambda tensors: native.quantise_text(tensors, kind, block))
    if fixture.get("consolidated"):
        save_file(
            native.native_tensors(read_tensors(folder), config), folder / "consolidated.safetensors",
            metadata={"format": "pt"},
        )  # fmt: skip
        write_json(folder / "params.json", native.native_parameters(config))
    side_files.write(folder, config, fixture)


def make_native(folder, fixture, checkpoints):
    twin = checkpoints / fixture["twin"]
    config = native.native_config(twin, fixture)
    tensors = native.native_tensors(read_tensors(twin), config)
    require_transformers_permutation(tensors, read_tensors(twin), config)
    if "quantization_config" in config:
        # Calibration left-overs of the hub's native FP8 files, which transformers' conversion drops.
        for layer in range(config["text_config"]["num_hidden_layers"]):
            for i, which in enumerate(("q", "k", "v")):
                name = f"layers.{layer}.attention.{which}_fake_quantizer.qscale_act"
                tensors[name] = torch.tensor(0.03 + 0.004 * i + 0.01 * layer, dtype=torch.bfloat16)
    save_file(tensors, folder / "consolidated.safetensors", metadata={"format": "pt"})
    write_json(folder / "params.json", native.native_parameters(config))
    side_files.write_native(folder, config)


def require_transformers_permutation(tensors, original, config):
    """transformers' own rotary permutation must give the original back. (float8 is viewed as bytes.)"""
    text = config.get("text_config", config)
    prefix = "language_model.model." if "text_config" in config else "model."
    for native_name, name, heads in (
        ("layers.1.attention.wq.weight", "self_attn.q_proj.weight", text["num_attention_heads"]),
        ("layers.1.attention.wk.weight", "self_attn.k_proj.weight", text["num_key_value_heads"]),
    ):
        weight = tensors[native_name]
        raw = weight.view(torch.uint8) if weight.element_size() == 1 else weight
        back = PermuteForRope()._permute_for_rope(raw, SimpleNamespace(num_attention_heads=heads)).view(weight.dtype)
        if not torch.equal(bits(back), bits(original[f"{prefix}layers.1.{name}"])):
            raise SystemExit(f"{native_name} is not the inverse of transformers' permutation")


def require_distinct_sizes(name, config):
    """No two sizes of one model are alike, so that an axis taken for another shows. A head width that the class derives
    makes the queries as wide as the model; that one is inherent."""
    text, vision = config.get("text_config", config), config.get("vision_config", {})
    heads, groups = (
        text.get("num_attention_heads", 8),
        text.get("num_key_value_heads", 8 if "head_dim" not in text else 4),
    )
    head = text.get("head_dim", text["hidden_size"] // heads)
    sizes = [text[key] for key in ("hidden_size", "intermediate_size", "vocab_size")] + [groups * head]
    sizes += [heads * head] if "head_dim" in text else []
    sizes += [vision[key] for key in ("hidden_size", "intermediate_size") if key in vision]
    if len(set(sizes)) != len(sizes):
        raise SystemExit(f"{name}: two sizes are alike: {sizes}")


def make(name, fixture, checkpoints, references):
    folder = checkpoints / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if fixture["kind"] == "native":
        make_native(folder, fixture, checkpoints)
    else:
        make_transformers_style(folder, fixture)
        verify_loading(name, folder)
    references.mkdir(parents=True, exist_ok=True)
    fixture_reference.record(name, fixture, checkpoints, references)


def verify_loading(name, folder):
    """transformers must load the folder without a missing or unexpected key, and see the tensors and tokens stored."""
    text = "Describe this image. Brücke 橋 42\n\n  [INST]<start_of_image>"
    direct = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids
    if transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"] != direct:
        raise SystemExit(f"{name}: transformers' tokenizer and tokenizer.json disagree")
    fp8 = quantisation(folder)
    expected = dequantise_all(read_tensors(folder), (fp8 or {}).get("weight_block_size"))
    try:
        model, report = load(folder)
    except ValueError as error:
        if not fp8:
            raise
        print(f"  {name}: transformers cannot load this FP8 layout, so the dequantised twin is loaded: {error}")
        return
    if problems := loading_problems(report):
        raise SystemExit(f"{name}: transformers complains: {problems}")
    stored = stored_tensors(model, expected)
    problems = compare(expected, stored)
    if problems and fp8:
        print(f"  {name}: transformers' dequantisation differs for {len(problems)} tensors, e.g. {problems[0]}")
    elif problems:
        raise SystemExit(f"{name}: transformers loaded something else: {problems[:5]}")


def stored_tensors(model, expected):
    """The model's parameters under the names on disk."""
    found = {}
    state = model.state_dict()
    for name in expected:
        inner = name.replace("language_model.lm_head.", "lm_head.")
        if inner.startswith("language_model.model."):
            inner = "model.language_model." + inner.removeprefix("language_model.model.")
        elif inner.startswith(("vision_tower.", "multi_modal_projector.")):
            inner = "model." + inner
        if inner not in state:
            inner = inner.replace("vision_tower.vision_model.", "vision_tower.")
        if inner in state:
            found[name] = state[inner]
    return found


# ---- the command

# Not made by this script, see the README: only its bytes are checked.
PEER = "mistral-peer"


def check_peer():
    folder = HERE / "checkpoints" / PEER
    lines = [f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}" for f in sorted(folder.iterdir())]
    recorded = (HERE / "mistral-peer.sha256").read_text().splitlines()
    return [] if lines == recorded else [f"{PEER}: its files are not those of mistral-peer.sha256"]


def same_numbers(ours, theirs):
    """Reference files may differ by rounding between machines, nothing else."""
    a, b = load_file(ours), load_file(theirs)
    if a.keys() != b.keys():
        return False
    for key in a:
        if a[key].dtype == torch.float32 and ("logits" in key or "hidden_states" in key):
            if a[key].shape != b[key].shape or (a[key] - b[key]).abs().max() > 1e-5 * b[key].abs().max():
                return False
        elif key != "bfloat16_error" and "greedy_margin" not in key and not torch.equal(a[key], b[key]):
            return False
    return True


def check(names, fixtures):
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        for name in names:
            make(name, fixtures[name], fresh / "checkpoints", fresh / "reference")
        for name in names:
            ours, theirs = fresh / "checkpoints" / name, HERE / "checkpoints" / name
            files = {f.name for f in ours.iterdir()} | (
                {f.name for f in theirs.iterdir()} if theirs.is_dir() else set()
            )
            match, mismatch, errors = filecmp.cmpfiles(ours, theirs, sorted(files), shallow=False)
            problems += [f"{name}/{file} differs from what is committed" for file in mismatch + errors]
            record = f"{name}.safetensors"
            if not (HERE / "reference" / record).exists() or not same_numbers(
                fresh / "reference" / record, HERE / "reference" / record
            ):
                problems.append(f"reference/{record} differs from what is committed")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="fixtures to make; all of them when none is named")
    parser.add_argument("--check", action="store_true", help="compare with what is committed, change nothing")
    options = parser.parse_args()
    fixtures = all_fixtures()
    if unknown := set(options.names) - fixtures.keys():
        parser.error(f"no such fixture: {', '.join(sorted(unknown))}; there are {', '.join(fixtures)}")
    names = [name for name in fixtures if not options.names or name in options.names]

    if options.check:
        # A native fixture is made from its twin.
        wanted = set(names) | {fixtures[name]["twin"] for name in names if "twin" in fixtures[name]}
        problems = check([name for name in fixtures if name in wanted], fixtures)
        if not options.names:
            problems += check_peer()
        print("\n".join(problems) if problems else f"{len(wanted)} fixtures are as committed")
        return 1 if problems else 0
    for name in names:
        make(name, fixtures[name], HERE / "checkpoints", HERE / "reference")
        size = sum(f.stat().st_size for f in (HERE / "checkpoints" / name).iterdir())
        record = (HERE / "reference" / f"{name}.safetensors").stat().st_size
        print(f"{name}: {size:,} bytes, reference {record:,} bytes")
        if size >= 500_000 or record >= 120_000:
            print(f"  {name} is too big", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
