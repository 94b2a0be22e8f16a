#!/usr/bin/env python3
"""Writes packed sequences as NeMo and Megatron Bridge store and use them.

    make_packed_fixtures.py

Writes training-data/packed.npy, an array of dictionaries as fill_packing_strategy of Megatron Bridge 0.6 makes it
(data/datasets/packing_utils.py), packed-numpy1.npy, the same as numpy 1 pickles it, and packed.json: for each
sample of each row the inputs and the labels of the step, as collate_fn of its GPTSFTPackedDataset cuts them
(data/datasets/gpt_sft.py), with -100 where the loss mask is 0.
"""

import json
import pickle
import random
from pathlib import Path

import numpy

HERE = Path(__file__).resolve().parent / "training-data"


def main():
    draw = random.Random(5)
    rows, expected = [], []
    for number in range(5):
        row = {"input_ids": [], "loss_mask": [], "seq_start_id": []}
        samples = []
        for _ in range(draw.randint(1, 4)):
            count = draw.randint(2, 12)
            tokens = [draw.randint(3, 500) for _ in range(count)]
            answer = draw.randint(1, count - 1)
            mask = [index >= answer for index in range(count)]
            # "roll loss mask by 1 to align with labels"
            mask = mask[1:] + [False]
            row["seq_start_id"].append(len(row["input_ids"]))
            row["input_ids"] += tokens
            # Truth values from a mask of the chat template, numbers from another one.
            row["loss_mask"] += mask if number % 2 else [int(value) for value in mask]
            labels = [label if supervised else -100 for label, supervised in zip(tokens[1:], mask[:-1])]
            samples.append({"inputs": tokens[:-1], "labels": labels})
        rows.append(row)
        expected.append(samples)
    numpy.save(HERE / "packed.npy", rows)
    content = (HERE / "packed.npy").read_bytes()
    assert [row["input_ids"] for row in numpy.load(HERE / "packed.npy", allow_pickle=True)] == [row["input_ids"] for row in rows]
    start = 10 + int.from_bytes(content[8:10], "little")
    # numpy 1 writes protocol 3, in which names are lines.
    body = pickle.dumps(numpy.array(rows), protocol=3)
    old = content[:start] + body.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core.multiarray\n" in old and pickle.loads(old[start:])[0] == rows[0]
    (HERE / "packed-numpy1.npy").write_bytes(old)
    (HERE / "packed.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
