"""Compares the memory that `bridge train --dry-run` estimates with what short runs use.

    python3 Benchmarks/memory.py .build/release/bridge [FAMILY ...]

The measured memory of a run is the highest resident set of its process (VmHWM, from wait4), less that of a run of a tiny
model with the same options: the program, its libraries and buffers. Weights that adapters leave as they are stay mapped and
are counted; full training copies them, and the file is not mapped any more when the memory is highest. Rows have the full
sequence length and no images. The models have the proportions of published ones and random weights. Needs 4 GB of disk and
6 GB of memory. Of runs with two ranks, which share pages of libraries and of messages, the anonymous memory of each process
is measured (the largest RssAnon of /proc, every 5 ms), and the larger of the two is compared.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

LENGTH = 512
MICRO = 4
FAMILIES = ["mistral", "ministral3", "gemma3"]
MODES = [
    ("full, bfloat16", []),
    ("full, float32", ["mixed_precision=fp32"]),
    ("full, recompute selective", ["model.recompute_granularity=selective"]),
    ("full, recompute full", ["model.recompute_granularity=full"]),
    ("LoRA, bfloat16", ["--peft-scheme", "lora"]),
    ("DoRA, bfloat16", ["--peft-scheme", "dora"]),
]
LAYOUTS = [
    ("DP 2", []),
    ("TP 2", ["model.tensor_model_parallel_size=2"]),
    ("TP 2, sequence parallel", ["model.tensor_model_parallel_size=2", "model.sequence_parallel=true"]),
    ("PP 2", ["model.pipeline_model_parallel_size=2"]),
    ("CP 2", ["model.context_parallel_size=2"]),
]
SIZES = {
    "hidden_size": 1024, "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 4,
    "head_dim": 64, "vocab_size": 32768,
}  # fmt: skip
LAYERS = 8


def rows(path: str, count: int) -> None:
    numbers = random.Random(1)
    with open(path, "w") as file:
        for _ in range(count):
            ids = [numbers.randrange(30, 200) for _ in range(LENGTH)]
            file.write(json.dumps({"input_ids": ids, "labels": ids}) + "\n")


def checked(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}:\n{done.stderr}")
    return done.stdout


def highest(words: list[str]) -> int:
    """Runs a command; the bytes of its highest resident set."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(words)}:\n{errors.decode()}")
    return usage.ru_maxrss * 1024


def anonymous(words: list[str]) -> dict[str, int]:
    """Runs a command with two ranks; the most anonymous memory of each rank's process, by its number."""
    found, done = {}, threading.Event()

    def watch() -> None:
        ranks = {}
        while not done.wait(0.005):
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                try:
                    # A process is another program until it has executed this one.
                    if os.path.basename(os.readlink(entry / "exe")) != "bridge":
                        continue
                    if entry.name not in ranks:
                        lines = (entry / "environ").read_text().split("\0")
                        ranks[entry.name] = dict(line.split("=", 1) for line in lines if "=" in line).get(
                            "OMPI_COMM_WORLD_RANK"
                        )
                    if ranks[entry.name] is None:
                        continue
                    for line in (entry / "status").read_text().splitlines():
                        if line.startswith("RssAnon"):
                            rank = ranks[entry.name]
                            found[rank] = max(found.get(rank, 0), int(line.split()[1]) * 1024)
                except (OSError, UnicodeDecodeError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    checked(words)
    done.set()
    watcher.join()
    return found


class Bench:
    def __init__(self, bridge: str, home: str) -> None:
        self.bridge, self.home = bridge, home
        self.data = os.path.join(home, "rows.jsonl")
        rows(self.data, 32)
        self.tiny = self.path("tiny")
        checked([bridge, "toy", "--family", "mistral", "--num-layers", "1", "--output", self.tiny])
        # A pipeline of two stages needs a layer for each.
        self.tiny2 = self.path("tiny2")
        checked([bridge, "toy", "--family", "mistral", "--num-layers", "2", "--output", self.tiny2])

    def path(self, name: str) -> str:
        return os.path.join(self.home, name)

    def train(self, model: str, settings: list[str]) -> list[str]:
        for name in ("run", "run_logs"):
            shutil.rmtree(self.path(name), ignore_errors=True)
        return [
            self.bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
            "--dataset-type", "tokenized", "hf_path=", f"dataset.train_data_path={self.data}",
            "train.train_iters=2", "train.eval_interval=0", f"train.micro_batch_size={MICRO}",
            f"train.global_batch_size={2 * MICRO}", f"model.seq_length={LENGTH}", f"dataset.seq_length={LENGTH}",
            "model.tensor_model_parallel_size=1", "scheduler.lr_warmup_iters=0",
            f"checkpoint.save={self.path('run')}", "checkpoint.save_optim=false", *settings,
        ]  # fmt: skip

    def model(self, family: str) -> str:
        """A model of these sizes with random weights, as a directory of Hugging Face."""
        shape, model = self.path(f"{family}-shape"), self.path(family)
        checked([self.bridge, "toy", "--family", family, "--num-layers", str(LAYERS), "--output", shape])
        with open(f"{shape}/config.json") as file:
            configuration = json.load(file)
        text = configuration.get("text_config", configuration)
        text.update(SIZES)
        if text.get("sliding_window"):
            text["sliding_window"] = LENGTH // 2
        if "query_pre_attn_scalar" in text:
            text["query_pre_attn_scalar"] = SIZES["head_dim"]
        text["max_position_embeddings"] = max(text["max_position_embeddings"], LENGTH)
        with open(f"{shape}/config.json", "w") as file:
            json.dump(configuration, file)
        checked(self.train(shape, ["checkpoint.random_init=true", "train.train_iters=1"]))
        checked([self.bridge, "convert", "export", "--megatron-path", self.path("run"), "--hf-path", model])
        return model

    def compare(self, family: str) -> None:
        model = self.model(family)
        for name, settings in MODES:
            settings = ["--threads", "2", *settings]
            plan = json.loads(checked(self.train(model, settings) + ["--dry-run", "--json"]))
            estimated = plan["ranks"][0]["bytes"]
            measured = highest(self.train(model, settings)) - highest(self.train(self.tiny, settings))
            print(
                f"{family:12} {name:28} {estimated / 1e6:7.0f} MB {measured / 1e6:7.0f} MB {estimated / measured:6.2f}",
                flush=True,
            )

    def compare_ranks(self, family: str) -> None:
        model = self.model(family)
        for name, settings in LAYOUTS:
            plan = json.loads(checked(self.train(model, settings) + ["--dry-run", "--world-size", "2", "--json"]))
            estimated = max(rank["bytes"] for rank in plan["ranks"])
            started = [*settings, "--nproc-per-node", "2", "--threads", "1"]
            own, tiny = anonymous(self.train(model, started)), anonymous(self.train(self.tiny2, started))
            measured = max(own[rank] - tiny[rank] for rank in own)
            print(
                f"{family:12} {name:28} {estimated / 1e6:7.0f} MB {measured / 1e6:7.0f} MB {estimated / measured:6.2f}",
                flush=True,
            )


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        bench = Bench(os.path.abspath(sys.argv[1]), home)
        print(f"{'model':12} {'run':28} {'estimated':>10} {'measured':>10} {'ratio':>6}")
        for family in sys.argv[2:] or FAMILIES:
            bench.compare(family)
            bench.compare_ranks(family)


if __name__ == "__main__":
    main()
