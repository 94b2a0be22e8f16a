"""Times inference of a Mistral of a billion parameters beside transformers and llama.cpp, in one run.

    make bench-inference       or: python Benchmarks/inference.py BRIDGE [--rounds 5] [--only PART ...] [--folder DIR] [--size tiny]

Every round runs every program once, each in a fresh process on two threads, so that a slow moment of the machine hits
all of them; the tables have medians, and ratios are medians over the rounds of the two programs' ratio in one round.
All compute with the same random bfloat16 weights on the same ids. The weights are read into the page cache before each
run. "Allocator tuned" is transformers with glibc told to keep freed memory. Time to the first token is the whole
process's for the bridge and llama.cpp, for transformers it begins with from_pretrained, after Python's imports, which
alone take seconds. Anonymous memory is the largest RssAnon seen in /proc, every 5 ms. Parts: text, quantized, batch, load,
vision, tokenizer.
Part batch continues 24 prompts of different lengths, 64 tokens each: the bridge by --prompt-file, transformers by generate
with left padding, both with the same number of sequences at a time; tokens per second count from the loaded model on.
Part quantized has the same weights in 8 and 4 bits, with groups of 32 as llama.cpp's types have them, and how far the logits of a
prompt are from those in bfloat16: the Kullback-Leibler divergence of the distributions, and how often the likeliest token is another one.
Prints Markdown tables; --output writes the results to a file for Benchmarks/report.py. Needs 6 GB of disk.
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

import measuring
from measuring import median, ratio, row, warm

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("BRIDGE_BENCHMARKS_CACHE", Path.home() / ".cache" / "bridge-benchmarks"))
PEER = [sys.executable, HERE / "peer_transformers.py"]
TUNED = {"MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_MMAP_THRESHOLD_": "100000000000"}
THREADS = 2
OURS = {"BRIDGE_NUM_THREADS": str(THREADS)}
PROMPT, NEW, SHORT_PROMPT = 512, 64, 8
MANY, BATCHES = 24, (1, 4, 8)
PARTS = ["text", "quantized", "batch", "load", "vision", "tokenizer"]


class Refused(Exception):
    """A program does not run; its row is left out and the reason is printed."""


def run(command, environment=None):
    """The JSON object that a program prints, with its wall seconds and the most anonymous memory."""
    done = measuring.run(command, os.environ | (environment or {}))
    if done.status:
        lines = done.said.strip().splitlines() or ["no message"]
        reason = next((line for line in lines if line.startswith("Error")), lines[-1])
        raise Refused(f"{Path(command[0]).name} {command[1]}: {reason}")
    return json.loads(done.output) | {"wall_seconds": done.seconds, "anonymous": done.anonymous}


def bandwidth(folder, file=None):
    """Best and median GB/s that two threads can read of a file, or of memory, from a C program compiled for this machine."""
    program = folder / "read_bandwidth"
    if not program.exists():
        source = HERE / "read_bandwidth.c"
        subprocess.run(["cc", "-O3", "-march=native", "-pthread", source, "-o", program], check=True)
    command = [program, *([file] if file else [])]
    return [
        float(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    ]


def beside_reading(folder, file, program):
    """What a program measures, with the mean of the GB/s that can be read right before and right after it."""
    before = bandwidth(folder, file)
    found = program()
    return found | {"read GB/s": (before[1] + bandwidth(folder, file)[1]) / 2}


def share(rounds, name, bytes_per_token):
    """The part of the read bandwidth that decoding reaches: the median of the rounds' shares."""
    found = [entry[name] for entry in rounds if name in entry]
    return statistics.median(one["decode tokens/s"] * bytes_per_token / 1e9 / one["read GB/s"] for one in found)


# Text.


def bridge_text(bridge, source, prompt, new, options=()):
    said = run(
        [
            bridge, "generate", "--hf-model", source, "--inputs", source.parent / f"prompt-{prompt}.safetensors",
            "--max-new-tokens", new, "--ignore-eos", "--json", *options,
        ],
        OURS,
    )  # fmt: skip
    return said | said["timings"]


