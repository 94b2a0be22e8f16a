"""What the benchmarks share: the page cache, the time and memory of a process, the machine in words, the results."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from report import table


def warm(folder):
    """Reads every file into the page cache."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                buffer = bytearray(1 << 24)
                while file.readinto(buffer):
                    pass


@dataclass
class Run:
    """How a process went."""

    status: int
    output: bytes
    said: str
    seconds: float
    anonymous: int


def run(command, environment=None, afterwards=lambda: None):
    """Runs a command in an environment, with the seconds until `afterwards` is done and the most anonymous memory."""
    box, stop = [0], threading.Event()
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    watcher = threading.Thread(target=_watch, args=(process.pid, box, stop))
    watcher.start()
    output, said = process.communicate()
    afterwards()
    seconds = time.perf_counter() - start
    stop.set()
    watcher.join()
    return Run(process.returncode, output, said.decode(errors="replace"), seconds, box[0])


def _watch(pid, box, stop):
    """Keeps the most RssAnon of a process in box[0], looking every 5 ms until `stop` is set."""
    while not stop.wait(0.005):
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    box[0] = max(box[0], int(line.split()[1]) * 1024)
        except (FileNotFoundError, ProcessLookupError):
            return


def processor():
    """The kind of processor, a column of the first table of report.py."""
    found = {}
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name", platform.machine())
    kind = next((kind for kind in ("AMD EPYC", "Intel Xeon") if all(word in name for word in kind.split())), name)
    return f"{kind} with AMX" if "amx_tile" in found.get("flags", "").split() else kind


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    release = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()} cores of an {processor()}, {memory:.0f} GiB, Linux {release}"


def median(rounds, name, key):
    """The median of a figure over the rounds of {program: {figure: value}} that have the program."""
    values = [entry[name][key] for entry in rounds if name in entry]
    return statistics.median(values) if values else None


def ratio(rounds, ours, theirs, key):
    """The median of the rounds' own ratios."""
    both = [entry[ours][key] / entry[theirs][key] for entry in rounds if ours in entry and theirs in entry]
    return statistics.median(both) if both else None


def row(task, ours, ratio="", other="", limit=""):
    """A row of the first table of report.py."""
    cells = {"task": task, "other": other, "limit": limit, "ours": ours, "ratio": ratio}
    return {key: text for key, text in cells.items() if text}


def add_output(parser):
    """The option for the file with the results."""
    parser.add_argument("--output", type=Path, help="write the results in the format of Benchmarks/report.py to this file")


def publish(options, benchmark, command, method, tables, rounds, summary=(), **more):
    """Prints the tables and, with --output, writes the file that report.py reads.

    `tables` has (title, columns, rows), `rounds` everything that was measured, `summary` results of `row`, `more` other
    keys of the file.
    """
    date = str(datetime.date.today())
    print(f"{machine()}, {date}. {method}\n")
    for title, columns, rows in tables:
        if title:
            print(f"{title}\n")
        print(table(columns, rows), flush=True)
    if not options.output:
        return
    result = {
        "benchmark": benchmark, "title": f"{processor()}, {os.cpu_count()} cores, {date}", "date": date, "machine": machine(),
        "processor": processor(), "command": command, "method": [method],
        "tables": [{"title": title, "columns": columns, "rows": rows} for title, columns, rows in tables],
        "notes": [], "summary": list(summary), **more, "rounds": rounds,
    }  # fmt: skip
    options.output.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"results: {options.output}")
