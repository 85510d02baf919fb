"""One replication: its stream, its queue, its statistics, and how all of them move on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.alias import alias_table
from thinkqueue.simulation.events import serve_by_rank, serve_shared
from thinkqueue.simulation.lindley import serve
from thinkqueue.simulation.sketch import BINS, packed, quantiles
from thinkqueue.simulation.streams import State
from thinkqueue.simulation.tally import RUNNING, Tally, empty_tally
from thinkqueue.workload import Discipline, Fifo, ProcessorSharing

BATCHES = 32
"""A run is cut into 32 to 63 batches; when there are 64, neighbours are joined."""

CHUNK = 1 << 20
"""Queries between two looks at the keyboard."""

FIRST_HEAP = 256


@dataclass(frozen=True)
class Source:
    """What every replication shares.

    Attributes
    ----------
    service, deadline : ndarray, (N,)
        Seconds of each type.
    mean_gap : float
        The mean time between two arrivals.
    table : tuple of ndarray
        The alias table of the shares.
    discipline : Discipline
        Who is served next.
    servers : int
        How many servers there are.
    """

    service: Array
    deadline: Array
    mean_gap: float
    table: tuple[Array, Index, Index]
    discipline: Discipline
    servers: int

    @classmethod
    def of(
        cls,
        share: Array,
        service: Array,
        deadline: Array,
        arrival_rate: float,
        discipline: Discipline,
        servers: int,
    ) -> Source:
        """Build the alias table."""
        table = alias_table(np.ascontiguousarray(share))
        return cls(service, deadline, 1 / arrival_rate, table, discipline, servers)


@dataclass
class Batch:
    """A stretch of the run: its running sums and the sketches of its times, zeros left out."""

    running: Array
    system: tuple[Index, Index]
    waiting: tuple[Index, Index]

    def join(self, other: Batch) -> Batch:
        """Return this batch and the next as one."""
        return Batch(
            self.running + other.running,
            _added(self.system, other.system),
            _added(self.waiting, other.waiting),
        )


def _added(one: tuple[Index, Index], other: tuple[Index, Index]) -> tuple[Index, Index]:
    dense = np.zeros(BINS, np.int64)
    for places, counts in (one, other):
        dense[places] += counts
    return packed(dense)


@dataclass
class Replication:
    """The whole state of one replication; it can be sent to a worker and back.

    Attributes
    ----------
    source : Source
        The workload.
    stream : ndarray of uint64, (4,)
        The random stream, which belongs to this replication alone.
    batch_size : int
        Queries in a batch, doubled whenever there are too many batches.
    """

    source: Source
    stream: State
    batch_size: int
    tally: Tally = field(init=False)
    served: int = 0
    batches: list[Batch] = field(default_factory=list)
    begun: Array = field(default_factory=lambda: np.zeros(RUNNING))
    wait: float = 0.0
    clock: Array = field(default_factory=lambda: np.zeros(3))
    counts: Index = field(default_factory=lambda: np.zeros(2, np.int64))
    heap: tuple[Array, Index] = field(init=False)
    leaving: tuple[Array, Index] = field(init=False)

    def __post_init__(self) -> None:
        self.tally = empty_tally(self.source.service.size)
        self.heap = _heap(FIRST_HEAP)
        self.leaving = _heap(self.source.servers)

    def advance(self, jobs: int, report: Callable[[int], object] | None = None) -> Replication:
        """Serve until so many queries have been served since the start, and return itself.

        Parameters
        ----------
        jobs : int
            The number of queries to reach.
        report : callable, optional
            Told how many queries each chunk has served.
        """
        while self.served < jobs:
            left = self.batch_size - self.served % self.batch_size
            done, _ = self._serve(min(left, jobs - self.served, CHUNK), False)
            self.served += done
            if report is not None:
                report(done)
            if done and self.served % self.batch_size == 0:
                self._end_batch()
        return self

    def finish(self) -> Replication:
        """Serve to the end of the block in progress, which keeps the ratio estimates unbiased.

        With several servers the system may never empty, so nothing is added there.
        """
        if self.source.servers > 1 or self.tally.open[0] == 0.0:
            return self
        finished = False
        while not finished:
            done, finished = self._serve(CHUNK, True)
            self.served += done
        return self

    def _serve(self, jobs: int, finish: bool) -> tuple[int, bool]:
        source = self.source
        drawn = (self.stream, *source.table, source.service, source.deadline, source.mean_gap)
        if isinstance(source.discipline, ProcessorSharing):
            shared = (jobs, finish, source.servers, self.clock, self.counts, *self.heap)
            done, finished = serve_shared(*(*shared, *drawn, self.tally))
        elif isinstance(source.discipline, Fifo) and source.servers == 1:
            done, self.wait = serve(jobs, finish, self.wait, *drawn, self.tally)
            finished = self.wait < 0.0
            self.wait = max(self.wait, 0.0)
            return done, finished
        else:
            rank = source.discipline.rank(source.service)
            ranked = (jobs, finish, source.servers, rank, self.clock, self.counts)
            done, finished = serve_by_rank(
                *(*ranked, *self.heap, *self.leaving, *drawn, self.tally)
            )
        if self.counts[0] == self.heap[1].size:
            self.heap = _grown(*self.heap)
        return done, finished

    @property
    def running(self) -> Array:
        """Number, waiting, service and inter-arrival times of all queries since the start."""
        return self.tally.sums[:RUNNING] + self.tally.open[:RUNNING]

    def _end_batch(self) -> None:
        tally = self.tally
        self.batches.append(
            Batch(
                self.running - self.begun,
                packed(tally.system_sketch),
                packed(tally.waiting_sketch),
            )
        )
        self.begun = self.running
        tally.system_sketch[:] = 0
        tally.waiting_sketch[:] = 0
        if len(self.batches) == 2 * BATCHES:
            pairs = zip(self.batches[::2], self.batches[1::2], strict=True)
            self.batches = [one.join(next_) for one, next_ in pairs]
            self.batch_size *= 2

    def everything(self) -> Batch:
        """Return the whole run so far as one batch."""
        system, waiting = self.tally.system_sketch.copy(), self.tally.waiting_sketch.copy()
        for batch in self.batches:
            system[batch.system[0]] += batch.system[1]
            waiting[batch.waiting[0]] += batch.waiting[1]
        return Batch(self.running, packed(system), packed(waiting))


def batch_quantiles(batches: list[Batch], probabilities: Array) -> tuple[Array, Array]:
    """Return the quantiles of system and waiting time in each batch, (K, P) each.

    Parameters
    ----------
    batches : list of Batch
        K batches.
    probabilities : ndarray, (P,)
        Between 0 and 1.
    """
    shape = (len(batches), probabilities.size)
    return (
        np.reshape([quantiles(*batch.system, probabilities) for batch in batches], shape),
        np.reshape([quantiles(*batch.waiting, probabilities) for batch in batches], shape),
    )


def _heap(size: int) -> tuple[Array, Index]:
    return np.zeros((size, 3)), np.zeros(size, np.int64)


def _grown(heap: Array, kinds: Index) -> tuple[Array, Index]:
    return np.concatenate([heap, np.zeros_like(heap)]), np.concatenate([kinds, kinds])
