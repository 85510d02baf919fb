r"""How long one step of a batching server takes, by the number of queries that take part.

In a step each of n queries gets one token, so :math:`\tau(n)` is the time between two tokens of a
query and :math:`\varphi(n) = n/\tau(n)` is what all of them get a second. Where :math:`\varphi`
rises and is concave, the mean time is convex in the tokens (see :mod:`thinkqueue.delay.batching`).
It is so for :math:`\tau(n) = a + bn`, and for every convex :math:`\tau` for which it rises.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import LARGEST, SMALLEST, floats, one_number
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown

MOST_QUERIES = 10**6
"""More queries in a batch than any engine has; sums run over them one by one."""

BEND_TOLERANCE = 1e-12
"""By what part of φ(1) an increment of φ may exceed the one before: rounding, and no bend."""


@dataclass(frozen=True)
class TokenTime:
    r"""A step that takes :math:`\tau(n) = a + bn` seconds, and more with the context.

    Parameters
    ----------
    base : float
        :math:`a \ge 0` in s, which the step takes whoever takes part: reading the weights.
    per_query : float
        :math:`b \ge 0` in s a query. One of both is positive.
    per_context : float, optional
        :math:`g \ge 0` in s for each token that a query has behind it, prompt included.
    """

    base: float
    per_query: float
    per_context: float = 0.0

    def __post_init__(self) -> None:
        for name in ("base", "per_query", "per_context"):
            object.__setattr__(self, name, one_number(name, getattr(self, name), least=0))
        total = self.base + self.per_query
        if not 0 < total <= LARGEST or self.per_context > LARGEST:
            raise WorkloadError(
                f"base + per_query is {total:g}; a step must take some time, and not more than "
                f"{LARGEST:g} s.",
                parameter="per_query",
                value=total,
            )

    @staticmethod
    def table(queries: ArrayLike, seconds: ArrayLike, *, allow: bool = False) -> TokenTimeTable:
        """Return a step that was measured, see :class:`TokenTimeTable`.

        Parameters
        ----------
        queries : array_like, (R,)
            How many queries took part.
        seconds : array_like, (R,)
            How long the step took.
        allow : bool, optional
            Whether to take a table for which the mean time need not be convex.
        """
        return TokenTimeTable(
            tuple(floats("queries", queries).ravel().tolist()),
            tuple(floats("seconds", seconds).ravel().tolist()),
            allow,
        )

    def seconds_at(self, n: ArrayLike) -> Array:
        r"""Return :math:`\tau(n) = a + bn` in s, without context.

        Parameters
        ----------
        n : array_like
            Queries in the batch.
        """
        return np.asarray(self.base + self.per_query * floats("n", n))

    def rate_at(self, n: ArrayLike) -> Array:
        r"""Return :math:`\varphi(n) = n/\tau(n)`, tokens a second of all together.

        Parameters
        ----------
        n : array_like
            Queries in the batch.
        """
        return _rate(self, n)

    @property
    def concave(self) -> bool:
        r"""Whether :math:`\varphi` rises and is concave: here always."""
        return True


@dataclass(frozen=True)
class TokenTimeTable:
    r"""A step that was measured: linear between the rows, and going on as it ends.

    Parameters
    ----------
    queries : sequence of float, (R,)
        How many queries took part, increasing, at least 1 and two of them.
    seconds : sequence of float, (R,)
        How long the step took.
    allow : bool, optional
        Whether to take a table whose rate :math:`\varphi` does not rise or is not concave, for
        which the mean time need not be convex.

    Raises
    ------
    WorkloadError
        If it is not a table of times; or, unless allowed, with the place at which :math:`\varphi`
        falls or bends upwards.

    Notes
    -----
    One user alone says nothing about many: the line through the last two rows is used beyond them,
    and the one through the first two before them.
    """

    queries: tuple[float, ...]
    seconds: tuple[float, ...]
    allow: bool = False

    def __post_init__(self) -> None:
        n, tau = (floats(name, getattr(self, name)) for name in ("queries", "seconds"))
        if n.ndim != 1 or n.shape != tau.shape or n.size < 2:
            raise WorkloadError(
                f"queries has shape {n.shape} and seconds {tau.shape}; they must be two lists of "
                "the same length, at least 2: one batch size says nothing about others.",
                parameter="queries",
                value=n.shape,
            )
        if not ((n >= 1).all() and (np.diff(n) > 0).all() and n[-1] <= MOST_QUERIES):
            raise WorkloadError(
                f"queries is {shown(n.tolist())}; it must increase from at least 1 to at most "
                f"{MOST_QUERIES:,}.",
                parameter="queries",
                value=n.tolist(),
            )
        for name, values in (("queries", n), ("seconds", tau)):
            object.__setattr__(self, name, tuple(values.tolist()))
        possible = bool(((tau >= SMALLEST) & (tau <= LARGEST)).all())
        whole = self.seconds_at(self._whole) if possible else tau
        if not (possible and (whole >= SMALLEST).all() and (whole <= LARGEST).all()):
            raise WorkloadError(
                f"seconds is {shown(tau.tolist())}; every step, from one query on, must take "
                f"some time, from {SMALLEST:g} to {LARGEST:g} s.",
                parameter="seconds",
                value=tau.tolist(),
            )
        if not self.allow and (why := self._objection()):
            raise WorkloadError(
                f"{why}, so that the mean time need not be convex in the tokens and no optimum is "
                "certain. Smooth the table, fit TokenTime(base, per_query), or take it as it is "
                "with allow=True.",
                parameter="seconds",
                value=tau.tolist(),
            )

    @property
    def _whole(self) -> Array:
        return np.arange(1, int(np.ceil(self.queries[-1])) + 2, dtype=np.float64)

    @property
    def tail(self) -> tuple[float, float]:
        r"""The line :math:`c + sn` that goes on beyond the last row, as (c, s)."""
        (n0, n1), (t0, t1) = self.queries[-2:], self.seconds[-2:]
        slope = (t1 - t0) / (n1 - n0)
        return t1 - slope * n1, slope

    @property
    def last(self) -> int:
        """The first whole number from which on the last line holds."""
        return int(np.ceil(self.queries[-2]))

    @property
    def grows(self) -> bool:
        r"""Whether :math:`\varphi` does not fall beyond the last row."""
        intercept, slope = self.tail
        return slope >= 0 and intercept >= -BEND_TOLERANCE * self.seconds[-1]

    def seconds_at(self, n: ArrayLike) -> Array:
        r"""Return :math:`\tau(n)` in s.

        Parameters
        ----------
        n : array_like
            Queries in the batch.
        """
        x, at, tau = floats("n", n), self.queries, self.seconds
        first = tau[0] + (tau[1] - tau[0]) / (at[1] - at[0]) * (x - at[0])
        intercept, slope = self.tail
        inside = np.interp(x, at, tau)
        return np.where(x < at[0], first, np.where(x > at[-1], intercept + slope * x, inside))

    def rate_at(self, n: ArrayLike) -> Array:
        r"""Return :math:`\varphi(n) = n/\tau(n)`, tokens a second of all together.

        Parameters
        ----------
        n : array_like
            Queries in the batch.
        """
        return _rate(self, n)

    @property
    def concave(self) -> bool:
        r"""Whether :math:`\varphi` rises and is concave on the whole numbers."""
        return not self._objection()

    def _objection(self) -> str:
        r"""Say where :math:`\varphi` is not as it must be; nothing where it is.

        Beyond the rows it is :math:`n/(c + sn)`, which rises and is concave there if it rises from
        the last row to one query more.
        """
        rate = np.concatenate([[0.0], self.rate_at(self._whole)])
        rise = np.diff(rate)
        small = BEND_TOLERANCE * rate[1]
        if (falls := rise < -small).any():
            n = int(np.argmax(falls))
            return (
                f"The rate n/τ(n) falls from {rate[n]:.6g} to {rate[n + 1]:.6g} tokens/s between "
                f"{n} and {n + 1} queries"
            )
        if (bends := np.diff(rise) > small).any():
            n = int(np.argmax(bends)) + 1
            return (
                f"The rate n/τ(n) is not concave: the query after {n} adds {rise[n]:.6g} tokens/s, "
                f"the one before {rise[n - 1]:.6g}"
            )
        return ""


def _rate(time: TokenTime | TokenTimeTable, n: ArrayLike) -> Array:
    x = floats("n", n)
    return np.divide(x, time.seconds_at(x), out=np.zeros_like(x), where=x > 0)
