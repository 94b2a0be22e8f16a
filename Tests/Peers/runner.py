"""What the comparisons share: calling the bridge, a line for each check, the command line."""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TIMEOUT = 300


class Failure(Exception):
    pass


class Runner:
    def __init__(self, bridge, seed, work, only):
        self.bridge, self.seed, self.work, self.only = bridge, seed, work, only
        self.passed = self.failed = 0

    def call(self, *arguments):
        """Runs the bridge; what it wrote to standard output."""
        command = [str(self.bridge), *map(str, arguments)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failure(f"{' '.join(command)} took more than {TIMEOUT} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
            raise Failure(f"{' '.join(command)} gave exit status {done.returncode}: {' / '.join(said)}")
        return done.stdout

    def draw(self, name):
        """Random numbers for a name; the same for one seed, whatever else runs."""
        return random.Random(f"{self.seed} {name}")

    def judge(self, title, body):
        """Runs one check, prints its line and counts it. `body` returns (note, problems)."""
        if self.only and not any(text in title for text in self.only):
            return
        try:
            note, problems = body()
        except Failure as failure:
            note, problems = "", [str(failure)]
        except Exception as error:  # a broken export may break any reader; that is a failed check, not the end
            note, problems = "", [f"{type(error).__name__}: {error}"]
        title = f"{title} ({note})" if note else title
        if problems:
            self.failed += 1
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            print(f"FAIL {title}: {'; '.join(problems[:3])}{more}", flush=True)
        else:
            self.passed += 1
            print(f"ok   {title}", flush=True)


def binary(parser, name):
    """The absolute path of the bridge, or the end with a sentence."""
    if not name:
        parser.error("no binary: name it as an argument or in the environment variable BRIDGE")
    if not (found := shutil.which(name)):
        parser.error(f"{name} is not an executable file")
    return Path(found).absolute()


def main(description, body, make=Runner, **extra):
    """The command line of a comparison: runs `body(runner, options)` and exits with 1 when a check failed."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("bridge", nargs="?", default=os.environ.get("BRIDGE"), help="the binary; default $BRIDGE")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="only the checks whose title has one of these")
    parser.add_argument("--work", type=Path, help="keep the checkpoints here instead of in a temporary folder")
    for name, settings in extra.items():
        parser.add_argument(f"--{name}", **settings)
    options = parser.parse_args()
    bridge = binary(parser, options.bridge)
    with tempfile.TemporaryDirectory(prefix="bridge-peers-") as scratch:
        runner = make(bridge, options.seed, (options.work or Path(scratch)).absolute(), options.only)
        print(f"seed {options.seed}", flush=True)
        body(runner, options)
    print(f"{runner.passed} passed, {runner.failed} failed")
    sys.exit(1 if runner.failed or not runner.passed else 0)
