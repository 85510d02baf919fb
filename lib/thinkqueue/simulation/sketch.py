r"""Quantiles of a stream in constant memory: a histogram on the bits of the number.

A bin is the exponent and the first eight bits of the fraction of a float, so finding it is one
shift, and each bin is at most :math:`2^{-8} = 0.4\,\%` of its value wide. A quantile read from the
sketch is interpolated in its bin: its error is below 0.4% of itself, whatever the distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.simulation.compiled import inlined

Counts = NDArray[np.int64]

LOWEST, HIGHEST = -24, 40
"""Exponents of two, in seconds: the sketch tells 60 ns from 0 and 35,000 years from infinity."""

PER_OCTAVE = 256
BINS = (HIGHEST - LOWEST) * PER_OCTAVE
COARSE = 6
"""A coarse bin is 2**6 = 64 fine ones; there are four to an octave."""

COARSE_BINS = BINS >> COARSE
_SHIFT = 44  # 52 bits of fraction, of which 8 are kept
_OFFSET = (1023 + LOWEST) * PER_OCTAVE


@inlined
def bin_of(value: float) -> int:
    """Return the bin of a non-negative number; all below 2**LOWEST share bin 0."""
    place = int(np.float64(value).view(np.int64) >> _SHIFT) - _OFFSET
    return min(max(place, 0), BINS - 1)


@inlined
def coarse(place: int) -> int:
    """Return the coarse bin that a bin lies in."""
    return place >> COARSE


def edge(place: Counts) -> Array:
    """Return the lower edges of bins, in seconds; that of the first bin is 0.

    Parameters
    ----------
    place : ndarray of int64
        The bins.
    """
    octave, step = np.divmod(place, PER_OCTAVE)
    return np.where(place == 0, 0.0, np.ldexp(1 + step / PER_OCTAVE, octave + LOWEST))


def quantiles(counts: Counts, probabilities: Array) -> Array:
    """Return the quantiles of what a sketch has counted, interpolated within their bins.

    Parameters
    ----------
    counts : ndarray of int64, (BINS,)
        How much each bin holds.
    probabilities : ndarray, (P,)
        Between 0 and 1.
    """
    below = np.cumsum(counts)
    rank = probabilities * below[-1]
    found = np.minimum(np.searchsorted(below, rank), BINS - 1)
    low, high = edge(found), edge(found + 1)
    inside = (rank - (below[found] - counts[found])) / np.maximum(counts[found], 1)
    # bin 0 holds the zeros: the queries that did not wait
    return np.where(found == 0, 0.0, low + inside * (high - low))
