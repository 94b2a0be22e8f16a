#!/usr/bin/env python3
"""Compares what Weights & Biases and MLflow have received of a run with its log: every value of every step, and all settings.

    compare_tracking.py [BRIDGE] [--seed N] [--only TEXT ...]

A toy is trained, interrupted by its number of steps and resumed. The package wandb writes offline files, which are read with the messages
of the package; the framing of their records is that of LevelDB's log. MLflow is the real server with a database of its own, from the
environment .venv-mlflow (BRIDGE_MLFLOW_VENV names another one; scripts/setup-peers makes it), and is asked over REST.
"""

import json
import math
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import yaml

from runner import Failure, main

ROOT = Path(__file__).resolve().parents[2]
# The tags of Megatron, and the keys of log.jsonl.
KEYS = {
    "lm loss": "lm_loss", "learning-rate": "learning_rate", "grad-norm": "grad_norm", "batch-size": "global_batch_size",
    "iteration-time": "elapsed_time_per_iteration", "consumed-samples": "consumed_samples", "params-norm": "params_norm",
    "tokens-per-second": "tokens_per_second",
    "lm loss validation": "validation_lm_loss", "lm loss validation ppl": "validation_perplexity",
    "token accuracy validation": "validation_token_accuracy",
}  # fmt: skip
BLOCK = 32768
STEPS = (5, 9)


def train(runner, work, environment, *settings):
    """Trains the first steps, and in a second process the others."""
    if not (work / "toy").exists():
        runner.call("toy", "--family", "mistral", "--output", work / "toy", "--seed", runner.seed % 1000)
        rows = [
            {"messages": [{"role": "user", "content": f"{n} + {n}?"}, {"role": "assistant", "content": f"{2 * n}"}]}
            for n in range(24)
        ]
        (work / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kept = dict(os.environ)
    os.environ.update(environment)
    try:
        for count in STEPS:
            runner.call(
                "train", "--hf-model", work / "toy", "--data", work / "rows.jsonl", f"train.train_iters={count}",
                "train.global_batch_size=4", "train.micro_batch_size=2", "dataset.val_set_size=4", "train.eval_interval=3",
                "train.eval_iters=1", "logger.log_params_norm=true", f"checkpoint.save={work / 'run'}", *settings,
            )  # fmt: skip
    finally:
        os.environ.clear()
        os.environ.update(kept)


def logged(work):
    """What log.jsonl has, by step."""
    steps = {}
    for line in (work / "run_logs" / "log.jsonl").read_text().splitlines():
        row = json.loads(line)
        steps.setdefault(row["iteration"], {}).update(row)
    return steps


def compare(steps, found):
    """The values of the log that are missing or different, and values that it does not have. Equal means equal to the bit."""
    problems = []
    for step, row in steps.items():
        values = dict(found.get(step, {}))
        expected = {tag: row[key] for tag, key in KEYS.items() if key in row}
        expected["throughput/tflops"] = row["operations"] / row["elapsed_time_per_iteration"] / 1e12
        for tag, value in expected.items():
            got = values.pop(tag, None)
            if got is None or got != value:
                problems.append(f"step {step}, {tag}: {got}, and {value} in the log")
        problems += [f"step {step}: {tag} is not in the log" for tag in values]
    problems += [f"step {step} is not in the log" for step in set(found) - set(steps)]
    if len(steps) != STEPS[-1]:
        problems.append(f"the log has {len(steps)} steps")
    return problems


def numbers(value):
    """Numbers of YAML 1.2 such as 1e-05, which PyYAML takes for texts."""
    if isinstance(value, dict):
        return {key: numbers(member) for key, member in value.items()}
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value):
        return float(value)
    return value


def settings_of(work):
    path = work / "run" / f"iter_{STEPS[0]:07d}" / "run_config.yaml"
    return numbers(yaml.safe_load(path.read_text()))


# Weights & Biases


def records(path):
    """The messages of an offline file."""
    from wandb.proto import wandb_internal_pb2

    data, position, parts = path.read_bytes(), 7, []
    if data[:4] != b":W&B":
        raise Failure(f"{path} begins with {data[:7]}")
    while position + 7 <= len(data):
        if BLOCK - position % BLOCK < 7:
            position += BLOCK - position % BLOCK
            continue
        checksum, size, kind = struct.unpack_from("<IHB", data, position)
        part = data[position + 7 : position + 7 + size]
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) & 0xFFFFFFFF != checksum:
            raise Failure(f"{path} has a damaged record at {position}")
        parts.append(part)
        position += 7 + size
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


