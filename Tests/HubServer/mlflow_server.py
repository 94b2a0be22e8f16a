"""The part of MLflow's REST interface that a training run uses, with the limits of the real one.

    mlflow_server.py DIRECTORY [--token TOKEN]

Prints its address as JSON. Each request is a line of DIRECTORY/requests.jsonl, the state is DIRECTORY/state.json. While DIRECTORY/status
exists, requests to runs get the status in it. Ends when its standard input is closed.
"""

import argparse
import json
import os
import re
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = re.compile(r"[\w\-. :/]{1,250}", re.ASCII)
state = {"experiments": {}, "runs": {}}
lock = threading.Lock()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def invalid(message):
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


def run_of(body):
    try:
        return state["runs"][body["run_id"]]
    except KeyError:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={body.get('run_id')} not found") from None


def get_by_name(body):
    name = body["experiment_name"]
    for number, experiment in state["experiments"].items():
        if experiment["name"] == name:
            return {"experiment": {"experiment_id": number, **experiment}}
    raise Refused(404, "RESOURCE_DOES_NOT_EXIST", f"Could not find experiment with name '{name}'")


def create_experiment(body):
    number = str(len(state["experiments"]) + 1)
    state["experiments"][number] = {"name": body["name"], "lifecycle_stage": "active"}
    return {"experiment_id": number}


def create_run(body):
    if body["experiment_id"] not in state["experiments"]:
        raise invalid("no such experiment")
    identity = f"{len(state['runs']) + 1:032x}"
    state["runs"][identity] = {
        "name": body.get("run_name"), "status": "RUNNING", "start_time": body["start_time"], "metrics": [], "params": {},
    }  # fmt: skip
    return {"run": {"info": {"run_id": identity}}}


def log_batch(body):
    run, metrics, params = run_of(body), body.get("metrics", []), body.get("params", [])
    if len(metrics) > 1000 or len(params) > 100 or len(metrics) + len(params) > 1000:
        raise invalid("A batch logging request can contain at most 1000 metrics and 100 params")
    for item in metrics + params:
        if not NAME.fullmatch(item["key"]):
            raise invalid(f"Invalid name: '{item['key']}'")
    for param in params:
        if not isinstance(param["value"], str) or len(param["value"]) > 250:
            raise invalid(f"Param value of {param['key']} exceeds 250 characters")
        if run["params"].setdefault(param["key"], param["value"]) != param["value"]:
            raise invalid(f"Changing param values is not allowed: {param['key']}")
    for metric in metrics:
        value = metric["value"]
        if value not in ("NaN", "Infinity", "-Infinity") and not isinstance(value, (int, float)):
            raise invalid(f"Got invalid value {value} for metric '{metric['key']}'")
        if metric["timestamp"] < run["start_time"]:
            raise invalid("a timestamp before the start")
    run["metrics"] += metrics
    return {}


def update(body):
    run = run_of(body)
    if body["status"] not in ("RUNNING", "FINISHED", "FAILED", "KILLED"):
        raise invalid("no such status")
    run["status"] = body["status"]
    if "end_time" in body:
        run["end_time"] = body["end_time"]
    return {"run_info": {"run_id": body["run_id"]}}


ROUTES = {
    ("GET", "experiments/get-by-name"): get_by_name, ("POST", "experiments/create"): create_experiment,
    ("POST", "runs/create"): create_run, ("POST", "runs/log-batch"): log_batch, ("POST", "runs/update"): update,
}  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_request(self):
        address = urllib.parse.urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(text) if text else dict(urllib.parse.parse_qsl(address.query))
        name = address.path.removeprefix("/api/2.0/mlflow/")
        with lock:
            with open(os.path.join(options.directory, "requests.jsonl"), "a") as file:
                file.write(json.dumps({"name": name, "authorization": self.headers.get("Authorization", "")}) + "\n")
            try:
                if options.token and self.headers.get("Authorization") != f"Bearer {options.token}":
                    raise Refused(401, "UNAUTHENTICATED", "who are you")
                path = os.path.join(options.directory, "status")
                if name.startswith("runs/log") and os.path.exists(path):
                    raise Refused(int(open(path).read()), "INTERNAL_ERROR", "the database is down")
                if (self.command, name) not in ROUTES:
                    raise Refused(404, "ENDPOINT_NOT_FOUND", "no such endpoint")
                status, response = 200, ROUTES[self.command, name](body)
                with open(os.path.join(options.directory, "state.new"), "w") as file:
                    json.dump(state, file)
                os.replace(os.path.join(options.directory, "state.new"), os.path.join(options.directory, "state.json"))
            except Refused as error:
                status, response = error.status, {"error_code": error.code, "message": error.message}
        data = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = handle_request


parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--token")
options = parser.parse_args()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(json.dumps({"address": f"http://127.0.0.1:{server.server_port}"}), flush=True)
sys.stdin.read()
