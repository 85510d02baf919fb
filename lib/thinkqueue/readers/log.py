"""What a tool logged, request by request, in one form whatever the tool is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.names import listed
from thinkqueue.readers.document import Document

NAN = math.nan
Mask = NDArray[np.bool_]
CLOCKS = 1e-5
"""Seconds by which times of one request may disagree for having been rounded."""
TIMES = ("sent", "to_first", "latency", "waited")
COUNTS = ("prompt_tokens", "output_tokens", "thinking_tokens", "budget", "correct")


@dataclass(slots=True)
class Request:
    """One request as a tool logged it; NaN is what it did not log.

    Parameters
    ----------
    task : str
        Its type; empty where the file does not say.
    sent : float
        When it was sent, in s on any clock.
    to_first, latency : float
        From sending to its first token, thinking included, and to its last one, in s.
    waited : float
        How long it stood in the server's queue, in s.
    prompt_tokens, output_tokens : float
        Tokens of the question, and all that were generated, thinking included.
    thinking_tokens : float
        Those of them that were thoughts.
    budget : float
        How many thoughts were allowed.
    correct : float
        1 if the answer was right, 0 if not; a share where the score is one.
    thought : bool
        Whether the file holds the text of a thought.
    traffic : bool
        Whether it came when a user sent it, and not when the one before was answered or all at
        once, as a benchmark may ask.
    """

    task: str = ""
    sent: float = NAN
    to_first: float = NAN
    latency: float = NAN
    waited: float = NAN
    prompt_tokens: float = NAN
    output_tokens: float = NAN
    thinking_tokens: float = NAN
    budget: float = NAN
    correct: float = NAN
    thought: bool = False
    traffic: bool = True


@dataclass(frozen=True, eq=False)
class Log:
    """The requests of one file, one entry a request; NaN is what was not logged.

    Attributes
    ----------
    source, format : str
        The file, and the tool that wrote it.
    task : tuple of str
        The type of each request.
    sent, to_first, latency, waited : ndarray, (R,)
        Times in s, as in :class:`Request`.
    prompt_tokens, output_tokens, thinking_tokens, budget, correct : ndarray, (R,)
        Tokens and scores.
    traffic : ndarray of bool, (R,)
        Which requests came as traffic comes.
    notes : tuple of str
        What was left out or taken for granted.
    """

    source: str
    format: str
    task: tuple[str, ...]
    sent: Array
    to_first: Array
    latency: Array
    waited: Array
    prompt_tokens: Array
    output_tokens: Array
    thinking_tokens: Array
    budget: Array
    correct: Array
    traffic: Mask
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.task)

    def __repr__(self) -> str:
        return f"Log({self.format}, {len(self):,} requests of {listed(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The types in the order in which they first appear."""
        return tuple(dict.fromkeys(self.task))

    @property
    def scored(self) -> bool:
        """Whether answers were judged: an evaluation and not traffic."""
        return bool(np.isfinite(self.correct).any())

    @cached_property
    def token_time(self) -> Array:
        """Seconds a token after the first one, (R,): NaN where one of them is not known.

        From the times of the first and the last token and the number of tokens, and never from the
        chunks of a stream, which may hold two tokens or a half.
        """
        steps = np.where(self.output_tokens > 1, self.output_tokens - 1, np.nan)
        return np.asarray((self.latency - self.to_first) / steps)

    def of(self, name: str) -> Mask:
        """Return which requests are of a type, (R,), as a mask.

        Parameters
        ----------
        name : str
            The type.
        """
        return np.fromiter((task == name for task in self.task), np.bool_, len(self))


