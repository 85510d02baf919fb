r"""From sums over independent blocks, or over batches, to estimates with intervals.

Both methods estimate a ratio :math:`r = \mathbb{E}[A]/\mathbb{E}[B]`, such as waiting time per
query, by :math:`\hat r = \sum A_i / \sum B_i` over :math:`K` blocks, with

.. math:: \hat\sigma^2 = \frac{1}{K-1}\sum_i (A_i - \hat r B_i)^2, \qquad
          \hat r \pm t_{K-1,\,(1+\gamma)/2}\; \frac{\sqrt{K}\,\hat\sigma}{\sum_i B_i}

at level :math:`\gamma`. For *regenerative cycles* the blocks are independent (M. A. Crane and D. L.
Iglehart, 1975). Busy cycles are very skewed near saturation, where a run that happens to miss the
longest ones reports both too small a mean and too short an interval; the quantiles are therefore
corrected for the skewness of :math:`A_i - \hat r B_i` by the transformation of P. Hall (1992, *On
the removal of skewness by transformation*). For *batch means* the blocks are long stretches of
equally many queries that are nearly independent, and there is no correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from thinkqueue.arrays import Array


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
    """

    value: float
    low: float
    high: float
    level: float

    @property
    def half_width(self) -> float:
        """Half the length of the interval."""
        return (self.high - self.low) / 2

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
    """

    value: Array
    low: Array
    high: Array
    level: float

    def __getitem__(self, k: int | tuple[int, ...]) -> Estimate:
        return Estimate(float(self.value[k]), float(self.low[k]), float(self.high[k]), self.level)

    def __len__(self) -> int:
        return int(self.value.size)


@dataclass(frozen=True)
class Blocks:
    """Sums over independent blocks, and the sums of their products of two and of three.

    Attributes
    ----------
    count : int
        How many blocks.
    sums : ndarray, (..., D)
        Sums over the blocks.
    products, cubes : ndarray, (..., D, D) and (..., D, D, D)
        Sums of products, symmetric.
    """

    count: int
    sums: Array
    products: Array
    cubes: Array

    @classmethod
    def pooled(cls, parts: Sequence[tuple[int, Array, Array, Array]]) -> Blocks:
        """Add up what several replications have, of which only falling indices are filled in.

        Parameters
        ----------
        parts : sequence of (count, sums, products, cubes)
            One of each replication.
        """
        count = sum(part[0] for part in parts)
        sums = np.sum([part[1] for part in parts], axis=0)
        products = np.sum([part[2] for part in parts], axis=0)
        cubes = np.sum([part[3] for part in parts], axis=0)
        d = np.arange(sums.shape[-1])
        two = np.sort(np.stack(np.meshgrid(d, d, indexing="ij")), axis=0)[::-1]
        three = np.sort(np.stack(np.meshgrid(d, d, d, indexing="ij")), axis=0)[::-1]
        return cls(
            count, sums, products[..., two[0], two[1]], cubes[..., three[0], three[1], three[2]]
        )

    def ratio(self, above: Array, below: Array, level: float) -> Estimates:
        r"""Return the ratios of two linear functions of the sums, with skew-corrected intervals.

        Parameters
        ----------
        above, below : ndarray, (D,)
            The coefficients of A and of B.
        level : float
            :math:`\gamma`.

        Returns
        -------
        Estimates of shape (...)
            The ratio is 0 and its interval infinite where B is 0.
        """
        bottom = self.sums @ below
        enough = (bottom > 0) & (self.count > 1)
        bottom = np.where(bottom > 0, bottom, 1.0)
        value = np.asarray(self.sums @ above / bottom)
        direction = above - value[..., None] * below
        square = np.einsum("...ij,...i,...j->...", self.products, *[direction] * 2)
        cube = np.einsum("...ijk,...i,...j,...k->...", self.cubes, *[direction] * 3)
        blocks = max(self.count, 2)
        variance = np.maximum(square, 0.0) / (blocks - 1)
        error = np.sqrt(variance * blocks) / bottom
        with np.errstate(divide="ignore", invalid="ignore"):
            skew = np.where(variance > 0, cube / blocks / variance**1.5, 0.0) / np.sqrt(blocks)
        t = float(stdtrit(blocks - 1.0, (1 + level) / 2))
        low = np.where(enough, value - error * unskewed(t, skew), -np.inf)
        high = np.where(enough, value - error * unskewed(-t, skew), np.inf)
        return Estimates(value, low, high, level)


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


def of_batches(values: Array, weights: Array, level: float) -> Estimate:
    """Return the mean of batch values, weighted by the length of the batches.

    Parameters
    ----------
    values, weights : ndarray, (K,)
        One of each for every batch.
    level : float
        The level of the interval.
    """
    if values.size < 2:
        value = float(values[0]) if values.size else 0.0
        return Estimate(value, -np.inf, np.inf, level)
    value = float(values @ weights / weights.sum())
    squares = ((values - value) ** 2 * weights**2).sum()
    spread = np.sqrt(squares * values.size / (values.size - 1)) / weights.sum()
    wide = float(stdtrit(values.size - 1.0, (1 + level) / 2) * spread)
    return Estimate(value, value - wide, value + wide, level)
