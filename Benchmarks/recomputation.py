#!/usr/bin/env python3
"""Measures the peak memory and the throughput of training with each setting of model.recompute_granularity, in one run.

    make bench-recomputation    or: python Benchmarks/recomputation.py BRIDGE [--rounds 3] [--steps 4] [--lengths 512 2048]

The model of training.py, 134 million parameters; full training and LoRA of rank 32 in bf16_mixed, rows of 512 and of 2,048
tokens, 4,096 tokens in a micro-batch, two threads. Every round runs each setting once, in turn, and ratios are medians over
the rounds of two settings' ratio in one round. A run's throughput is that of the median step behind the first, its memory the
largest resident set of the process, which includes the mapped weights. --output writes the results to a file for
Benchmarks/report.py. Needs 6 GB of memory.
"""

import argparse
import tempfile
from pathlib import Path

from measuring import add_output, median, publish, ratio, row
from training import ours
from training_model import make, write_rows

GRANULARITIES = {
    "none": [],
    "selective": ["model.recompute_granularity=selective"],
    "full": ["model.recompute_granularity=full"],
}
SCHEMES = {"sft": "full training", "lora": "LoRA"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--tokens", type=int, default=4096, help="of a micro-batch")
    add_output(parser)
    options = parser.parse_args()
    bridge = options.bridge.resolve()
    cases = [(length, scheme) for length in options.lengths for scheme in SCHEMES]
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        root = Path(name)
        model, _ = make(bridge, root, 1)
        data = {length: write_rows(root / f"rows-{length}.jsonl", 64, length) for length in options.lengths}
        for _ in range(options.rounds):
            entry = {}
            for length, scheme in cases:
                for granularity, settings in GRANULARITIES.items():
                    micro = options.tokens // length
                    run = ours(
                        bridge, model, data[length], scheme, "bf16_mixed", options.steps, root, *settings,
                        micro=micro, length=length,
                    )  # fmt: skip
                    entry[f"{scheme} {length} {granularity}"] = {key: run[key] for key in ("tokens_per_second", "peak_bytes")}
            rounds.append(entry)
    rows, summary = [], []
    name, first = f"sft {options.lengths[0]} full", f"sft {options.lengths[0]} none"
    summary.append(row(
        "recomputation", f"{median(rounds, name, 'peak_bytes') / 2**30:.2f} GiB",
        f"{ratio(rounds, name, first, 'peak_bytes'):.2f} of the memory, {ratio(rounds, name, first, 'tokens_per_second'):.2f} of the speed",
        f"Bridge without {median(rounds, first, 'peak_bytes') / 2**30:.2f} GiB",
    ))  # fmt: skip
    for length, scheme in cases:
        for granularity in GRANULARITIES:
            name, first = f"{scheme} {length} {granularity}", f"{scheme} {length} none"
            peak, speed = median(rounds, name, "peak_bytes"), median(rounds, name, "tokens_per_second")
            rows.append([
                SCHEMES[scheme], f"{length:,}", granularity, f"{peak / 2**30:.2f} GiB",
                f"{ratio(rounds, name, first, 'peak_bytes'):.2f}", f"{speed:.0f}",
                f"{ratio(rounds, name, first, 'tokens_per_second'):.2f}",
            ])  # fmt: skip
    publish(
        options, "recomputation", "make bench-recomputation",
        f"A Mistral model of 134 million parameters, bf16_mixed, {options.tokens:,} tokens in a micro-batch, two threads; LoRA of "
        f"rank 32; medians of {options.rounds} interleaved rounds with {options.steps} steps each. Memory is the largest resident "
        "set of the process, the mapped weights included.",
        [(
            "", ["", "tokens of a row", "recomputation", "peak memory", "of that without", "tokens/s", "of those without"], rows,
        )],
        rounds, summary,
    )  # fmt: skip


if __name__ == "__main__":
    main()
