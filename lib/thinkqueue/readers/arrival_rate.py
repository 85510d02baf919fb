"""How often queries come, from the times at which they were sent."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from thinkqueue.arrays import Array

POISSON = 1.5
"""A squared coefficient of variation of the gaps beyond which arrivals are said to come in bursts;
that of a Poisson stream is 1."""

LEVEL = 0.95


@dataclass(frozen=True)
class ArrivalRate:
    r"""How often queries come, with an interval that holds for a Poisson stream.

    Attributes
    ----------
    value, low, high : float
        Queries a second: the estimate :math:`n/t` of n gaps in t seconds, and its exact interval.
    variation : float
        Squared coefficient of variation of the gaps; 1 for a Poisson stream.
    """

    value: float
    low: float
    high: float
    variation: float

    @property
    def bursty(self) -> bool:
        """Whether queries come in bursts, for which the Poisson model is too hopeful."""
        return self.variation > POISSON


def arrival_rate(sent: Sequence[Array]) -> ArrivalRate | None:
    """Return the rate of a stream, or None if fewer than two times are known.

    Parameters
    ----------
    sent : sequence of ndarray
        When requests were sent, log by log: logs of one span are parts of one stream, others
        follow one another.
    """
    known = [np.sort(times[np.isfinite(times)]) for times in sent]
    known = [times for times in known if times.size > 1]
    if _overlap(known):
        known = [np.sort(np.concatenate(known))]
    every = np.concatenate([np.empty(0), *map(np.diff, known)])
    count, span = every.size, float(every.sum())
    if not span > 0:
        return None
    return ArrivalRate(
        value=count / span,
        # the time of n Poisson arrivals is a gamma variable
        low=float(chdtri(2 * count, (1 + LEVEL) / 2)) / (2 * span),
        high=float(chdtri(2 * count, (1 - LEVEL) / 2)) / (2 * span),
        variation=float(np.var(every) / np.mean(every) ** 2),
    )


def _overlap(sent: Sequence[Array]) -> bool:
    spans = sorted((float(times[0]), float(times[-1])) for times in sent)
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))
