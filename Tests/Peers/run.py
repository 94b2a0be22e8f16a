#!/usr/bin/env python3
"""Runs every comparison of the bridge with transformers, torch, peft, tokenizers and datasets.

    run.py [BRIDGE] [--seed N] [--jobs N]

Several run at the same time, each with its share of the cores, because much of each is the start of programs. BRIDGE is the binary; the environment variable BRIDGE names it otherwise. Each comparison draws its models and inputs
from the seed, which is printed: give it back with --seed to see the same run. A comparison can be run alone, with more
options (--help). Exit status 1 when one fails.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner import binary

# The longest first, so that none is left for the end.
COMPARISONS = [
    "compare_torch_dist.py", "compare_adapters.py", "compare_preferences.py", "compare_megatron.py", "compare_plugins.py",
    "compare_training.py", "compare_tracking.py", "compare_models.py", "compare_settings.py", "compare_conversions.py",
    "compare_hub.py", "compare_gguf.py", "compare_quantized.py", "compare_tokenizers.py", "compare_added_tokens.py",
    "compare_prepared.py", "compare_parquet.py", "compare_datasets.py", "compare_images.py",
]  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", nargs="?", default=os.environ.get("BRIDGE"), help="the binary; default $BRIDGE")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=min(4, cores), help="comparisons at the same time; default %(default)s")
    options = parser.parse_args()
    bridge = binary(parser, options.bridge)
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores // options.jobs))}

    def passes(name):
        start = time.monotonic()
        command = [sys.executable, Path(__file__).parent / name, bridge, "--seed", str(options.seed)]
        run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print(f"== {name}\n{run.stdout}   {time.monotonic() - start:.0f} s", flush=True)
        return run.returncode == 0

    with ThreadPoolExecutor(options.jobs) as pool:
        passed = list(pool.map(passes, COMPARISONS))
    failed = [name for name, has_passed in zip(COMPARISONS, passed) if not has_passed]
    print(f"failed: {', '.join(failed)} with --seed {options.seed}" if failed else "all comparisons passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
