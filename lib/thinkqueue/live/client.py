"""A client of any server that speaks OpenAI's completions, for thoughts of an exact length."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from thinkqueue.errors import ThinkQueueError

TIMEOUT = 60.0
"""No request may take longer, in s."""


class EngineError(ThinkQueueError):
    """An engine that cannot be reached, refuses, or answers what no engine should."""


@dataclass(frozen=True)
class Generation:
    """What came back.

    Attributes
    ----------
    pieces : tuple of str
        The text, as it came: a piece a token, but where a letter takes several.
    tokens : int
        How many the engine counted.
    begun, ended : float
        When the request went out and when it was over, in s on this process's clock.
    times : tuple of float
        When each piece came.
    prompt_tokens, cached_tokens : int
        How long the prompt was, and how much of it needed no work.
    """

    pieces: tuple[str, ...]
    tokens: int
    begun: float
    times: tuple[float, ...]
    ended: float
    prompt_tokens: int
    cached_tokens: int

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)

    @property
    def read_tokens(self) -> int:
        """How much of the prompt was new to the engine."""
        return self.prompt_tokens - self.cached_tokens


class Client:
    """One place of an engine, with which it speaks.

    Parameters
    ----------
    url : str
        Its address, such as ``http://127.0.0.1:8000``.
    model : str, optional
        The name by which it knows its model, where it serves several.
    place : int, optional
        The slot of a llama.cpp server that keeps this connection's prompt; others ignore it.
    elsewhere : bool, optional
        Whether another machine may be meant. By default only this one is spoken to.

    Raises
    ------
    EngineError
        If the address is none, or that of another machine that was not meant.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        place: int = 0,
        elsewhere: bool = False,
    ) -> None:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise EngineError(f"{url!r} is no address; one looks like http://127.0.0.1:8000.")
        if not (elsewhere or is_loopback(address.hostname)):
            raise EngineError(
                f"{address.hostname} is another machine; say --elsewhere if it may be loaded."
            )
        kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
        self._connection = kind(address.netloc, timeout=TIMEOUT)
        self._path = address.path.rstrip("/").removesuffix("/v1") + "/v1/completions"
        self._common: dict[str, Any] = {
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
            "id_slot": place,
        }
        if model:
            self._common["model"] = model

    @property
    def keeps(self) -> bool:
        """Whether the engine may keep a prompt for the next request."""
        return bool(self._common["cache_prompt"])

    def forgetful(self) -> Client:
        """Return a client of the same place that lets no prompt be kept."""
        other = copy(self)
        other._common = {**self._common, "cache_prompt": False}
        return other

    def generate(self, prompt: str, tokens: int) -> Generation:
        """Let the model go on from a prompt for so many tokens.

        Parameters
        ----------
        prompt : str
            What it goes on from.
        tokens : int
            How many, at least 1.

        Raises
        ------
        EngineError
            If the engine does not do so.
        """
        body = json.dumps({"prompt": prompt, "max_tokens": tokens, **self._common})
        begun = time.perf_counter()
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            with self._connection.getresponse() as response:
                if response.status != 200:
                    reason = response.read(500).decode(errors="replace")
                    raise EngineError(f"The engine answered {response.status}: {reason}")
                return self._read(response, begun)
        except EngineError:
            raise
        except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
            raise EngineError(f"The engine could not be used: {error!r}") from error
        finally:
            self._connection.close()  # llama.cpp hangs up after a stream without a word

    def _read(self, response: HTTPResponse, begun: float) -> Generation:
        pieces: list[str] = []
        times: list[float] = []
        usage: dict[str, Any] = {}
        for chunk in _events(response):
            if chunk.get("choices"):
                times.append(time.perf_counter())
                pieces.append(chunk["choices"][0]["text"])
            usage = chunk.get("usage") or usage
        ended = time.perf_counter()
        details = usage.get("prompt_tokens_details") or {}
        return Generation(
            tuple(pieces),
            int(usage["completion_tokens"]),
            begun,
            tuple(times),
            ended,
            int(usage["prompt_tokens"]),
            int(details.get("cached_tokens") or 0),
        )


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, by its address or as ``localhost``.

    Parameters
    ----------
    host : str
        A name or an address. Other names are not looked up.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _events(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    """Read server-sent events to the end, so that the connection can be used again."""
    for line in response:
        if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
            yield json.loads(line[6:])
