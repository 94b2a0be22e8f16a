#!/usr/bin/env python3
"""Times training steps beside torch, transformers and peft, in one run.

    make bench-training    or: python Benchmarks/training.py BRIDGE [--rounds 3] [--steps 5] [--only MODE ...]

A Mistral of 134 million parameters, 12 layers, hidden 768, a vocabulary of 32,000; rows of 512 tokens, four in a
micro-batch, two threads. Every round runs each program once, in turn; a program's figure is the median of its rounds, of
which each is the median of the steps behind the first. "tuned" is torch with tcmalloc-like reuse of memory by glibc
(MALLOC_TOP_PAD_, MALLOC_MMAP_THRESHOLD_), which is what its users on slow-memory machines do. Peak memory is the largest
resident set. --output writes the results to a file for Benchmarks/report.py.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import add_output, median, publish, ratio, row
from training_model import LENGTH, make

HERE = Path(__file__).resolve().parent
MICRO = 4
# Keeps what is freed, so that steps reuse it: fresh pages are slow to get on virtual machines.
TUNED = {"MALLOC_TOP_PAD_": str(8 << 30), "MALLOC_MMAP_THRESHOLD_": str(64 << 30), "MALLOC_TRIM_THRESHOLD_": str(64 << 30)}
MODES = {
    "sft-bfloat16": ("sft", "bf16_mixed", "sft-autocast"),
    "sft-float32": ("sft", "fp32", "sft-float32"),
    "lora-bfloat16": ("lora", "bf16_mixed", "lora-autocast"),
    "lora-float32": ("lora", "fp32", "lora-float32"),
}


def ours(bridge, model, rows, scheme, precision, steps, root, *more, micro=MICRO, length=LENGTH):
    """Tokens per second and peak memory of a run of `bridge train`, and the notes that it prints."""
    run = Path(tempfile.mkdtemp(dir=root))
    command = [
        bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
        "--dataset-type", "tokenized", f"dataset.train_data_path={rows}", f"train.train_iters={steps}",
        f"train.global_batch_size={micro}", f"train.micro_batch_size={micro}", "scheduler.lr_warmup_iters=1",
        f"checkpoint.save={run}/save", "checkpoint.save_interval=1000000", "checkpoint.save_optim=false",
        f"mixed_precision={precision}", "model.tensor_model_parallel_size=1", "model.pipeline_model_parallel_size=1",
        f"model.seq_length={length}", f"dataset.seq_length={length}", "train.eval_interval=0", "dataset.shuffle=false",
        "--json", *more,
    ]  # fmt: skip
    if scheme == "lora":
        command += ["--peft-scheme", "lora"]
    command = ["/usr/bin/env", "python3", "-c", WATCH, *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"BRIDGE_NUM_THREADS": "2"})
    if done.returncode:
        raise SystemExit(done.stderr)
    *notes, peak = done.stderr.strip().splitlines()
    steps = [json.loads(line) for line in (run / "save_logs" / "log.jsonl").read_text().splitlines()]
    key = "elapsed_time_per_iteration"
    times = sorted(step[key] for step in steps if key in step and step["iteration"] > 1)
    return {"tokens_per_second": micro * length / times[len(times) // 2], "peak_bytes": int(peak), "notes": notes}


# A line of `bridge train --profile`: kind, calls, milliseconds, share of the step, GFLOP/s and share of the peak.
LINE = re.compile(r"(?P<kind>\S.*?)\s{2,}(?:\d+\s+)?(?P<ms>[\d.]+)\s+(?P<share>[\d.]+) %(?:\s+(?P<speed>\d+)\s+(?P<peak>\d+) %)?")
PEAK = re.compile(r"peak, \D*2048 x 2048 x 2048 in \w+\s+(?P<speed>\d+)")
GROUPS = [
    "products", "thin products", "attention, forward", "attention, backward", "optimizer", "waiting for samples", "everything else",
    "whole step",
]  # fmt: skip


def group(kind):
    """The row of a kind of operation in the table of a step."""
    if kind.startswith(("product ", "projection ")):
        # Those of an adapter have its rank as one of their sizes.
        return "thin products" if min(map(int, re.findall(r"\d+", kind))) <= 64 else "products"
    names = {"attention": "attention, forward", "all": "whole step"} | {name: name for name in GROUPS}
    return names.get(kind, "optimizer" if kind in ("optimizer", "norm of the gradient") else "everything else")


def breakdown(notes):
    """The peak in GFLOP/s, and of each group of operations its milliseconds, GFLOP/s, and share of the peak, or None."""
    peak, found = None, {}
    for line in notes:
        if match := PEAK.match(line):
            peak = int(match["speed"])
        elif match := LINE.match(line):
            ms, work, share = found.get(group(match["kind"]), (0, 0, 0))
            time = float(match["ms"])
            found[group(match["kind"])] = (
                ms + time, work + time * int(match["speed"] or 0), share + time * int(match["peak"] or 0) / 100
            )  # fmt: skip
    return peak, {
        name: (found[name][0], found[name][1] / found[name][0] or None, found[name][2] / found[name][0] or None)
        for name in GROUPS if name in found
    }  # fmt: skip


def step_table(mode, notes):
    """A table of the time of a step by groups of operations."""
    peak, found = breakdown(notes)
    whole = found["whole step"][0]
    rows = [
        [name, f"{ms / whole:.1%}", f"{speed:.0f}" if speed else "", f"{share:.0%}" if share else ""]
        for name, (ms, speed, share) in found.items()
    ]
    title = (
        f"Time of a step of {mode}, from `bridge train --profile`; the peak is a product of 2048 x 2048 x 2048 in bfloat16, {peak} "
        "GFLOP/s, measured between the steps; shares of it are medians of the steps' shares:"
    )
    return title, ["", "share of the step", "GFLOP/s", "of the peak"], rows


def step_summary(mode, notes):
    """The rows of the first table of report.py that a profile has."""
    peak, found = breakdown(notes)
    limit = f"{peak} GFLOP/s"

    def share(task, *names):
        time = sum(found[name][0] for name in names)
        speed = sum(found[name][0] * found[name][1] for name in names) / time
        text = f"{sum(found[name][0] * found[name][2] for name in names) / time:.0%} of the peak"
        if task == "attention":
            text = f"{speed / found['products'][1]:.0%} of the products' speed"
        return row(task, f"{speed:.0f} GFLOP/s", text, "", limit)

    if mode == "lora-bfloat16":
        return [share("thin-products", "thin products")]
    if mode != "sft-bfloat16":
        return []
    waiting, whole = found["waiting for samples"][0], found["whole step"][0]
    return [
        share("products", "products"), share("attention", "attention, forward", "attention, backward"), share("step", "whole step"),
        row("waiting", f"{waiting:.1f} ms of {whole:.0f} ms", f"{waiting / whole:.1%} of the step"),
    ]  # fmt: skip


# Runs a command and prints how large it became, as a process of its own so that nothing else counts.
WATCH = (
    "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr); sys.exit(code)"
)


def theirs(model, rows, mode, steps, tuned):
    command = [sys.executable, HERE / "peer_training.py", model, rows, "--mode", mode, "--steps", steps, "--micro", MICRO]
    environment = os.environ | (TUNED if tuned else {})
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=MODES, default=list(MODES))
    add_output(parser)
    options = parser.parse_args()
    rows_of_table, summary = [], []
    results = {}
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        root = Path(name)
        model, rows = make(options.bridge, root, 64)
        for mode in options.only:
            scheme, precision, peer = MODES[mode]
            rounds = []
            for _ in range(options.rounds):
                rounds.append({
                    "bridge": ours(options.bridge, model, rows, scheme, precision, options.steps, root),
                    "torch": theirs(model, rows, peer, options.steps, False),
                    "tuned": theirs(model, rows, peer, options.steps, True),
                })  # fmt: skip
            profiled = ours(options.bridge, model, rows, scheme, precision, options.steps, root, "--profile")
            results[mode] = {"rounds": rounds, "breakdown": profiled["notes"]}

            speed, peak = median(rounds, "bridge", "tokens_per_second"), median(rounds, "bridge", "peak_bytes")
            if mode in ("sft-bfloat16", "lora-bfloat16"):
                others = [median(rounds, who, "tokens_per_second") for who in ("torch", "tuned")]
                ratios = [ratio(rounds, "bridge", who, "tokens_per_second") for who in ("torch", "tuned")]
                summary.append(row(
                    mode, f"{speed:.0f} tokens/s", f"{ratios[0]:.2f} and {ratios[1]:.2f}",
                    f"torch {others[0]:.0f}, tuned {others[1]:.0f} tokens/s",
                ))  # fmt: skip
                summary += step_summary(mode, profiled["notes"])
            if mode == "sft-bfloat16":
                summary.append(row(
                    "memory", f"{peak / 2**30:.2f} GiB", f"{ratio(rounds, 'bridge', 'torch', 'peak_bytes'):.2f} of the memory",
                    f"torch {median(rounds, 'torch', 'peak_bytes') / 2**30:.2f} GiB",
                ))  # fmt: skip
            rows_of_table.append([
                mode, f"{speed:.0f}", f"{ratio(rounds, 'bridge', 'torch', 'tokens_per_second'):.2f}",
                f"{ratio(rounds, 'bridge', 'tuned', 'tokens_per_second'):.2f}", f"{peak / 2**30:.2f} GiB",
                f"{ratio(rounds, 'bridge', 'torch', 'peak_bytes'):.2f}",
            ])  # fmt: skip
    for mode, result in results.items():
        print(f"Time of a step of {mode}:\n")
        print("\n".join(result["breakdown"]) + "\n", flush=True)
    steps = [step_table(mode, result["breakdown"]) for mode, result in results.items() if mode.endswith("bfloat16")]
    publish(
        options, "training", "make bench-training",
        f"A Mistral model of 134 million parameters, sequences of {LENGTH} tokens, micro-batch of {MICRO}, two threads; medians of "
        f"{options.rounds} interleaved rounds with {options.steps} steps each. Ratios are medians of the rounds' ratios.",
        [("", ["", "tokens/s", "over torch", "over torch, tuned", "peak memory", "of torch's"], rows_of_table), *steps],
        results, summary,
    )  # fmt: skip


if __name__ == "__main__":
    main()
