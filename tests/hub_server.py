"""A small Hub on 127.0.0.1, kept on disk, for clients that run with HF_HUB_DISABLE_XET=1.

    with HubServer(tmp_path / "hub") as hub:
        subprocess.run([sys.executable, "client.py"], env=client_env(hub.url, tmp_path / "home"))

or `python tests/hub_server.py --root DIR --port 8899`.

Under the root lie `objects/<sha256>`, every file's content, and
`<models|datasets|spaces>/<owner>/<name>/repo.json`, a repository's commits, oldest first: those of main, and
those of every other branch and pull request. A private repository is hidden from requests without a token.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

USER = "tester"
LFS_FROM_BYTES = 10 * 1024 * 1024
GIT_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"


def client_env(hub_url: str, home: Path) -> dict[str, str]:
    """The environment of a client process that knows this Hub only and keeps its caches in `home`."""
    foreign = re.compile(r"HF_|HUGGING|TRANSFORMERS_|.*_proxy$", re.IGNORECASE)
    return {name: value for name, value in os.environ.items() if not foreign.match(name)} | {
        "HF_ENDPOINT": hub_url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "hf_test",
    }


class Request(NamedTuple):
    method: str
    path: str
    authorization: str | None


class HubError(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        headers = {"X-Error-Code": code, "X-Repo-Commit": commit}
        self.headers = {name: value for name, value in headers.items() if value}


class HubServer(ThreadingHTTPServer):
    """Serves while it is open as a context.

    Attributes:
        requests: every request so far, in order of arrival.
        fail: asked with method and path before each request; a status is answered in place of the request,
            0 cuts the connection, -1 does the work and cuts it then, None lets it through.
    """

    def __init__(self, root: Path, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.root = Path(root)
        self.requests: list[Request] = []
        self.fail: Callable[[str, str], int | None] = lambda method, path: None
        self.lock = threading.Lock()
        (self.root / "objects").mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> HubServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self.server_close()

    def repo(self, kind: str, name: str) -> dict[str, Any]:
        """A repository; kind is "models", "datasets" or "spaces".

        It has `private`, `commits` of main, `branches` (name -> commits; those of a pull request are
        refs/pr/<number>) and `discussions`, the pull requests. A commit has sha, message, date and files:
        path -> oid (of git), sha256, size, lfs.
        """
        try:
            return json.loads(self.repo_file(kind, name).read_bytes())
        except FileNotFoundError:
            raise HubError(404, "Repository not found", "RepoNotFound") from None

    def commit(self, kind: str, name: str, revision: str = "main") -> dict[str, Any]:
        repo = self.repo(kind, name)
        if revision in branches(repo):
            return branches(repo)[revision][-1]
        for commit in itertools.chain(*branches(repo).values()):
            if commit["sha"] == revision:
                return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def read(self, file: dict[str, Any]) -> bytes:
        """The content of an entry of a commit's `files`."""
        return self.object_file(file["sha256"]).read_bytes()

    def repo_file(self, kind: str, name: str) -> Path:
        return self.root / kind / name / "repo.json"

    def object_file(self, sha256: str) -> Path:
        return self.root / "objects" / sha256

    def store(self, content: bytes, lfs: bool = False) -> dict[str, Any]:
        sha256 = hashlib.sha256(content).hexdigest()
        replace(self.object_file(sha256), content)
        return {
            "oid": git_hash(lfs_pointer(sha256, len(content)) if lfs else content),
            "sha256": sha256,
            "size": len(content),
            "lfs": lfs,
        }

    def add_commit(
        self, kind: str, name: str, repo: dict[str, Any], message: str, files: dict, branch: str = "main"
    ) -> str:
        commits = branches(repo)[branch]
        parent = commits[-1]["sha"] if commits else None
        commit = {"message": message, "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", "files": files}
        sha = hashlib.sha1(json.dumps([parent, commit]).encode()).hexdigest()
        commits.append({"sha": sha, **commit})
        self.save(kind, name, repo)
        return sha

    def save(self, kind: str, name: str, repo: dict[str, Any]) -> None:
        replace(self.repo_file(kind, name), json.dumps(repo).encode())


