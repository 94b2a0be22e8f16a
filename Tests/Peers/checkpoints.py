"""Reading checkpoint folders with safetensors and transformers; shared by the fixtures and the comparisons."""

import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from safetensors import safe_open

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SCALE_SUFFIXES = ("weight_scale_inv", "activation_scale")
NATIVE_SCALE_SUFFIXES = ("qscale_weight", "qscale_act")


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_json(path, value):
    Path(path).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def weight_files(folder):
    """The safetensors files that make up a transformers-style checkpoint, without a consolidated twin."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    single = folder / "model.safetensors"
    if not single.exists():
        raise FileNotFoundError(f"{folder} has neither model.safetensors.index.json nor model.safetensors")
    return [single]


def read_files(files):
    """Every tensor of the files by name; one name in two files is an error."""
    tensors = {}
    for file in files:
        with safe_open(file, framework="pt") as reader:
            for name in reader.keys():
                if name in tensors:
                    raise ValueError(f"{name} is in {file} and in another file")
                tensors[name] = reader.get_tensor(name)
    return tensors


def read_tensors(folder):
    """Every tensor of a transformers-style folder, under its name on disk."""
    return read_files(weight_files(folder))


def bits(tensor):
    """The bytes of a tensor, so that a comparison tells -0 from 0 and holds for NaN."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def difference(expected, found):
    """None when two tensors are the same bit for bit, else what differs."""
    if expected.dtype != found.dtype:
        return f"dtype {found.dtype}, expected {expected.dtype}"
    if expected.shape != found.shape:
        return f"shape {list(found.shape)}, expected {list(expected.shape)}"
    if torch.equal(bits(expected), bits(found)):
        return None
    wrong = (expected.double() != found.double()).sum().item()
    return f"{wrong} of {expected.numel()} values differ"


def compare(expected, found):
    """A sentence for every name or tensor that differs between two dictionaries of tensors."""
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} is unexpected" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        if what := difference(expected[name], found[name]):
            problems.append(f"{name}: {what}")
    return problems


def dequantise(weight, scale, block=None, dtype=torch.bfloat16):
    """An FP8 weight in a wider type: both sides to float32, one float32 product, one rounding to nearest even.

    The scale is one number, one per row ([rows] or [rows, 1]), or one per block; the last block of a row or
    column may be cut. This is the order of casts of transformers' Fp8Dequantize, which however derives the
    block from the shapes (rows // scale rows) and so misplaces cut blocks; here the block's size is used.
    """
    rows, columns = weight.shape
    scale = scale.to(torch.float32)
    if scale.numel() == 1:
        grid = scale.reshape(1, 1)
    elif scale.ndim == 1 or (scale.shape[0] == rows and scale.shape[1] == 1):
        grid = scale.reshape(rows, 1)
    else:
        height, width = block
        if list(scale.shape) != [-(-rows // height), -(-columns // width)]:
            raise ValueError(
                f"a {list(scale.shape)} grid of scales does not cover {list(weight.shape)} in {block} blocks"
            )
        grid = scale.repeat_interleave(height, 0)[:rows].repeat_interleave(width, 1)[:, :columns]
    return (weight.to(torch.float32) * grid).to(dtype)


def dequantise_all(tensors, block=None, dtype=torch.bfloat16):
    """A checkpoint's tensors with every FP8 weight dequantised and the scales gone, as an export has to write them."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE_SUFFIXES + NATIVE_SCALE_SUFFIXES):
            continue
        if tensor.dtype == torch.float8_e4m3fn:
            stem = name.removesuffix("weight")
            scale = tensors.get(stem + "weight_scale_inv", tensors.get(stem + "qscale_weight"))
            tensor = dequantise(tensor, scale, block, dtype)
        result[name] = tensor
    return result


def quantisation(folder):
    """The quantization_config of a folder, or None."""
    return read_json(Path(folder) / "config.json").get("quantization_config")


def declared_dtype(config):
    """The dtype that a config.json names, in either spelling."""
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    return getattr(torch, name)


def load(folder, dtype="auto", **options):
    """The model of a folder through the class that its config.json names, and transformers' loading report."""
    architecture = read_json(Path(folder) / "config.json")["architectures"][0]
    model_class = getattr(transformers, architecture)
    return model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True, local_files_only=True, **options)


def loading_problems(report):
    """What a loading report complains about: missing, unexpected and mismatched keys, and errors."""
    problems = []
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        for item in sorted(map(str, report.get(kind) or [])):
            problems.append(f"{kind.removesuffix('s').replace('_', ' ')}: {item}")
    return problems
