"""Shares one cache between Bridge and huggingface_hub, against a hub on this machine.

    python compare_hub.py BRIDGE [--seed N]

The hub is Tests/HubServer/hub_server.py, whose answers are checked first: huggingface_hub has to understand each of them
and to raise the error that it raises at the real hub. Then each tool has to find what the other has fetched, without a
request and to the byte; both at once, and a tool that is killed in between, have to leave one whole copy.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import runner as running

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "HubServer"))
import hub_server  # noqa: E402

TOKEN = "hf_test"

# The hub here has no Xet, which huggingface_hub would try for minutes.
os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

# What Python does in a process of its own, since huggingface_hub reads its variables once.
SNAPSHOT = """
import json, sys, huggingface_hub
arguments = json.loads(sys.argv[1])
print(huggingface_hub.snapshot_download(**arguments))
"""


class Hub(running.Runner):
    """Runs both tools against one server, each check with a cache of its own."""

    def prepare(self):
        self.root = self.work / "hub"
        draw = self.draw("files")
        repository = self.root / "models" / "org" / "name"
        (repository / "additional_chat_templates").mkdir(parents=True)
        files = {
            "config.json": b'{"architectures": []}', "README.md": b"A model.", ".gitattributes": b"*.bin filter=lfs",
            "additional_chat_templates/tool.jinja": b"{{ messages }}", "empty.txt": b"",
            "model-00001-of-00002.safetensors": draw.randbytes(draw.randrange(17_000_000, 60_000_000)),
            "model-00002-of-00002.safetensors": draw.randbytes(draw.randrange(1, 5000)),
            "tokenizer.json": json.dumps([draw.randrange(10**6) for _ in range(2000)]).encode(),
            "pytorch_model.bin": b"not wanted",
        }  # fmt: skip
        shards = {f"t{index}": name for index, name in enumerate(sorted(files)) if name.endswith(".safetensors")}
        files["model.safetensors.index.json"] = json.dumps({"weight_map": shards}).encode()
        for name, content in files.items():
            (repository / name).write_bytes(content)
        self.files = files
        self.weights = {name for name in files if name.endswith(".safetensors")}
        for name, settings in [("private", {"private": True}), ("gated", {"gated": True})]:
            (self.root / "models" / "org" / name).mkdir()
            (self.root / "models" / "org" / name / "config.json").write_text("{}")
            (self.root / "models" / "org" / name / ".repo.json").write_text(json.dumps(settings))
        data = self.root / "datasets" / "org" / "rows"
        data.mkdir(parents=True)
        (data / "train.jsonl").write_text('{"text": "one"}\n' * 200)
        self.store = hub_server.start(self.root, TOKEN)
        self.caches = 0

    def environment(self, cache, **more):
        own = {"HF_ENDPOINT": self.store.endpoint, "HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        return {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | own | more

    def cache(self):
        self.caches += 1
        return self.work / f"cache{self.caches}"

    def bridge_download(self, cache, *arguments, **environment):
        command = [str(self.bridge), "hub", "download", *(arguments or ("org/name",))]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment(cache, **environment))
        if done.returncode:
            raise running.Failure(done.stderr.strip())
        return Path(done.stdout.strip())

    def python_download(self, cache, environment=None, **arguments):
        arguments = {"repo_id": "org/name"} | arguments
        command = [sys.executable, "-c", SNAPSHOT, json.dumps(arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment(cache, **environment or {}))
        if done.returncode:
            raise running.Failure(done.stderr.strip().splitlines()[-1])
        return Path(done.stdout.strip())

    def requests(self):
        with self.store.lock:
            log, self.store.log = self.store.log, []
        # huggingface_hub asks other things of its own, about itself.
        return [entry for entry in log if "org/" in entry["path"]]

    def problems(self, folder, names=None):
        """What is wrong with a snapshot."""
        found = []
        for name in sorted(names or self.files):
            path = folder / name
            if not path.is_file():
                found.append(f"{name} is not there")
            elif path.read_bytes() != self.files[name]:
                found.append(f"{name} has other bytes")
        left = [str(path) for path in folder.parents[1].rglob("*") if ".incomplete" in path.name or ".tmp" in path.name]
        return found + [f"{path} is left" for path in left]


def answers(hub):
    """huggingface_hub understands the server, also where it refuses."""
    import huggingface_hub
    from huggingface_hub import errors

    api = huggingface_hub.HfApi(endpoint=hub.store.endpoint, token=False)
    logged = huggingface_hub.HfApi(endpoint=hub.store.endpoint, token=TOKEN)
    problems = []
    info = api.model_info("org/name")
    if info.sha != hub.store.commit(hub.root / "models/org/name"):
        problems.append("another commit")
    for entry in api.list_repo_tree("org/name", recursive=True):
        if isinstance(entry, huggingface_hub.hf_api.RepoFile):
            content = hub.files[entry.path]
            large = entry.lfs is not None
            if entry.size != len(content) or (large and entry.lfs.sha256 != hashlib.sha256(content).hexdigest()):
                problems.append(f"{entry.path} is listed wrongly")
            if not large and entry.blob_id != hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest():
                problems.append(f"{entry.path} has another name in git")
            url = huggingface_hub.hf_hub_url("org/name", entry.path, endpoint=hub.store.endpoint)
            head = huggingface_hub.get_hf_file_metadata(url, token=False, endpoint=hub.store.endpoint)
            expected = entry.lfs.sha256 if large else entry.blob_id
            if (head.etag, head.size, head.commit_hash) != (expected, entry.size, info.sha):
                problems.append(f"HEAD of {entry.path} says {head}")
    cases = [
        ("a missing repository", errors.RepositoryNotFoundError, lambda: logged.model_info("org/none")),
        ("a private one", errors.RepositoryNotFoundError, lambda: api.model_info("org/private")),
        ("a gated one", errors.GatedRepoError, lambda: logged.model_info("org/gated")),
        ("a missing revision", errors.RevisionNotFoundError, lambda: api.model_info("org/name", revision="v9")),
        ("a missing file", errors.RemoteEntryNotFoundError, lambda: huggingface_hub.get_hf_file_metadata(
            huggingface_hub.hf_hub_url("org/name", "none", endpoint=hub.store.endpoint), token=False)),
        ("a wrong token", errors.HfHubHTTPError, lambda: huggingface_hub.HfApi(
            endpoint=hub.store.endpoint, token="hf_wrong").model_info("org/name")),
    ]  # fmt: skip
    for title, expected, ask in cases:
        try:
            ask()
            problems.append(f"{title} is given")
        except expected:
            pass
    if logged.model_info("org/private").id != "org/private":
        problems.append("a private repository is refused to who may see it")
    return f"{len(hub.files)} files, {len(cases)} refusals", problems


def python_finds_bridges(hub):
    cache = hub.cache()
    folder = hub.bridge_download(cache, "org/name", "--all")
    hub.requests()
    problems = hub.problems(folder)
    offline = hub.python_download(cache, local_files_only=True)
    problems += [] if offline == folder else [f"it finds {offline}"]
    known = hub.python_download(cache, revision=folder.name)
    problems += [] if known == folder else [f"it finds {known}"]
    problems += [f"it asks for {entry['path']}" for entry in hub.requests()]
    again = hub.python_download(cache)
    problems += [] if again == folder else [f"it makes {again}"]
    fetched = [entry["path"] for entry in hub.requests() if "/resolve/" in entry["path"] or "/tree/" in entry["path"]]
    problems += [f"it fetches {path} again" for path in fetched]
    scan = "import huggingface_hub as h; i = h.scan_cache_dir(); print(len(i.warnings), i.warnings, sum(len(r.revisions) for r in i.repos), i.size_on_disk)"
    done = subprocess.run([sys.executable, "-c", scan], capture_output=True, text=True, env=hub.environment(cache))
    size = sum(len(content) for content in hub.files.values())
    if done.stdout.strip() != f"0 [] 1 {size}":
        problems.append(f"its scan of the cache says {done.stdout.strip()} {done.stderr.strip()[-200:]}")
    return "no request", problems


def bridge_finds_pythons(hub):
    cache = hub.cache()
    folder = hub.python_download(cache)
    hub.requests()
    problems = []
    call = [str(hub.bridge), "inspect", "org/name"]
    done = subprocess.run(call, capture_output=True, text=True, env=hub.environment(cache))
    # The weights are no safetensors: it has to have opened them, in Python's folder.
    if str(folder) not in done.stderr:
        problems.append(f"it says {done.stderr.strip()}")
    problems += [f"it asks for {entry['path']}" for entry in hub.requests()]
    found = hub.bridge_download(cache, "org/name", "--all")
    problems += [] if found == folder else [f"it makes {found}"]
    problems += [f"it fetches {entry['path']}" for entry in hub.requests() if "/revision/" not in entry["path"]]
    offline = hub.bridge_download(cache, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:1")
    problems += [] if offline == folder else [f"without a network it finds {offline}"]
    return "no request", problems + hub.problems(folder)


def only_what_is_needed(hub):
    cache = hub.cache()
    folder = hub.bridge_download(cache)
    here = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = set(hub.files) - {"pytorch_model.bin", ".gitattributes"}
    problems = [f"{name} is too much" for name in here - expected] + [f"{name} is missing" for name in expected - here]
    python = hub.python_download(cache)
    return f"{len(here)} of {len(hub.files)} files", problems + hub.problems(python)


def a_data_set(hub):
    cache = hub.cache()
    folder = hub.bridge_download(cache, "org/rows", "--type", "dataset")
    found = hub.python_download(cache, repo_id="org/rows", repo_type="dataset", local_files_only=True)
    return "", [] if found == folder else [f"{found} and {folder}"]


def both_at_once(hub):
    cache = hub.cache()
    hub.requests()
    hub.store.faults = [{"match": "GET /models/", "times": 100, "drip": 60_000_000}]
    commands = [[str(hub.bridge), "hub", "download", "org/name", "--all"] for _ in range(2)]
    commands += [[sys.executable, "-c", SNAPSHOT, '{"repo_id": "org/name"}'] for _ in range(2)]
    environment = hub.environment(cache)
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for command in commands
    ]
    results = [process.communicate(timeout=running.TIMEOUT) for process in processes]
    hub.store.faults = []
    problems = [said[1].strip()[-300:] for process, said in zip(processes, results) if process.returncode]
    folders = {said[0].strip() for said in results}
    if len(folders) != 1:
        problems.append(f"{folders}")
    # A file in several pieces is asked for several times, but each byte once.
    fetched = sum(
        int(end) - int(start) + 1
        for entry in hub.requests()
        if entry["path"].startswith("/models/") and entry["range"]
        for start, end in [entry["range"].removeprefix("bytes=").split("-")]
    )
    size = sum(len(content) for name, content in hub.files.items() if name.endswith(".safetensors"))
    return f"{fetched / size:.2f} of the weights by pieces", problems + hub.problems(Path(folders.pop()))


def killed_and_gone_on_with(hub):
    cache = hub.cache()
    hub.store.faults = [{"match": "GET /models/", "times": 1000, "drip": 20_000_000}]
    kills = 0
    for _ in range(4):
        process = subprocess.Popen(
            [str(hub.bridge), "hub", "download", "org/name"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=hub.environment(cache),
        )  # fmt: skip
        time.sleep(0.5 + 0.5 * random.random())
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        blobs = list((cache / "hub" / "models--org--name" / "blobs").glob("*"))
        for blob in blobs:
            if len(blob.name) == 64 and hashlib.sha256(blob.read_bytes()).hexdigest() != blob.name:
                return "", [f"{blob} is half a blob"]
    hub.store.faults = []
    hub.requests()
    folder = hub.bridge_download(cache)
    resumed = [entry["range"] for entry in hub.requests() if "signature" in entry["path"]]
    problems = hub.problems(folder, self_names(hub))
    if kills and resumed and all(text.startswith("bytes=0-") for text in resumed):
        problems.append(f"nothing was gone on with: {resumed}")
    return f"{kills} kills", problems


def self_names(hub):
    return set(hub.files) - {"pytorch_model.bin", ".gitattributes"}


def pythons_lock_is_waited_for(hub):
    cache = hub.cache()
    content = hub.files["model-00001-of-00002.safetensors"]
    name = hashlib.sha256(content).hexdigest()
    lock = cache / "hub" / ".locks" / "models--org--name" / f"{name}.lock"
    lock.parent.mkdir(parents=True)
    hold = "import sys; from huggingface_hub.utils import WeakFileLock\nwith WeakFileLock(sys.argv[1]): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    download = subprocess.Popen([str(hub.bridge), "hub", "download", "org/name"], stdout=subprocess.PIPE, text=True, env=hub.environment(cache))  # fmt: skip
    time.sleep(1.5)
    problems = [] if download.poll() is None else ["it did not wait"]
    if (cache / "hub" / "models--org--name" / "blobs" / name).exists():
        problems.append("it fetched what another held")
    holder.communicate("")
    out, _ = download.communicate(timeout=running.TIMEOUT)
    return "", problems + hub.problems(Path(out.strip()), self_names(hub))


def uploads(hub):
    """Both upload the same folder: the same commit, and the server's side of it is what huggingface_hub expects."""
    import huggingface_hub

    folder = hub.work / "upload"
    for name, content in hub.files.items():
        if not name.startswith("."):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    environment = hub.environment(hub.cache(), HF_TOKEN=TOKEN)
    command = [str(hub.bridge), "hub", "upload", "me/bridges", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise running.Failure(done.stderr.strip())
    ours = json.loads(done.stdout)["commit"]
    api = huggingface_hub.HfApi(endpoint=hub.store.endpoint, token=TOKEN)
    shutil.rmtree(hub.root / "objects")
    api.create_repo("me/pythons")
    theirs = api.upload_folder(repo_id="me/pythons", folder_path=folder).oid
    back = hub.python_download(hub.cache(), repo_id="me/bridges")
    problems = [] if ours == theirs else [f"{ours} and {theirs}"]
    return f"{len(hub.files) - 1} files", problems + hub.problems(back, {name for name in hub.files if not name.startswith(".")})


def body(hub, options):
    hub.prepare()
    for title, check in [
        ("the server speaks as huggingface_hub expects", answers),
        ("huggingface_hub finds what Bridge has fetched", python_finds_bridges),
        ("Bridge finds what huggingface_hub has fetched", bridge_finds_pythons),
        ("only what a model needs is fetched, and Python adds the rest", only_what_is_needed),
        ("a data set", a_data_set),
        ("two of each at once", both_at_once),
        ("killed and gone on with", killed_and_gone_on_with),
        ("a lock that Python holds is waited for", pythons_lock_is_waited_for),
        ("the same folder, uploaded by both", uploads),
    ]:
        hub.judge(title, lambda check=check: check(hub))


if __name__ == "__main__":
    running.main(__doc__, body, make=Hub)
