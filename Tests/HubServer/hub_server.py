#!/usr/bin/env python3
"""A Hugging Face hub on this machine, for tests: what the hub's HTTP interface says, and what can go wrong with it.

    hub_server.py ROOT [--token TOKEN] [--tls]

ROOT/models/org/name/ and ROOT/datasets/org/name/ are repositories at their branch main; a folder name@REVISION beside
them is another branch. `.repo.json` in a repository, which is not listed, may say {"private": true} or {"gated": true}.
Files of at least 1000 bytes and all *.safetensors are in large-file storage: a server on another port and under another
host name, to which the hub redirects. Prints one line of JSON when it listens: {"endpoint": ..., "storage": ...}, with
--tls also {"certificate": PATH} of the certificate that it has made for itself.

It is told and asked by HTTP as well:

    POST /_faults   a list of {"match": REGEX, "times": N, ...}: the next N requests whose "METHOD path" fits go wrong by
                    "status", "headers" and "body"; "cut": bytes after which the connection ends; "wrong": true for other bytes;
                    "hold": true for no answer until other faults are set; "drip": bytes a second; "stall": bytes after which nothing more
                    comes until other faults are set; "no_range": true for whole files only;
                    "location": where a redirect leads
    GET /_log       all other requests so far: [{"method", "path", "host", "authorization", "range", "sent"}], the last
                    of which are the bytes of the answer's body that have gone out

Its answers are those that huggingface_hub 2.4 is checked against in Tests/Peers/compare_hub.py.
"""

import argparse
import base64
import hashlib
import http.server
import json
import os
import re
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

LARGE = 1000
PAGE = 50
PART = 64 * 1024