def log_of(
    document: Document,
    tool: str,
    requests: Iterable[Request],
    *,
    remedy: str = "",
    answer_tokens: float | None = None,
    notes: Sequence[str] = (),
) -> Log:
    """Check requests and set them in columns.

    Parameters
    ----------
    document : Document
        Where they come from.
    tool : str
        Who wrote it.
    requests : iterable of Request
        The requests.
    remedy : str, optional
        What mends thoughts that this tool did not count.
    answer_tokens : float, optional
        What an answer takes in the mean, for logs that do not tell thoughts from answers.
    notes : sequence of str, optional
        What the reader has to say.

    Raises
    ------
    MeasurementError
        If there is no request, a request ends before it begins, has less than no tokens, or claims
        to have thought nothing beside the text of its thought.
    """
    rows = list(requests)
    if not rows:
        raise document.error(f"this log of {tool} holds no request that was answered.")
    values = {name: np.array([getattr(row, name) for row in rows]) for name in TIMES + COUNTS}
    _check_counts(document, values)
    _check_times(document, values)
    said = list(notes)
    thought = np.array([row.thought for row in rows])
    uncounted = thought & (values["thinking_tokens"] == 0)
    if answer_tokens is not None:
        unknown = uncounted | np.isnan(values["thinking_tokens"])
        guess = np.maximum(values["output_tokens"] - answer_tokens, 0.0)
        values["thinking_tokens"] = np.where(unknown, guess, values["thinking_tokens"])
        counted = int(np.sum(unknown & np.isfinite(guess)))
        if counted:
            said.append(
                f"{document.path.name}: thoughts of {counted:,} requests are all tokens generated "
                f"less {answer_tokens:g} for the answer."
            )
    elif uncounted.any():
        raise document.error(
            "it says that no token was a thought, and holds the text of a thought: "
            f"{int(uncounted.sum()):,} requests of {len(rows):,} are like this. "
            f"{remedy or 'Log the usage of the server itself'}; or say what an answer takes, "
            "--answer-tokens COUNT, and thoughts are what is left of all tokens generated.",
            row=int(np.argmax(uncounted)),
            field="reasoning tokens",
        )
    elif (values["thinking_tokens"] == 0).all() and not (values["budget"] == 0).all():
        said.append(
            f"{document.path.name}: every request is said to have thought nothing. That is right "
            "where thinking was off; a model that thinks was not counted by its server."
        )
    traffic = np.array([row.traffic for row in rows])
    task = tuple(row.task for row in rows)
    return Log(document.source, tool, task, **values, traffic=traffic, notes=tuple(said))


def _check_counts(document: Document, values: dict[str, Array]) -> None:
    for name in COUNTS:
        wrong = values[name] < 0
        if wrong.any():
            row = int(np.argmax(wrong))
            message = f"{values[name][row]:g} is less than nothing."
            raise document.error(message, row=row, field=name)
    more = values["thinking_tokens"] > values["output_tokens"]
    if more.any():
        row = int(np.argmax(more))
        raise document.error(
            f"{values['thinking_tokens'][row]:g} tokens were thoughts, of "
            f"{values['output_tokens'][row]:g} generated in all.",
            row=row,
            field="thinking_tokens",
        )


def _check_times(document: Document, values: dict[str, Array]) -> None:
    for name, words in (
        ("latency", "was answered before it was sent"),
        ("to_first", "had its first token before it was sent"),
        ("waited", "waited less than no time"),
    ):
        wrong = values[name] < 0
        if wrong.any():
            row = int(np.argmax(wrong))
            raise document.error(f"this request {words}, by {-values[name][row]:.3g} s.", row=row)
    # two clocks that were rounded differ by some microseconds
    wrong = values["to_first"] > values["latency"] + CLOCKS
    if wrong.any():
        raise document.error(
            "this request was answered before its first token.", row=int(np.argmax(wrong))
        )


def join_logs(logs: Sequence[Log]) -> dict[str, Any]:
    """Return the columns of several logs one after the other.

    Parameters
    ----------
    logs : sequence of Log
        The logs.
    """
    joined: dict[str, Any] = {"task": sum((log.task for log in logs), ())}
    for field in fields(Log):
        if field.name in TIMES + COUNTS:
            joined[field.name] = np.concatenate([getattr(log, field.name) for log in logs])
    return joined
