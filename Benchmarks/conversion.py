"""Times conversions of a 7.7 GB model beside cp and the tools that people use today, in one run.

    make bench                 or: python Benchmarks/conversion.py BRIDGE [--rounds 5] [--size 3b] [--folder DIR]

Every round runs every command once, so that a slow moment of the machine hits all of them; the table has medians. The
source is read into the page cache before each warm run and dropped from it before each cold one (needs root). Every
command's result is flushed to the disk before its clock stops. Anonymous memory is the largest RssAnon seen in
/proc, every 5 ms. Needs four times the model's size on the disk. Prints a Markdown table; --output writes the results to
a file for Benchmarks/report.py.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measuring
from measuring import warm

PEERS = {
    "transformers load + save": """
import sys, torch
from transformers import AutoModelForImageTextToText as Model
Model.from_pretrained(sys.argv[1], dtype=torch.bfloat16).save_pretrained(sys.argv[2])
""",
    "safetensors load + save": """
import sys, os, glob
from safetensors.torch import load_file, save_file
os.makedirs(sys.argv[2])
for path in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    save_file(load_file(path), sys.argv[2] + "/" + os.path.basename(path), metadata={"format": "pt"})
""",
    "torch distributed checkpoint save": """
import sys, glob, torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
state = {}
for path in sorted(glob.glob(sys.argv[1] + "/*.safetensors")):
    state.update(load_file(path))
