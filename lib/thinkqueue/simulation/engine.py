"""An engine owns the state of a server and moves it on; one engine a file, chosen here."""

from __future__ import annotations

from typing import Protocol, TypeVar

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.by_rank import ByRank
from thinkqueue.simulation.lindley import Lindley
from thinkqueue.simulation.preemptive import Preemptive
from thinkqueue.simulation.sharing import Sharing
from thinkqueue.simulation.tally import Tally
from thinkqueue.workload import (
    Discipline,
    Fifo,
    PreemptivePriority,
    PreemptiveShortestFirst,
    ProcessorSharing,
    ShortestRemaining,
)

T = TypeVar("T", contravariant=True)


class Engine(Protocol[T]):
    """A server at work, from empty, telling what happens to a tally T.

    It can be pickled, sent to a worker and back between any two calls.
    """

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: T, *, finish: bool = False
    ) -> int:
        """Let queries come and go.

        Parameters
        ----------
        kinds : ndarray of int64, (n,)
            The types of the next queries.
        gaps : ndarray, (n,)
            The time from each of them to the next, in s.
        work : ndarray, (n,)
            What each asks of the server: its service time in s; at a batching server, tokens.
        tally : Tally
            Told of every query and its waiting time (``record``), of the time that passes
            (``pass_time``), and after each gap whether the system is empty (``turn``).
        finish : bool, optional
            Whether to stop as soon as the row in progress has ended.

        Returns
        -------
        int
            How many of the queries have come: all of them, unless asked to finish.
        """

    def drain(self, tally: T) -> None:
        """Serve all that are there, as after the last arrival of a record.

        Parameters
        ----------
        tally : Tally
            Told of them.
        """


def engine_for(server: Discipline, mean: Array) -> Engine[Tally]:
    """Return the engine of a server.

    Parameters
    ----------
    server : Discipline
        Who is served next, and by how many. (For one that batches see ``batching.Batch``.)
    mean : ndarray, (N,)
        The mean service times in seconds, by which the shortest types are known.
    """
    match server:
        case ProcessorSharing():
            return Sharing(server.servers)
        case Fifo(servers=1):
            return Lindley()
        case ShortestRemaining():
            return Preemptive(mean, by_rest=True)
        case PreemptivePriority() | PreemptiveShortestFirst():
            return Preemptive(server.rank(mean))
        case _:
            return ByRank(server.rank(mean), server.servers)
