#!/usr/bin/env python3
"""Compares the losses of LoRA over weights in bfloat16, in 8 and in 4 bits (QLoRA): same model, same data, same seed.

    make bench-qlora    or: python Benchmarks/qlora.py BRIDGE [--steps 300] [--base-steps 300] [--rate 1e-3] [--rank 16]

The base is a Mistral of 6 layers and hidden size 512 that trained_model.py trains from random weights on sentences of one
language; adapters are then trained on those of another one, which has the same words and other tables. Weights are quantized
in groups of 64. All runs see the same rows in the same order. A second run in bfloat16, whose adapters have another seed, shows
how far two runs are from each other without quantization. Smoothed is the mean of the last 10 steps. The trained base is kept in
BRIDGE_BENCHMARKS_CACHE (default: ~/.cache/bridge-benchmarks). --output writes the results to a file for Benchmarks/report.py.
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from measuring import add_output, publish
from trained_model import BATCH, LENGTH, Language, load_tokenizer, steps_of, train, train_command, write_rows

BASE = {
    "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 64,
    "intermediate_size": 1408, "vocab_size": 2048, "tie_word_embeddings": False,
}  # fmt: skip
GROUP, WINDOW, VALIDATION = 64, 10, 64
RUNS = {
    "bfloat16": [],
    "8 bits": ["model.load_in_8bit=true", f"model.quantization_group_size={GROUP}"],
    "4 bits": ["model.load_in_4bit=true", f"model.quantization_group_size={GROUP}"],
    "bfloat16, another seed": ["rng.seed=2"],
}
FIRST = next(iter(RUNS))


def fine_tune(bridge, model, data, validation, options, output, settings):
    """The losses of all steps and of the validations of a run: {step: loss} twice."""
    every = max(1, options.steps // 3)
    command = train_command(
        bridge, model, data, options.steps, options.rate, output, "--peft-scheme", "lora", f"peft.dim={options.rank}",
        f"peft.alpha={2 * options.rank}", "dataset.shuffle=false", f"dataset.valid_data_path={validation}",
        f"train.eval_interval={every}", f"train.eval_iters={VALIDATION // BATCH}", "logger.log_interval=1000", "rng.seed=1",
        *settings,
    )  # fmt: skip
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = steps_of(output)
    return {
        "losses": {line["iteration"]: line["lm_loss"] for line in lines if "lm_loss" in line},
        "validation": {line["iteration"]: line["validation_lm_loss"] for line in lines if "validation_lm_loss" in line},
    }


def smoothed(losses):
    """{step: mean of the last WINDOW losses}."""
    values = [losses[step] for step in sorted(losses)]
    return {end: sum(values[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(values) + 1)}


def distance(first, other):
    """The largest distance of two smoothed curves, and its step."""
    return max((abs(other[step] - first[step]), step) for step in first)


def points(curve):
    """A curve for the image: every second step is enough."""
    return [[step, round(value, 4)] for step, value in curve.items() if step % 2 == 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--base-steps", type=int, default=300)
    parser.add_argument("--base-rate", type=float, default=1e-3)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rank", type=int, default=16)
    add_output(parser)
    options = parser.parse_args()
    bridge = options.bridge.resolve()
    base = train(bridge, "qlora", BASE, options.base_steps, options.base_rate)
    runs = {}
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        root, language = Path(name), Language(2)
        tokenizer = load_tokenizer(base)
        data, validation = root / "rows.jsonl", root / "validation.jsonl"
        write_rows(data, tokenizer, language, options.steps * BATCH, "training")
        write_rows(validation, tokenizer, language, VALIDATION, "validation")
        for run, settings in RUNS.items():
            runs[run] = fine_tune(bridge, base, data, validation, options, root / "run", settings)
            for output in ("run", "run_logs"):
                shutil.rmtree(root / output)
            print(f"{run}: validation loss {list(runs[run]['validation'].values())[-1]:.4f}", flush=True)
    steps = [step for step in (10, 50, 100, 200, 300, 500, 1000) if step <= options.steps]
    curves = {run: smoothed(found["losses"]) for run, found in runs.items()}
    rows = []
    for run, found in runs.items():
        far, step = distance(curves[FIRST], curves[run])
        rows.append([
            run, f"{found['losses'][1]:.4f}", *[f"{curves[run][step]:.4f}" for step in steps],
            f"{list(found['validation'].values())[-1]:.4f}", "" if run == FIRST else f"{far:.4f} at step {step}",
        ])  # fmt: skip
    publish(
        options, "qlora", "make bench-qlora",
        f"LoRA of rank {options.rank} over the same trained model of 20 million parameters, whose weights are in bfloat16, in 8 and in 4 "
        f"bits (groups of {GROUP}): {options.steps} steps of {BATCH} rows of {LENGTH} tokens, the same rows in the same order. The base "
        "was trained on sentences of a synthetic language, the adapters on those of another one with the same words. Losses are in nats "
        f"per token, means of the last {WINDOW} steps but for the first step; the validation has {VALIDATION} rows that are not in the "
        "training data. Distance is the largest one from the curve in bfloat16; that of another seed of the adapters is the scale of it.",
        [(
            "", ["", "step 1", *[f"{step}" for step in steps], "validation", "distance"], rows,
        )],
        runs,
        figure={
            "text": "Losses of LoRA over weights in bfloat16, 8 and 4 bits, and their differences from bfloat16", "x": "step",
            "panels": [
                {"title": "Loss", "y": "nats per token", "series": {run: points(curves[run]) for run in list(RUNS)[:3]}},
                {"title": "Difference from bfloat16", "y": "nats per token", "first colour": 1, "series": {
                    run: points({step: curve[step] - curves[FIRST][step] for step in curve})
                    for run, curve in curves.items() if run != FIRST
                }},
            ],
        },
    )  # fmt: skip


if __name__ == "__main__":
    main()
