r"""What all disciplines that serve by rank have in common: the load ahead of each type.

In the order of the ranks, :math:`x_k = 1 - \sum_{j\le k}\lambda\pi_js_j` is what the server has
left over for those behind type k. Types of equal rank may form one class, whose x are then those
before and after all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index, first
from thinkqueue.delay.delay import State
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.parameters import Parameters
from thinkqueue.workload.service import Affine


class Ranks(NamedTuple):
    """The types in the order of their ranks, the most urgent first; arrays of shape (N,).

    Attributes
    ----------
    order : ndarray of int
        Which type stands where.
    rate : float
        λ.
    share, s : ndarray
        π and s.
    before, after : ndarray
        x before and after the class of each.
    start, stop : ndarray of int
        Where its class begins, and where the next one does.
    """

    order: Index
    rate: float
    share: Array
    s: Array
    before: Array
    after: Array
    start: Index
    stop: Index

    @classmethod
    def of(cls, share: Array, s: Array, rate: float, rank: Array, *, merge: bool) -> Ranks:
        """Line up the types of one workload.

        Parameters
        ----------
        share, s, rank : ndarray, (N,)
            π, s, and what decides: the smaller, the more urgent.
        rate : float
            λ.
        merge : bool
            Whether types of equal rank are one class. Else they stand in the order of their
            indices.
        """
        order = np.argsort(rank, kind="stable")
        share, s, rank = share[order], s[order], rank[order]
        places = np.arange(s.size)
        start = np.searchsorted(rank, rank, "left") if merge else places
        stop = np.searchsorted(rank, rank, "right") if merge else places + 1
        left = 1 - np.concatenate([[0.0], np.cumsum(rate * share * s)])
        return cls(order, rate, share, s, left[start], left[stop], start, stop)

    def up_to(self, values: Array) -> Array:
        """Sum over the classes up to and with that of each type.

        Parameters
        ----------
        values : ndarray, (N,)
            What to sum.
        """
        return np.asarray(np.cumsum(values)[self.stop - 1])

    def behind(self, values: Array) -> Array:
        """Sum over the classes behind that of each type.

        Parameters
        ----------
        values : ndarray, (N,)
            What to sum.
        """
        return _tails(values)[self.stop]

    def from_here(self, values: Array) -> Array:
        """Sum over the class of each type and those behind.

        Parameters
        ----------
        values : ndarray, (N,)
            What to sum.
        """
        return _tails(values)[self.start]


def _tails(values: Array) -> Array:
    return np.concatenate([np.cumsum(values[::-1])[::-1], [0.0]])


class Ranked(ABC):
    """A delay of one server that serves by rank; not convex in the tokens."""

    convex: bool = False

    @abstractmethod
    def line(self, share: Array, s: Array, rate: float) -> Ranks:
        """Line up the types of one workload.

        Parameters
        ----------
        share, s : ndarray, (N,)
            π and s.
        rate : float
            λ.
        """

    @abstractmethod
    def times(self, line: Ranks) -> Array:
        """Return the mean time of each type, in the order of the line.

        Parameters
        ----------
        line : Ranks
            Stable.
        """

    @abstractmethod
    def slopes(self, line: Ranks) -> Array:
        r"""Return :math:`\frac{1}{\pi_k}\frac{\partial\,\mathbb{E}[T]}{\partial s_k}`.

        Parameters
        ----------
        line : Ranks
            Stable.
        """

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.

        Raises
        ------
        WorkloadError
            If service times are random, for which these formulas do not hold.
        """
        s, slope = self._certain(problem, tokens)
        parts = (problem.share, s, slope, np.asarray(problem.arrival_rate))
        share, s, slope, rate = np.broadcast_arrays(*parts)
        flat = (a.reshape(-1, s.shape[-1]) for a in (share, s, slope, rate))
        rows = [self._one(a, b, c, float(d[0])) for a, b, c, d in zip(*flat, strict=True)]
        if s.ndim == 1:
            return State(*rows[0])
        time, slack, price, shake = (np.array(part) for part in zip(*rows, strict=True))
        alike = (*s.shape[:-1], 1)
        return State(
            time.reshape(alike), slack.reshape(alike), price.reshape(s.shape), shake.reshape(alike)
        )

    def _certain(self, problem: Parameters, tokens: Array) -> tuple[Array, Array]:
        if not isinstance(problem.service, Affine):
            raise WorkloadError(
                f"Serving by rank needs one certain service time for each type; this workload's "
                f"service is {problem.service!r}.",
                parameter="service",
                value=problem.service,
            )
        moments = problem.service.moments(tokens)
        return moments.mean, moments.mean_slope

    def _one(
        self, share: Array, s: Array, slope: Array, rate: float
    ) -> tuple[float, float, Array, float]:
        line = self.line(share, s, rate)
        slack = float(1 - rate * (share @ s))
        if not slack > 0:
            return np.nan, slack, np.full_like(s, np.nan), np.nan
        times, price = self.times(line), np.empty_like(s)
        price[line.order] = self.slopes(line)
        time = float(line.share @ times)
        return time, slack, price * slope, time / slack

    def type_times(self, problem: Parameters, tokens: Array) -> Array:
        """Return the mean time of each type at a stable allocation of one workload, in s.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,)
            Thinking tokens.
        """
        s, _ = self._certain(problem, tokens)
        line = self.line(problem.share, s, first(problem.arrival_rate))
        times = np.empty_like(s)
        times[line.order] = self.times(line)
        return times
