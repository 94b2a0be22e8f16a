#!/usr/bin/env python3
"""Compares added tokens, and the files beside a tokenizer that name tokens, with tokenizers and transformers, on fresh cases.

    compare_added_tokens.py BRIDGE [--seed N] [--sets N] [--folders N]

The cases are those of Tests/Fixtures/make_added_token_fixtures.py with another seed, which is printed; give it back to see the
same run. Exit status 1 when anything differs.
"""

import argparse
import json
import logging
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures"
sys.path.insert(0, str(FIXTURES))
import make_added_token_fixtures as cases  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

# How often tokenizers builds a tokenizer anew: two tokens that are equal after normalization have the order of a hash map with
# a random seed, so each of two orders is missed once in 2^15.
BUILDS = 16


def ids(bridge, folder, texts, *flags):
    """What the program makes of texts."""
    path = folder / "strings.json"
    path.write_text(json.dumps(texts), encoding="utf-8")
    done = subprocess.run([bridge, "process", "strings", folder, path, *flags], capture_output=True, text=True, timeout=600)
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()


def differences(found, one):
    if isinstance(found, str):
        return [found]
    return [f"{text!r} gives {a}, expected {b}" for text, a, b in zip(one["texts"], found, one["ids"], strict=True) if a != b]


def added(bridge, draw, folder):
    one = cases.added(draw)
    shutil.copytree(cases.MODEL, folder)
    for name in ["special_tokens_map.json", "tokenizer_config.json"]:
        (folder / name).unlink(missing_ok=True)
    own = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    own |= {"added_tokens": one["added_tokens"], "normalizer": one["normalizer"], "post_processor": None}
    (folder / "tokenizer.json").write_text(json.dumps(own), encoding="utf-8")
    found = ids(bridge, folder, one["texts"], "--no-special-tokens")
    if isinstance(found, list):
        # Texts for which tokenizers itself has several results are compared with all of them.
        for _ in range(BUILDS):
            again = Tokenizer.from_file(str(folder / "tokenizer.json")).encode_batch(one["texts"], add_special_tokens=False)
            results = zip(found, again, one["ids"], strict=True)
            one["ids"] = [mine if mine == other.ids else ids for mine, other, ids in results]
    return differences(found, one)


def beside(bridge, draw, folder):
    one = cases.beside(draw, folder)
    return differences(ids(bridge, folder, one["texts"]), one)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bridge")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--sets", type=int, default=60)
    parser.add_argument("--folders", type=int, default=60)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    draw = random.Random(options.seed)
    found = []
    with tempfile.TemporaryDirectory() as work:
        for compare, count in [(added, options.sets), (beside, options.folders)]:
            for number in range(count):
                found += compare(options.bridge, draw, Path(work) / f"{compare.__name__}-{number}")
    for line in found[:10]:
        print(line)
    print(f"added tokens, seed {options.seed}: {options.sets} sets and {options.folders} folders, {len(found)} differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
