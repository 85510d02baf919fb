"""What each query asks of the server: a time that its type tells, or one drawn from a law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import RandomService, Service


class Work(Protocol):
    """Where the work of the queries comes from; asked once for each query, in their order."""

    def of(self, kinds: Index) -> Array:
        """Return the work of the next queries.

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            Their types.

        Returns
        -------
        ndarray, (n,) or (n, ...)
        """


@dataclass(frozen=True)
class Certain:
    """The same work for all queries of a type.

    Parameters
    ----------
    seconds : ndarray, (N,) or (N, ...)
        Of each type.
    """

    seconds: Array

    def of(self, kinds: Index) -> Array:
        """Look it up.

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The types of the next queries.
        """
        return self.seconds.take(kinds, axis=0)


class Drawn:
    """Work drawn from the law of a service.

    Parameters
    ----------
    service : RandomService
        The law.
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    seed : SeedSequence
        Of the stream.
    scale : float, optional
        The seconds that one unit of what is drawn takes: at a server that is asked for tokens, what
        a token takes alone.
    """

    def __init__(
        self,
        service: RandomService,
        tokens: Array,
        seed: np.random.SeedSequence,
        scale: float = 1.0,
    ) -> None:
        self._service, self._tokens, self._scale = service, tokens, scale
        self._random = np.random.Generator(np.random.SFC64(seed))

    def of(self, kinds: Index) -> Array:
        """Draw it.

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The types of the next queries.

        Raises
        ------
        WorkloadError
            If what the service draws is no work.
        """
        work = np.asarray(self._service.draw(self._tokens, kinds, self._random), np.float64)
        if work.shape != kinds.shape or not ((work >= 0) & (work < np.inf)).all():
            raise WorkloadError(
                f"{self._service!r} drew {work!r} for {kinds.size} queries; it must draw one "
                "number for each, finite and not negative.",
                parameter="service",
                value=work,
            )
        return work if self._scale == 1.0 else work * self._scale


@dataclass(frozen=True)
class Demand:
    """What one allocation asks of the server.

    Attributes
    ----------
    service : Service
        Of all types.
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    scale : float
        The seconds that one unit of the service takes, as in :class:`Drawn`.
    """

    service: Service
    tokens: Array
    scale: float = 1.0

    @property
    def mean(self) -> Array:
        """The mean service times in s, (N,)."""
        return np.ascontiguousarray(self.scale * self.service.mean(self.tokens))

    def work(self, seed: np.random.SeedSequence) -> Work:
        """Return where the work of one replication comes from.

        Parameters
        ----------
        seed : SeedSequence
            Of the stream.
        """
        if hasattr(self.service, "draw"):
            return Drawn(cast(RandomService, self.service), self.tokens, seed, self.scale)
        return Certain(self.mean)


class Both:
    """The work of two allocations, side by side.

    Parameters
    ----------
    first, second : Work
        Of the two.
    """

    def __init__(self, first: Work, second: Work) -> None:
        self._parts = first, second

    def of(self, kinds: Index) -> Array:
        """Return it as (n, 2).

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The types of the next queries.
        """
        return np.stack([part.of(kinds) for part in self._parts], axis=1)
