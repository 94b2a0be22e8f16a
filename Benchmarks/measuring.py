"""What the benchmarks share: the page cache, the memory of a process, the machine in words."""

import os
import platform
from pathlib import Path


def warm(folder):
    """Reads every file into the page cache."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                buffer = bytearray(1 << 24)
                while file.readinto(buffer):
                    pass


def anonymous(pid, box, stop):
    """Keeps the most RssAnon of a process in box[0], looking every 5 ms until `stop` is set."""
    while not stop.wait(0.005):
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("RssAnon"):
                    box[0] = max(box[0], int(line.split()[1]) * 1024)
        except (FileNotFoundError, ProcessLookupError):
            return


def machine():
    name = next(
        (line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores {name}, {memory:.0f} GiB, Linux {platform.release()}"
