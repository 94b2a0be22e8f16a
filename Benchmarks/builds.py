#!/usr/bin/env python3
"""Times two builds of the program in turn: what a large change of the code did to conversions and to training steps.

    python Benchmarks/builds.py BEFORE AFTER [--names OLD NEW] [--rounds 3] [--size 3b] [--steps 5] [--folder DIR]

BEFORE and AFTER are two executables, each of a release build with its plugins beside it. Every round runs every command
with each of them, one directly after the other. Conversions are timed as in conversion.py, until the result is on the
disk and with the source in the page cache; training steps as in training.py. The table has medians and the ratio of
the two. Needs three times the model's size on the disk.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

import conversion
import training
from measuring import add_output, publish, warm
from training_model import make


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--names", nargs=2, default=["before", "after"], help="what to call the two, such as their commits")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--family", default="ministral3")
    parser.add_argument("--size", default="3b")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    add_output(parser)
    options = parser.parse_args()
    builds = {"before": options.before.resolve(), "after": options.after.resolve()}
    root = Path(tempfile.mkdtemp(prefix="bridge-bench-", dir=options.folder))
    try:
        converted = conversions(builds, root, options)
        trained = steps(builds, root, options)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    publish(
        options, "builds", "Benchmarks/builds.py",
        f"Two builds of the program in turn, {' and '.join(options.names)}: medians of {options.rounds} rounds (minimum to maximum).",
        [
            ("Conversions, seconds until the result is on the disk", ["", "before", "after", "after / before"],
             [row(name, both) for name, both in converted.items()]),
            ("Training steps, tokens per second", ["", "before", "after", "after / before"],
             [row(name, both) for name, both in trained.items()]),
        ],
        {"conversions": converted, "training": trained},
    )  # fmt: skip


def row(name, both):
    medians = {build: statistics.median(values) for build, values in both.items()}

    def spread(build):
        values, digits = both[build], 2 if medians[build] < 100 else 0
        return f"{medians[build]:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"

    return [name, spread("before"), spread("after"), f"{medians['after'] / medians['before']:.2f}"]


def conversions(builds, root, options):
    """Seconds of each conversion with each build: {name: {build: [seconds]}}."""
    source, native, out = root / "source", root / "native", root / "out"
    toy = [builds["after"], "toy", "--family", options.family, "--size", options.size, "--output", source]
    subprocess.run(toy, check=True, stdout=subprocess.DEVNULL)
    ours = [builds["before"], "convert", "--hf-model", source, "--megatron-path", native]
    subprocess.run(ours, check=True, stdout=subprocess.DEVNULL)
    commands = {
        "import": (["convert", "--hf-model", source, "--megatron-path", out], source),
        "import, TP 2 x PP 2": (
            ["convert", "--hf-model", source, "--megatron-path", out, "--tp", "2", "--pp", "2"], source,
        ),
        "reshard to TP 2 x PP 2": (
            ["reshard", "--megatron-path", native, "--output", out, "--tp", "2", "--pp", "2"], native,
        ),
        "export": (["convert", "export", "--megatron-path", native, "--hf-path", out], native),
    }
    results = {name: {build: [] for build in builds} for name in commands}
    for _ in range(options.rounds):
        for name, (command, needed) in commands.items():
            for build, program in builds.items():
                warm(needed)
                results[name][build].append(conversion.run([program, *command], out)[0])
    return results


def steps(builds, root, options):
    """Tokens per second of training with each build: {mode: {build: [tokens/s]}}."""
    folder = root / "training"
    folder.mkdir()
    model, rows = make(builds["after"], folder, 64)
    results = {mode: {build: [] for build in builds} for mode in training.MODES}
    for _ in range(options.rounds):
        for mode, (scheme, precision, _) in training.MODES.items():
            for build, program in builds.items():
                run = training.ours(program, model, rows, scheme, precision, options.steps, folder)
                results[mode][build].append(run["tokens_per_second"])
    return results


if __name__ == "__main__":
    main()
