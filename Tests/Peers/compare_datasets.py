"""Opens folders of data sets by `datasets` and by Bridge and compares which rows each split has, in which order.

    python compare_datasets.py BRIDGE [--folders N] [--seed N]

The folders are laid out at random in the ways that the hub's documentation knows: splits named by files, by folders, by
shards, by the head of README.md, and several configurations. Where `datasets` refuses a folder Bridge may do either.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"

import datasets  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

datasets.disable_progress_bars()
WORDS = {"train": ["train", "training"], "validation": ["validation", "valid", "dev", "val"], "test": ["test", "eval"]}


class Rows:
    """Files of conversations whose answers are numbered, so that each row is known by its own."""

    def __init__(self, generator):
        self.generator = generator
        self.next = 0

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        for _ in range(self.generator.randint(1, 3)):
            self.next += 1
            answer = {"role": "assistant", "content": f"row {self.next} of all"}
            rows.append({"messages": [{"role": "user", "content": "Which?"}, answer]})
        if path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def lay_out(folder, generator):
    """Writes one folder; returns how it was laid out and the name of a configuration, or None for the default."""
    rows = Rows(generator)
    suffix = generator.choice([".parquet", ".jsonl"])
    splits = generator.sample(list(WORDS), generator.randint(1, 3))
    form = generator.choice(["files", "folders", "shards", "words", "head", "head-list", "data", "configurations", "one"])
    word = {split: generator.choice(WORDS[split]) for split in WORDS}
    if form == "one":
        rows.write(folder / f"anything{suffix}")
    for split in splits if form != "one" else []:
        name = split if form != "words" else word[split]
        if form in ("files", "words"):
            rows.write(folder / f"{generator.choice(['', 'my-', 'a_']) if form == 'words' else ''}{name}{suffix}")
        elif form == "folders":
            for number in range(generator.randint(1, 3)):
                rows.write(folder / word[split] / f"{number}{suffix}")
        elif form in ("shards", "data"):
            root = folder / "data" if form == "data" else folder
            count = generator.randint(1, 3)
            for number in range(count):
                rows.write(root / f"{split}-{number:05}-of-{count:05}{suffix}")
        else:
            for number in range(2):
                rows.write(folder / "some" / split / f"part{number}{suffix}")
    if form == "configurations":
        head = ["configs:"]
        for name in ("first", "second"):
            for split in splits:
                rows.write(folder / name / f"{split}{suffix}")
            head += [f"- config_name: {name}", "  data_files:"]
            for split in splits:
                head += [f"  - split: {split}", f"    path: {name}/{split}*"]
        write_head(folder, head)
        return form, generator.choice(["first", "second"])
    if form == "head":
        lines = [f"  - split: {split}\n    path: some/{split}/*" for split in splits]
        write_head(folder, ["configs:", "- config_name: default", "  data_files:"] + lines)
    if form == "head-list":
        # A pattern may fit what another one has fitted already.
        last = generator.choice([f"part0{suffix}", f"*{suffix}"])
        lines = [f"  - split: {split}\n    path:\n    - some/{split}/part1{suffix}\n    - some/{split}/{last}"
                 for split in splits]  # fmt: skip
        write_head(folder, ["configs:", "- config_name: default", "  data_files:"] + lines)
    return form, None


def write_head(folder, lines):
    (folder / "README.md").write_text("\n".join(["---", *lines, "---", "", "A data set.", ""]))


def theirs(folder, configuration, cache):
    """The answers of each split as `datasets` orders them; None where it refuses the folder."""
    try:
        found = datasets.load_dataset(str(folder), configuration, cache_dir=str(cache))
    except (ValueError, datasets.exceptions.DatasetsError, FileNotFoundError):
        return None
    return {split: [row["messages"][-1]["content"] for row in rows] for split, rows in found.items()}


def ours(bridge, toy, folder, configuration, split):
    """The answers of a split, as many as `data check` counts; None where there is no such split."""
    data = str(folder) + (f"#{configuration}" if configuration else "")
    command = [bridge, "data", "check", "--hf-model", toy, "--dataset-type", "hf", "--data", data, "--split", split]
    done = subprocess.run([*map(str, command), "--json"], capture_output=True, text=True)
    if done.returncode:
        return None
    answers = []
    for row in range(json.loads(done.stdout)["rows"]):
        command[2] = "preview"
        shown = subprocess.run([*map(str, command), "--row", str(row)], capture_output=True, text=True, check=True)
        answers.append(shown.stdout.split("[[")[1].split(" of all")[0].strip() + " of all")
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=pathlib.Path)
    parser.add_argument("--folders", type=int, default=12)
    parser.add_argument("--seed", type=int, default=20260)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    failed = compared = refused = 0
    with tempfile.TemporaryDirectory() as root:
        root = pathlib.Path(root)
        toy = root / "toy"
        made = [options.bridge, "toy", "--family", "mistral", "--output", toy]
        subprocess.run(list(map(str, made)), check=True, stdout=subprocess.DEVNULL)
        for number in range(options.folders):
            folder = root / str(number)
            folder.mkdir()
            form, configuration = lay_out(folder, generator)
            expected = theirs(folder, configuration, root / "cache")
            if expected is None:
                refused += 1
                continue
            for split in WORDS:
                found = ours(options.bridge, toy, folder, configuration, split)
                compared += 1
                if found != expected.get(split):
                    failed += 1
                    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
                    print(f"{form}, {split} of {files}: {found}, datasets has {expected.get(split)}")
    print(f"datasets {datasets.__version__}: {compared} splits of {options.folders} folders, {refused} refused there, "
          f"{failed} unlike")  # fmt: skip
    if failed or not compared:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