dcp.save(state, storage_writer=dcp.FileSystemWriter(sys.argv[2], thread_count=2))
""",
}
# Reads a torch_dist checkpoint into memory that torch allocates; its second argument is a path that it does not write.
DCP_LOAD = """
import sys, torch, torch.distributed.checkpoint as dcp
reader = dcp.FileSystemReader(sys.argv[1])
tensors = {
    name: torch.empty(entry.size, dtype=entry.properties.dtype)
    for name, entry in reader.read_metadata().state_dict_metadata.items() if hasattr(entry, "size")
}
dcp.load(tensors, storage_reader=reader, no_dist=True)
"""
DCP_LOAD_NAME = "torch distributed checkpoint load"


def chill(folder):
    os.sync()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def flush(target):
    for path in [target] if target.is_file() else target.rglob("*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def remove(target):
    if target.is_file():
        target.unlink()
    else:
        shutil.rmtree(target, ignore_errors=True)


def run(command, target):
    """Seconds until the result is on the disk, and the most anonymous memory."""
    remove(target)
    os.sync()
    done = measuring.run(command, afterwards=lambda: flush(target) if target.exists() else None)
    if done.status:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.said}")
    remove(target)
    return done.seconds, done.anonymous


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-rounds", type=int, default=3)
    parser.add_argument("--family", default="ministral3")
    parser.add_argument("--size", default="3b", help="a published size, or tiny to try the script")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="measure the rows whose names contain one of these")
    measuring.add_output(parser)
    arguments = parser.parse_args()
    bridge = arguments.bridge.resolve()
    root = Path(tempfile.mkdtemp(prefix="bridge-bench-", dir=arguments.folder))
    try:
        measure(bridge, root, arguments)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def measure(bridge, root, arguments):
    source, native, out = root / "source", root / "native", root / "out"
    dist = root / "dist"
    toy = [bridge, "toy", "--family", arguments.family, "--output", source]
    if arguments.size != "tiny":
        toy += ["--size", arguments.size]
    start = time.perf_counter()
    subprocess.run(toy, check=True, stdout=subprocess.DEVNULL)
    made = time.perf_counter() - start
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    convert = [bridge, "convert", "--hf-model", source]
    subprocess.run([*convert, "--megatron-path", native], check=True, stdout=subprocess.DEVNULL)
    torch_dist = ["--format", "torch_dist"]
    subprocess.run([*convert, "--megatron-path", dist, *torch_dist], check=True, stdout=subprocess.DEVNULL)

    warm_commands = {
        "cp -r": (["cp", "-r", source, out], source),
        "bridge import": ([bridge, "convert", "--hf-model", source, "--megatron-path", out], source),
        "bridge import, TP 2 x PP 2": (
            [bridge, "convert", "--hf-model", source, "--megatron-path", out, "--tp", "2", "--pp", "2"], source,
        ),
        "bridge reshard to TP 2 x PP 2": (
            [bridge, "reshard", "--megatron-path", native, "--output", out, "--tp", "2", "--pp", "2"], native,
        ),
        "bridge export": ([bridge, "convert", "export", "--megatron-path", native, "--hf-path", out], native),
        "bridge import to torch_dist": ([*convert, "--megatron-path", out, *torch_dist], source),
        "bridge export from torch_dist": ([bridge, "convert", "export", "--megatron-path", dist, "--hf-path", out], dist),
        # What a disk takes: zeros from memory, past the page cache.
        "dd oflag=direct": (
            ["dd", "if=/dev/zero", f"of={out}", "bs=16M", "oflag=direct", f"count={-(-size >> 24)}"], native / "none",
        ),
    }
    cold_commands = {
        "read the source (dd)": (["sh", "-c", f"cat {source}/*.safetensors > /dev/null"], source),
        "cp -r, cold": (["cp", "-r", source, out], source),
        "bridge import, cold": ([bridge, "convert", "--hf-model", source, "--megatron-path", out], source),
    }
    names = [*warm_commands, *cold_commands, *PEERS, DCP_LOAD_NAME]
    results = {name: [] for name in names if any(text in name for text in arguments.only)}
    warm_commands = {name: command for name, command in warm_commands.items() if name in results}
    cold_commands = {name: command for name, command in cold_commands.items() if name in results}
    peers = {name: code for name, code in PEERS.items() if name in results}
    for _ in range(arguments.rounds):
        for name, (command, needed) in warm_commands.items():
            warm(needed)
            results[name].append(run(command, out))
        for name, (command, needed) in cold_commands.items():
            chill(needed)
            results[name].append(run(command, out))
    for _ in range(arguments.peer_rounds):
        for name, code in peers.items():
            warm(source)
            results[name].append(run([sys.executable, "-c", code, source, out], out))
        if DCP_LOAD_NAME not in results:
            continue
        iteration = dist / "iter_0000000"
        warm(iteration)
        results[DCP_LOAD_NAME].append(run([sys.executable, "-c", DCP_LOAD, iteration, out], out))
    report(arguments, results, size, made)


def report(arguments, results, size, made):
    copies = [seconds for seconds, _ in results.get("cp -r", [])]
    rows = []
    for name, measured in results.items():
        if not measured:
            continue
        times = [seconds for seconds, _ in measured]
        median = statistics.median(times)
        memory = max(bytes for _, bytes in measured) / 2**20
        spread = f"{median:.2f} ({min(times):.2f} to {max(times):.2f})"
        of_copy = f"{median / statistics.median(copies):.2f}" if copies else ""
        rows.append([name, spread, f"{size / 1e9 / median:.2f}", of_copy, f"{memory:,.0f} MiB"])
    medians = {name: statistics.median(seconds for seconds, _ in measured) for name, measured in results.items() if measured}
    measuring.publish(
        arguments, "conversion", "make bench",
        f"A model of {size / 1e9:.2f} GB, which `bridge toy` wrote in {made:.1f} s. Seconds until the result is on the disk, "
        "medians (minimum to maximum).",
        [("", ["", "s", "GB/s", "of `cp`", "anonymous memory"], rows)],
        results, [] if arguments.size == "tiny" else summary(medians),
    )  # fmt: skip


def summary(medians):
    """The rows of the first table of report.py."""
    limit = f"`dd` {medians['dd oflag=direct']:.2f} s" if "dd oflag=direct" in medians else ""
    rows = []

    def add(task, name, other, remark=""):
        if name not in medians or not (other in medians or remark):
            return
        ratio = f"{medians[other] / medians[name]:.2f}" if other in medians else ""
        described = f"{'`cp -r`' if other == 'cp -r' else other} {medians[other]:.2f} s" if other in medians else ""
        rows.append(measuring.row(
            task, f"{medians[name]:.2f} s", "; ".join(filter(None, [ratio, remark])), described, limit
        ))  # fmt: skip

    add("import", "bridge import", "cp -r")
    add("export", "bridge export", "cp -r")
    dist, native = "bridge export from torch_dist", "bridge export"
    remark = f"{medians[dist] / medians[native]:.2f} of the native format's time" if {dist, native} <= set(medians) else ""
    add("torch-dist", dist, DCP_LOAD_NAME, remark)
    return rows


if __name__ == "__main__":
    main()
