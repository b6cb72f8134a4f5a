"""A hub on 127.0.0.1: the routes that `huggingface_hub` calls to fetch a repository, and the ways in which they fail."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"tiny": true}',
    "model.onnx": bytes(range(256)) * 50_000,  # More than the 10 MB that huggingface_hub takes at once.
    "voices/alloy.bin": b"\x01\x02" * 500,
    "README.md": b"# Nobody needs this",
}


class Hub:
    """One repository, `house/voice`, at the revisions `main` and `v2`. Tests read `requests` and set what goes wrong."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[str] = []
        """`METHOD path`, and the range where one was asked for."""
        self.refusal: tuple[int, str] | None = None
        """A status and an `X-Error-Code` for every request."""
        self.on_get: Callable[[str, Answering], bool] = lambda name, answering: False
        """Called before a file is sent. True: it has answered itself."""

    @property
    def fetched(self) -> list[str]:
        """The names of the files that were asked for, in alphabetical order."""
        return sorted(path.rpartition("/")[2] for path in self.requests if path.startswith("GET /house/voice/resolve/"))

    def answer(self, answering: "Answering") -> None:
        path = unquote(urlsplit(answering.path).path)
        asked = answering.headers.get("range", "")
        self.requests.append(f"{answering.command} {path} {asked}".rstrip())
        if self.refusal is not None:
            answering.send(self.refusal[0], b"", {"X-Error-Code": self.refusal[1]})
        elif not path.startswith(("/api/models/house/voice/", "/house/voice/")):
            answering.send(401, b'{"error":"Invalid username or password."}', {"X-Error-Message": "Invalid username."})
        elif path.startswith("/api/models/house/voice/revision/"):
            known = path.endswith(("/main", "/v2"))
            body = json.dumps({"id": "house/voice", "sha": COMMIT, "siblings": []}).encode()
            answering.send(200 if known else 404, body, {} if known else {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith("/api/models/house/voice/tree/"):
            listing = [{"type": "file", "path": name, "size": len(data), "oid": _etag(data)} for name, data in FILES.items()]
            answering.send(200, json.dumps(listing).encode())
        else:
            self._send_file(path.removeprefix(f"/house/voice/resolve/{COMMIT}/"), asked, answering)

    def _send_file(self, name: str, asked: str, answering: "Answering") -> None:
        if name not in FILES:
            answering.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        elif answering.command == "HEAD" or not self.on_get(name, answering):
            begin = int(asked.removeprefix("bytes=").rstrip("-") or 0)
            answering.send(206 if asked else 200, FILES[name][begin:], file_headers(name))


class Answering(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut_after: int | None = None) -> None:
        """Answer; with `cut_after`, only so many bytes of the body, then break the connection."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut_after])
        self.close_connection = self.close_connection or cut_after is not None

    def do_GET(self) -> None:
        self.hub.answer(self)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def file_headers(name: str) -> dict[str, str]:
    return {"ETag": f'"{_etag(FILES[name])}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("HubAnswering", (Answering,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