def programs(bridge, source):
    """name -> what runs a prompt of some tokens and makes some new ones."""

    def peer(environment=None):
        sizes = "--prompt-tokens", "--new-tokens"
        return lambda prompt, new: run(
            [*PEER, source, sizes[0], prompt, sizes[1], new, "--threads", THREADS], environment
        )

    llama = [CACHE / "peer_llama", source.parent / "model.gguf"]
    return {
        "bridge": lambda prompt, new: bridge_text(bridge, source, prompt, new),
        "transformers": peer(),
        "transformers, allocator tuned": peer(TUNED),
        "llama.cpp": lambda prompt, new: run([*llama, prompt, new, THREADS]),
    }


def measure(named, source, root):
    """One round of one program: {measure: value}."""
    name, program = named
    warm(source)
    file = source.parent / "model.gguf" if name == "llama.cpp" else next(source.glob("*.safetensors"))
    long = beside_reading(root, file, lambda: program(PROMPT, NEW))
    warm(source)
    short = program(SHORT_PROMPT, 1)
    first = short["first_token_seconds"] if name.startswith("transformers") else short["wall_seconds"]
    return {
        "prefill tokens/s": long["prefill_tokens"] / long["prefill_seconds"],
        "decode tokens/s": long["decode_tokens"] / long["decode_seconds"],
        "first token s": first,
        "anonymous MiB": long["anonymous"] / 2**20,
        "read GB/s": long["read GB/s"],
    }


def text_part(bridge, root, options):
    from inference_model import make

    source, bytes_per_token, parameters = make(
        bridge, root, [(PROMPT, "prompt"), (SHORT_PROMPT, "prompt")], CACHE, options.size
    )
    rounds = []
    runs = programs(bridge, source)
    for _ in range(options.rounds):
        entry = {}
        for name in list(runs):
            try:
                entry[name] = measure((name, runs[name]), source, root)
            except Refused as reason:
                print(f"{name} is left out: {reason}", file=sys.stderr)
                del runs[name]
        rounds.append(entry)
    measured = {"rounds": rounds, "bytes_per_token": bytes_per_token, "parameters": parameters}
    return measured, text_tables(rounds, bytes_per_token, parameters), text_summary(rounds, bytes_per_token)


def text_summary(rounds, bytes_per_token):
    """The rows of the first table of report.py."""
    peers = [name for name in ("llama.cpp", "transformers") if median(rounds, name, "decode tokens/s")]

    def cells(key, names):
        other = ", ".join(f"{name} {median(rounds, name, key):.3g}" for name in names)
        return other, " and ".join(f"{ratio(rounds, 'bridge', name, key):.2f}" for name in names)

    if "bridge" not in rounds[-1] or not peers:
        return []
    prefill, prefill_ratio = cells("prefill tokens/s", peers)
    decode, decode_ratio = cells("decode tokens/s", peers)
    first, first_ratio = cells("first token s", peers)
    speed = median(rounds, "bridge", "decode tokens/s")
    read = median(rounds, "bridge", "read GB/s")
    limit = read * 1e9 / bytes_per_token
    part = share(rounds, "bridge", bytes_per_token)
    return [
        row("prefill", f"{median(rounds, 'bridge', 'prefill tokens/s'):.0f} tokens/s", prefill_ratio, f"{prefill} tokens/s"),
        row(
            "decode-bfloat16", f"{speed:.1f} tokens/s", f"{decode_ratio}; {part:.0%} of the bandwidth", f"{decode} tokens/s",
            f"{limit:.1f} tokens/s ({read:.1f} GB/s)",
        ),
        row("first-token", f"{median(rounds, 'bridge', 'first token s'):.2f} s", f"{first_ratio} of the time", f"{first} s"),
    ]  # fmt: skip


