#!/usr/bin/env python3
"""Writes the documentation page of the benchmarks, and the table in README.md, from the files in Benchmarks/results.

    python3 Benchmarks/report.py            writes both
    python3 Benchmarks/report.py --check    fails if one of them differs from the files; `make lint` runs it

A file has one run of one script: `benchmark` (a key of SECTIONS), `title`, `date`, `machine`, `command`, `method` (paragraphs),
`tables` (each with `title`, `columns` and `rows`) and `notes`. Cells are texts, so that the page has the figures as they were
printed. Optional keys:

- `summary`: rows of the first table of the page, objects with `task` (a key of TASKS) and texts under `other`, `limit`, `ours` and
  `ratio`; then `processor` is required. Of several files the newest one that has a task on a processor counts.
- `readme`: rows of the table in README.md.
- `figure`: curves that become an image (figure.py).
- `rounds`: everything that was measured.

A note is a paragraph, or an object with `text` and `tasks`: it is repeated below the first table while the file is the newest one
for one of the tasks, and tells why a target is missed and what was tried.
The scripts write such a file with --output; add `notes` and `readme` by hand. Python's standard library only.
"""

import json
import sys
from pathlib import Path

from figure import svg

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "Benchmarks" / "results"
PAGE = ROOT / "Sources" / "BridgeCore" / "BridgeCore" / "Documentation.docc" / "Benchmarks.md"
IMAGES = PAGE.parent / "Resources"
README = ROOT / "README.md"
MARKERS = "<!-- Benchmarks/report.py writes this table -->\n", "<!-- end -->\n"

# In the order of the page.
SECTIONS = {
    "conversion": "Conversion",
    "inference": "Inference",
    "speculative": "Draft models",
    "training": "Training",
    "recomputation": "Memory and time by recomputation",
    "qlora": "Losses over weights in 8 and 4 bits",
    "hub": "Downloads",
    "learning": "Accuracy of trained toy models",
    "parallel": "Training with several ranks",
    "builds": "Two versions of the program",
}
# The rows of the first table, with their targets.
TASKS = {
    "import": ("Import of a 7.7 GB checkpoint", ""),
    "export": ("Export of it", ""),
    "torch-dist": ("Export from torch_dist", "time <= 1.05 x that from the native format"),
    "load": ("Loading a 7.7 GB model from the page cache", "<= 0.3 s"),
    "prefill": ("Prefill, bfloat16", ""),
    "decode-bfloat16": ("Decode, bfloat16", ">= 90 % of the read bandwidth"),
    "prefill-int8": ("Prefill, 8 bits", ">= 2 x llama.cpp"),
    "decode-int8": ("Decode, 8 bits", ">= 1.0 x llama.cpp"),
    "prefill-int4": ("Prefill, 4 bits", ">= 2 x llama.cpp"),
    "decode-int4": ("Decode, 4 bits", ">= 1.0 x llama.cpp"),
    "first-token": ("First token", "time <= 1.0 x llama.cpp"),
    "batch": ("Generation, 8 sequences at a time", ""),
    "speculative": ("Decode with a draft model", ""),
    "sft-bfloat16": ("Full training, bfloat16", ""),
    "lora-bfloat16": ("LoRA, bfloat16", ""),
    "products": ("Products of full training", ">= 75 % of the peak (AMX), >= 85 %"),
    "thin-products": ("Thin products of LoRA", ">= 75 % of the peak (AMX), >= 85 %"),
    "attention": ("Attention in training", ">= 60 % of the products' speed"),
    "step": ("A whole step of full training", ">= 60 % of the peak (AMX), >= 75 %"),
    "waiting": ("Steps of full training that wait for samples", "none"),
    "memory": ("Peak memory of full training", ""),
    "recomputation": ("Peak memory with full recomputation", ""),
    "hub": ("Download of 7.7 GB from loopback", ""),
    "pixtral": ("Pixtral tower, one image", ""),
    "siglip": ("SigLIP tower, one image", ""),
    "tokenizing": ("Tokenizing 10 MB, one thread", ""),
}
CELLS = {"other": "other program", "limit": "limit of the machine", "ours": "Bridge", "ratio": "ratio"}
TEXTS = ["benchmark", "title", "date", "machine", "command"]
LISTS = ["method", "tables", "notes"]

INTRODUCTION = """# Benchmarks

Speed and memory of Bridge and of other programs on the same machine, with the commands that measured them.

## Overview

`Benchmarks/report.py` writes this page from the files in `Benchmarks/results`; each file has the figures of one run. A script
of `Benchmarks/` measures all programs in one run and interleaves their rounds, so that a slow moment of the machine affects
all of them. Figures of different machines or dates are not comparable.
"""
OVERVIEW = """## All tasks

One row for each task, from the newest run that has it on a processor. A ratio is the throughput of Bridge divided by that of the
other program, as median of the rounds where they were compared round by round; for memory and for shares of a limit the cell
names what it is. An empty cell was not measured on that processor, or has no such figure. Paragraphs below the table tell why a
target is missed, and what was tried.
"""


