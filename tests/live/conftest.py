"""An engine that is only a protocol: it writes so many pieces, at a pace, and counts them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Talking(ThreadingHTTPServer):
    """What was asked, how many were served at once at most, and after how many it gives up."""

    daemon_threads = True

    def __init__(self, pace: float = 0.0, last: float = float("inf"), piece: str = "1") -> None:
        super().__init__(("127.0.0.1", 0), Speaking)
        self.pace, self.last, self.piece = pace, last, piece
        self.asked: list[dict[str, Any]] = []
        self.inside = self.most = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Speaking(BaseHTTPRequestHandler):
    server: Talking

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.asked.append({"path": self.path, **body})
            server.inside += 1
            server.most = max(server.most, server.inside)
            refused = len(server.asked) > server.last
        try:
            self.send_response(503 if refused else 200)
            self.end_headers()
            if refused:
                self.wfile.write(b"no room")
                return
            for _ in range(body["max_tokens"]):
                time.sleep(server.pace)
                self.say({"choices": [{"text": server.piece}]})
            counted = {"completion_tokens": body["max_tokens"], "prompt_tokens": 9}
            self.say({"choices": [], "usage": counted})
        finally:
            with server.lock:
                server.inside -= 1
        self.wfile.write(b"data: [DONE]\n\n")

    def say(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def talking() -> Iterator[Any]:
    """Start such engines; all end with the test."""
    started: list[Talking] = []

    def start(**how: Any) -> Talking:
        started.append(Talking(**how))
        threading.Thread(target=started[-1].serve_forever, args=(0.01,), daemon=True).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()