def text_tables(rounds, bytes_per_token, parameters):
    keys = [key for key in next(iter(rounds[0].values())) if key != "read GB/s"]
    names = list(dict.fromkeys(name for entry in rounds for name in entry))
    rows = []
    for name in names:
        values = [median(rounds, name, key) for key in keys]
        rows.append([name, *[f"{value:,.2f}" for value in values], f"{share(rounds, name, bytes_per_token):.0%}"])
    usual = statistics.median(one["read GB/s"] for entry in rounds for one in entry.values())
    title = (
        f"A Mistral model of {parameters / 1e9:.2f} billion parameters, bfloat16, {THREADS} threads, a prompt of {PROMPT} tokens "
        f"and {NEW} new ones, the first token after a prompt of {SHORT_PROMPT}. Two threads read {usual:.1f} GB/s of the same "
        f"file, measured before and after each run; a token reads {bytes_per_token / 1e9:.2f} GB:"
    )
    tables = [(title, ["", *keys, "of the read bandwidth"], rows)]
    if "bridge" in names:
        rows = []
        for name in names[1:]:
            values = [ratio(rounds, "bridge", name, key) for key in keys]
            rows.append([name, *["-" if value is None else f"{value:.2f}" for value in values]])
        tables.append(("Medians of the rounds' ratios, bridge divided by the other program:", ["", *keys], rows))
    return tables


# Weights in 8 and 4 bits.


def quantize_options(bits):
    return [] if bits is None else ["--quantize", f"int{bits}", "--quantize-group-size", 32]


def quantized_part(bridge, root, options):
    from inference_model import make

    tiny = options.size == "tiny"
    prompt, new = (32, 8) if tiny else (PROMPT, NEW)
    source, bytes_per_token, parameters = make(bridge, root, [(prompt, "prompt")], CACHE, options.size)
    files = {}
    for kind in ("bf16", "q8_0", "q4_0"):
        folder = root / f"gguf-{kind}"
        command = [bridge, "convert", "export", "--hf-model", source, "--hf-path", folder, "--format", "gguf"]
        subprocess.run([*map(str, command), "--gguf-type", kind, "--overwrite"], check=True, stdout=subprocess.DEVNULL)
        files[kind] = next(folder.glob("model-*.gguf"))
    ours = [("bridge bfloat16", None, None), ("bridge int8", 8, None), ("bridge int4", 4, None)]
    theirs = [(f"llama.cpp {kind.upper()}", None, file) for kind, file in files.items()]
    named = ours + theirs

    def measured(bits, file):
        if file:
            return run([CACHE / "peer_llama", file, prompt, new, THREADS])
        return bridge_text(bridge, source, prompt, new, quantize_options(bits))

    rounds = []
    for _ in range(options.rounds):
        entry = {}
        for name, bits, file in named:
            warm(file.parent if file else source)
            # Weights that are quantized on loading are in memory, and not in the page cache.
            where = file or (next(source.glob("*.safetensors")) if bits is None else None)
            found = beside_reading(root, where, lambda: measured(bits, file))
            entry[name] = {
                "prefill tokens/s": found["prefill_tokens"] / found["prefill_seconds"],
                "decode tokens/s": found["decode_tokens"] / found["decode_seconds"],
                "read GB/s": found["read GB/s"],
            }
        rounds.append(entry)
    divergences = quality(bridge, source, root, named, prompt)
    rows = []
    for name, _, _ in named:
        speeds = [f"{median(rounds, name, key):,.1f}" for key in ("prefill tokens/s", "decode tokens/s")]
        rows.append([name, *speeds, *divergences[name]])
    title = (
        f"The model of {parameters / 1e9:.2f} billion parameters in 8 and 4 bits, a prompt of {prompt} tokens and {new} new ones. Two "
        f"threads read {statistics.median(one['read GB/s'] for entry in rounds for one in entry.values()):.1f} GB/s. Divergence and "
        "other likeliest tokens are those from bridge bfloat16, over the tokens of the prompt; the weights are random:"
    )
    columns = ["", "prefill tokens/s", "decode tokens/s", "divergence", "other likeliest token"]
    tables = [(title, columns, rows)]
    rows = []
    for (one, *_), (other, *_) in zip(ours, theirs):
        cells = [f"{ratio(rounds, one, other, key):.2f}" for key in ("prefill tokens/s", "decode tokens/s")]
        rows.append([f"{one} over {other}", *cells])
    tables.append(("Medians of the rounds' ratios:", ["", "prefill tokens/s", "decode tokens/s"], rows))
    measured = {"rounds": rounds, "divergences": divergences}
    return measured, tables, quantized_summary(rounds, bytes_per_token, output_bytes(source))


