r"""Through what the types meet: the one number that, once fixed, makes J separable.

Every end of a cell is one value of it. There J is, for all allocations whose mean of what is asked,
:math:`m = \sum_k\pi_ks_k`, is that of the end,

.. math:: J = \sum_k\bigl[\alpha w_k\pi_kp_k - \pi_k(o\,s_k + \tau s_k^2)\bigr] - C .

First come, first served the number is :math:`\tau = \lambda/(2y)`, with :math:`o = 1` and C = 0. At
a batching server whose overflow shares, where the mean time is a function T of m alone, it is m
itself, with :math:`o = \tau = 0` and C = T(m): nothing is left of the queue but a constant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array, Index, first
from thinkqueue.delay.batching import Shared
from thinkqueue.delay.time import delay_of
from thinkqueue.workload import Affine, Fifo, Workload

ROUNDING = 1e-9
"""By how much, relatively, the largest number is raised."""

FULLEST = 1 - 1e-12
"""Which part of what a server can still take is looked at."""

ROWS = 1000
"""For how many means the mean time is evaluated at once."""


@dataclass(frozen=True)
class End:
    r"""One end of a cell.

    Attributes
    ----------
    coupling : Coupling
        Whose number it is.
    at : float
        The number.
    price : float
        :math:`\mu`, the multiplier of the load.
    linear, burden : float
        What a second, or a token, and its square cost a type: :math:`o + \mu` and :math:`\tau`.
    mean : float
        m.
    steep : float
        How C rises with m.
    bound : float
        The dual bound.
    index : ndarray of int64, (N,)
        The best positions there.
    top : ndarray, (N,)
        What each type contributes to the bound there.
    """

    coupling: Coupling
    at: float
    price: float
    linear: float
    burden: float
    mean: float
    steep: float
    bound: float
    index: Index
    top: Array


class Coupling(ABC):
    """What the search by load asks of a server.

    Parameters
    ----------
    workload : Workload
        The workload.
    """

    own: float
    """o, what a second of one's own service costs."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    @abstractmethod
    def number(self, mean: float) -> float:
        """Return the number that belongs to a mean.

        Parameters
        ----------
        mean : float
            m.
        """

    @abstractmethod
    def mean(self, at: float) -> float:
        """Return m.

        Parameters
        ----------
        at : float
            The number.
        """

    @abstractmethod
    def burden(self, at: float) -> float:
        r"""Return :math:`\tau`.

        Parameters
        ----------
        at : float
            The number.
        """

    @abstractmethod
    def constant(self, at: float) -> tuple[float, float]:
        """Return C and its slope by m.

        Parameters
        ----------
        at : float
            The number.
        """

    @abstractmethod
    def scale(self, mean: float) -> float:
        """Return the size of the numbers that m comes from, as rounding sees them.

        Parameters
        ----------
        mean : float
            m.
        """

    @abstractmethod
    def price(self, mean: float, second: float) -> float:
        r"""Return a first guess of :math:`\mu`, what the continuous optimum pays.

        Parameters
        ----------
        mean, second : float
            Its m, and :math:`M = \sum_k\pi_ks_k^2`.
        """

    @abstractmethod
    def most(self, mean: float, second: float, reach: float, left: float) -> float:
        """Return the largest number that an allocation as good as the incumbent can have.

        Parameters
        ----------
        mean, second : float
            m and M of the smallest budgets.
        reach : float
            m of the largest.
        left : float
            What the largest worth leaves for the mean time.
        """

    @abstractmethod
    def bend(self, left: End, right: End) -> float:
        """Return R, four times by how much the bound may rise above its chord.

        Parameters
        ----------
        left, right : End
            The ends.
        """

    @abstractmethod
    def time(self, mean: Array, second: Array) -> Array:
        r"""Return :math:`\mathbb{E}[T]`, infinite where unstable.

        Parameters
        ----------
        mean, second : ndarray
            m and M.
        """


