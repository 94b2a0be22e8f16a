"""Compares the memory that `bridge train --dry-run` estimates with what short runs use.

    python3 Benchmarks/memory.py .build/release/bridge

The measured memory of a run is the highest resident set of its process (VmHWM, from wait4), less that of a run of a tiny
model with the same options and less the mapped file of weights that were copied. Rows have the full sequence length. Runs with several ranks are not measured: their processes
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
    # name, toy options, micro-batch, options
    ("270M, full, bfloat16", ["--family", "gemma3_text", "--size", "270m"], 1, []),
    ("12 layers, full, float32", None, 4, ["mixed_precision=fp32"]),
    ("12 layers, full, bfloat16", None, 4, []),
    ("12 layers, recompute selective", None, 4, ["model.recompute_granularity=selective"]),
    ("12 layers, recompute full", None, 4, ["model.recompute_granularity=full"]),
    ("12 layers, lora", None, 4, ["--peft-scheme", "lora"]),
]
WIDE = ["--family", "mistral", "--num-layers", "12", "--hidden-size", "2048"]
TINY = ["--family", "mistral", "--num-layers", "1", "--hidden-size", "64"]


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

        def toy(options: list[str]) -> str:
            path = os.path.join(home, "-".join(options).replace("--", ""))
            if not os.path.exists(path):
                subprocess.run([bridge, "toy", "--output", path, *options], check=True, stdout=subprocess.DEVNULL)
            return path

        def train(model: str, micro: int, options: list[str]) -> list[str]:
            return [
                bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
                "--dataset-type", "tokenized", "hf_path=", "--threads", "2", f"dataset.train_data_path={data}", "train.train_iters=2",
                "train.eval_interval=0", f"train.micro_batch_size={micro}", f"train.global_batch_size={2 * micro}",
                f"model.seq_length={LENGTH}", f"dataset.seq_length={LENGTH}", "scheduler.lr_warmup_iters=0",
                f"checkpoint.save={home}/run", "checkpoint.save_optim=false", *options,
            ]  # fmt: skip

        print(f"{'run':38} {'estimated':>10} {'measured':>10} {'ratio':>6}")
        for name, options, micro, settings in CASES:
            model = toy(options or WIDE)
            subprocess.run(["rm", "-rf", f"{home}/run", f"{home}/run_logs"], check=True)
            plan = subprocess.run(train(model, micro, settings) + ["--dry-run", "--json"], capture_output=True)
            if plan.returncode != 0:
                sys.exit(plan.stderr.decode())
            estimated = json.loads(plan.stdout)["ranks"][0]["bytes"]
            found = []
            for path, size in ((toy(TINY), 1), (model, micro)):
                subprocess.run(["rm", "-rf", f"{home}/run", f"{home}/run_logs"], check=True)
                found.append(highest(train(path, size, settings)))
            # The weights of full training are copies of a file that is mapped and counts too.
            isCopied = "--peft-scheme" not in settings
            files = [entry for entry in os.scandir(model) if entry.name.endswith(".safetensors")]
            mapped = sum(entry.stat().st_size for entry in files) if isCopied else 0
            measured = found[1] - found[0] - mapped
            print(f"{name:38} {estimated / 1e6:7.0f} MB {measured / 1e6:7.0f} MB {estimated / measured:6.2f}", flush=True)


main()
