"""Shows that Bridge learns: trains a toy from random weights and asks it questions that it never saw.

    scripts/learn FAMILY [--scheme full|lora] [--output FOLDER] [--bridge PATH]

`full` trains the whole toy on every kind of question. `lora` trains it on all kinds but one, and then only adapters on the
kind that it does not know. Both export the result to a Hugging Face folder, ask it the questions of the test, and fail
below 95 % right answers. Needs Bridge and the standard library of Python 3.9 or later.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pictures
import texts

HERE = pathlib.Path(__file__).resolve().parent
LEAST = 0.95
# What makes a toy large enough to learn, small enough to learn fast; and how wide its pictures are, in pixels.
FAMILIES = {
    "ministral3": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": 48},
    # The toy's window of 12 tokens is for trying windows out; here a question has to see the picture before it.
    "gemma3": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": 32, "window": 192},
    "mistral": {"toy": ["--num-layers", "4", "--hidden-size", "64"], "side": None},
}


class Example:
    """One family's run in a folder."""

    def __init__(self, options):
        self.bridge = os.path.abspath(options.bridge)
        self.family = options.family
        self.folder = pathlib.Path(options.output or f"learning-{options.family}-{options.scheme}")
        self.seed = options.seed
        self.tasks = list(texts.TASKS if self.side is None else pictures.TASKS)
        # The kind of question that only adapters learn.
        self.withheld = texts.WITHHELD if self.side is None else pictures.WITHHELD

    @property
    def side(self):
        return FAMILIES[self.family]["side"]

    def run(self, *arguments, quiet=True, statuses=(0,)):
        """Runs Bridge in the folder; returns what it printed."""
        print("$ bridge", *arguments, flush=True)
        done = subprocess.run(
            [self.bridge, *arguments], cwd=self.folder, text=True, stdout=subprocess.PIPE if quiet else None
        )
        if done.returncode not in statuses:
            sys.exit(f"bridge ended with status {done.returncode}")
        return done.stdout

    def make(self):
        """The toy, and the files with questions for training and for the test."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        source = texts if self.side is None else pictures
        learnt, asked = source.rows(self.folder, self.side, self.seed)
        known = [task for task in self.tasks if task != self.withheld]
        self.write("train.jsonl", learnt(self.tasks))
        self.write("train-known.jsonl", learnt(known))
        self.write("train-withheld.jsonl", learnt([self.withheld]))
        self.write("test.jsonl", asked(self.tasks))
        self.write("test-known.jsonl", asked(known))
        self.write("test-withheld.jsonl", asked([self.withheld]))
        self.run("toy", "--family", self.family, "--output", "toy", "--dtype", "float32", *FAMILIES[self.family]["toy"])
        if window := FAMILIES[self.family].get("window"):
            path = self.folder / "toy/config.json"
            configuration = json.loads(path.read_text())
            configuration["text_config"]["sliding_window"] = window
            path.write_text(json.dumps(configuration, indent=2) + "\n")

    def write(self, name, rows):
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def train(self, name, model, data, *changes):
        """Trains by the family's recipe; returns the run's newest checkpoint."""
        self.run(
            "train", "--recipe", str(HERE / f"{self.family}.yaml"), "--pretrained-checkpoint", model,
            f"name={name}", f"dataset.train_data_path={data}", f"checkpoint.save={name}",
            f"logger.log_dir={name}-logs", *changes, quiet=False,
        )  # fmt: skip
        return sorted(path for path in os.listdir(self.folder / name) if path.startswith("iter_"))[-1]

    def accuracy(self, data, *model):
        """The share of right answers, with a line for each kind of question."""
        result = json.loads(self.run("evaluate", *model, "--data", data, "--max-new-tokens", "16", "--json"))
        for name, share in result["categories"].items():
            print(f"  {name}: {share['right']} of {share['questions']}")
        print(f"  all: {100 * result['accuracy']:.1f} % of {result['questions']} right", flush=True)
        return result["accuracy"]

    def full(self):
        """Trains everything on everything."""
        self.train("sft", "toy", "train.jsonl")
        self.run("convert", "export", "--megatron-path", "sft", "--hf-path", "learnt", "--hf-model", "toy")
        return self.accuracy("test.jsonl", "--hf-model", "learnt")

    def lora(self):
        """Trains all but one kind of question in full, and the last kind by adapters alone."""
        self.train("sft", "toy", "train-known.jsonl")
        self.run("convert", "export", "--megatron-path", "sft", "--hf-path", "base", "--hf-model", "toy")
        self.accuracy("test-known.jsonl", "--hf-model", "base")
        print(f"what nobody taught it, {self.withheld}:")
        before = self.accuracy("test-withheld.jsonl", "--hf-model", "base")
        last = self.train("adapters", "base", "train-withheld.jsonl", "--peft-scheme", "lora")
        self.run("adapter", "merge", "--hf-model", "base", "--adapter", f"adapters/{last}", "--hf-path", "learnt")
        after = self.accuracy("test-withheld.jsonl", "--hf-model", "learnt")
        print(f"{self.withheld}: {100 * before:.1f} % right before, {100 * after:.1f} % with adapters")
        return after


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=sorted(FAMILIES))
    parser.add_argument("--scheme", choices=["full", "lora"], default="full")
    parser.add_argument("--output", help="the folder that is made anew; learning-FAMILY-SCHEME without it")
    parser.add_argument("--bridge", default=HERE.parent.parent / ".build/release/bridge")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    example = Example(options)
    example.make()
    share = example.full() if options.scheme == "full" else example.lora()
    minutes = (time.monotonic() - start) / 60
    print(f"{options.family}, {options.scheme}: {100 * share:.1f} % right after {minutes:.1f} minutes; {example.folder}")
    if share < LEAST:
        sys.exit(f"that is less than {100 * LEAST:.0f} %")


if __name__ == "__main__":
    main()