class Queued(Coupling):
    """First come, first served."""

    own = 1.0

    def number(self, mean: float) -> float:
        """Return τ."""
        rate = self.workload.arrival_rate
        return rate / (2 * (1 - rate * mean))

    def mean(self, at: float) -> float:
        r"""Return :math:`1/\lambda - 1/(2\tau)`."""
        return 1 / self.workload.arrival_rate - 1 / (2 * at)

    def burden(self, at: float) -> float:
        """Return τ."""
        return at

    def constant(self, at: float) -> tuple[float, float]:
        """Return nothing."""
        return 0.0, 0.0

    def scale(self, mean: float) -> float:
        r"""Return :math:`1/\lambda`, from which m is a difference."""
        return 1 / self.workload.arrival_rate

    def price(self, mean: float, second: float) -> float:
        r"""Return :math:`\lambda^2M/(2y^2) = 2\tau^2M`."""
        return 2 * self.number(mean) ** 2 * second

    def most(self, mean: float, second: float, reach: float, left: float) -> float:
        r"""Return what bounds τ.

        J ≤ worth − m − τM with M ≥ M(0) and M ≥ m²: what is left for τM bounds τ.
        """
        rate, spare = self.workload.arrival_rate, left - mean
        by_second = spare / second if second > 0 else np.inf
        # (1 − y)² ≤ 2 λ y · spare, with τ = λ/(2y)
        a = rate * spare
        y = 1 / ((1 + a) + np.sqrt(a * (2 + a)))
        most = min(by_second, float(rate / (2 * y)))
        most = min(most, self.number(reach)) if rate * reach < 1 else most
        return most * (1 + ROUNDING)

    def bend(self, left: End, right: End) -> float:
        """Return R of the module :mod:`~thinkqueue.whole_tokens.load_search`."""
        steep = max(left.price, right.price, 0.0)
        rise = steep * (right.at - left.at) ** 2 / (2 * left.at**2 * right.at)
        return rise - (right.price - left.price) * (right.mean - left.mean)

    def time(self, mean: Array, second: Array) -> Array:
        """Return the formula of Pollaczek and Khinchine."""
        y = 1 - self.workload.arrival_rate * np.asarray(mean)
        stable = y > 0
        wait = self.workload.arrival_rate * second / (2 * np.where(stable, y, 1.0))
        return np.where(stable, mean + wait, np.inf)


class Batched(Coupling):
    r"""A batching server whose mean time is a convex function T of m.

    T lies above its tangents at both ends of a cell, hence above its chord less
    :math:`\theta(1-\theta)(T_2'-T_1')(m_2-m_1)`.
    """

    own = 0.0

    def __init__(self, workload: Workload, delay: Shared) -> None:
        super().__init__(workload)
        self.delay = delay

    def number(self, mean: float) -> float:
        """Return m."""
        return mean

    def mean(self, at: float) -> float:
        """Return m."""
        return at

    def burden(self, at: float) -> float:
        """Return nothing."""
        return 0.0

    def constant(self, at: float) -> tuple[float, float]:
        """Return T and T'."""
        found = self.delay.formula_of(self.workload, at)
        return first(found.g), first(found.g1)

    def scale(self, mean: float) -> float:
        """Return m, which is given."""
        return mean

    def price(self, mean: float, second: float) -> float:
        """Return T'."""
        return self.constant(mean)[1]

    def most(self, mean: float, second: float, reach: float, left: float) -> float:
        """Return the m at which the time takes all that is left, or the largest that can be."""
        room = first(self.delay.formula_of(self.workload, mean).slack)
        most = reach * (1 + ROUNDING)
        if self.delay.pace:
            most = min(most, mean + room / (self.workload.arrival_rate * self.delay.pace) * FULLEST)
        if self.constant(most)[0] <= left:
            return most
        if self.constant(mean)[0] >= left:
            return mean
        top = float(brentq(lambda m: self.constant(m)[0] - left, mean, most, rtol=1e-12))
        return min(top * (1 + ROUNDING), most)

    def bend(self, left: End, right: End) -> float:
        """Return R: the product of multiplier and mean, and T between its chord and tangents."""
        width = right.mean - left.mean
        return ((right.steep - left.steep) - (right.price - left.price)) * width

    def time(self, mean: Array, second: Array) -> Array:
        """Return T."""
        flat = np.ravel(mean)[:, None]
        with np.errstate(all="ignore"):
            rows = [
                self.delay.formula_of(self.workload, flat[i : i + ROWS])
                for i in range(0, len(flat), ROWS)
            ]
        time = np.concatenate([np.where(x.slack > 0, x.g, np.inf) for x in rows])
        return time.reshape(np.shape(mean))


def coupling_of(workload: Workload) -> Coupling | None:
    """Return how the types of a workload meet, or None where that is not through one number.

    Parameters
    ----------
    workload : Workload
        The workload.
    """
    if workload.server == Fifo() and isinstance(workload.service, Affine):
        return Queued(workload)
    delay = delay_of(workload.server)
    return Batched(workload, delay) if isinstance(delay, Shared) and delay.convex else None
