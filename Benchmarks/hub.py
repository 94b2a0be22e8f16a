#!/usr/bin/env python3
"""Times downloads of a model from a hub on this machine beside huggingface_hub.

    make bench-hub    or: python Benchmarks/hub.py BRIDGE [--gigabytes 7.7] [--rounds 3]

The hub is Tests/HubServer/hub_server.py in a process of its own, the source in the page cache, both on the loopback: what is
measured is the work that a download makes. huggingface_hub runs with its fastest setting, eight workers and
HF_XET_HIGH_PERFORMANCE (its other storage, Xet, is no part of the hub that is run here). Rounds are interleaved; every one
starts with an empty cache. Seconds are those of the whole process until the model is in the cache: Bridge has then compared
every byte with its checksum, huggingface_hub only the sizes. Memory is the most anonymous memory of the process. --output
writes the results to a file for Benchmarks/report.py.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import add_output, publish, row, run, warm

SERVER = Path(__file__).resolve().parents[1] / "Tests" / "HubServer" / "hub_server.py"
PYTHON = "import huggingface_hub; huggingface_hub.snapshot_download('org/model', max_workers=8)"


def make(folder, size, shards):
    """A model's files with random bytes."""
    folder.mkdir(parents=True)
    names = [f"model-{index + 1:05}-of-{shards:05}.safetensors" for index in range(shards)]
    with open("/dev/urandom", "rb") as source:
        for name in names:
            with open(folder / name, "wb") as file:
                left = size // shards
                while left:
                    left -= file.write(source.read(min(left, 1 << 24)))
    (folder / "config.json").write_text("{}")
    index = {"weight_map": {f"t{number}": name for number, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--gigabytes", type=float, default=7.7)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keep the model here instead of in a temporary folder")
    add_output(parser)
    options = parser.parse_args()
    size = int(options.gigabytes * 1e9)
    with tempfile.TemporaryDirectory(prefix="bridge-hub-", dir=options.work) as scratch:
        root, home = Path(scratch) / "hub", Path(scratch) / "home"
        make(root / "models" / "org" / "model", size, options.shards)
        warm(root)
        server = subprocess.Popen(
            [sys.executable, SERVER, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        endpoint = json.loads(server.stdout.readline())["endpoint"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | {
            "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_XET_HIGH_PERFORMANCE": "1", "HF_HUB_DISABLE_UPDATE_CHECK": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        }  # fmt: skip
        programs = {
            "bridge": [options.bridge.absolute(), "hub", "download", "org/model"],
            "huggingface_hub": [sys.executable, "-c", PYTHON],
        }
        # The server makes its checksums now and not in the first round.
        subprocess.run(
            [options.bridge.absolute(), "hub", "ls", "org/model"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        times = {name: [] for name in programs}
        memory = {name: 0 for name in programs}
        for _ in range(options.rounds):
            for name, command in programs.items():
                shutil.rmtree(home, ignore_errors=True)
                os.sync()
                done = run(command, environment)
                if done.status:
                    raise SystemExit(done.said)
                times[name].append(done.seconds)
                memory[name] = max(memory[name], done.anonymous)
        server.stdin.close()
        server.wait()
    rows = []
    for name, found in times.items():
        middle = statistics.median(found)
        spread = f"{middle:.2f} ({min(found):.2f} to {max(found):.2f})"
        rows.append([name, spread, f"{size / middle / 1e9:.2f}", f"{memory[name] / 2**20:.0f} MiB"])
    ratios = [theirs / ours for ours, theirs in zip(times["bridge"], times["huggingface_hub"])]
    publish(
        options, "hub", "make bench-hub",
        f"{size / 1e9:.2f} GB in {options.shards} files, medians (minimum to maximum) of {options.rounds} rounds. Throughput of "
        f"Bridge over that of huggingface_hub, median of the rounds: {statistics.median(ratios):.2f}.",
        [("", ["", "s", "GB/s", "anonymous memory"], rows)],
        {"seconds": times, "anonymous": memory},
        [row(
            "hub", f"{statistics.median(times['bridge']):.2f} s", f"{statistics.median(ratios):.2f}",
            f"huggingface_hub {statistics.median(times['huggingface_hub']):.2f} s",
        )] if options.gigabytes == 7.7 else [],
    )  # fmt: skip


if __name__ == "__main__":
    main()
