#!/usr/bin/env python3
"""Runs every comparison of the bridge with transformers, torch, peft, tokenizers and datasets, one after the other.

    run.py [BRIDGE] [--seed N]

BRIDGE is the binary; the environment variable BRIDGE names it otherwise. Each comparison draws its models and inputs
from the seed, which is printed: give it back with --seed to see the same run. A comparison can be run alone, with more
options (--help). Exit status 1 when one fails.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from runner import binary

COMPARISONS = [
    "compare_conversions.py", "compare_models.py", "compare_settings.py", "compare_tokenizers.py",
    "compare_added_tokens.py", "compare_parquet.py", "compare_datasets.py", "compare_images.py", "compare_training.py",
    "compare_preferences.py", "compare_prepared.py", "compare_adapters.py", "compare_plugins.py", "compare_megatron.py",
    "compare_torch_dist.py", "compare_hub.py", "compare_tracking.py",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", nargs="?", default=os.environ.get("BRIDGE"), help="the binary; default $BRIDGE")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    options = parser.parse_args()
    bridge = binary(parser, options.bridge)
    failed = []
    for name in COMPARISONS:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        command = [sys.executable, Path(__file__).parent / name, bridge, "--seed", str(options.seed)]
        if subprocess.run(command).returncode:
            failed.append(name)
        print(f"   {time.monotonic() - start:.0f} s", flush=True)
    print(f"failed: {', '.join(failed)} with --seed {options.seed}" if failed else "all comparisons passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
