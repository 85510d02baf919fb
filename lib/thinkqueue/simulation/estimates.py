r"""From sums over independent blocks, or over batches, to estimates with intervals.

Both methods estimate a ratio :math:`r = \mathbb{E}[A]/\mathbb{E}[B]`, such as waiting time per
query, by :math:`\hat r = \sum A_i / \sum B_i` over :math:`K` blocks, with

.. math:: \hat\sigma^2 = \frac{1}{K-1}\sum_i (A_i - \hat r B_i)^2, \qquad
          \hat r \pm t_{K-1,\,(1+\gamma)/2}\; \frac{\sqrt{K}\,\hat\sigma}{\sum_i B_i}

at level :math:`\gamma`. For *regenerative cycles* the blocks are independent and the interval is
right for long runs without any choice to be made (M. A. Crane and D. L. Iglehart, 1975); for
*batch means* they are long stretches of equally many queries that are nearly independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


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
    """One estimate for each type, as arrays of shape (N,)."""

    value: Array
    low: Array
    high: Array
    level: float

    def __getitem__(self, k: int) -> Estimate:
        return Estimate(float(self.value[k]), float(self.low[k]), float(self.high[k]), self.level)

    def __len__(self) -> int:
        return int(self.value.size)


def half_width(squares: Array, blocks: Array, below: Array, level: float) -> Array:
    r"""Return half the length of the interval of a ratio; infinite with fewer than two blocks.

    Parameters
    ----------
    squares : ndarray
        :math:`\sum_i (A_i - \hat r B_i)^2`.
    blocks : ndarray
        :math:`K`.
    below : ndarray
        :math:`\sum_i B_i`.
    level : float
        :math:`\gamma`.
    """
    enough = (blocks > 1) & (below > 0)
    free = np.where(enough, blocks - 1.0, 1.0)
    spread = np.sqrt(np.maximum(squares, 0.0) / free * blocks) / np.where(enough, below, 1.0)
    return np.where(enough, stdtrit(free, (1 + level) / 2) * spread, np.inf)


def ratio(
    sums: Array, products: Array, above: int, below: int, blocks: int, level: float
) -> Estimate:
    r"""Return the ratio of two sums over independent blocks.

    Parameters
    ----------
    sums : ndarray, (D,)
        Sums over the blocks.
    products : ndarray, (D, D)
        Sums of products; the lower triangle is read.
    above, below : int
        Which sums are A and B.
    blocks : int
        How many blocks there were.
    level : float
        The level of the interval.
    """
    full = np.tril(products) + np.tril(products, -1).T
    value = sums[above] / sums[below] if sums[below] > 0 else 0.0
    squares = full[above, above] - 2 * value * full[above, below] + value**2 * full[below, below]
    wide = float(half_width(squares, np.asarray(blocks), sums[below], level))
    return Estimate(float(value), float(value - wide), float(value + wide), level)


def of_batches(values: Array, weights: Array, level: float) -> Estimate:
    """Return the mean of batch values, weighted by the length of the batches.

    Parameters
    ----------
    values, weights : ndarray, (K,)
        One of each for every batch.
    level : float
        The level of the interval.
    """
    if not values.size:
        return Estimate(0.0, -np.inf, np.inf, level)
    value = float(values @ weights / weights.sum())
    squares = ((values - value) ** 2 * weights**2).sum()
    wide = float(half_width(squares, np.asarray(values.size), weights.sum(), level))
    return Estimate(value, value - wide, value + wide, level)
