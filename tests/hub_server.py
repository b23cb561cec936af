"""A Hugging Face Hub for tests, as far as its own client uploads to it and reads from it: accounts, repositories,
commits, large files (LFS) on a server of their own, downloads. Faults are ordered by `fail`.

    PYTHONPATH=tests python tests/hub_server.py      # serves until it is ended, and prints what clients have to export
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import yaml
from servers import LocalServer

TOKEN = "hf_" + "t0ken" * 7
"""As real ones look."""
LFS_SUFFIXES = (".safetensors", ".parquet", ".bin")


class Store(LocalServer):
    """Where large files lie: another server than the Hub, to which no token may come."""

    def __init__(self, hub):
        self.hub, self.objects, self.requests = hub, {}, []
        super().__init__(_StoreHandler)


class FakeHub(LocalServer):
    """`who` is what the token's account is; `faults` are (pattern of METHOD PATH, what, times): a status, `cut` (the
    connection ends after a part of the body was read), or a URL to redirect to."""

    def __init__(self, role="write", orgs=(("team", "write"), ("readers", "read")), redirect_to=None):
        self.role, self.orgs, self.faults = role, orgs, []
        self.repositories, self.requests, self.forbidden = {}, [], set()
        self.meanwhile = []
        """What others do to a repository just before a commit."""
        self.store = Store(self)
        super().__init__(_HubHandler)

    def __exit__(self, *exception):
        self.store.__exit__(*exception)
        super().__exit__(*exception)

    def fail(self, pattern, what, times=1, headers=()):
        self.faults.append([re.compile(pattern), what, times, dict(headers)])

    def fault(self, line):
        for fault in self.faults:
            if fault[2] > 0 and fault[0].search(line):
                fault[2] -= 1
                return fault
        return None

    def files(self, kind, name):
        return self.repositories[kind, name]["files"]

    def text(self, kind, name, path):
        return self.content(self.files(kind, name)[path]).decode()

    def content(self, entry):
        return self.store.objects[entry["lfs"]] if "lfs" in entry else entry["bytes"]

    def add(self, kind, name, private=True, files=()):
        found = {"private": private, "files": {}, "commits": []}
        self.repositories[kind, name] = found
        for path, content in dict(files).items():
            found["files"][path] = {"bytes": content}
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, value=b"", status=200, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **dict(headers),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            found = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def failed(self, hub):
        """Whether an ordered fault was this request's answer."""
        fault = hub.fault(f"{self.command} {self.path}")
        if fault is None:
            return False
        _, what, _, headers = fault
        if what == "cut":
            self.rfile.read(min(64, int(self.headers.get("Content-Length") or 0)))
            self.close_connection = True
            self.connection.close()
        else:
            self.body()
            if isinstance(what, str):
                self.send(b"", 307, {"location": what})
            else:
                self.send({"error": f"ordered {what}"}, what, headers)
        return True


