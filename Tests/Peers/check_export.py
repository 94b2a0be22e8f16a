#!/usr/bin/env python3
"""Compares an exported checkpoint with its source, through transformers and on disk.

    check_export.py SOURCE EXPORTED [--dtype float32|float16|bfloat16]

Both folders are loaded with the class that their config.json names; a missing, an unexpected or a mismatched key
fails, and every tensor must be the same bit for bit, dtype included. The names on disk and the index are compared as
well. An FP8 source is dequantised first, since an export writes plain weights; with --dtype the source is converted by
torch first. Prints what differs; exit status 1 if anything does.
"""

import argparse
import sys
from pathlib import Path

import torch
from checkpoints import (
    compare, declared_dtype, dequantise_all, load, loading_problems, quantisation, read_json, read_tensors,
)  # fmt: skip
from safetensors import safe_open


def cast(tensors, dtype):
    """Every floating tensor in another type, by torch's own conversion (to nearest, ties to even)."""
    if dtype is None:
        return tensors
    return {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}


def expected_tensors(source, dtype=None):
    """The tensors that an export of this source has to store, under the names on disk."""
    config = read_json(Path(source) / "config.json")
    tensors = read_tensors(source)
    if quantisation(source):
        block = config["quantization_config"].get("weight_block_size")
        tensors = dequantise_all(tensors, block, declared_dtype(config))
    return cast(tensors, dtype)


def index_problems(folder):
    """What is wrong with a folder's index, if it has one."""
    path = Path(folder) / "model.safetensors.index.json"
    if not path.exists():
        return []
    index, problems, total = read_json(path), [], 0
    for file in sorted(set(index["weight_map"].values())):
        with safe_open(Path(folder) / file, framework="pt") as reader:
            for name in reader.keys():
                tensor = reader.get_tensor(name)
                total += tensor.numel() * tensor.element_size()
                if index["weight_map"].get(name) != file:
                    problems.append(f"{name} is in {file}, the index says {index['weight_map'].get(name)}")
    if (stated := index.get("metadata", {}).get("total_size", total)) != total:
        problems.append(f"the index states a total size of {stated}, the files have {total}")
    return problems


def check(source, exported, dtype=None):
    """Sentences about everything that differs; none when the export is right."""
    config = read_json(Path(exported) / "config.json")
    problems = []
    if "quantization_config" in config and quantisation(source):
        problems.append("config.json still has quantization_config, though the weights are written plain")
    if dtype is not None and declared_dtype(config) != dtype:
        problems.append(f"config.json names {declared_dtype(config)}, expected {dtype}")
    problems += index_problems(exported)
    problems += [f"on disk: {what}" for what in compare(expected_tensors(source, dtype), read_tensors(exported))]

    try:
        model, report = load(exported)
    except (RuntimeError, ValueError, OSError) as error:
        return problems + [f"transformers refuses the export: {str(error).splitlines()[0]}"]
    problems += [f"loading the export: {what}" for what in loading_problems(report)]
    if quantisation(source):
        # transformers misplaces the scales of cut blocks, so the source's own model is no yardstick here.
        return problems
    original, report = load(source)
    problems += [f"loading the source: {what}" for what in loading_problems(report)]
    expected, found = cast(original.state_dict(), dtype), model.state_dict()
    return problems + [f"in the model: {what}" for what in compare(expected, found)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("exported", type=Path)
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], help="what the export was asked for")
    options = parser.parse_args()
    problems = check(options.source, options.exported, options.dtype and getattr(torch, options.dtype))
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{options.exported} is {options.source}, tensor for tensor")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