def branches(repo: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Every branch's commits by its name."""
    return {"main": repo["commits"], **repo["branches"]}


def replace(path: Path, content: bytes) -> None:
    """Write so that a reader sees all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{threading.get_ident()}")
    part.write_bytes(content)
    part.replace(path)


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_info(file: dict[str, Any]) -> dict[str, Any] | None:
    if not file["lfs"]:
        return None
    sha256, size = file["sha256"], file["size"]
    return {"oid": sha256, "sha256": sha256, "size": size, "pointerSize": len(lfs_pointer(sha256, size))}


def listing(files: dict[str, Any], folder: str = "") -> list[dict[str, Any]]:
    """Every file and folder below `folder`, at any depth, sorted by path."""
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in files if path.startswith(prefix)]
    folders = {str(parent) for path in inside for parent in PurePosixPath(path).parents} - {"."}
    entries = []
    for path in inside:
        file = files[path]
        entries.append({"type": "file", "path": path, "oid": file["oid"], "size": file["size"]})
        if file["lfs"]:
            entries[-1]["lfs"] = lfs_info(file)
    for path in folders:
        if path.startswith(prefix):
            tree = sorted((p, files[p]["oid"]) for p in inside if p.startswith(f"{path}/"))
            oid = hashlib.sha1(json.dumps(tree).encode()).hexdigest()
            entries.append({"type": "directory", "path": path, "oid": oid, "size": 0})
    return sorted(entries, key=lambda entry: entry["path"])


NAME = r"(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)"
API = rf"/api/(?P<kind>models|datasets|spaces)/{NAME}"
WEB = rf"/(?:(?P<kind>datasets|spaces)/)?{NAME}"
REVISION = r"(?P<revision>[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/validate-yaml", "validate_yaml"),
    ("POST", "/api/repos/create", "create_repo"),
    ("GET", API, "info"),
    ("GET", f"{API}/revision/{REVISION}", "info"),
    ("GET", f"{API}/tree/{REVISION}(?:/(?P<folder>.+))?", "tree"),
    ("POST", f"{API}/paths-info/{REVISION}", "paths_info"),
    ("POST", f"{API}/preupload/{REVISION}", "preupload"),
    ("POST", rf"{WEB}\.git/info/lfs/objects/batch", "lfs_batch"),
    ("PUT", "/lfs/(?P<sha256>[0-9a-f]{64})", "lfs_upload"),
    ("POST", f"{API}/commit/{REVISION}", "add_commit"),
    ("POST", f"{API}/branch/{REVISION}", "create_branch"),
    ("GET", f"{API}/discussions", "list_discussions"),
    ("POST", f"{API}/discussions", "create_discussion"),
    ("GET", rf"{API}/discussions/(?P<number>\d+)", "show_discussion"),
    ("POST", rf"{API}/discussions/(?P<number>\d+)/status", "set_status"),
    ("GET", f"{WEB}/resolve/{REVISION}/(?P<path>.+)", "resolve"),
]


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        hub = self.server
        hub.requests.append(Request(self.command, self.path, self.headers.get("Authorization")))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        status = hub.fail(self.command, self.path)
        self.lost = status == -1
        if status == 0:
            self.close_connection = True
            return
        try:
            if status is not None and not self.lost:
                raise HubError(status, f"Made to fail with {status}")
            for method, pattern, name in ROUTES:
                match = re.fullmatch(pattern, url.path)
                if match and method == self.command.replace("HEAD", "GET"):
                    groups = {key: unquote(value) for key, value in match.groupdict().items() if value}
                    self.refuse_strangers(groups)
                    getattr(self, name)(**groups)
                    return
            raise HubError(404, f"No route {self.command} {url.path}")
        except HubError as error:
            self.reply_json({"error": str(error)}, error.status, error.headers)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def reply(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        if self.lost:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reply_json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        headers = {**(headers or {}), "Content-Type": "application/json"}
        self.reply(json.dumps(value).encode(), status, headers)

    def log_message(self, *args: Any) -> None:
        pass

    def need_login(self) -> None:
        if not self.headers.get("Authorization"):
            raise HubError(401, "Invalid username or password.")

    def refuse_strangers(self, groups: dict[str, str]) -> None:
        kind, name = groups.get("kind", "models"), groups.get("name", "")
        if self.headers.get("Authorization") or not name or not self.server.repo_file(kind, name).exists():
            return
        if self.server.repo(kind, name)["private"]:
            raise HubError(401, "Repository not found", "RepoNotFound")

    def whoami(self) -> None:
        self.need_login()
        token = {"displayName": "test", "role": "write"}
        user = {"type": "user", "id": USER, "name": USER, "fullname": USER, "orgs": []}
        self.reply_json({**user, "auth": {"type": "access_token", "accessToken": token}})

    def validate_yaml(self) -> None:
        has_metadata = re.match(r"---\s*\n.*?\n---", json.loads(self.body)["content"], re.DOTALL)
        warnings = [] if has_metadata else [{"message": "empty or missing yaml metadata in repo card"}]
        self.reply_json({"errors": [], "warnings": warnings})

    def create_repo(self) -> None:
        self.need_login()
        asked = json.loads(self.body)
        kind = f"{asked.get('type') or 'model'}s"
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        if kind not in ("models", "datasets", "spaces") or not re.fullmatch(NAME, name):
            raise HubError(400, f"This Hub cannot make {kind}/{name}")
        answer = {"name": name, "url": self.web_url(kind, name)}
        with self.server.lock:
            if self.server.repo_file(kind, name).exists():
                self.reply_json({**answer, "error": "You already created this repo"}, 409)
                return
            private = asked.get("visibility") == "private"
            repo = {"private": private, "commits": [], "branches": {}, "discussions": []}
            files = {".gitattributes": self.server.store(GIT_ATTRIBUTES)}
            self.server.add_commit(kind, name, repo, "initial commit", files)
        self.reply_json(answer)

    def web_url(self, kind: str, name: str) -> str:
        return f"{self.server.url}/{'' if kind == 'models' else f'{kind}/'}{name}"

    def info(self, kind: str, name: str, revision: str = "main") -> None:
        repo = self.server.repo(kind, name)
        commit = self.server.commit(kind, name, revision)
        siblings = [
            {"rfilename": path, "size": file["size"], "blobId": file["oid"], "lfs": lfs_info(file)}
            for path, file in sorted(commit["files"].items())
        ]
        self.reply_json(
            {
                "id": name,
                "author": name.split("/")[0],
                "sha": commit["sha"],
                "createdAt": repo["commits"][0]["date"],
                "lastModified": commit["date"],
                "private": repo["private"],
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": siblings,
            }
        )

    def tree(self, kind: str, name: str, revision: str, folder: str = "") -> None:
        commit = self.server.commit(kind, name, revision)
        entries = listing(commit["files"], folder)
        if folder and not entries:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound", commit["sha"])
        if self.query.get("recursive", ["false"])[0].lower() != "true":
            depth = len(PurePosixPath(folder).parts) + 1
            entries = [entry for entry in entries if len(PurePosixPath(entry["path"]).parts) == depth]
        self.reply_json(entries)

    def paths_info(self, kind: str, name: str, revision: str) -> None:
        wanted = parse_qs(self.body.decode())["paths"]
        entries = listing(self.server.commit(kind, name, revision)["files"])
        self.reply_json([entry for entry in entries if entry["path"] in wanted])

    def preupload(self, kind: str, name: str, revision: str) -> None:
        self.need_login()
        files = self.server.commit(kind, name, revision)["files"]
        answers = []
        for asked in json.loads(self.body)["files"]:
            path, sample = asked["path"], base64.b64decode(asked["sample"])
            mode = "lfs" if asked["size"] >= LFS_FROM_BYTES or b"\0" in sample else "regular"
            there = files.get(path, {})
            oid = there.get("sha256" if there.get("lfs") else "oid")
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.reply_json({"files": answers})

    def lfs_batch(self, name: str, kind: str = "models") -> None:
        self.need_login()
        self.server.repo(kind, name)
        objects = [{"oid": o["oid"], "size": o["size"]} for o in json.loads(self.body)["objects"]]
        for asked in objects:
            if not self.server.object_file(asked["oid"]).exists():
                asked["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{asked['oid']}"}}
        self.reply_json({"transfer": "basic", "objects": objects})

    def lfs_upload(self, sha256: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != sha256:
            raise HubError(400, f"The content's sha256 is not {sha256}")
        replace(self.server.object_file(sha256), self.body)
        self.reply(b"")

    def add_commit(self, kind: str, name: str, revision: str) -> None:
        self.need_login()
        if "create_pr" in self.query:
            raise HubError(501, "This Hub opens pull requests empty, as discussions")
        header, *operations = map(json.loads, self.body.splitlines())
        with self.server.lock:
            repo = self.server.repo(kind, name)
            if revision not in branches(repo):
                raise HubError(404, f"Not a branch: {revision}", "RevisionNotFound")
            head = branches(repo)[revision][-1]
            if header["value"].get("parentCommit") not in (None, head["sha"]):
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(head["files"])
            for operation in operations:
                self.apply(operation["key"], operation["value"], files)
            sha = self.server.add_commit(kind, name, repo, header["value"]["summary"], files, revision)
        url = f"{self.web_url(kind, name)}/commit/{sha}"
        self.reply_json({"success": True, "commitOid": sha, "commitUrl": url})

    def create_branch(self, kind: str, name: str, revision: str) -> None:
        self.need_login()
        with self.server.lock:
            repo = self.server.repo(kind, name)
            if revision in branches(repo):
                raise HubError(409, f"Reference already exists: {revision}")
            repo["branches"][revision] = list(repo["commits"])
            self.server.save(kind, name, repo)
        self.reply_json({})

    def list_discussions(self, kind: str, name: str) -> None:
        discussions = [
            self.discussion(kind, name, each) for each in self.server.repo(kind, name)["discussions"]
        ]
        self.reply_json({"discussions": discussions, "count": len(discussions), "start": 0})

    def discussion(self, kind: str, name: str, kept: dict[str, Any]) -> dict[str, Any]:
        repo = {"name": name, "type": kind.removesuffix("s")}
        return {**kept, "isPullRequest": True, "author": {"name": USER}, "repo": repo, "events": []}

    def create_discussion(self, kind: str, name: str) -> None:
        self.need_login()
        asked = json.loads(self.body)
        with self.server.lock:
            repo = self.server.repo(kind, name)
            number = len(repo["discussions"]) + 1
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
            kept = {"num": number, "title": asked["title"], "status": "draft", "createdAt": now}
            repo["discussions"].append(kept)
            repo["branches"][f"refs/pr/{number}"] = list(repo["commits"])
            self.server.save(kind, name, repo)
        self.reply_json({"pullRequest": True, **self.discussion(kind, name, kept)})

    def show_discussion(self, kind: str, name: str, number: str) -> None:
        kept = self.server.repo(kind, name)["discussions"][int(number) - 1]
        details = {"changes": {"base": "refs/heads/main"}, "filesWithConflicts": [], "diff": ""}
        self.reply_json({**self.discussion(kind, name, kept), **details})

    def set_status(self, kind: str, name: str, number: str) -> None:
        self.need_login()
        with self.server.lock:
            repo = self.server.repo(kind, name)
            kept = repo["discussions"][int(number) - 1]
            kept["status"] = status = json.loads(self.body)["status"]
            self.server.save(kind, name, repo)
        event = {"id": "1", "type": "status-change", "createdAt": kept["createdAt"], "author": {"name": USER}}
        self.reply_json({"newStatus": {**event, "data": {"status": status}}})

    def apply(self, key: str, value: dict[str, Any], files: dict[str, Any]) -> None:
        path = value["path"]
        match key:
            case "file":
                files[path] = self.server.store(base64.b64decode(value["content"]))
            case "lfsFile":
                object_file = self.server.object_file(value["oid"])
                if not object_file.exists():
                    raise HubError(400, f"LFS pointer of {path} points to a file that does not exist")
                files[path] = self.server.store(object_file.read_bytes(), lfs=True)
            case "deletedFile" if path in files:
                del files[path]
            case "deletedFolder" if listing(files, path.rstrip("/")):
                for inside in [p for p in files if p.startswith(f"{path.rstrip('/')}/")]:
                    del files[inside]
            case "deletedFile" | "deletedFolder":
                raise HubError(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            case _:
                raise HubError(400, f"Unknown operation {key}")

    def resolve(self, name: str, revision: str, path: str, kind: str = "models") -> None:
        commit = self.server.commit(kind, name, revision)
        file = commit["files"].get(path)
        if file is None:
            raise HubError(404, "Entry not found", "EntryNotFound", commit["sha"])
        etag = f'"{file["sha256"] if file["lfs"] else file["oid"]}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit["sha"], "Accept-Ranges": "bytes"}
        if file["lfs"]:
            headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(file["size"])}
        content, size = self.server.read(file), file["size"]
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked or not any(asked.groups()):
            self.reply(content, headers=headers)
            return
        first, last = asked.groups()
        start = int(first) if first else max(0, size - int(last))
        stop = min(size, int(last) + 1) if first and last else size
        if start < stop:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
            self.reply(content[start:stop], 206, headers)
        else:
            self.reply(b"", 416, {"Content-Range": f"bytes */{size}"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a small Hub until interrupted.")
    parser.add_argument("--root", type=Path, required=True, help="folder that keeps the repositories")
    parser.add_argument("--port", type=int, default=8899)
    options = parser.parse_args()
    with HubServer(options.root, options.port) as hub:
        print(hub.url, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def run_client(
    client: Callable[[], dict[str, Any]],
    hub_url: str,
    home: Path,
    timeout: float = 300,
    token: str = "hf_test",
) -> dict[str, Any]:
    """Run the function alone in a process of its own and return its answer."""
    code = f"""
from __future__ import annotations
import json
{inspect.getsource(client)}
print(json.dumps({client.__name__}()))
"""
    env = {**client_env(hub_url, home), "HF_TOKEN": token}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