def output_bytes(source):
    """The bytes of the output layer in bfloat16."""
    config = json.loads((source / "config.json").read_text())
    return config["hidden_size"] * config["vocab_size"] * 2


def quantized_summary(rounds, bytes_per_token, head):
    """The rows of the first table of report.py."""
    rows = []
    for bits, theirs in ((8, "llama.cpp Q8_0"), (4, "llama.cpp Q4_0")):
        ours = f"bridge int{bits}"
        for kind in ("prefill", "decode"):
            key, limit = f"{kind} tokens/s", ""
            speed, other = median(rounds, ours, key), median(rounds, theirs, key)
            cell = f"{ratio(rounds, ours, theirs, key):.2f}"
            if kind == "decode":
                # A factor of 16 bits for 32 weights; the output layer has 8 bits; keys and values are counted as weights are.
                size = (bytes_per_token - head) * (bits + 0.5) / 16 + head * 8.5 / 16
                read = median(rounds, ours, "read GB/s")
                limit = f"{read * 1e9 / size:.1f} tokens/s ({read:.1f} GB/s)"
                cell += f"; {share(rounds, ours, size):.0%} of the bandwidth"
            rows.append(row(f"{kind}-int{bits}", f"{speed:.1f} tokens/s", cell, f"{theirs} {other:.1f} tokens/s", limit))
    return rows


def quality(bridge, source, root, named, prompt):
    """name -> the divergence of the logits of a prompt from those in bfloat16, and how often the likeliest token is another."""
    import numpy as np
    from safetensors.numpy import load_file

    inputs, file, results, first = source.parent / f"prompt-{prompt}.safetensors", root / "logits", {}, None
    for name, bits, gguf in named:
        if gguf:
            run([CACHE / "peer_llama", gguf, prompt, 1, THREADS, file])
            logits = np.fromfile(file, np.float32).reshape(prompt, -1)
        else:
            command = [bridge, "forward", "--hf-model", source, "--inputs", inputs, "--output", file, "--overwrite", "--json"]
            run([*command, *quantize_options(bits)], OURS)
            logits = load_file(file)["logits"].astype(np.float32).reshape(prompt, -1)
        logs = logits - logits.max(1, keepdims=True)
        logs -= np.log(np.exp(logs).sum(1, keepdims=True))
        first = logs if first is None else first
        divergence = float((np.exp(first) * (first - logs)).sum(1).mean())
        others = float((logs.argmax(1) != first.argmax(1)).mean())
        results[name] = [f"{max(divergence, 0):.2g}", f"{others:.1%}"]
    return results


# Batches.


def batch_part(bridge, root, options):
    from inference_model import make, make_prompts

    source, _, parameters = make(bridge, root, [(SHORT_PROMPT, "prompt")], CACHE, options.size)
    prompts, answers = root / "prompts.jsonl", root / "answers.jsonl"
    count, new = (6, 4) if options.size == "tiny" else (MANY, NEW)
    make_prompts(prompts, count)

    def ours(size):
        found = run(
            [
                bridge, "generate", "--hf-model", source, "--prompt-file", prompts, "--output", answers, "--overwrite",
                "--no-chat-template", "--max-new-tokens", new, "--ignore-eos", "--batch-size", size, "--json",
            ],
            OURS,
        )  # fmt: skip
        return {"tokens/s": found["tokens_per_second"], "prompt tokens": found["prompt_tokens"]}

    def theirs(size):
        words = ["--prompts", prompts, "--new-tokens", new, "--batch-size", size, "--threads", THREADS]
        found = run([*PEER, source, *words], TUNED)
        return {"tokens/s": found["tokens"] / found["seconds"], "prompt tokens": found["prompt_tokens"]}

    rounds = []
    for _ in range(options.rounds):
        entry = {}
        for size in BATCHES:
            for name, program in (("bridge", ours), ("transformers", theirs)):
                warm(source)
                entry[f"{name}, {size}"] = program(size)
        if len({found["prompt tokens"] for found in entry.values()}) > 1:
            print("the programs disagree about the number of tokens of the prompts", file=sys.stderr)
        rounds.append(entry)
    rows = []
    for size in BATCHES:
        names = f"bridge, {size}", f"transformers, {size}"
        speeds = [f"{median(rounds, name, 'tokens/s'):.1f}" for name in names]
        rows.append([str(size), *speeds, f"{ratio(rounds, *names, 'tokens/s'):.2f}"])
    title = (
        f"{count} prompts, {new} new tokens each, with a Mistral model of {parameters / 1e9:.2f} billion parameters, bfloat16, "
        f"{THREADS} threads; new tokens per second, prefill included:"
    )
    columns = ["sequences at a time", "bridge", "transformers", "bridge over transformers"]
    names = f"bridge, {BATCHES[-1]}", f"transformers, {BATCHES[-1]}"
    ours, theirs = (median(rounds, name, "tokens/s") for name in names)
    summary = row(
        "batch", f"{ours:.1f} tokens/s", f"{ratio(rounds, *names, 'tokens/s'):.2f}", f"transformers {theirs:.1f} tokens/s"
    )
    return rounds, [(title, columns, rows)], [summary]


