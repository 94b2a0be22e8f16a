"""Writes a log of a shop's chats, and makes rows for training of it.

    chats.py log FILE [--count N] [--seed N]     # a CSV file with the columns chat, speaker, text
    chats.py rows FILE --test N                  # chats.jsonl, and chats-test.jsonl with the last N chats

`log` stands for what a system of one's own exports; `rows` is what it needs to be trained on. Needs the standard library of Python 3.9
or later.
"""

import argparse
import csv
import json
import pathlib
import random

GOODS = {"lamp": 24, "rope": 9, "map": 12, "kettle": 31, "ladder": 58, "bucket": 7}
ROLES = {"customer": "user", "shop": "assistant"}


def log(file, count, seed):
    """Writes chats of two or four turns, one row for each turn."""
    file.parent.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    with file.open("w", newline="") as output:
        writer = csv.writer(output)
        writer.writerow(["chat", "speaker", "text"])
        for chat in range(count):
            good, other = generator.sample(sorted(GOODS), 2)
            number = generator.randint(2, 9)
            turns = [f"How much is a {good}?", f"A {good} is {GOODS[good]} euros."]
            if generator.random() < 0.5:
                turns += [f"And {number} of the {other}?", f"{number} of the {other} are {number * GOODS[other]} euros."]
            for index, text in enumerate(turns):
                writer.writerow([chat, list(ROLES)[index % 2], text])


def rows(file, test):
    """Writes a row of messages for each chat."""
    chats = {}
    with file.open(newline="") as log:
        for turn in csv.DictReader(log):
            chats.setdefault(turn["chat"], []).append({"role": ROLES[turn["speaker"]], "content": turn["text"]})
    made = [json.dumps({"messages": messages}) + "\n" for messages in chats.values()]
    (file.parent / "chats.jsonl").write_text("".join(made[:-test]))
    (file.parent / "chats-test.jsonl").write_text("".join(made[-test:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["log", "rows"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--test", type=int, default=40)
    options = parser.parse_args()
    if options.step == "log":
        log(options.file, options.count, options.seed)
    else:
        rows(options.file, options.test)


if __name__ == "__main__":
    main()