class Store:
    """Repositories, faults and the log, which the two servers share."""

    def __init__(self, root, token):
        self.root = Path(root)
        self.token = token
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.faults = []
        self.log = []
        self.hashes = {}
        self.uploads = {}
        self.endpoint = self.storage = ""

    def fault(self, text):
        """The fault for a request, which is then used up."""
        with self.lock:
            for fault in self.faults:
                if fault["times"] > 0 and re.search(fault["match"], text):
                    fault["times"] -= 1
                    return fault
        return {}

    def wait_while_set(self, fault):
        """Waits until other faults are set."""
        with self.changed:
            self.changed.wait_for(lambda: not any(fault is other for other in self.faults))

    def folder(self, kind, name, revision):
        """The folder of a revision, which may be a commit."""
        home = self.root / kind / name
        if revision in ("main", None):
            return home if home.is_dir() else None
        named = home.with_name(f"{home.name}@{revision}")
        if named.is_dir():
            return named
        for other in [home, *home.parent.glob(f"{home.name}@*")]:
            if other.is_dir() and self.commit(other).startswith(revision) and len(revision) >= 7:
                return other
        return None

    def names(self, folder):
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if name != ".repo.json")

    def settings(self, folder):
        path = folder / ".repo.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def digests(self, path):
        """Git's name of the content and its SHA-256."""
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns)
        with self.lock:
            if key in self.hashes:
                return self.hashes[key]
        sha1, sha256 = hashlib.sha1(b"blob %d\0" % status.st_size), hashlib.sha256()
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                sha1.update(piece)
                sha256.update(piece)
        with self.lock:
            self.hashes[key] = (sha1.hexdigest(), sha256.hexdigest())
        return sha1.hexdigest(), sha256.hexdigest()

    def is_large(self, path):
        return path.name.endswith(".safetensors") or path.stat().st_size >= LARGE

    def blob_name(self, path):
        """Git's name of what git holds: the content, or the pointer to large-file storage."""
        sha1, sha256 = self.digests(path)
        if not self.is_large(path):
            return sha1
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {path.stat().st_size}\n".encode()
        return hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()

    def commit(self, folder):
        text = "".join(f"{name} {self.blob_name(folder / name)}\n" for name in self.names(folder))
        return hashlib.sha1(text.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store = None
    is_storage = False

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", headers=()):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers = [("Content-Type", "application/json"), *headers]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.send(body)

    def send(self, bytes):
        self.wfile.write(bytes)
        self.entry["sent"] += len(bytes)

    def refuse(self, status, code=None, message="not here"):
        headers = [("X-Error-Message", message)] + ([("X-Error-Code", code)] if code else [])
        self.answer(status, {"error": message}, headers)

    def body(self):
        return self.content

    def read_body(self):
        """All of it, since what is left on the connection would be taken for the next request."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def handle_any(self):
        store = self.store
        self.content = self.read_body()
        self.entry = {
            "method": self.command, "path": self.path, "host": self.headers.get("Host", ""),
            "authorization": self.headers.get("Authorization", ""), "range": self.headers.get("Range", ""), "sent": 0,
        }  # fmt: skip
        if self.path.startswith("/_"):
            if self.path == "/_faults":
                with store.changed:
                    store.faults = json.loads(self.body())
                    store.changed.notify_all()
                return self.answer(200, {})
            with store.lock:
                log = list(store.log)
            return self.answer(200, log)
        with store.lock:
            store.log.append(self.entry)
        fault = store.fault(f"{self.command} {self.path}")
        if fault.get("hold"):
            store.wait_while_set(fault)
        if "location" in fault:
            return self.answer(fault.get("status", 302), b"", [("Location", fault["location"])])
        if "status" in fault:
            return self.answer(fault["status"], fault.get("body", "no").encode(), list(fault.get("headers", {}).items()))
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = urllib.parse.parse_qs(url.query)
        if self.is_storage:
            return self.storage_request(path, query, fault)
        return self.hub_request(url.path, path, query, fault)

    do_GET = do_HEAD = do_PUT = do_POST = handle_any

    # The hub

    def allowed(self, folder):
        """Whether the one who asks may see a repository; answers where not."""
        if folder is None:
            self.refuse(401 if not self.headers.get("Authorization") else 404, "RepoNotFound", "Repository not found")
            return False
        given = self.headers.get("Authorization", "")
        if given and given != f"Bearer {self.store.token}":
            self.refuse(401, None, "Invalid credentials in Authorization header")
            return False
        settings = self.store.settings(folder)
        if settings.get("private") and not given:
            self.refuse(401, "RepoNotFound", "Repository not found")
            return False
        if settings.get("gated"):
            self.refuse(403 if given else 401, "GatedRepo", "Access to this model is restricted")
            return False
        return True

    def hub_request(self, raw, path, query, fault):
        store = self.store
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create()
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self.batch((found[1] or "models/").rstrip("/"), found[2])
        if path in ("/_complete", "/complete"):
            return self.complete()
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(preupload|commit)/(.+)", path):
            if not self.allowed(store.folder(found[1], found[2], "main")):
                return None
            if not self.headers.get("Authorization"):
                return self.refuse(401, None, "Invalid username or password.")
            return self.preupload() if found[3] == "preupload" else self.commit_files(found[1], found[2])
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?(?:/.*)?", raw):
            kind, name, what = found[1], urllib.parse.unquote(found[2]), found[3]
            revision = urllib.parse.unquote(found[4] or "main")
            if not self.allowed(store.folder(kind, name, "main")):
                return None
            folder = store.folder(kind, name, revision)
            if folder is None:
                return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return self.tree(folder, query) if what == "tree" else self.info(folder, name)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", raw):
            kind = "datasets" if found[1] else "models"
            name, revision, file = (urllib.parse.unquote(part) for part in (found[2], found[3], found[4]))
            if not self.allowed(store.folder(kind, name, "main")):
                return None
            folder = store.folder(kind, name, revision)
            if folder is None:
                return self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return self.resolve(folder, file, fault)
        return self.refuse(404)

    def info(self, folder, name):
        siblings = [{"rfilename": file} for file in self.store.names(folder)]
        self.answer(200, {
            "_id": "0", "id": name, "modelId": name, "sha": self.store.commit(folder), "private": False, "siblings": siblings,
            "tags": [], "downloads": 0, "likes": 0, "createdAt": "2026-01-01T00:00:00.000Z",
        })  # fmt: skip

    def tree(self, folder, query):
        store = self.store
        entries = []
        for parent in sorted({str(Path(name).parent) for name in store.names(folder)} - {"."}):
            entries.append({"type": "directory", "oid": "0" * 40, "size": 0, "path": parent})
        for name in store.names(folder):
            path = folder / name
            entry = {"type": "file", "oid": store.blob_name(path), "size": path.stat().st_size, "path": name}
            if store.is_large(path):
                entry["lfs"] = {"oid": store.digests(path)[1], "size": path.stat().st_size, "pointerSize": 134}
            entries.append(entry)
        start = int(query.get("cursor", ["0"])[0])
        headers = []
        if start + PAGE < len(entries):
            here = self.path.split("?")[0]
            headers.append(("Link", f'<{store.endpoint}{here}?recursive=true&expand=false&cursor={start + PAGE}>; rel="next"'))
        self.answer(200, entries[start : start + PAGE], headers)

    def resolve(self, folder, file, fault):
        store = self.store
        path = folder / file
        commit = ("X-Repo-Commit", store.commit(folder))
        if ".." in file.split("/") or not path.is_file() or file == ".repo.json":
            return self.answer(404, b"Entry not found", [("X-Error-Code", "EntryNotFound"), ("X-Error-Message", "Entry not found"), commit])
        sha1, sha256 = store.digests(path)
        if not store.is_large(path):
            return self.file(path, fault, [("ETag", f'"{sha1}"'), commit])
        relative = path.relative_to(store.root)
        location = f"{store.storage}/{urllib.parse.quote(str(relative))}?signature=secret"
        headers = [
            ("Location", location), ("X-Linked-Size", str(path.stat().st_size)), ("X-Linked-Etag", f'"{sha256}"'), commit,
        ]  # fmt: skip
        self.answer(302, b"Found", headers)

    def create(self):
        if self.headers.get("Authorization") != f"Bearer {self.store.token}":
            return self.refuse(401, None, "Invalid username or password.")
        wanted = json.loads(self.body())
        kind = "datasets" if wanted.get("type") == "dataset" else "models"
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        folder = self.store.root / kind / name
        if folder.is_dir():
            return self.answer(409, {"error": "You already created this repo", "url": f"{self.store.endpoint}/{name}"})
        folder.mkdir(parents=True)
        if wanted.get("private"):
            (folder / ".repo.json").write_text('{"private": true}')
        self.answer(200, {"url": f"{self.store.endpoint}/{name}", "name": name, "id": "0"})

    def preupload(self):
        files = json.loads(self.body())["files"]
        for file in files:
            assert len(base64.b64decode(file["sample"])) == min(512, file["size"])
        self.answer(200, {"files": [
            {
                "path": file["path"], "shouldIgnore": file["path"].endswith(".ignored"),
                "uploadMode": "lfs" if file["path"].endswith(".safetensors") or file["size"] >= LARGE else "regular",
            } for file in files
        ]})  # fmt: skip

    def held(self, oid):
        return self.store.root / "objects" / oid

    def batch(self, kind, name):
        if self.headers.get("Authorization") != f"Bearer {self.store.token}":
            return self.refuse(401, None, "Invalid username or password.")
        wanted = json.loads(self.body())
        assert wanted["operation"] == "upload" and wanted["hash_algo"] == "sha256"
        objects = []
        for entry in wanted["objects"]:
            oid, size = entry["oid"], entry["size"]
            done = {"oid": oid, "size": size, "authenticated": True}
            if not self.held(oid).exists():
                header = {}
                href = f"{self.store.storage}/put/{oid}"
                if size > PART and "multipart" in wanted["transfers"]:
                    count = -(-size // PART)
                    header = {str(part): f"{self.store.storage}/part/{oid}/{part}" for part in range(1, count + 1)}
                    header["chunk_size"] = str(PART)
                    href = f"{self.store.endpoint}/complete"
                done["actions"] = {
                    "upload": {"href": href, "header": header},
                    "verify": {"href": f"{self.store.endpoint}/complete", "header": {}},
                }
            objects.append(done)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def complete(self):
        """Puts the parts of an object together, or says whether it is there."""
        wanted = json.loads(self.body())
        target = self.held(wanted["oid"])
        if "parts" in wanted:
            parts = self.store.uploads.pop(wanted["oid"], {})
            told = {part["partNumber"]: part["etag"] for part in wanted["parts"]}
            if told != {number: f'"{hashlib.md5(data).hexdigest()}"' for number, data in parts.items()}:
                return self.refuse(400, None, "The parts are others")
            self.put(wanted["oid"], b"".join(parts[number] for number in sorted(parts)))
        if not target.exists():
            return self.refuse(404, None, "No such object")
        return self.answer(200, {})

    def put(self, oid, data):
        if hashlib.sha256(data).hexdigest() == oid:
            self.held(oid).parent.mkdir(exist_ok=True)
            self.held(oid).write_bytes(data)

    def commit_files(self, kind, name):
        folder = self.store.root / kind / name
        lines = [json.loads(line) for line in self.body().splitlines() if line.strip()]
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        for line in lines[1:]:
            value = line["value"]
            target = folder / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                target.write_bytes(base64.b64decode(value["content"], validate=True))
            elif line["key"] == "lfsFile":
                if not self.held(value["oid"]).exists():
                    return self.refuse(400, None, f"{value['path']} was not uploaded")
                shutil.copyfile(self.held(value["oid"]), target)
            else:
                return self.refuse(400, None, f"unknown key {line['key']}")
        oid = self.store.commit(folder)
        url = f"{self.store.endpoint}/{name}/commit/{oid}"
        self.answer(200, {"success": True, "commitOid": oid, "commitUrl": url})

    # The storage

    def storage_request(self, path, query, fault):
        if found := re.fullmatch(r"/put/(\w+)", path):
            self.put(found[1], self.body())
            return self.answer(200, b"", [("ETag", '"whole"')])
        if found := re.fullmatch(r"/part/(\w+)/(\d+)", path):
            data = self.body()
            with self.store.lock:
                self.store.uploads.setdefault(found[1], {})[int(found[2])] = data
            return self.answer(200, b"", [("ETag", f'"{hashlib.md5(data).hexdigest()}"')])
        file = self.store.root / path.lstrip("/")
        if query.get("signature") != ["secret"] or ".." in path.split("/") or not file.is_file():
            return self.refuse(403, None, "no signature")
        return self.file(file, fault, [("ETag", '"storage"')])

    def file(self, path, fault, headers):
        """Sends a file or a stretch of it."""
        size = path.stat().st_size
        start, end, status = 0, size, 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and not fault.get("no_range"):
            start, end = int(wanted[1]), min(size, int(wanted[2]) + 1 if wanted[2] else size)
            if start >= size:
                return self.answer(416, b"", [("Content-Range", f"bytes */{size}")])
            status = 206
            headers = [*headers, ("Content-Range", f"bytes {start}-{end - 1}/{size}")]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "HEAD":
            return None
        self.wfile.flush()
        most = fault.get("cut", fault.get("stall"))
        stop = end if most is None else min(end, start + most)
        with path.open("rb") as file:
            if fault.get("wrong"):
                file.seek(start)
                self.send(bytes(255 - byte for byte in file.read(stop - start)))
            elif "drip" in fault:
                while start < stop:
                    file.seek(start)
                    piece = file.read(min(stop - start, max(1, int(fault["drip"] / 20))))
                    self.send(piece)
                    self.wfile.flush()
                    start += len(piece)
                    time.sleep(len(piece) / fault["drip"])
            elif isinstance(self.connection, ssl.SSLSocket):
                file.seek(start)
                self.send(file.read(stop - start))
            else:
                while start < stop:
                    count = os.sendfile(self.connection.fileno(), file.fileno(), start, min(stop - start, 64 << 20))
                    self.entry["sent"] += count
                    start += count
        if "stall" in fault:
            self.store.wait_while_set(fault)
        if most is not None:
            self.close_connection = True
        return None


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, ssl.SSLError)):
            super().handle_error(request, client_address)


def make_certificate(folder):
    """A certificate for both hosts that nobody has signed, and its key, in one file."""
    path = Path(folder) / "certificate.pem"
    subprocess.run([
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hub",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(path), "-out", str(path) + ".own",
    ], check=True, stderr=subprocess.DEVNULL)  # fmt: skip
    path.write_text(path.read_text() + Path(str(path) + ".own").read_text())
    return path


def start(root, token="hf_test", certificate=None):
    """Starts both servers on threads; returns what they share."""
    store = Store(root, token)
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    for name, is_storage in (("127.0.0.1", False), ("localhost", True)):
        handler = type("Bound", (Handler,), {"store": store, "is_storage": is_storage})
        server = Server(("127.0.0.1", 0), handler)
        if tls:
            # Whoever does not trust the certificate hangs up in the handshake, which is that thread's affair.
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        address = f"http{'s' if tls else ''}://{name}:{server.server_address[1]}"
        if is_storage:
            store.storage = address
        else:
            store.endpoint = address
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return store


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root")
    parser.add_argument("--token", default="hf_test", help="the one token that is accepted")
    parser.add_argument("--tls", action="store_true", help="https, with a certificate of its own")
    options = parser.parse_args()
    certificate = make_certificate(options.root) if options.tls else None
    store = start(options.root, options.token, certificate)
    line = {"endpoint": store.endpoint, "storage": store.storage}
    if certificate:
        line["certificate"] = f"{certificate}.own"
    print(json.dumps(line), flush=True)
    # Ends with whoever started it, who holds the other end of standard input.
    sys.stdin.read()


if __name__ == "__main__":
    main()