# Loading.


def load_part(bridge, root, options):
    from inference_model import prompt, toy

    source, inputs = root / "load", root / "load-prompt.safetensors"
    toy(bridge, "ministral3", "3b", source, *(["--num-layers", 1] if options.size == "tiny" else []))
    save_prompt(inputs, prompt(SHORT_PROMPT, json.loads((source / "config.json").read_text())["text_config"]["vocab_size"]))
    gigabytes = sum(file.stat().st_size for file in source.glob("*.safetensors")) / 1e9
    command = [bridge, "generate", "--hf-model", source, "--inputs", inputs, "--max-new-tokens", 1, "--ignore-eos", "--json"]
    rounds, read = [], []
    for _ in range(options.rounds):
        warm(source)
        read.append(bandwidth(root))
        found = run(command, OURS)
        peer = run([*PEER, source, "--load"])
        rounds.append({
            "bridge": {"load s": found["timings"]["load_seconds"], "first token s": found["wall_seconds"]},
            "transformers": {"load s": peer["load_seconds"]},
        })  # fmt: skip
    shutil.rmtree(source)
    best = max(pair[0] for pair in read)
    ours, theirs = (median(rounds, name, "load s") for name in ("bridge", "transformers"))
    once = gigabytes / best
    title = (
        f"Loading Ministral 3 3B, {gigabytes:.1f} GB in the page cache, seconds until the model can be used; reading it once takes "
        f"{once:.2f} s at {best:.1f} GB/s. The first token is the whole process's, of a prompt of {SHORT_PROMPT} tokens:"
    )
    rows = [["bridge", f"{ours:.2f}", f"{median(rounds, 'bridge', 'first token s'):.2f}"], ["transformers", f"{theirs:.2f}", ""]]
    faster = 1 / ratio(rounds, "bridge", "transformers", "load s")
    summary = row("load", f"{ours:.2f} s", f"{faster:.1f}", f"transformers {theirs:.2f} s", f"reading it once {once:.2f} s")
    return {"rounds": rounds, "bandwidth": read}, [(title, ["", "load", "first token"], rows)], [summary]


def save_prompt(file, ids):
    from safetensors.torch import save_file

    save_file({"input_ids": ids}, file)


# Vision.


def vision_part(bridge, root, options):
    from inference_model import VISION, make_vision

    results = {}
    for tower in VISION:
        source, inputs = make_vision(bridge, root, tower)
        logits = root / "logits.safetensors"
        ours = [bridge, "forward", "--hf-model", source, "--inputs", inputs, "--output", logits, "--last", 1, "--json"]
        theirs = [*PEER, source, "--pixels", inputs, "--threads", THREADS]
        rounds = []
        for _ in range(options.rounds):
            warm(source)
            entry = {"transformers": run(theirs)["vision_seconds"]}
            try:
                entry["bridge"] = run([*ours, "--dtype", "bfloat16"], OURS)["timings"]["vision_seconds"]
            except (Refused, KeyError, ValueError) as reason:
                print(f"{tower}: bridge is left out: {reason}", file=sys.stderr)
            rounds.append(entry)
        results[tower] = rounds
        shutil.rmtree(source)
    rows, summary = [], []
    for tower, rounds in results.items():
        cells = []
        for name in ("bridge", "transformers"):
            values = [entry[name] for entry in rounds if name in entry]
            cells.append(f"{statistics.median(values):.2f}" if values else "-")
        both = [entry["bridge"] / entry["transformers"] for entry in rounds if "bridge" in entry]
        cells.append(f"{statistics.median(both):.2f}" if both else "-")
        rows.append([f"{tower}, {VISION[tower]['words']}", *cells])
        if both:
            summary.append(row(tower.lower(), f"{cells[0]} s", f"{cells[2]} of the time", f"transformers {cells[1]} s"))
    columns = ["", "bridge", "transformers", "bridge over transformers"]
    return results, [("Vision tower and projector, one image, seconds:", columns, rows)], summary


