"""A small server on 127.0.0.1 that speaks OpenAI's chat completions, as vLLM does, and fails on demand.

with JudgeServer() as server:
    server.reply = lambda text: Reply("7") if "red" in text else Reply(status=503)
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What the server does with a request.

    Attributes:
        answer: what the model says, with status 200; the error's message otherwise.
        status: the HTTP status.
        headers: more headers.
        body: sent in place of the JSON that answer makes.
        hold: set when the answer may go out; None sends it at once.
    """

    answer: str | None = None
    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes | None = None
    hold: threading.Event | None = None


class Request(NamedTuple):
    path: str
    authorization: str | None
    body: dict[str, Any]
    status: int

    @property
    def text(self) -> str:
        return self.body["messages"][-1]["content"]


def rate(text: str) -> Reply:
    """A rating that depends on every character of the question."""
    return Reply(str(hashlib.sha256(text.encode()).digest()[0] % 11))


class JudgeServer(ThreadingHTTPServer):
    """Serves while it is open as a context.

    Attributes:
        reply: from a request's text to what is done with it; `rate` at first.
        requests: every request so far, in the order of the replies.
        most_at_once: the largest number of requests that were under way together.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self.reply: Callable[[str], Reply] = rate
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.under_way = 0
        self.lock = threading.Lock()

    def __enter__(self) -> JudgeServer:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def answered(self) -> list[str]:
        """The texts that got an answer."""
        return [request.text for request in self.requests if request.status == 200]

    def handle_error(self, *_: object) -> None:
        """A client that gives up while it waits is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.under_way += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.under_way)
        if not self.path.endswith("/chat/completions"):
            reply = Reply("no such route", 404)
        else:
            reply = self.server.reply(body["messages"][-1]["content"])
        if reply.hold is not None:
            reply.hold.wait(30)
        with self.server.lock:
            self.server.under_way -= 1
            self.server.requests.append(
                Request(self.path, self.headers.get("Authorization"), body, reply.status)
            )
        content = reply.body if reply.body is not None else json.dumps(_payload(reply, body)).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


def _payload(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    if reply.status != 200:
        return {"object": "error", "message": reply.answer, "type": "BadRequestError", "code": reply.status}
    message = {"role": "assistant", "content": reply.answer}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": usage,
    }
