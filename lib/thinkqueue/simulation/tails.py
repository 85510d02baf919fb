r"""Quantiles with intervals, by testing what they say about the tail.

Whether t can be the quantile of probability p is a question about a ratio: is the share of queries
beyond t equal to :math:`1-p`? With :math:`A_i(t)` of the :math:`B_i` queries of row i beyond t,
:math:`\hat r(t) = \sum A_i/\sum B_i` and n queries in all, the *design effect*

.. math:: D(t) = \frac{\sum_i (A_i(t) - \hat r(t) B_i)^2}{n\,\hat r(t)\,(1 - \hat r(t))}

says how much more the share varies than it would if queries were independent. The interval is

.. math:: \Bigl\{t : \;\frac{\hat r(t) - (1 - p)}{\sqrt{D(t)\,p\,(1-p)/n}}
          \in [-u(-\tau),\, u(\tau)]\Bigr\}

with the quantile :math:`\tau` of Student's distribution and Hall's correction u for the skewness of
:math:`A_i - \hat r B_i` (``estimates.py``). Row by row the tail is known at the edges of coarse
bins, between which D and the skewness, which hardly change, are interpolated; over the whole run it
is known at the edges of fine ones, and the interval ends at such edges, so that the width of a bin
is in it and atoms do no harm. Where not even the largest time seen can be refused, it is infinite.
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.estimates import Estimate, unskewed
from thinkqueue.simulation.rows import Counts
from thinkqueue.simulation.sketch import COARSE, edge, quantiles


def quantile_estimates(
    probabilities: Array, counts: Index, rows: Counts, level: float, *, skewed: bool
) -> list[Estimate]:
    """Return the quantiles of what a run has counted.

    Parameters
    ----------
    probabilities : ndarray, (P,)
        Between 0 and 1.
    counts : ndarray of int64, (BINS,)
        How many queries the whole run has in each fine bin.
    rows : ndarray of int32, (K, COARSE_BINS)
        How many each row has in each coarse bin.
    level : float
        Of the intervals.
    skewed : bool
        Whether to correct for skewness.
    """
    if not len(probabilities):  # who asks for none does not wait for any
        return []
    values = quantiles(counts, probabilities)
    filled = np.flatnonzero(counts)
    beyond = 1 - np.cumsum(counts[filled]) / counts.sum()
    spread = _spread(rows, filled)
    if spread is None:
        return [Estimate(float(value), 0.0, np.inf, level, 0.0) for value in values]
    effect, skew = spread
    t = float(stdtrit(len(rows) - 1.0, (1 + level) / 2))
    lowest, highest = (unskewed(-t, skew), unskewed(t, skew)) if skewed else (-t, t)
    found = []
    for p, value in zip(probabilities, values, strict=True):
        excess = (beyond - (1 - p)) / np.sqrt(effect * p * (1 - p) / counts.sum())
        # a bin may hold the quantile if the tail beyond its upper edge may be as small as 1 - p
        # and the tail beyond its lower edge, the upper one of the bin before, as large
        low = filled[np.argmax(excess <= highest)]
        refused = np.flatnonzero(excess < lowest)
        high = edge(filled[refused[0]] + 1) if refused.size else np.inf
        here = effect[np.argmax(beyond <= 1 - p)]
        observations = float(counts.sum() / here * min(p, 1 - p))
        found.append(Estimate(float(value), float(edge(low)), float(high), level, observations))
    return found


def _spread(rows: Counts, filled: Index) -> tuple[Array, Array] | None:
    """Return design effect and skewness of the tail beyond each filled bin."""
    if len(rows) < 2 or not filled.size:
        return None
    coarse = slice(filled[0] >> COARSE, (filled[-1] >> COARSE) + 1)
    size = rows.sum(1, dtype=np.float64)[:, None]
    above = size - np.cumsum(rows[:, coarse], axis=1, dtype=np.float64)
    share = above.sum(0) / size.sum()
    rest = above - share * size
    known = (share > 0) & (share < 1)
    if not known.any():
        return np.ones(filled.size), np.zeros(filled.size)
    known &= rest.any(axis=0)
    if not known.any():  # one record, served alike by all: nothing is known of chance
        return None
    square = (rest[:, known] ** 2).sum(0) * len(rows) / (len(rows) - 1)
    cube = (rest[:, known] ** 3).sum(0)
    share = share[known]
    place = (filled + 1) / 2**COARSE - 1  # of the upper edge, on the scale of the coarse ones
    edges = coarse.start + np.flatnonzero(known)
    effect = np.interp(place, edges, square / (size.sum() * share * (1 - share)))
    return effect, np.interp(place, edges, cube / square**1.5)
