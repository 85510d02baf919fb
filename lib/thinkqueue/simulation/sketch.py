r"""Quantiles of a stream in constant memory: a histogram on the bits of the number.

A bin is the exponent and the first eight bits of the fraction of a float, so finding it is one
shift, and each bin is at most :math:`2^{-8} = 0.4\,\%` of its value wide. A quantile read from the
sketch is interpolated in its bin: its error is below 0.4 % of itself, whatever the distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thinkqueue.simulation.compiled import compiled

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

LOWEST, HIGHEST = -24, 40
"""Exponents of two, in seconds: the sketch tells 60 ns from 0 and 35,000 years from infinity."""

PER_OCTAVE = 256
BINS = (HIGHEST - LOWEST) * PER_OCTAVE
_SHIFT = 44  # 52 bits of fraction, of which 8 are kept
_OFFSET = (1023 + LOWEST) * PER_OCTAVE


@compiled
def bin_of(value: float) -> int:
    """Return the bin of a non-negative number; all below 2**LOWEST share bin 0."""
    place = int(np.float64(value).view(np.int64) >> _SHIFT) - _OFFSET
    return min(max(place, 0), BINS - 1)


def edges() -> Array:
    """Return the edges of the bins, (BINS + 1,), in seconds; the first is 0."""
    octave, step = np.divmod(np.arange(BINS + 1), PER_OCTAVE)
    grid = np.ldexp(1 + step / PER_OCTAVE, octave + LOWEST)
    grid[0] = 0.0
    return np.asarray(grid)


def quantiles(counts: Counts, probabilities: Array) -> Array:
    """Return the quantiles of what a sketch has counted, interpolated within their bins.

    Parameters
    ----------
    counts : ndarray of int64, (BINS,)
        The sketch.
    probabilities : ndarray, (P,)
        Between 0 and 1.
    """
    below = np.cumsum(counts)
    rank = probabilities * below[-1]
    place = np.minimum(np.searchsorted(below, rank), BINS - 1)
    grid = edges()
    inside = (rank - (below[place] - counts[place])) / np.maximum(counts[place], 1)
    # bin 0 holds the zeros: the queries that did not wait
    return np.where(place == 0, 0.0, grid[place] + inside * (grid[place + 1] - grid[place]))