class _StoreHandler(_Handler):
    def do_GET(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        content = self.server.objects.get(self.path.rpartition("/")[2].partition("?")[0])
        self.send(content or b"", 200 if content is not None else 404, {"content-type": "application/octet-stream"})

    do_HEAD = do_GET

    def do_PUT(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        if self.failed(self.server.hub):
            return
        content, oid = self.body(), self.path.rpartition("/")[2].partition("?")[0]
        if hashlib.sha256(content).hexdigest() != oid:
            return self.send({"error": "another content"}, 400)
        self.server.objects[oid] = content
        self.send(b"", 200, {"etag": '"x"'})

    def do_POST(self):
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        self.body()
        self.send({})


class _HubHandler(_Handler):
    def do_GET(self):
        self._handle("GET")

    def do_HEAD(self):
        self._handle("HEAD")

    def do_POST(self):
        self._handle("POST")

    def _handle(self, method):
        hub = self.server
        hub.requests.append((method, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.failed(hub):
            return
        raw = self.body() if method == "POST" else b""
        self.known = self.headers.get("authorization") == f"Bearer {TOKEN}"
        path = unquote(urlsplit(self.path).path)
        if path == "/api/whoami-v2":
            return self._whoami()
        if path == "/api/repos/create":
            return self._create(json.loads(raw))
        if path == "/api/validate-yaml":
            return self._validate(json.loads(raw))
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            return self._batch(json.loads(raw))
        if found := re.fullmatch(r"/api/(dataset|model)s/([^/]+/[^/]+)(/.*)?", path):
            return self._repository(found[1], found[2], found[3] or "", raw)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            return self._resolve("dataset" if found[1] else "model", found[2], found[3])
        self.send({"error": "no such page"}, 404)

    def _whoami(self):
        if not self.known:
            return self.send({"error": "Invalid credentials in Authorization header"}, 401)
        orgs = [{"name": name, "roleInOrg": role} for name, role in self.server.orgs]
        token = {"type": "access_token", "accessToken": {"displayName": "t", "role": self.server.role}}
        self.send({"type": "user", "name": "me", "orgs": orgs, "auth": token})

    def _create(self, asked):
        hub, kind = self.server, asked.get("type", "model")
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if not self.known:
            return self.send({"error": "who?"}, 401)
        if hub.role == "read" or name in hub.forbidden:
            return self.send({"error": "You don't have the rights"}, 403)
        url = f"{hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if (kind, name) in hub.repositories:
            return self.send({"error": "You already created this repo", "url": url}, 409)
        hub.add(kind, name, asked.get("visibility") == "private" or bool(asked.get("private")))
        self.send({"url": url, "name": name, "id": name})

    def _validate(self, asked):
        found = re.match(r"\A---\n(.*?)\n---\n", asked["content"], re.DOTALL)
        header = yaml.safe_load(found[1]) if found else {}
        faults = [] if isinstance(header, dict) and header else [{"message": "no header"}]
        if not re.fullmatch(r"(unknown|mit|apache-2\.0|gemma|other)", str(header.get("license", "unknown"))):
            faults.append({"message": '"license" must be one of a list'})
        base = header.get("base_model")
        if base is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", str(base)):
            faults.append({"message": '"base_model" is not a repository'})
        self.send({"errors": faults, "warnings": []}, 400 if faults else 200)

    def _repository(self, kind, name, rest, raw):
        repository = self.server.repositories.get((kind, name))
        if repository is None or (repository["private"] and not self.known):
            return self.send({"error": "Repository not found"}, 404, {"x-error-code": "RepoNotFound"})
        sha = self._sha(repository)
        if rest == "" or rest.startswith("/revision/"):
            siblings = [{"rfilename": path} for path in sorted(repository["files"])]
            found = {"id": name, "modelId": name, "sha": sha, "private": repository["private"], "siblings": siblings}
            return self.send(
                {**found, "tags": [], "downloads": 0, "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z"}
            )
        if rest in ("/auth-check", "/auth-check/write"):
            denied = rest.endswith("write") and (name in self.server.forbidden or self.server.role == "read")
            return self.send({"error": "no"} if denied else {}, 403 if denied else 200)
        if rest.startswith("/preupload/"):
            return self._preupload(repository, json.loads(raw)["files"])
        if rest.startswith("/commit/"):
            return self._commit(kind, name, repository, raw)
        if rest.startswith("/tree/"):
            return self._tree(repository, rest.removeprefix("/tree/").partition("/")[2])
        if rest.startswith("/paths-info/"):
            wanted = parse_qs(raw.decode()).get("paths", []) if raw[:1] != b"{" else json.loads(raw)["paths"]
            return self.send([self._entry(p, repository["files"][p]) for p in wanted if p in repository["files"]])
        if rest == "/refs":
            return self.send(
                {
                    "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": sha}],
                    "tags": [],
                    "converts": [],
                }
            )
        self.send({"error": "no such page"}, 404)

    def _sha(self, repository):
        return hashlib.sha1(repr(sorted(repository["files"].items())).encode()).hexdigest()

    def _entry(self, path, entry):
        content = self.server.content(entry)
        found = {"type": "file", "path": path, "size": len(content), "oid": _git_hash(content)}
        if "lfs" in entry:
            found["lfs"] = {"oid": entry["lfs"], "size": len(content), "pointerSize": 100}
        return found

    def _tree(self, repository, folder):
        inside = [p for p in sorted(repository["files"]) if not folder or p.startswith(f"{folder}/")]
        if folder and not inside:
            return self.send({"error": "not there"}, 404, {"x-error-code": "EntryNotFound"})
        if "recursive=true" in self.path.lower():
            return self.send([self._entry(path, repository["files"][path]) for path in inside])
        depth = len(folder) + 1 if folder else 0
        folders = dict.fromkeys(path[:depth] + path[depth:].partition("/")[0] for path in inside if "/" in path[depth:])
        files = [self._entry(p, repository["files"][p]) for p in inside if "/" not in p[depth:]]
        self.send([*({"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders), *files])

    def _preupload(self, repository, files):
        rows = []
        for file in files:
            mode = "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular"
            row = {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}
            if entry := repository["files"].get(file["path"]):
                row["oid"] = entry.get("lfs") or _git_hash(entry["bytes"])
            rows.append(row)
        self.send({"files": rows})

    def _batch(self, asked):
        if not self.known:
            return self.send({"error": "who?"}, 401)
        store, rows = self.server.store, []
        for one in asked["objects"]:
            row = dict(one)
            if one["oid"] not in store.objects:
                row["actions"] = {
                    "upload": {"href": f"{store.url}/{one['oid']}?X-Amz-Signature=presigned"},
                    "verify": {"href": f"{store.url}/verify"},
                }
            rows.append(row)
        self.send({"transfer": "basic", "objects": rows}, headers={"content-type": "application/vnd.git-lfs+json"})

    def _commit(self, kind, name, repository, raw):
        lines = [json.loads(line) for line in raw.splitlines()]
        if self.server.meanwhile:
            self.server.meanwhile.pop()(repository)
        if lines[0]["value"].get("parentCommit", self._sha(repository)) != self._sha(repository):
            return self.send({"error": "A commit has happened since"}, 412)
        files = {}
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = {"bytes": base64.b64decode(value["content"])}
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.server.store.objects:
                    return self.send({"error": "an LFS object is missing"}, 400)
                files[value["path"]] = {"lfs": value["oid"]}
        repository["files"] |= files
        repository["commits"].append(sorted(files))
        sha = self._sha(repository)
        where = f"{self.server.url}/{'datasets/' if kind == 'dataset' else ''}{name}/commit/{sha}"
        self.send({"success": True, "commitOid": sha, "commitUrl": where, "hookOutput": ""})

    def _resolve(self, kind, name, path):
        hub, repository = self.server, self.server.repositories.get((kind, name))
        if repository is None or (repository["private"] and not self.known):
            return self.send({"error": "Repository not found"}, 404, {"x-error-code": "RepoNotFound"})
        entry = repository["files"].get(path)
        if entry is None:
            return self.send({"error": "not there"}, 404, {"x-error-code": "EntryNotFound"})
        content, commit = hub.content(entry), {"x-repo-commit": self._sha(repository)}
        if "lfs" in entry:
            linked = {"x-linked-etag": f'"{entry["lfs"]}"', "x-linked-size": str(len(content))}
            return self.send(b"", 302, {**commit, **linked, "location": f"{hub.store.url}/{entry['lfs']}"})
        headers = {**commit, "etag": f'"{_git_hash(content)}"', "content-type": "text/plain"}
        self.send(content, 200, headers)


def _git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


if __name__ == "__main__":
    with FakeHub() as served:
        print(f"export HF_ENDPOINT={served.url} HF_TOKEN={TOKEN} HF_HUB_DISABLE_XET=1", flush=True)
        threading.Event().wait()
