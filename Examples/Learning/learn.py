"""Trains a toy from random weights and measures its accuracy on questions that are not in the training data.

    scripts/learn FAMILY [--scheme full|lora|dpo] [--output DIRECTORY] [--bridge PATH]

`full` trains the whole toy on every kind of question. `lora` trains it on all kinds except one, and then only adapters on
the remaining kind. Both export the result to a Hugging Face directory, evaluate it on the test questions, and fail below
an accuracy of 95 %. `dpo` trains the toy like `lora`, and then adapters on pairs of a right and a wrong answer to the
remaining kind; it fails when the right answer wins in less than 95 % of the test pairs. Needs Bridge and the standard library of Python 3.9 or later.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import images
import texts

HERE = pathlib.Path(__file__).resolve().parent
LEAST = 0.95
# The sizes of toys for fast training, and the side length of images in pixels.
FAMILIES = {
    "ministral3": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": 48},
    # The toy's sliding window of 12 tokens is too short for the image before a question.
    "gemma3": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": 32, "window": 192},
    "mistral": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": None},
}


class Example:
    """The run of one family in a directory."""

    def __init__(self, options):
        self.bridge = os.path.abspath(options.bridge)
        self.family = options.family
        self.directory = pathlib.Path(options.output or f"learning-{options.family}-{options.scheme}")
        self.seed = options.seed
        self.tasks = list(texts.TASKS if self.side is None else images.TASKS)
        # The kind of question that only adapters are trained on.
        self.withheld = texts.WITHHELD if self.side is None else images.WITHHELD

    @property
    def side(self):
        return FAMILIES[self.family]["side"]

    def run(self, *arguments, quiet=True, statuses=(0,)):
        """Runs Bridge in the directory; returns its output."""
        print("$ bridge", *arguments, flush=True)
        done = subprocess.run(
            [self.bridge, *arguments], cwd=self.directory, text=True, stdout=subprocess.PIPE if quiet else None
        )
        if done.returncode not in statuses:
            sys.exit(f"bridge ended with status {done.returncode}")
        return done.stdout

    def make(self):
        """Makes the toy, and the files with questions for training and test."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        source = texts if self.side is None else images
        training, test = source.rows(self.directory, self.side, self.seed)
        known = [task for task in self.tasks if task != self.withheld]
        self.write("train.jsonl", training(self.tasks))
        self.write("train-known.jsonl", training(known))
        self.write("train-withheld.jsonl", training([self.withheld]))
        self.write("test.jsonl", test(self.tasks))
        self.write("test-known.jsonl", test(known))
        self.write("test-withheld.jsonl", test([self.withheld]))
        self.run("toy", "--family", self.family, "--output", "toy", "--dtype", "float32", *FAMILIES[self.family]["toy"])
        if window := FAMILIES[self.family].get("window"):
            path = self.directory / "toy/config.json"
            configuration = json.loads(path.read_text())
            configuration["text_config"]["sliding_window"] = window
            path.write_text(json.dumps(configuration, indent=2) + "\n")

    def write(self, name, rows):
        (self.directory / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def train(self, name, model, data, *changes):
        """Trains with the family's recipe; returns the newest checkpoint of the run."""
        self.run(
            "train", "--recipe", str(HERE / f"{self.family}.yaml"), "--pretrained-checkpoint", model,
            f"name={name}", f"dataset.train_data_path={data}", f"checkpoint.save={name}",
            f"logger.log_dir={name}-logs", *changes, quiet=False,
        )  # fmt: skip
        return sorted(path for path in os.listdir(self.directory / name) if path.startswith("iter_"))[-1]

    def accuracy(self, data, *model):
        """The accuracy; prints a line for each kind of question."""
        result = json.loads(self.run("evaluate", *model, "--data", data, "--max-new-tokens", "16", "--json"))
        for name, share in result["categories"].items():
            print(f"  {name}: {share['correct']} of {share['total']}")
        print(f"  all: {100 * result['accuracy']:.1f} % of {result['total']} correct", flush=True)
        return result["accuracy"]

    def full(self):
        """Trains all parameters on all kinds of questions."""
        self.train("sft", "toy", "train.jsonl")
        self.run("convert", "export", "--megatron-path", "sft", "--hf-path", "trained", "--hf-model", "toy")
        return self.accuracy("test.jsonl", "--hf-model", "trained")

    def lora(self):
        """Trains in full on all kinds of questions except one, and adapters on the remaining kind."""
        self.train("sft", "toy", "train-known.jsonl")
        self.run("convert", "export", "--megatron-path", "sft", "--hf-path", "base", "--hf-model", "toy")
        self.accuracy("test-known.jsonl", "--hf-model", "base")
        print(f"not in the training data, {self.withheld}:")
        before = self.accuracy("test-withheld.jsonl", "--hf-model", "base")
        last = self.train("adapters", "base", "train-withheld.jsonl", "--peft-scheme", "lora")
        self.run("adapter", "merge", "--hf-model", "base", "--adapter", f"adapters/{last}", "--hf-path", "trained")
        after = self.accuracy("test-withheld.jsonl", "--hf-model", "trained")
        print(f"{self.withheld}: {100 * before:.1f} % correct before, {100 * after:.1f} % with adapters")
        return after

    def pairs(self, name, data):
        """Writes pairs: the answer of a row, and as rejected one that of the next row with another answer."""
        rows = [json.loads(line) for line in (self.directory / data).read_text().splitlines()]
        answers = [row["messages"][-1]["content"] for row in rows]
        made = []
        for index, row in enumerate(rows):
            others = (answers[(index + step) % len(rows)] for step in range(1, len(rows)))
            wrong = next(other for other in others if other != answers[index])
            made.append(row | {"messages": row["messages"][:-1], "chosen": answers[index], "rejected": wrong})
        self.write(name, made)

    def dpo(self):
        """Trains in full on all kinds of questions except one, and adapters on pairs of answers to the remaining kind."""
        self.train("sft", "toy", "train-known.jsonl")
        self.run("convert", "export", "--megatron-path", "sft", "--hf-path", "base", "--hf-model", "toy")
        self.pairs("pairs.jsonl", "train-withheld.jsonl")
        self.pairs("test-pairs.jsonl", "test-withheld.jsonl")
        self.train(
            "dpo", "base", "pairs.jsonl", "--peft-scheme", "lora", "preference.loss_type=dpo", "preference.beta=0.1",
            "dataset.valid_data_path=test-pairs.jsonl", "train.eval_interval=50", "train.eval_iters=4",
        )  # fmt: skip
        lines = (self.directory / "dpo-logs/log.jsonl").read_text().splitlines()
        shares = [row["validation_rewards/accuracies"] for row in map(json.loads, lines) if "validation_lm_loss" in row]
        print(
            f"the right answer wins in {100 * shares[0]:.1f} % of the test pairs at the first validation, "
            f"{100 * shares[-1]:.1f} % at the end"
        )
        return shares[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("--scheme", choices=["full", "lora", "dpo"], default="full")
    parser.add_argument("--output", help="output directory, replaced if it exists (default: learning-FAMILY-SCHEME)")
    parser.add_argument("--bridge", default=HERE.parent.parent / ".build/release/bridge")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    example = Example(options)
    example.make()
    share = {"full": example.full, "lora": example.lora, "dpo": example.dpo}[options.scheme]()
    minutes = (time.monotonic() - start) / 60
    print(f"{options.family}, {options.scheme}: {100 * share:.1f} % correct after {minutes:.1f} minutes; {example.directory}")
    if share < LEAST:
        sys.exit(f"the accuracy is below {100 * LEAST:.0f} %")


if __name__ == "__main__":
    main()
