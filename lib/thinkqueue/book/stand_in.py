"""A serving system on loopback that enforces budgets and logs: what it serves is a workload's law.

It speaks as an OpenAI-compatible server does, ends every thought at its ``thinking_token_budget``
and cuts what exceeds ``max_tokens``. Only its clock is its own: a request says in ``X-Clock`` when
it is sent, and the server works out when its tokens would have come. So a day takes a second, and
the log is that of a server whose every law is known.
"""

from __future__ import annotations

import heapq
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from thinkqueue.errors import ThinkQueueError
from thinkqueue.workload import Affine, Batching, Fifo, Generated, Workload

ANSWER = 20
"""Tokens of an answer where the workload counts only seconds."""

START = 1_750_000_000.0
"""The server's clock at its start, in s."""


@dataclass
class Engine:
    """A server on a clock of its own; requests come in the order of their arrival.

    Parameters
    ----------
    workload : Workload
        Its laws.
    seed : int
        Of who is right.
    start : float, optional
        What the clock shows at first, in s.
    """

    workload: Workload
    seed: int
    start: float = START
    spans: list[dict[str, Any]] = field(default_factory=list)
    clock: float = 0.0
    served: float = 0.0
    present: int = 0
    marks: list[tuple[float, int, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = self.workload.server
        if not (isinstance(server, Batching) or server == Fifo()):
            raise ThinkQueueError("The stand-in serves one at a time, or many at once.")
        self.rng = np.random.default_rng(self.seed)
        self.places = {name: k for k, name in enumerate(self.workload.names)}

    def answer(self, body: Mapping[str, Any], at: float) -> dict[str, Any]:
        """Take a request that comes at a time, and return what a server would.

        Parameters
        ----------
        body : mapping
            The request.
        at : float
            Seconds on the server's clock, not before the request that came last.
        """
        k = self.places[body["metadata"]["task"]]
        answer = self._answer_tokens(k)
        budget = float(body.get("thinking_token_budget", math.inf))
        thoughts = int(min(budget, self.workload.max_tokens[k]))
        room = int(body.get("max_tokens", thoughts + answer))
        tokens = min(thoughts + answer, room)
        thoughts = min(thoughts, tokens)
        chance = float(self.workload.curves.value(self._in_place(k, thoughts))[k])
        right = bool(self.rng.random() < chance) and tokens == thoughts + answer
        self._serve(k, thoughts, tokens, at)
        usage = {"completion_tokens_details": {"reasoning_tokens": thoughts}}
        message = {"content": "right" if right else "wrong", "reasoning_content": "Hm."}
        return {"choices": [{"message": message}], "usage": usage | {"completion_tokens": tokens}}

    def quiet(self) -> float:
        """Return a time at which nobody is there."""
        self.finish()
        ends = [span["end_time"] - self.start for span in self.spans[-1:]]
        return float(max([self.clock, *ends])) + 1.0

    def alone(self) -> float:
        """Serve whoever came last, and return how long that took in s."""
        self.finish()
        return float(self.spans[-1]["end_time"] - self.spans[-1]["start_time"])

    def finish(self) -> None:
        """Serve whoever is still there."""
        self._until(math.inf)

    def _in_place(self, k: int, tokens: int) -> Any:
        row = np.zeros(len(self.workload))
        row[k] = tokens
        return row

    def _answer_tokens(self, k: int) -> int:
        service = self.workload.service
        return int(service.answer_tokens[k]) if isinstance(service, Generated) else ANSWER

    def _serve(self, k: int, thoughts: int, tokens: int, at: float) -> None:
        self._until(at)
        number = len(self.spans)
        attributes: dict[str, Any] = {
            "task": self.workload.names[k],
            "gen_ai.usage.input_tokens": 100,
            "gen_ai.usage.output_tokens": tokens,
            "gen_ai.usage.reasoning.output_tokens": thoughts,
        }
        span = {"name": "chat", "start_time": self.start + at, "attributes": attributes}
        self.spans.append(span)
        if isinstance(self.workload.service, Affine):  # one at a time
            service = self.workload.service
            begin = max(at, self.served)
            each = float(service.time_per_token[k])
            self.served = begin + float(service.base_time[k]) + each * thoughts
            first = begin + float(service.base_time[k]) * 0.5 - at
            attributes["gen_ai.latency.time_in_queue"] = begin - at
            attributes["gen_ai.latency.time_to_first_token"] = first
            span["end_time"] = self.start + self.served
            return
        self.present += 1
        heapq.heappush(self.marks, (self.served + 1, number, False))
        heapq.heappush(self.marks, (self.served + max(tokens, 1), number, True))

    def _until(self, time: float) -> None:
        """Let everybody decode until a time: all get tokens at one pace, 1/τ of who is there."""
        while self.marks:
            step = self._step()
            mark, number, last = self.marks[0]
            when = self.clock + (mark - self.served) * step
            if when > time:
                break
            heapq.heappop(self.marks)
            self.clock, self.served = when, mark
            span = self.spans[number]
            if last:
                self.present -= 1
                span["end_time"] = self.start + when
            else:
                to_first = when - (span["start_time"] - self.start)
                span["attributes"]["gen_ai.latency.time_to_first_token"] = to_first
        if self.marks and math.isfinite(time):
            self.served += (time - self.clock) / self._step()
        if math.isfinite(time):
            self.clock = time

    def _step(self) -> float:
        server = self.workload.server
        assert isinstance(server, Batching)
        full = min(self.present, server.max_batch or self.present)
        return float(server.token_time.seconds_at(full)) * self.present / full


class StandIn:
    """The server and a client of it.

    Parameters
    ----------
    engine : Engine
        What it serves.
    connection : HTTPConnection
        To it.
    """

    def __init__(self, engine: Engine, connection: HTTPConnection) -> None:
        self.engine, self.connection = engine, connection

    def ask(self, body: Mapping[str, Any], at: float) -> dict[str, Any]:
        """Send a request and return the response.

        Parameters
        ----------
        body : mapping
            The request.
        at : float
            When, on the server's clock.
        """
        headers = {"Content-Type": "application/json", "X-Clock": repr(at)}
        data = json.dumps(body).encode()
        self.connection.request("POST", "/v1/chat/completions", data, headers)
        response = self.connection.getresponse()
        found = json.loads(response.read())
        if response.status != 200:
            raise ThinkQueueError(f"The stand-in answered {response.status}: {found}.")
        return dict(found)

    def traffic(
        self,
        route: Callable[[dict[str, Any], str], dict[str, Any]],
        *,
        queries: int,
        seed: int,
        log: Path,
    ) -> list[bool]:
        """Send Poisson traffic through a router, write the server's log, and say who was right.

        Parameters
        ----------
        route : callable
            From a request and its type to the request that is sent.
        queries, seed : int
            How many, and of what randomness.
        log : Path
            Where the spans go.
        """
        rng = np.random.default_rng(seed)
        workload = self.engine.workload
        sent = np.cumsum(rng.exponential(1 / workload.arrival_rate, queries)).tolist()
        kinds = rng.choice(len(workload), queries, p=workload.share).tolist()
        right = []
        for at, k in zip(sent, kinds, strict=True):
            name = workload.names[k]
            plain = {"model": "stand-in", "messages": [], "metadata": {"task": name}}
            found = self.ask(route(plain, name), at)
            right.append(found["choices"][0]["message"]["content"] == "right")
        self.engine.finish()
        log.write_text(json.dumps(self.engine.spans), encoding="utf-8")
        return right

    def evaluate(self, task: str, budget: int, *, questions: int, log: Path) -> None:
        """Ask questions of one type under one budget and write a log as inspect_ai does.

        Parameters
        ----------
        task : str
            The type.
        budget : int
            Thinking tokens allowed.
        questions : int
            How many.
        log : Path
            Where the log goes.
        """
        samples = []
        for number in range(questions):
            body = {"metadata": {"task": task}, "thinking_token_budget": budget}
            found = self.ask(body, self.engine.quiet())
            right = found["choices"][0]["message"]["content"] == "right"
            usage = found["usage"]
            counted = {
                "output_tokens": usage["completion_tokens"],
                "reasoning_tokens": usage["completion_tokens_details"]["reasoning_tokens"],
            }
            scores = {"match": {"value": "C" if right else "I"}}
            seconds = self.engine.alone()
            samples.append(
                {
                    "id": number,
                    "scores": scores,
                    "model_usage": {"stand-in": counted},
                    "started_at": self.engine.spans[-1]["start_time"],
                    "working_time": seconds,
                }
            )
        settings = {"reasoning_tokens": budget}
        about = {"task": task, "model": "stand-in", "model_generate_config": settings}
        log.write_text(json.dumps({"version": 2, "eval": about, "samples": samples}))


@contextmanager
def stand_in(workload: Workload, seed: int = 0, start: float = START) -> Iterator[StandIn]:
    """Start a server on a free port of loopback, and stop it at the end.

    Parameters
    ----------
    workload : Workload
        Its laws, which no log tells directly.
    seed : int, optional
        Of who is right.
    start : float, optional
        What its clock shows at first, in s.
    """
    engine = Engine(workload, seed, start)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            try:
                body = json.loads(self.rfile.read(length))
                found, status = engine.answer(body, float(self.headers["X-Clock"])), 200
            except (KeyError, ValueError, TypeError) as error:
                found, status = {"error": repr(error)}, 400
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            """Say nothing: the log is the engine's."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    connection = HTTPConnection("127.0.0.1", server.server_port)
    connection.connect()
    try:
        yield StandIn(engine, connection)
    finally:
        connection.close()
        server.shutdown()
        thread.join()
        server.server_close()
