"""Who comes when: the queries of one replication, drawn a buffer at a time.

Engines know nothing of chance. They are handed types, gaps and work, which come from three NumPy
generators of the replication's own, children of one ``numpy.random.SeedSequence``: what it draws
depends on the seed and on its number alone, never on how many workers there are, which of them
runs it, in how many steps, or through which discipline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.alias import AliasTable, types_of
from thinkqueue.simulation.work import Work

BUFFER = 1 << 14
"""Queries drawn at once: few enough for the processor's cache, many enough to be quick."""


class Arrivals(Protocol):
    """A stream of arrivals that a simulation can be given: a recorded trace, or a model."""

    def gaps_at(self, arrival_rate: float, jobs: int, seed: np.random.SeedSequence) -> Array:
        """Return the time from each arrival to the next one, in s, at the given rate.

        Parameters
        ----------
        arrival_rate : float
            In 1/s.
        jobs : int
            How many arrivals to return at most; a record may have fewer.
        seed : SeedSequence
            Of whatever is random in them.
        """


class Gaps(Protocol):
    """Where the times between arrivals come from."""

    def fill(self, gaps: Array) -> int:
        """Fill an array with the next gaps, in s; return how many there were."""


class PoissonGaps:
    """Exponential gaps, without end.

    Parameters
    ----------
    arrival_rate : float
        In 1/s.
    seed : SeedSequence
        Of the stream.
    """

    def __init__(self, arrival_rate: float, seed: np.random.SeedSequence) -> None:
        self._mean = 1 / arrival_rate
        self._random = np.random.Generator(np.random.SFC64(seed))

    def fill(self, gaps: Array) -> int:
        """Draw as many as there is room for."""
        self._random.standard_exponential(out=gaps)
        gaps *= self._mean
        return gaps.size


class GivenGaps:
    """Gaps known beforehand.

    Parameters
    ----------
    gaps : ndarray, (n,)
        In s.
    """

    def __init__(self, gaps: Array) -> None:
        self._gaps = gaps
        self._next = 0

    def fill(self, gaps: Array) -> int:
        """Copy as many as are left."""
        given = self._gaps[self._next : self._next + gaps.size]
        gaps[: given.size] = given
        self._next += given.size
        return given.size


class Queries:
    """The queries of one replication.

    Parameters
    ----------
    table : AliasTable
        Of the shares.
    gaps : Gaps
        When they come.
    work : Work
        What they ask of the server.
    seed : SeedSequence
        Of the types.
    """

    def __init__(
        self, table: AliasTable, gaps: Gaps, work: Work, seed: np.random.SeedSequence
    ) -> None:
        self._table = table
        self._source = gaps
        self._ask = work
        self._random = np.random.Generator(np.random.SFC64(seed))
        self._kinds = np.zeros(BUFFER, np.int64)
        self._gaps, self._uniform = np.zeros(BUFFER), np.zeros(BUFFER)
        self._work = np.zeros(0)
        self._next = self._filled = 0

    def ahead(self, count: int) -> tuple[Index, Array, Array]:
        """Return types, gaps and work of the next queries without taking them.

        Parameters
        ----------
        count : int
            How many at most; there are none only at the end of a record.

        Returns
        -------
        kinds : ndarray of int64, (n,)
            Their types.
        gaps : ndarray, (n,)
            The time from each to the next, in s.
        work : ndarray, (n,) or (n, ...)
            What each asks of the server.
        """
        if self._next == self._filled:
            self._next, self._filled = 0, self._source.fill(self._gaps)
            self._random.random(out=self._uniform)
            types_of(self._uniform, self._table, self._kinds)
            self._work = self._ask.of(self._kinds)
        part = slice(self._next, min(self._next + count, self._filled))
        return self._kinds[part], self._gaps[part], self._work[part]

    def all(self) -> tuple[Index, Array, Array]:
        """Return types, gaps and work of all queries of a record."""
        parts = []
        while (ahead := self.ahead(BUFFER))[0].size:
            parts.append([column.copy() for column in ahead])
            self.take(ahead[0].size)
        kinds, gaps, work = (np.concatenate(column) for column in zip(*parts, strict=True))
        return kinds, gaps, work

    def take(self, count: int) -> None:
        """Go on behind so many of them.

        Parameters
        ----------
        count : int
            At most as many as :meth:`ahead` has returned.
        """
        self._next += count


def queries_of(
    table: AliasTable,
    arrival_rate: float,
    arrivals: Arrivals | None,
    jobs: int,
    work: Callable[[np.random.SeedSequence], Work],
    seed: np.random.SeedSequence,
) -> Queries:
    """Return the queries of one replication.

    Parameters
    ----------
    table : AliasTable
        Of the shares.
    arrival_rate : float
        In 1/s.
    arrivals : Arrivals or None
        When they come; None for a Poisson stream.
    jobs : int
        How many of them will be asked for, where they do not go on for ever.
    work : callable
        Gives what they ask of the server, of a seed of its own.
    seed : SeedSequence
        The child of this replication.
    """
    of_types, of_gaps, of_work = seed.spawn(3)
    gaps: Gaps = PoissonGaps(arrival_rate, of_gaps)
    if arrivals is not None:
        gaps = GivenGaps(arrivals.gaps_at(arrival_rate, jobs, of_gaps))
    return Queries(table, gaps, work(of_work), of_types)
