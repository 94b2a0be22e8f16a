#!/usr/bin/env python3
"""Times training with two ranks beside one rank with two threads, and beside torch's DDP and FSDP2 over gloo; and collectives.

    make bench-parallel    or: python Benchmarks/parallel.py BRIDGE [--rounds 3] [--steps 3]

The model of training.py: 134 million parameters, rows of 512 tokens, bf16_mixed; micro-batches of one row, sixteen rows in
a step, so that a pipeline of two stages is idle for 1/17 of the time. Collectives are of 4 KiB, 1 MiB and 64 MiB float32, beside
a copy in memory and gloo's. Every round runs each program once, in turn; a
program's figure is the median of its rounds, of which each is the median of the steps behind the first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import add_output, publish
from training_model import LENGTH, make

HERE = Path(__file__).resolve().parent
BATCH = 16
LAYOUTS = {
    "1 rank, 2 threads": [],
    "DP 2": ["--nproc-per-node", "2"],
    "DP 2, overlap": [
        "--nproc-per-node", "2", "ddp.overlap_grad_reduce=true", "ddp.overlap_param_gather=true"
    ],
    "TP 2": ["--nproc-per-node", "2", "model.tensor_model_parallel_size=2"],
    "TP 2, sequence parallel": [
        "--nproc-per-node", "2", "model.tensor_model_parallel_size=2", "model.sequence_parallel=true"
    ],
    # The output layer has as many products as three and a half layers, and so has its stage four of the twelve.
    "PP 2, 8 + 4 layers": [
        "--nproc-per-node", "2", "model.pipeline_model_parallel_size=2", "model.num_layers_in_first_pipeline_stage=8"
    ],
    "CP 2": ["--nproc-per-node", "2", "model.context_parallel_size=2"],
}  # fmt: skip


def ours(bridge, model, rows, options, steps, root):
    run = Path(tempfile.mkdtemp(dir=root))
    sizes = {"model.tensor_model_parallel_size": 1, "model.pipeline_model_parallel_size": 1}
    given = [option.split("=")[0] for option in options]
    command = [
        bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
        "--dataset-type", "tokenized", f"dataset.train_data_path={rows}", f"train.train_iters={steps}",
        f"train.global_batch_size={BATCH}", "train.micro_batch_size=1", "scheduler.lr_warmup_iters=1",
        f"checkpoint.save={run}/save", "checkpoint.save_interval=1000000", "checkpoint.save_optim=false",
        "mixed_precision=bf16_mixed", f"model.seq_length={LENGTH}", f"dataset.seq_length={LENGTH}",
        "train.eval_interval=0", "dataset.shuffle=false", "--json", *options,
        *(f"{key}={size}" for key, size in sizes.items() if key not in given),
    ]  # fmt: skip
    # Of several ranks each has its share of the cores.
    environment = {key: value for key, value in os.environ.items() if key != "BRIDGE_NUM_THREADS"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = [json.loads(line) for line in (run / "save_logs" / "log.jsonl").read_text().splitlines()]
    times = sorted(s["elapsed_time_per_iteration"] for s in lines if s.get("iteration", 0) > 1)
    return BATCH * LENGTH / times[len(times) // 2]


def answer(command):
    """The last line of JSON of a program."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def theirs(model, rows, mode, steps):
    command = [sys.executable, HERE / "peer_parallel.py", "train", model, rows, "--mode", mode]
    return answer(command + ["--steps", steps, "--global-batch", BATCH])["tokens_per_second"]


def collectives(bridge):
    """Bytes per second of each collective and size: ours, and gloo's where it has the collective."""
    lines = answer([bridge, "selftest", "collectives", "--nproc-per-node", 2, "--json"])["collectives"]
    mine = {(line["name"], line["bytes"]): line["bytes_per_second"] for line in lines}
    sizes = sorted({size for _, size in mine})
    gloo = answer([sys.executable, HERE / "peer_parallel.py", "collectives", *sizes])
    return {
        f"{name}, {size} bytes": (speed, gloo.get(name, {}).get(str(size))) for (name, size), speed in mine.items()
    }


def collective_rows(rounds):
    """Rows of a table: ours and gloo's in GB/s, the copy's of that size, and the share of it."""
    speeds = {
        name: [statistics.median([one[name][who] or 0 for one in rounds]) for who in range(2)] for name in rounds[0]
    }
    rows = []
    for name, (ours, gloo) in speeds.items():
        copy = speeds["copy" + name[name.index(","):]][0]
        rows.append([name, f"{ours / 1e9:.2f}", f"{gloo / 1e9:.2f}" if gloo else "", f"{ours / copy:.2f}"])
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    add_output(parser)
    options = parser.parse_args()
    rounds, exchanges = [], []
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        root = Path(name)
        model, rows = make(options.bridge, root, 64)
        for _ in range(options.rounds):
            figures = {
                layout: ours(options.bridge, model, rows, more, options.steps, root) for layout, more in LAYOUTS.items()
            }
            figures["torch DDP, gloo"] = theirs(model, rows, "ddp", options.steps)
            figures["torch FSDP2, gloo"] = theirs(model, rows, "fsdp", options.steps)
            rounds.append(figures)
            exchanges.append(collectives(options.bridge))
    medians = {who: statistics.median(figures[who] for figures in rounds) for who in rounds[0]}
    one = medians["1 rank, 2 threads"]
    publish(
        options, "parallel", "make bench-parallel",
        f"A Mistral model of 134 million parameters, sequences of {LENGTH} tokens, bf16_mixed, {BATCH} micro-batches of one row in "
        f"a step, two cores; medians of {options.rounds} interleaved rounds with {options.steps} steps each.",
        [(
            "", ["", "tokens/s", "of one rank"],
            [[who, f"{speed:.0f}", f"{speed / one:.2f}"] for who, speed in medians.items()],
        ), (
            "Collectives of two ranks, float32", ["", "GB/s", "gloo", "of a copy"], collective_rows(exchanges),
        )],
        {"rounds": rounds, "collectives": exchanges},
    )  # fmt: skip


if __name__ == "__main__":
    main()
