"""Which server a workload runs on, and whom it serves next: descriptions, without any theory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.token_time import MOST_QUERIES, TokenTime, TokenTimeTable


@dataclass(frozen=True)
class Fifo:
    """First come, first served.

    Parameters
    ----------
    servers : int, optional
        How many servers share the line.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)

    def rank(self, service: Array) -> Array:
        """Return the rank of each type, all alike: among equal ranks the older query goes first.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.
        """
        return np.zeros_like(service)


@dataclass(frozen=True)
class NonPreemptivePriority:
    """A free server takes the waiting query of the most urgent type; nobody is interrupted.

    Parameters
    ----------
    order : sequence of int
        The indices of all types, the most urgent first.
    servers : int, optional
        How many servers share the line.
    """

    order: tuple[int, ...]
    servers: int = 1

    def __init__(self, order: Sequence[int] | ArrayLike, servers: int = 1) -> None:
        places = tuple(int(k) for k in np.asarray(order).ravel())
        if sorted(places) != list(range(len(places))):
            raise WorkloadError(
                f"order must name each type once, by its index from 0 to {len(places) - 1}; "
                f"it is {list(places)}.",
                parameter="order",
                value=list(places),
            )
        check_count("servers", servers)
        object.__setattr__(self, "order", places)
        object.__setattr__(self, "servers", servers)

    def rank(self, service: Array) -> Array:
        """Return the place of each type in the order.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.

        Raises
        ------
        WorkloadError
            If the order does not have as many types as the workload.
        """
        if len(self.order) != service.size:
            raise WorkloadError(
                f"order has {len(self.order)} types, the workload has {service.size}.",
                parameter="order",
                value=list(self.order),
            )
        rank = np.empty(service.size)
        rank[list(self.order)] = np.arange(service.size)
        return rank


@dataclass(frozen=True)
class ShortestFirst:
    """A free server takes the waiting query with the shortest service; nobody is interrupted.

    Parameters
    ----------
    servers : int, optional
        How many servers share the line.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)

    def rank(self, service: Array) -> Array:
        """Return the service times themselves.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.
        """
        return service


@dataclass(frozen=True)
class PreemptivePriority:
    """The server always works on a query of the most urgent type; who is interrupted resumes later.

    Parameters
    ----------
    order : sequence of int
        The indices of all types, the most urgent first.
    """

    order: tuple[int, ...]
    servers: ClassVar[int] = 1

    def __init__(self, order: Sequence[int] | ArrayLike) -> None:
        object.__setattr__(self, "order", NonPreemptivePriority(order).order)

    def rank(self, service: Array) -> Array:
        """Return the place of each type in the order.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.

        Raises
        ------
        WorkloadError
            If the order does not have as many types as the workload.
        """
        return NonPreemptivePriority(self.order).rank(service)


@dataclass(frozen=True)
class PreemptiveShortestFirst:
    """The server always works on a query whose whole service is the shortest of all present.

    Who is interrupted resumes later. Among equals the older goes first and is not interrupted.
    """

    servers: ClassVar[int] = 1

    def rank(self, service: Array) -> Array:
        """Return the service times themselves.

        Parameters
        ----------
        service : ndarray, (N,)
            Service times in seconds.
        """
        return service


@dataclass(frozen=True)
class ShortestRemaining:
    """The server always works on the query that has least left to do (SRPT).

    Of all ways to serve given queries this one leaves the fewest waiting at every moment
    (Schrage 1968). Among equals the older goes first and is not interrupted.
    """

    servers: ClassVar[int] = 1


@dataclass(frozen=True)
class ProcessorSharing:
    """All queries present are served at once and share the servers equally.

    The idealisation of continuous batching; a query never gets more than one server.

    Parameters
    ----------
    servers : int, optional
        How many servers are shared.
    """

    servers: int = 1

    def __post_init__(self) -> None:
        check_count("servers", self.servers)


@dataclass(frozen=True)
class Batching:
    r"""Continuous batching: one token for every query in the batch at each step of the server.

    Parameters
    ----------
    token_time : TokenTime or TokenTimeTable
        How long a step takes, as a function of how many queries take part.
    max_batch : int, optional
        B, how many may take part; any number where not given.
    overflow : {"share", "wait"}, optional
        What happens to those above B: they share the B places evenly, or they wait until one is
        free, first come, first served.
    """

    token_time: TokenTime | TokenTimeTable
    max_batch: int | None = None
    overflow: Literal["share", "wait"] = "share"
    servers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        time = self.token_time
        if not isinstance(time, TokenTime | TokenTimeTable):
            raise WorkloadError(
                f"token_time is {time!r}; it must be a TokenTime(base, per_query) or a "
                "TokenTime.table(queries, seconds).",
                parameter="token_time",
                value=time,
            )
        if self.overflow not in ("share", "wait"):
            raise WorkloadError(
                f'overflow is {self.overflow!r}; it must be "share" or "wait".',
                parameter="overflow",
                value=self.overflow,
            )
        if self.max_batch is not None:
            check_count("max_batch", self.max_batch, most=MOST_QUERIES)
        if isinstance(time, TokenTimeTable) and not time.grows:
            last = time.queries[-1]
            if self.max_batch is None or self.max_batch > last:
                raise WorkloadError(
                    "Beyond the last row of this table all queries together would get slower: give "
                    f"a max_batch of at most {last:g}.",
                    parameter="max_batch",
                    value=self.max_batch,
                )

    @property
    def convex(self) -> bool:
        r"""Whether :math:`\mathbb{E}[T]` is convex in the tokens whatever the task types are."""
        time = self.token_time
        if isinstance(time, TokenTime) and time.per_context:
            return False
        waits = self.max_batch is not None and self.overflow == "wait"
        return self.max_batch == 1 if waits else time.concave

    def check_formula(self, service: Any) -> None:
        """Refuse what no formula is known for, so that it can only be simulated.

        Parameters
        ----------
        service : Service
            What the task types ask for.

        Raises
        ------
        WorkloadError
            If there is a cap and time grows with the context, or a prompt takes time and queries
            wait for a place.
        """
        time = self.token_time
        if self.max_batch is not None and isinstance(time, TokenTime) and time.per_context:
            raise WorkloadError(
                f"max_batch is {self.max_batch} and per_context {time.per_context:g}: no formula "
                "is known for a cap on the batch where time grows with the context. Leave out one "
                "of them, and simulate this server with discipline=Batching(...).",
                parameter="max_batch",
                value=self.max_batch,
            )
        waits = self.max_batch is not None and self.overflow == "wait"
        if waits and np.any(getattr(service, "prompt_time", 0.0)):
            raise WorkloadError(
                'No formula is known for prompts that take time where queries wait (overflow="wait"'
                '); use overflow="share", or count the prompt as answer_tokens, and simulate this '
                "server with discipline=Batching(...).",
                parameter="prompt_time",
            )


Discipline = (
    Fifo
    | NonPreemptivePriority
    | ShortestFirst
    | PreemptivePriority
    | PreemptiveShortestFirst
    | ShortestRemaining
    | ProcessorSharing
)
