#!/usr/bin/env python3
"""Makes gguf/blocks.safetensors and gguf/tiny.gguf with the gguf package.

    python make_gguf_fixtures.py     gguf==0.19.0, numpy, safetensors; numpy's generator with the seed 11

blocks.safetensors: rows of 64 numbers (`numbers`), and what gguf.quants.quantize makes of them in each type (`Q8_0`, ...). The numbers
have blocks of one sign, of zeros, of equal magnitudes, of tiny and huge values, and quotients half way between two integers.
tiny.gguf: a file of gguf.GGUFWriter with a value of every kind and tensors of four types; GGUFTests writes the same.
"""

from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

HOME = Path(__file__).resolve().parent / "gguf"
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0")


def numbers():
    generator = np.random.default_rng(11)
    rows = [generator.normal(0, scale, 64) for scale in (1, 0.02, 30, 1e-7, 3e4) for _ in range(6)]
    rows += [np.abs(generator.normal(0, 1, 64)), -np.abs(generator.normal(0, 1, 64)), np.zeros(64)]
    rows += [np.where(np.arange(64) % 3 == 0, -2.5, 2.5), np.where(np.arange(64) % 2 == 0, 0.75, -0.75)]
    # Halves: the largest magnitude is 127 and 8, so that the quotients are the numbers themselves.
    rows += [np.concatenate([[127], np.arange(31) - 15.5, [-127], np.arange(31) - 15.5])]
    rows += [np.concatenate([[-8], np.arange(31) / 4 - 3.75, [8], np.arange(31) / 4 - 3.75])]
    return np.array(rows, dtype=np.float32)


def main():
    HOME.mkdir(exist_ok=True)
    rows = numbers()
    found = {"numbers": rows}
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        found[name] = np.ascontiguousarray(gguf.quants.quantize(rows, kind)).view(np.uint8)
    save_file(found, HOME / "blocks.safetensors")

    writer = gguf.GGUFWriter(HOME / "tiny.gguf", "tiny")
    writer.add_uint32("a.count", 7)
    writer.add_float32("a.number", 0.1)
    writer.add_bool("a.flag", True)
    writer.add_string("a.text", "naïve")
    writer.add_array("a.flags", [True, False])
    writer.add_array("a.numbers", [0.5, -2.25])
    writer.add_array("a.integers", [3, -1])
    writer.add_array("a.texts", ["one", "", "drei"])
    for name in ("F32", "F16", "Q8_0", "Q4_0"):
        kind = gguf.GGMLQuantizationType[name]
        # An odd number of rows, so that tensors have a gap behind them.
        writer.add_tensor(f"m.{name}", gguf.quants.quantize(rows[:3], kind), raw_dtype=kind)
    writer.add_tensor("v.F32", rows[0, :5] + np.float32(1))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