# Tokenizer.

TOKENIZERS = """
import json, sys, time
from tokenizers import Tokenizer
tokenizer = Tokenizer.from_file(sys.argv[1] + "/tokenizer.json")
lines = open(sys.argv[2], encoding="utf-8").read().split("\\n")
start = time.perf_counter()
count = sum(len(tokenizer.encode(line, add_special_tokens=False).ids) for line in lines)
print(json.dumps({"tokens": count, "seconds": time.perf_counter() - start}))
"""


def tokenize_command(bridge, folder, file):
    """Every line of a file on one thread; prints {"tokens": N, "seconds": S}, S without loading and reading."""
    return [bridge, "tokenize", "--hf-model", folder, "--file", file, "--json"]


def tokenizer_part(bridge, root, options):
    from inference_model import make_text, make_tokenizer

    rounds, file = [], root / "text.txt"
    megabytes = make_text(file) / 1e6
    folder = make_tokenizer(bridge, root, file)
    alone = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}
    for _ in range(options.rounds):
        entry = {"tokenizers": run([sys.executable, "-c", TOKENIZERS, folder, file], alone)}
        try:
            entry["bridge"] = run(tokenize_command(bridge, folder, file), {"BRIDGE_NUM_THREADS": "1"})
            if entry["bridge"]["tokens"] != entry["tokenizers"]["tokens"]:
                print("the two tokenizers disagree about the number of tokens", file=sys.stderr)
        except Refused as reason:
            print(f"tokenizer: bridge is left out: {reason}", file=sys.stderr)
        rounds.append(entry)
    rows = [
        [name, f"{statistics.median(megabytes / entry[name]['seconds'] for entry in rounds):.1f}"] for name in rounds[0]
    ]
    speeds = [{name: {"s": 1 / value["seconds"]} for name, value in entry.items()} for entry in rounds]
    summary = []
    if value := ratio(speeds, "bridge", "tokenizers", "s"):
        theirs, ours = rows[0][1], rows[1][1]
        rows.append(["bridge over tokenizers", f"{value:.2f}"])
        summary.append(row("tokenizing", f"{ours} MB/s", f"{value:.2f}", f"tokenizers {theirs} MB/s"))
    return rounds, [(f"Tokenizing {megabytes:.0f} MB line by line on one thread:", ["", "MB/s"], rows)], summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--size", choices=["1b", "tiny"], default="1b", help="of the text model; tiny tries the script")
    measuring.add_output(parser)
    options = parser.parse_args()
    bridge = options.bridge.resolve()
    results, tables, summary = {}, [], []
    root = Path(tempfile.mkdtemp(prefix="bridge-bench-", dir=options.folder))
    try:
        for part in options.only:
            run_part = {
                "text": text_part, "quantized": quantized_part, "batch": batch_part, "load": load_part, "vision": vision_part,
                "tokenizer": tokenizer_part,
            }[part]  # fmt: skip
            results[part], found, rows = run_part(bridge, root, options)
            tables += found
            summary += rows
    finally:
        shutil.rmtree(root, ignore_errors=True)
    measuring.publish(
        options, "inference", "make bench-inference", f"Medians of {options.rounds} interleaved rounds.", tables, results,
        [] if options.size == "tiny" else summary,
    )  # fmt: skip


if __name__ == "__main__":
    main()
