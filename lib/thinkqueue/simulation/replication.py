"""One replication: its queries, its engine, its statistics, and how all of them move on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from thinkqueue.simulation.engine import Engine
from thinkqueue.simulation.queries import Queries
from thinkqueue.simulation.rows import LEAST, QUERIES, ROW, Rows

T = TypeVar("T", bound=Rows)

FOR_EVER = 1 << 62


class Cut(Enum):
    """Where the rows of a run end, and how the run ends."""

    CYCLES = "where the system is empty; the last cycle is finished"
    BATCHES = "anywhere, because the system may never be empty"
    NOWHERE = "the whole run is one row; no more queries come, and all are served"

    @property
    def least(self) -> int:
        """The fewest queries of a row at first."""
        return FOR_EVER if self is Cut.NOWHERE else 1


@dataclass
class Replication(Generic[T]):
    """The whole state of one replication; it can be sent to a worker and back.

    Attributes
    ----------
    queries : Queries
        Who comes next.
    engine : Engine
        The server.
    cut : Cut
        Where rows end.
    tally : Rows
        The statistics.
    served : int
        How many queries have come.
    """

    queries: Queries
    engine: Engine[T]
    cut: Cut
    tally: T
    served: int = 0

    @property
    def rows(self) -> int:
        """How many rows have ended."""
        return int(self.tally.state[ROW])

    def advance(self, jobs: int, report: Callable[[int], object] | None = None) -> Replication[T]:
        """Go on until so many queries have come since the start, and return itself.

        Parameters
        ----------
        jobs : int
            The number of queries to reach; a record may end before.
        report : callable, optional
            Told how many queries each step has served.
        """
        done = 1
        while self.served < jobs and done > 0:
            done = self._step(jobs - self.served, finish=False)
            if report is not None:
                report(done)
        return self

    def finish(self) -> None:
        """Bring the run to an end that leaves its estimates unbiased.

        A run cut by cycles goes on to the end of the one in progress. With several servers that
        may never come, so nothing is added to one cut by batches. A run that is cut nowhere serves
        whoever is still there.
        """
        if self.cut is Cut.NOWHERE:
            self.engine.drain(self.tally)
            self.tally.state[ROW] += 1
        elif self.cut is Cut.CYCLES:
            self.tally.state[LEAST] = 1
            while self.tally.sums[self.rows, QUERIES] > 0:
                self._step(FOR_EVER, finish=True)

    def _step(self, jobs: int, *, finish: bool) -> int:
        ahead = self.queries.ahead(jobs)
        done = self.engine.advance(*ahead, self.tally, finish=finish)
        self.queries.take(done)
        self.served += done
        return done
