r"""How much thinking lengths vary at one budget: what makes a wait longer than the means tell.

Of :math:`n_g` single queries of one task under one budget, each length divided by their mean, let
:math:`a_g` be the sample variance. The square of the coefficient of variation, pooled over the
budgets, is

.. math:: \hat v^2 = \frac{\sum_g (n_g - 1)\,a_g}{\sum_g (n_g - 1)(1 - a_g/n_g)},

where what is taken off below makes up for the mean being an estimate: for lengths of the gamma law
the ratio of the two expectations is :math:`v^2` exactly, however small the groups are. The interval
is that of Student around :math:`\ln\hat v`, with the error from leaving out one length after the
other (the jackknife), which assumes no law of lengths. Laws of heavy tails hide their variance from
small samples, and no interval knows of tails that were not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import chdtrc, stdtrit

from thinkqueue.arrays import Array, Index
from thinkqueue.calibration.intervals import Interval
from thinkqueue.names import listed

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
        The estimate at each budget of more than 20 queries.
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
    found = _groups(budget, tokens)
    degrees = float(np.sum(found.count - 1))
    queries = int(found.count.sum())
    sure = (found.count > _FEWEST) & (found.square > 0) & (found.error > 0)
    each = {
        float(b): float(np.sqrt(square))
        for b, square, n in zip(found.budget, found.square, found.count, strict=True)
        if n > _FEWEST
    }
    if degrees < _FEWEST:
        words = (
            f"How much lengths vary cannot be told from {queries} single queries under budgets "
            f"that others were under too; it takes {_FEWEST} more than there are budgets."
        )
        nothing = Interval(0.0, np.inf, level, low_open=True, high_open=True)
        return Variation(VariationVerdict.TOO_FEW, 0.0, nothing, each, queries, words)
    value = float(np.sqrt(found.pooled))
    # the error of ln v is half that of ln v²
    wide = float(stdtrit(degrees, (1 + level) / 2)) * found.pooled_error / 2
    interval = Interval(value * float(np.exp(-wide)), value * float(np.exp(wide)), level)
    if _differ(found.square[sure], found.error[sure]):
        ends = list(each.items())
        parts = listed(f"{v:.2g} at {b:,.4g}" for b, v in (ends[0], ends[-1]))
        words = (
            f"Lengths vary more at some budgets than at others ({parts} tokens), as they do where "
            f"a budget cuts them off; the mean over all budgets, {value:.2g}, is taken."
        )
        return Variation(VariationVerdict.BY_BUDGET, value, interval, each, queries, words)
    words = (
        f"At one budget lengths vary by {value:.3g} times their mean [{interval.low:.3g}, "
        f"{interval.high:.3g}]."
    )
    return Variation(VariationVerdict.MEASURED, value, interval, each, queries, words)


@dataclass(frozen=True)
class _Groups:
    """The queries of each budget that has two or more.

    Attributes
    ----------
    budget, count, above, below : ndarray, (G,)
        Of each group: its budget, its queries, and its part of both sums.
    group : ndarray of int, (R,)
        Of each query: its group.
    above_without, below_without : ndarray, (R,)
        The parts of its group that leave it out.
    """

    budget: Array
    count: Index
    above: Array
    below: Array
    group: Index
    above_without: Array
    below_without: Array

    @property
    def square(self) -> Array:
        """The estimate of v² at each budget, (G,)."""
        return self.above / np.maximum(self.below, self._least)

    @property
    def error(self) -> Array:
        """The standard error of the logarithm of each, (G,); 0 where it cannot be told."""
        many = (self.count > 2)[self.group]
        below = np.maximum(self.below_without, self._least[self.group])
        change = _log_ratio(self.above_without / below, self.square[self.group])
        return np.sqrt(np.bincount(self.group, np.where(many, self._weight * change**2, 0.0)))

    @property
    def pooled_error(self) -> float:
        """The standard error of the logarithm of the pooled estimate."""
        least = self._least.sum()
        above = self.above.sum() + self.above_without - self.above[self.group]
        below = self.below.sum() + self.below_without - self.below[self.group]
        change = _log_ratio(above / np.maximum(below, least), self.pooled)
        return float(np.sqrt(np.sum(self._weight * change**2)))

    @property
    def pooled(self) -> float:
        """The estimate of v² from all budgets."""
        return float(self.above.sum() / max(self.below.sum(), self._least.sum()))

    @property
    def _least(self) -> Array:
        # what is below comes to 0 where all but one of the lengths are 0
        return np.asarray((self.count - 1) / self.count**2)

    @property
    def _weight(self) -> Array:
        return np.asarray((1 - 1 / self.count)[self.group])


def _groups(budget: Array, tokens: Array) -> _Groups:
    _, group, count = np.unique(budget, return_inverse=True, return_counts=True)
    usable = ((count > 1) & (np.bincount(group, tokens) > 0))[group]
    tokens = tokens[usable]
    budgets, group, count = np.unique(budget[usable], return_inverse=True, return_counts=True)
    total = np.bincount(group, tokens).astype(float)
    squares = np.bincount(group, tokens**2).astype(float)
    left = total[group] - tokens, squares[group] - tokens**2
    return _Groups(
        budgets, count, *_parts(count, total, squares), group, *_parts(count[group] - 1, *left)
    )


def _parts(count: Index, total: Array, squares: Array) -> tuple[Array, Array]:
    """Return the parts of groups in both sums, from sums of lengths and of their squares."""
    n = np.maximum(count, 1)
    away = n * squares / np.where(total > 0, total, 1.0) ** 2 * n - n  # of (x/mean − 1)²
    away = np.where((total > 0) & (away > _ROUNDING * n), away, 0.0)
    return np.where(count > 1, away, 0.0), np.where(count > 1, n - 1 - away / n, 0.0)


def _log_ratio(one: Array, other: Array | float) -> Array:
    """Return ln(one/other), 0 where other is 0, and held within what doubles resolve."""
    safe = np.where(other > 0, other, 1.0)
    return np.where(other > 0, np.log(np.maximum(one / safe, _ROUNDING)), 0.0)


def _differ(squares: Array, errors: Array) -> bool:
    """Whether the variations of the budgets are too far apart to be one (Cochran's Q of ln v²)."""
    if squares.size < 2:
        return False
    logs, weights = np.log(squares), errors**-2
    excess = weights @ (logs - weights @ logs / weights.sum()) ** 2
    return bool(chdtrc(squares.size - 1, excess) < _SIGNIFICANT)
