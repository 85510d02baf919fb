r"""From sums over independent rows to estimates with intervals.

A ratio :math:`r = \mathbb{E}[A]/\mathbb{E}[B]`, such as waiting time per query, is estimated by
:math:`\hat r = \sum A_i / \sum B_i` over :math:`K` rows, with

.. math:: \hat\sigma^2 = \frac{1}{K-1}\sum_i (A_i - \hat r B_i)^2, \qquad
          \hat r \pm t_{K-1,\,(1+\gamma)/2}\; \frac{\sqrt{K}\,\hat\sigma}{\sum_i B_i}

at level :math:`\gamma`. For *regenerative cycles* the rows are independent (M. A. Crane and D. L.
Iglehart, 1975). Busy cycles are very skewed near saturation, where a run that happens to miss the
longest ones reports both too small a mean and too short an interval; the quantiles of Student's
distribution are therefore corrected for the skewness of :math:`A_i - \hat r B_i` by the
transformation of P. Hall (1992, *On the removal of skewness by transformation*). For *batch means*
the rows are long stretches of the run that are nearly independent, for *replications* whole runs,
and there is no correction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from thinkqueue.arrays import Array, Index

Method = Literal["regenerative cycles", "batch means", "replications"]

ENOUGH = 20.0
"""Intervals from fewer independent observations are not to be trusted."""


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        The ends of the interval; infinite where the run was too short to tell.
    level : float
        The probability with which such an interval holds the truth.
    observations : float
        How many independent observations it rests on: the squared ratio of what was measured to
        its standard error, where that is the share of queries on the rarer side of a quantile.
    """

    value: float
    low: float
    high: float
    level: float
    observations: float = np.inf

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

    @property
    def too_short(self) -> bool:
        """Whether the run was too short for the interval to be trusted."""
        return bool(self.observations < ENOUGH or not np.isfinite(self.half_width))

    def covers(self, value: float) -> bool:
        """Say whether a value lies in the interval.

        Parameters
        ----------
        value : float
            What a theory says.
        """
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.6g} [{self.low:.6g}, {self.high:.6g}]"


@dataclass(frozen=True)
class Estimates:
    """Several estimates, as arrays of one shape.

    Attributes
    ----------
    value : ndarray
        The estimates.
    low, high : ndarray
        The ends of their intervals.
    level : float
        The level of each of them.
    observations : ndarray
        How many independent observations each rests on.
    """

    value: Array
    low: Array
    high: Array
    level: float
    observations: Array

    def __getitem__(self, k: int | tuple[int, ...]) -> Estimate:
        ends = (float(self.value[k]), float(self.low[k]), float(self.high[k]))
        return Estimate(*ends, self.level, float(self.observations[k]))

    def __len__(self) -> int:
        return int(self.value.size)


@dataclass(frozen=True)
class PerType:
    """What each type of query saw, as arrays of shape (N,).

    Attributes
    ----------
    queries : ndarray of int64
        How many queries of the type are in the estimates.
    mean_system_time, mean_waiting_time : Estimates
        In seconds.
    late : Estimates
        The share of queries answered after the deadline of the type.
    """

    queries: Index
    mean_system_time: Estimates
    mean_waiting_time: Estimates
    late: Estimates


def ratio(above: Array, below: Array, level: float, *, skewed: bool) -> Estimates:
    r"""Return :math:`\sum A_i / \sum B_i` with intervals.

    Parameters
    ----------
    above, below : ndarray, (K, ...)
        A and B of each row.
    level : float
        :math:`\gamma`.
    skewed : bool
        Whether to correct for skewness.

    Returns
    -------
    Estimates of shape (...)
        The ratio is 0 and its interval infinite where all B are 0.
    """
    rows = max(len(above), 2)
    bottom = below.sum(0)
    enough = (bottom > 0) & (len(above) > 1)
    bottom = np.where(bottom > 0, bottom, 1.0)
    value = np.asarray(above.sum(0) / bottom)
    rest = above - value * below
    variance = np.asarray((rest**2).sum(0) / (rows - 1))
    error = np.sqrt(variance * rows) / bottom
    t = float(stdtrit(rows - 1.0, (1 + level) / 2))
    up = down = np.full_like(value, t)
    if skewed:
        cube = (rest**3).sum(0) / rows
        with np.errstate(divide="ignore", invalid="ignore"):
            skew = np.where(variance > 0, cube / variance**1.5, 0.0) / np.sqrt(rows)
        up, down = -unskewed(-t, skew), unskewed(t, skew)
    with np.errstate(divide="ignore", invalid="ignore"):
        observations = np.where(enough & (value != 0), (value / error) ** 2, 0.0)
    low = np.where(enough, value - error * down, -np.inf)
    high = np.where(enough, value + error * up, np.inf)
    return Estimates(value, low, high, level, observations)


def unskewed(t: float, skew: Array) -> Array:
    r"""Return the quantile of a skewed studentised mean, by Hall's transformation.

    .. math:: \frac{3}{q}\left[\sqrt[3]{1 + q\,(t - q/6)} - 1\right], \qquad
              q = \frac{\text{skewness}}{\sqrt K},

    which tends to t as q does to zero.

    Parameters
    ----------
    t : float
        The quantile of Student's distribution.
    skew : ndarray
        q of each mean.
    """
    q = np.copysign(np.maximum(np.abs(skew), 1e-6), skew)
    return np.asarray(3 / q * (np.cbrt(1 + q * (t - q / 6)) - 1))
