#!/usr/bin/env python3
"""Times decoding with a draft model beside decoding without one, and beside transformers' assisted generation, in one run.

    make bench-speculative    or: python Benchmarks/speculative.py BRIDGE [--rounds 5] [--draft-tokens 2 4 6]
                                                                  [--new-tokens 128] [--prompts 4] [--train]

Random weights never agree, so the two models are trained on the same synthetic sentences (trained_model.py): a Mistral of 16
layers and hidden size 1,024 with 214 million parameters, and a draft of 2 layers and hidden size 256. They are kept in
BRIDGE_BENCHMARKS_CACHE (default: ~/.cache/bridge-benchmarks); --train makes them and ends. Every round continues every prompt
with every program in turn, on two threads, greedily, in bfloat16; a program's speed is that of all prompts after their first
token. Ratios are medians over the rounds of two speeds in one round. The command fails if a draft model changes a token of
Bridge; those of transformers, whose products of several rows round differently, are compared and counted. --output writes the
results to a file for Benchmarks/report.py.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

import measuring
from trained_model import Language, load_tokenizer, train

HERE = Path(__file__).resolve().parent
PROMPT, THREADS = 64, 2
TARGET = {
    "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64,
    "intermediate_size": 2816, "vocab_size": 16384, "tie_word_embeddings": False,
}  # fmt: skip
DRAFT = {
    "hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 64,
    "intermediate_size": 704, "vocab_size": 16384, "tie_word_embeddings": False,
}  # fmt: skip


def run(command, environment):
    done = measuring.run(command, os.environ | environment)
    if done.status:
        raise SystemExit(done.said)
    return json.loads(done.output)


def ours(bridge, target, inputs, new, draft, count):
    """A prompt with Bridge: tokens, seconds and tokens after the first one, proposed and accepted tokens."""
    command = [bridge, "generate", "--hf-model", target, "--inputs", inputs, "--max-new-tokens", new, "--ignore-eos", "--json"]
    if count:
        command += ["--draft-model", draft, "--num-draft-tokens", count]
    found = run(command, {"BRIDGE_NUM_THREADS": str(THREADS)})
    proposed = found.get("draft", {})
    return {
        "tokens": found["token_ids"], "seconds": found["timings"]["decode_seconds"], "count": found["timings"]["decode_tokens"],
        "drafted": proposed.get("drafted_tokens", 0), "accepted": proposed.get("accepted_tokens", 0),
    }  # fmt: skip


def theirs(target, inputs, new, draft, count):
    """The same with transformers, which does not report what was accepted."""
    command = [sys.executable, HERE / "peer_transformers.py", target, "--inputs", inputs, "--new-tokens", new, "--threads", THREADS]
    if count:
        command += ["--assistant", draft, "--assistant-tokens", count]
    found = run(command, {})
    return {"tokens": found["token_ids"], "seconds": found["decode_seconds"], "count": found["decode_tokens"]}


def summed(runs):
    """The speed and the accepted share over all prompts of a round."""
    total = {key: sum(run.get(key, 0) for run in runs) for key in ("seconds", "count", "drafted", "accepted")}
    return total | {"speed": total["count"] / total["seconds"], "tokens": [run["tokens"] for run in runs]}


def write_prompts(root, tokenizer, count):
    """Files with the beginnings of texts that are not in the training data."""
    files = []
    for number in range(count):
        text = Language(1).text(PROMPT // 6, f"prompt {number}")
        ids = [1, *tokenizer.encode(text, add_special_tokens=False).ids][:PROMPT]
        files.append(root / f"prompt-{number}.safetensors")
        save_file({"input_ids": torch.tensor([ids])}, files[-1])
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--draft-tokens", type=int, nargs="+", default=[2, 4, 6])
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--train", action="store_true", help="train the models if they are not in the cache, and end")
    measuring.add_output(parser)
    options = parser.parse_args()
    bridge = options.bridge.resolve()
    target = train(bridge, "target", TARGET, 240, 4e-4)
    draft = train(bridge, "draft", DRAFT, 150, 1e-3)
    if options.train:
        return
    counts = [0, *options.draft_tokens]
    programs = {f"Bridge, {count}": (lambda *words: ours(bridge, *words), count) for count in counts}
    programs |= {f"transformers, {count}": (theirs, count) for count in counts}
    rounds = []
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as name:
        files = write_prompts(Path(name), load_tokenizer(target), options.prompts)
        for _ in range(options.rounds):
            measuring.warm(target)
            entry = {who: [] for who in programs}
            for file in files:
                for who, (program, count) in programs.items():
                    entry[who].append(program(target, file, options.new_tokens, draft, count))
            rounds.append({who: summed(runs) for who, runs in entry.items()})
    report(options, rounds, counts)


def report(options, rounds, counts):
    rows, last, speeds = [], rounds[-1], {}
    for name in ("Bridge", "transformers"):
        plain = f"{name}, 0"
        for count in counts:
            who = f"{name}, {count}"
            pairs = list(zip(last[plain]["tokens"], last[who]["tokens"]))
            equal = sum(one == other for first, second in pairs for one, other in zip(first, second))
            total = sum(len(first) for first, _ in pairs)
            if name == "Bridge" and equal != total:
                raise SystemExit(f"{who} draft tokens: {total - equal} of {total} tokens differ from those without a draft model")
            speed = statistics.median(entry[who]["speed"] for entry in rounds)
            ratio = statistics.median(entry[who]["speed"] / entry[plain]["speed"] for entry in rounds)
            speeds[who] = speed
            share = f"{last[who]['accepted'] / last[who]['drafted']:.0%}" if last[who]["drafted"] else ""
            rows.append([
                name, f"{count}" if count else "none", f"{speed:.1f}", f"{ratio:.2f}", share,
                f"{equal} of {total}" if count else "",
            ])  # fmt: skip
    against = []
    for count in counts:
        ratio = statistics.median(entry[f"Bridge, {count}"]["speed"] / entry[f"transformers, {count}"]["speed"] for entry in rounds)
        against.append([f"{count}" if count else "none", f"{ratio:.2f}"])
    best = max(counts, key=lambda count: speeds[f"Bridge, {count}"])
    best_peer = max(counts, key=lambda count: speeds[f"transformers, {count}"])
    ours, peer = speeds[f"Bridge, {best}"], speeds[f"transformers, {best_peer}"]
    summary = measuring.row(
        "speculative", f"{ours:.1f} tokens/s", f"{ours / peer:.2f}; {ours / speeds['Bridge, 0']:.2f} of that without a draft model",
        f"transformers {peer:.1f} tokens/s",
    )
    measuring.publish(
        options, "speculative", "make bench-speculative",
        f"A Mistral model of 214 million parameters (16 layers, hidden size 1,024) and a draft model of 10 million (2 layers, hidden size "
        f"256), both trained on the same synthetic sentences; {options.prompts} prompts of {PROMPT} tokens, {options.new_tokens} new "
        f"tokens each, greedy, bfloat16, two threads; medians of {options.rounds} interleaved rounds.",
        [
            ("", ["", "draft tokens", "tokens/s", "of those without", "accepted", "equal tokens"], rows),
            ("Medians of the rounds' ratios, Bridge divided by transformers:", ["draft tokens", "tokens/s"], against),
        ],
        rounds, [summary],
    )  # fmt: skip


if __name__ == "__main__":
    main()
