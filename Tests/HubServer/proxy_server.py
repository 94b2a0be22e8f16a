#!/usr/bin/env python3
"""A proxy on this machine, for tests: it passes on what it is asked for, or refuses it.

    proxy_server.py LOG [--refuse STATUS]

Requests with whole addresses are made for whoever asks, CONNECT becomes a tunnel; each is a line "METHOD TARGET" in LOG.
Prints one line of JSON when it listens: {"address": ...}.
"""

import argparse
import http.client
import http.server
import json
import select
import socket
import sys
import threading
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log = None
    refusal = None

    def log_message(self, *arguments):
        pass

    def refused(self):
        with open(self.log, "a") as file:
            file.write(f"{self.command} {self.path}\n")
        if self.refusal:
            self.send_response(self.refusal)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return bool(self.refusal)

    def do_GET(self):
        if self.refused():
            return
        url = urllib.parse.urlsplit(self.path)
        server = http.client.HTTPConnection(url.netloc)
        headers = {name: value for name, value in self.headers.items() if not name.lower().startswith("proxy-")}
        server.request(self.command, url._replace(scheme="", netloc="").geturl(), headers=headers)
        answer = server.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self):
        if self.refused():
            return
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as server:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: server, server: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("--refuse", type=int, help="the status of every answer")
    options = parser.parse_args()
    Handler.log, Handler.refusal = options.log, options.refuse
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(json.dumps({"address": f"http://127.0.0.1:{server.server_address[1]}"}), flush=True)
    # Ends with whoever started it, who holds the other end of standard input.
    sys.stdin.read()


if __name__ == "__main__":
    main()
