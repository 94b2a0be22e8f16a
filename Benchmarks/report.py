#!/usr/bin/env python3
"""Writes the documentation page of the benchmarks, and the table in README.md, from the files in Benchmarks/results.

    python3 Benchmarks/report.py            writes both
    python3 Benchmarks/report.py --check    fails if one of them differs from the files; `make lint` runs it

A file has one run of one script: `benchmark` (a key of SECTIONS), `title`, `date`, `machine`, `command`, `method` (paragraphs),
`tables` (each with `title`, `columns` and `rows`) and `notes` (paragraphs), and optionally `summary`, rows of the table in
README.md, `figure`, curves that become an image (figure.py), and `rounds`, everything that was measured. Cells are texts, so that the page has the figures as they were printed.
The scripts write such a file with --output; add `title`, `notes` and `summary` by hand. Python's standard library only.
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
TEXTS = ["benchmark", "title", "date", "machine", "command"]
LISTS = ["method", "tables", "notes"]

INTRODUCTION = """# Benchmarks

Speed and memory of Bridge and of other programs on the same machine, with the commands that measured them.

## Overview

`Benchmarks/report.py` writes this page from the files in `Benchmarks/results`; each file has the figures of one run. A script
of `Benchmarks/` measures all programs in one run and interleaves their rounds, so that a slow moment of the machine affects
all of them. Figures of different machines or dates are not comparable.
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
    parts += [text + "\n" for text in result["notes"]]
    return parts


def page(results):
    """The documentation page."""
    parts = [INTRODUCTION]
    for key, title in SECTIONS.items():
        found = [result for result in results if result["benchmark"] == key]
        if found:
            parts.append(f"## {title}\n")
        for result in found:
            parts += section(result)
    return "\n".join(parts)


def readme(text, results):
    """README.md with the table of the summaries."""
    start, end = MARKERS
    if text.count(start) != 1 or text.count(end) != 1:
        sys.exit(f"README.md has no '{start.strip()}' and '{end.strip()}' around the table of the benchmarks")
    order = list(SECTIONS)
    rows = [
        [*row, result["title"]]
        for result in sorted(results, key=lambda result: order.index(result["benchmark"]))
        for row in result.get("summary", [])
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