def table(columns, rows):
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def load(path):
    """The results in a file; a file without a key of the format ends the program."""
    result = json.loads(path.read_text(encoding="utf-8"))
    wrong = [key for key in TEXTS if not isinstance(result.get(key), str)]
    wrong += [key for key in LISTS if not isinstance(result.get(key), list)]
    if not wrong and result["benchmark"] not in SECTIONS:
        wrong = [f"benchmark (expected one of {', '.join(SECTIONS)})"]
    for part in result.get("tables") or []:
        if any(len(row) != len(part["columns"]) for row in part["rows"]):
            wrong.append(f"tables: a row of '{part['title']}' has another length than its columns")
    if any(row.get("task") not in TASKS or not set(row) <= {"task", *CELLS} for row in result.get("summary", [])):
        wrong.append(f"summary (expected task, one of {', '.join(TASKS)}, and {', '.join(CELLS)})")
    if result.get("summary") and "processor" not in result:
        wrong.append("processor")
    result["name"] = path.stem
    if wrong:
        sys.exit(f"{path}: missing or wrong: {', '.join(wrong)}")
    return result


def section(result):
    """The part of the page with the results of a run."""
    parts = [f"### {result['title']}\n"]
    parts.append(f"Measured on {result['date']} on {result['machine']}, with `{result['command']}`.\n")
    parts += [text + "\n" for text in result["method"]]
    for part in result["tables"]:
        parts += [part["title"] + "\n"] if part["title"] else []
        parts.append(table(part["columns"], part["rows"]))
    if figure := result.get("figure"):
        parts.append(f"![{figure['text']}]({result['name']})\n")
    parts += [paragraph(note) + "\n" for note in result["notes"]]
    return parts


def paragraph(note):
    return note if isinstance(note, str) else note["text"]


def overview(results):
    """The part of the page with one row for each task and the notes of what misses its target."""
    newest = {
        (row["task"], result["processor"]): (row, result)
        for result in sorted(results, key=lambda result: result["date"])
        for row in result.get("summary", [])
    }
    processors = sorted({processor for _, processor in newest})
    columns = ["task", "target", *(f"{processor}: {title}" for processor in processors for title in CELLS.values())]
    rows, notes = [], {}
    for task, (title, target) in TASKS.items():
        found = [newest.get((task, processor), ({}, {"notes": []})) for processor in processors]
        if any(row for row, _ in found):
            rows.append([title, target, *(row.get(cell, "") for row, _ in found for cell in CELLS)])
        for processor, (_, result) in zip(processors, found):
            for note in result["notes"]:
                if not isinstance(note, str) and task in note["tasks"]:
                    notes.setdefault((processor, note["text"]), []).append(title)
    parts = [OVERVIEW, table(columns, rows)]
    parts += [f"**{', '.join(titles)}; {processor}:** {text}\n" for (processor, text), titles in notes.items()]
    return parts


def page(results):
    """The documentation page."""
    parts = [INTRODUCTION, *overview(results)]
    for key, title in SECTIONS.items():
        found = [result for result in results if result["benchmark"] == key]
        if found:
            parts.append(f"## {title}\n")
        for result in found:
            parts += section(result)
    return "\n".join(parts)


def readme(text, results):
    """README.md with the table of the rows for it."""
    start, end = MARKERS
    if text.count(start) != 1 or text.count(end) != 1:
        sys.exit(f"README.md has no '{start.strip()}' and '{end.strip()}' around the table of the benchmarks")
    order = list(SECTIONS)
    rows = [
        [*row, result["title"]]
        for result in sorted(results, key=lambda result: order.index(result["benchmark"]))
        for row in result.get("readme", [])
    ]
    before, rest = text.split(start)
    return before + start + table(["", "Bridge", "Compared with", "Machine"], rows) + end + rest.split(end)[1]


def main():
    results = [load(path) for path in sorted(RESULTS.glob("*.json"))]
    current = README.read_text(encoding="utf-8")
    wanted = {PAGE: page(results), README: readme(current, results)}
    wanted |= {IMAGES / f"{result['name']}.svg": svg(result["figure"]) for result in results if result.get("figure")}
    if sys.argv[1:] == ["--check"]:
        old = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
        if old:
            names = ", ".join(str(path.relative_to(ROOT)) for path in old)
            sys.exit(f"{names}: differs from Benchmarks/results; run python3 Benchmarks/report.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        for path, text in wanted.items():
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
