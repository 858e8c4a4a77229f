# SPDX-License-Identifier: Apache-2.0
"""A hub of our own: the part of the Hugging Face HTTP protocol that downloads use, with faults on request.

Files that end in .safetensors or .gguf are LFS files: `resolve` redirects to a second server (the "CDN"), on another
port and thus another origin, as the real hub does.
"""

import hashlib
import http.server
import itertools
import json
import threading
import time
import urllib.parse


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def is_lfs(path):
    return path.endswith((".safetensors", ".gguf"))


class Hub:
    """`add(id, files)` makes a repository; `faults[path]` is a list of what to do to the next requests of a file."""

    def __init__(self, page_size=1000):
        self.repositories, self.faults, self.requests, self.tokens = {}, {}, [], {}
        self.page_size, self.cdn_headers, self.listing_override = page_size, [], {}
        self.numbers, self.address_uses, self.used = itertools.count(), None, {}  # how often an address of the CDN is good
        self.moved, self.refusals = {}, {}  # {old name: new name}, {name: (status, headers)}
        self.lock = threading.Lock()
        self.servers = [self._start(HubHandler), self._start(CdnHandler)]
        self.endpoint, self.cdn = (f"http://127.0.0.1:{s.server_port}" for s in self.servers)

    def _start(self, handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.hub = self
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def stop(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, name, files, kind="models", revisions=("main",), token=None):
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()
        repository = self.repositories.setdefault((kind, name), {"commits": {}, "refs": {}})
        repository["commits"][commit] = files
        for revision in revisions:
            repository["refs"][revision] = commit
        if token:
            self.tokens[kind, name] = token
        return commit

    def next_fault(self, path):
        with self.lock:
            queue = self.faults.get(path, [])
            return queue.pop(0) if queue else None

    def count(self, part):
        return sum(part in request for request in self.requests)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_file(self, path, content, **headers):
        fault = self.server.hub.next_fault(path)
        kind = fault[0] if fault else None
        if kind == "status":
            return self.reply(fault[1], b"busy", **fault[2])
        if kind == "corrupt":
            content = bytes([content[0] ^ 1]) + content[1:]
        start, end = 0, len(content)
        wanted = self.headers.get("Range")
        if wanted and kind != "ignore_range":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, end) if last else end
            headers["Content_Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        if kind == "wrong_range":
            headers["Content_Range"] = f"bytes 0-{len(content) - 1}/{len(content)}"
        if kind == "long":
            content += b"more"
        body = content[start : end + 4 if kind == "long" else end]
        self.send_response(206 if "Content_Range" in headers else 200)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if kind == "break":
            self.wfile.write(body[: fault[1]])
            self.close_connection = True
        elif kind == "stall":
            self.wfile.write(body[: fault[1]])
            self.wfile.flush()
            time.sleep(fault[2])
            self.close_connection = True
        else:
            self.wfile.write(body)


class CdnHandler(Handler):
    def do_GET(self):
        hub = self.server.hub
        hub.cdn_headers.append(dict(self.headers))
        digest, _, number = self.path.strip("/").partition("?")
        with hub.lock:
            hub.used[number] = hub.used.get(number, 0) + 1
        if hub.address_uses and hub.used[number] > hub.address_uses:
            return self.reply(403, b"expired")
        for repository in hub.repositories.values():
            for files in repository["commits"].values():
                for path, content in files.items():
                    if sha256(content) == digest:
                        return self.send_file(path, content)
        self.reply(404)

    do_HEAD = do_GET


class HubHandler(Handler):
    def do_GET(self):
        hub = self.server.hub
        hub.requests.append(f"{self.command} {self.path}")
        url = urllib.parse.urlsplit(self.path)
        parts = [urllib.parse.unquote(part) for part in url.path.strip("/").split("/")]
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        kind = parts.pop(0) if parts[0] in ("models", "datasets") else "models"
        name, action, revision, rest = "/".join(parts[:2]), parts[2], parts[3], "/".join(parts[4:])
        if name in hub.moved:
            return self.reply(307, Location=self.path.replace(name, hub.moved[name]))
        if name in hub.refusals:
            status, headers = hub.refusals[name]
            return self.reply(status, b"{}", **headers)
        repository = hub.repositories.get((kind, name))
        if not repository:
            return self.reply(401, b"{}", X_Error_Code="RepoNotFound")
        token = hub.tokens.get((kind, name))
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            return self.reply(403, b"{}", X_Error_Code="GatedRepo")
        commit = repository["refs"].get(revision, revision)
        if commit not in repository["commits"]:
            return self.reply(404, b"{}", X_Error_Code="RevisionNotFound")
        files = repository["commits"][commit]
        if action == "revision":
            return self.api(f"{kind}/{name}", {"id": name, "sha": commit, "siblings": [{"rfilename": f} for f in files]})
        if action == "tree":
            return self.tree(kind, name, commit, files, urllib.parse.parse_qs(url.query))
        self.resolve(commit, rest, files)

    do_HEAD = do_GET

    def api(self, name, value, **headers):
        fault = self.server.hub.next_fault(f"api:{name}")
        if fault:
            return self.reply(fault[1], b"", **fault[2])
        self.reply(200, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def tree(self, kind, name, commit, files, query):
        hub = self.server.hub
        entries = []
        for path, content in sorted(files.items()):
            entry = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
            if is_lfs(path):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
            entries.append(entry | hub.listing_override.get(path, {}))
        start = int(query.get("cursor", ["0"])[0])
        headers, end = {}, start + hub.page_size
        if end < len(entries):
            target = f"{hub.endpoint}/api/{kind}/{name}/tree/{commit}?recursive=true&cursor={end}"
            headers["Link"] = f'<{target}>; rel="next"'
        self.api(f"{kind}/{name}", entries[start:end], **headers)

    def resolve(self, commit, path, files):
        if path not in files:
            return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        content = files[path]
        if not is_lfs(path):
            return self.send_file(path, content, ETag=f'"{git_sha1(content)}"', X_Repo_Commit=commit)
        digest = sha256(content)
        self.reply(
            302,
            Location=f"{self.server.hub.cdn}/{digest}?{next(self.server.hub.numbers)}",
            X_Linked_ETag=f'"{digest}"',
            X_Linked_Size=str(len(content)),
            X_Repo_Commit=commit,
        )
