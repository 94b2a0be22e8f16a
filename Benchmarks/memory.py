"""Compares the memory that `bridge train --dry-run` estimates with what short runs use.

    python3 Benchmarks/memory.py .build/release/bridge

The measured memory of a run is the highest resident set of its process (VmHWM, from wait4), less that of a run of a tiny
model with the same options. Rows have the full sequence length. Runs with several ranks are not measured: their processes
share the cores' pages of libraries.
"""

import json
import os
import random
import subprocess
import sys
import tempfile

LENGTH = 512
CASES = [
    # name, hidden size, layers, micro-batch, options
    ("full, float32", 768, 8, 2, ["mixed_precision=fp32"]),
    ("full, bfloat16", 768, 8, 2, []),
    ("full, bfloat16, micro-batch 8", 512, 8, 8, []),
    ("full, bfloat16, recompute full", 512, 8, 8, ["model.recompute_granularity=full"]),
    ("full, bfloat16, recompute selective", 512, 8, 8, ["model.recompute_granularity=selective"]),
    ("lora, bfloat16", 768, 8, 8, ["--peft-scheme", "lora"]),
]


def rows(path: str, count: int) -> None:
    numbers = random.Random(1)
    with open(path, "w") as file:
        for _ in range(count):
            ids = [numbers.randrange(30, 200) for _ in range(LENGTH)]
            file.write(json.dumps({"input_ids": ids, "labels": ids}) + "\n")


def highest(words: list[str]) -> int:
    """Runs a command; the bytes of its highest resident set."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(words)}:\n{errors.decode()}")
    return usage.ru_maxrss * 1024


def main() -> None:
    bridge = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as home:
        data = os.path.join(home, "rows.jsonl")
        rows(data, 32)

        def toy(name: str, hidden: int, layers: int) -> str:
            path = os.path.join(home, name)
            if not os.path.exists(path):
                words = [bridge, "toy", "--family", "mistral", "--output", path, "--no-progress"]
                words += ["--num-layers", str(layers), "--hidden-size", str(hidden)]
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            return path

        def train(model: str, micro: int, options: list[str]) -> list[str]:
            return [
                bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
                "--dataset-type", "tokenized", f"dataset.train_data_path={data}", "train.train_iters=2",
                "train.eval_interval=0", f"train.micro_batch_size={micro}", f"train.global_batch_size={2 * micro}",
                f"model.seq_length={LENGTH}", f"dataset.seq_length={LENGTH}", "scheduler.lr_warmup_iters=0",
                f"checkpoint.save={home}/run", "checkpoint.save_optim=false", *options,
            ]  # fmt: skip

        print(f"{'run':38} {'estimated':>10} {'measured':>10} {'ratio':>6}")
        for name, hidden, layers, micro, options in CASES:
            model = toy(f"toy-{hidden}-{layers}", hidden, layers)
            plan = subprocess.run(
                train(model, micro, options) + ["--dry-run", "--json"], check=True, capture_output=True
            )
            estimated = json.loads(plan.stdout)["ranks"][0]["bytes"]
            baseline = None
            for which in (toy("tiny", 64, 1), model):
                subprocess.run(["rm", "-rf", f"{home}/run", f"{home}/run_logs"], check=True)
                size = 1 if baseline is None else micro
                found = highest(train(which, size, options))
                if baseline is None:
                    baseline = found
            measured = found - baseline
            print(f"{name:38} {estimated / 1e6:7.0f} MB {measured / 1e6:7.0f} MB {estimated / measured:6.2f}", flush=True)


main()
