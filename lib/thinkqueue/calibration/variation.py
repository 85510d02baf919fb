r"""How much thinking lengths vary at one budget: what makes a wait longer than the means tell.

Of single queries of one task under one budget the lengths have mean :math:`\mu_g` and variance
:math:`\sigma_g^2`; their squared coefficient of variation is estimated by the ratio of unbiased
estimates of :math:`\sigma_g^2` and :math:`\mu_g^2`,

.. math:: \hat v_g^2 = \frac{s_g^2}{\bar x_g^2 - s_g^2/n_g},

and pooled over the budgets with weights :math:`n_g - 1`. The interval is that of Student around
:math:`\ln\hat v`, with the error from leaving out one length after the other (the jackknife), which
assumes no law of lengths. Laws of heavy tails hide their variance from small samples, and no
interval knows of tails that were not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import chdtrc, stdtrit

from thinkqueue.arrays import Array
from thinkqueue.calibration.intervals import Interval
from thinkqueue.calibration.words import listed

_FEWEST = 20
"""Degrees of freedom from which a variation is told."""
_SIGNIFICANT = 0.01
_ROUNDING = 1e-12


class VariationVerdict(StrEnum):
    """What single queries tell of the variation of their lengths."""

    MEASURED = "measured"
    BY_BUDGET = "changes with the budget"
    TOO_FEW = "too few queries"


@dataclass(frozen=True, eq=False)
class Variation:
    """The coefficient of variation of the thinking length at one budget.

    Attributes
    ----------
    verdict : VariationVerdict
        Whether it is known, and whether it is one number.
    value : float
        The estimate, pooled over the budgets; 0 where it cannot be told.
    interval : Interval
        Around it; of one budget where they differ, so that it is too narrow for the others.
    by_budget : dict of float
        The estimate at each budget of two queries or more.
    queries : int
        How many single queries it rests on.
    words : str
        The verdict in a sentence.
    """

    verdict: VariationVerdict
    value: float
    interval: Interval
    by_budget: dict[float, float]
    queries: int
    words: str

    @property
    def known(self) -> bool:
        """Whether the estimate may be used."""
        return self.verdict is not VariationVerdict.TOO_FEW


def measure_variation(budget: Array, tokens: Array, level: float = 0.95) -> Variation:
    """Estimate the variation of the lengths of one task's single queries.

    Parameters
    ----------
    budget, tokens : ndarray, (R,)
        What each was allowed, and what it used.
    level : float, optional
        Of the interval.
    """
    budgets, group, count = np.unique(budget, return_inverse=True, return_counts=True)
    mean = np.bincount(group, tokens) / count
    usable = (count > 1) & (mean > 0)
    budgets = budgets[usable]
    found = [_of_group(tokens[group == g]) for g in np.flatnonzero(usable)]
    degrees = float(sum(one.count - 1 for one in found))
    each = {float(b): float(np.sqrt(one.square)) for b, one in zip(budgets, found, strict=True)}
    queries = sum(one.count for one in found)
    if degrees < _FEWEST:
        words = (
            f"How much lengths vary cannot be told from {queries} single queries under budgets "
            f"that others were under too; it takes {_FEWEST} more than there are budgets."
        )
        nothing = Interval(0.0, np.inf, level, low_open=True, high_open=True)
        return Variation(VariationVerdict.TOO_FEW, 0.0, nothing, each, queries, words)
    weight = np.array([(one.count - 1) / degrees for one in found])
    square = float(weight @ [one.square for one in found])
    value = float(np.sqrt(square))
    changes = (w * (one.without - one.square) for w, one in zip(weight, found, strict=True))
    wide = 0.0
    if square > 0:
        error = np.hypot.reduce([_jackknife(np.log1p(part / square)) for part in changes])
        # the error of ln v is half that of ln v²
        wide = float(stdtrit(degrees, (1 + level) / 2) * error / 2)
    interval = Interval(value * float(np.exp(-wide)), value * float(np.exp(wide)), level)
    if _differ(found):
        parts = listed(f"{v:.2g} at {b:,.4g}" for b, v in each.items())
        words = (
            f"Lengths vary more at some budgets than at others ({parts} tokens), as they do where "
            f"a budget cuts them off; the mean of these, {value:.2g}, stands for all."
        )
        return Variation(VariationVerdict.BY_BUDGET, value, interval, each, queries, words)
    words = (
        f"At one budget lengths vary by {value:.3g} times their mean [{interval.low:.3g}, "
        f"{interval.high:.3g}]."
    )
    return Variation(VariationVerdict.MEASURED, value, interval, each, queries, words)


@dataclass(frozen=True)
class _Group:
    """The squared coefficient of variation of one group, whole and with each length left out."""

    count: int
    square: float
    without: Array

    @property
    def error(self) -> float:
        """The relative standard error, by the jackknife of the logarithm."""
        if self.square == 0:
            return 0.0
        return _jackknife(np.log(np.maximum(self.without, _ROUNDING * self.square)))


def _of_group(lengths: Array) -> _Group:
    n, total, squares = lengths.size, lengths.sum(), lengths @ lengths
    square = float(_square(n, total, squares))
    if n == 2:  # one length alone does not vary
        return _Group(n, square, np.full(2, square))
    return _Group(n, square, _square(n - 1, total - lengths, squares - lengths**2))


def _square(n: int, total: Array, squares: Array) -> Array:
    """Return the estimate of v² from sums of lengths and of their squares."""
    away = squares - total**2 / n
    variance = np.where(away > _ROUNDING * squares, away, 0.0) / (n - 1)
    product = (total**2 - squares) / (n * (n - 1))  # of two different lengths: unbiased for μ²
    return variance / np.maximum(product, total**2 / n**3)


def _jackknife(values: Array) -> float:
    n = values.size
    return float(np.sqrt((n - 1) / n * np.sum((values - values.mean()) ** 2)))


def _differ(groups: list[_Group]) -> bool:
    """Whether the variations of the budgets are too far apart to be one (Cochran's Q of ln v²)."""
    sure = [one for one in groups if one.count > _FEWEST and one.square > 0 and one.error > 0]
    if len(sure) < 2:
        return False
    logs = np.log([one.square for one in sure])
    weights = np.array([one.error**-2 for one in sure])
    excess = weights @ (logs - weights @ logs / weights.sum()) ** 2
    return bool(chdtrc(len(sure) - 1, excess) < _SIGNIFICANT)