def wandb_check(runner):
    work = runner.work / "wandb"
    work.mkdir(parents=True)
    train(
        runner, work,
        {"WANDB_MODE": "offline", "BRIDGE_PYTHON": sys.executable},
        "logger.wandb_project=tracking", "logger.wandb_exp_name=a run",
    )  # fmt: skip
    problems, found, config, identities, codes = [], {}, {}, set(), []
    files = sorted((work / "run_logs" / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    for path in files:
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                identities.add((record.run.run_id, record.run.project, record.run.display_name))
                updates = record.run.config.update
                # The settings of the first process; parameters of the second differ in the number of steps.
                if path == files[0]:
                    config.update({item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in updates})
            elif kind == "history":
                row = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
                step = row.get("_step", record.history.step.num)
                values = {key: value for key, value in row.items() if not key.startswith("_")}
                found.setdefault(step, {}).update(values)
            elif kind == "exit":
                codes.append(record.exit.exit_code)
    problems += compare(logged(work), found)
    if len(files) != 2 or len(identities) != 1:
        problems.append(f"{len(files)} files of the runs {identities}, expected 2 of one run")
    elif next(iter(identities))[1:] != ("tracking", "a run"):
        problems.append(f"the run is {identities}")
    if codes != [0, 0]:
        problems.append(f"exit codes {codes}")
    for section, values in settings_of(work).items():
        if config.get(section) != values:
            problems.append(f"settings of {section} differ: {config.get(section)}, {values}")
    return f"{sum(map(len, found.values()))} values", problems


# MLflow


class Server:
    """The real server, until the end of a block."""

    def __init__(self, work):
        self.work = work
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        python = Path(os.environ.get("BRIDGE_MLFLOW_VENV", ROOT / ".venv-mlflow")) / "bin" / "python"
        if not python.exists():
            raise Failure(f"{python} does not exist; run BRIDGE_PEERS_VENV=.venv-mlflow scripts/setup-peers requirements-mlflow.txt")
        command = [
            python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.work}/mlflow.db", "--artifacts-destination", f"{self.work}/artifacts",
        ]  # fmt: skip
        self.log = open(self.work / "server.log", "w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                self.ask("experiments/search", {"max_results": 1})
                return self
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.2)
        self.__exit__()
        raise Failure(f"the server did not start: {(self.work / 'server.log').read_text()[-300:]}")

    def __exit__(self, *_):
        # Its workers are in its own group.
        try:
            os.killpg(self.process.pid, 15)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()

    def ask(self, path, body=None, **query):
        address = f"{self.address}/api/2.0/mlflow/{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        request = urllib.request.Request(address, headers={"Content-Type": "application/json"})
        if body is not None:
            request.data = json.dumps(body).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return json.load(response)


def flat(value, path=""):
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from flat(member, f"{path}.{key}" if path else key)
    elif path:
        yield path, value


def mlflow_check(runner):
    work = runner.work / "mlflow"
    work.mkdir(parents=True)
    with Server(work) as server:
        train(
            runner, work, {"NO_PROXY": "*", "no_proxy": "*"}, "logger.mlflow_experiment=tracking / one",
            "logger.mlflow_run_name=a run", f"logger.mlflow_tracking_uri={server.address}",
        )  # fmt: skip
        experiment = server.ask("experiments/get-by-name", experiment_name="tracking / one")["experiment"]["experiment_id"]
        runs = server.ask("runs/search", {"experiment_ids": [experiment]})["runs"]
        problems = [] if len(runs) == 1 else [f"{len(runs)} runs, expected one"]
        info, data = runs[0]["info"], runs[0]["data"]
        if (info["status"], info["run_name"]) != ("FINISHED", "a run"):
            problems.append(f"the run is {info}")
        found = {}
        for metric in data["metrics"]:
            history = server.ask("metrics/get-history", run_id=info["run_id"], metric_key=metric["key"])["metrics"]
            for row in history:
                # JSON of the server has numbers that are not finite as text.
                found.setdefault(int(row.get("step", 0)), {})[metric["key"]] = float(row["value"])
        problems += compare(logged(work), found)
        parameters = {row["key"]: row["value"] for row in data["params"]}
        for key, value in flat(settings_of(work)):
            text = parameters.get(key)
            if isinstance(value, str):
                same = text == value or len(value) > 250 and text == value[:249] + "…"
            elif text is not None and not text.endswith("…"):
                read = json.loads(text)
                same = read == value or isinstance(value, float) and math.isclose(read, value, rel_tol=1e-15)
            else:
                same = text is not None
            if not same:
                problems.append(f"parameter {key} is {text}, expected {value}")
    return f"{sum(map(len, found.values()))} values, {len(parameters)} parameters", problems


def body(runner, options):
    runner.judge("Weights & Biases has the values of the log", lambda: wandb_check(runner))
    runner.judge("MLflow has the values of the log", lambda: mlflow_check(runner))


if __name__ == "__main__":
    sys.exit(main(__doc__, body))
