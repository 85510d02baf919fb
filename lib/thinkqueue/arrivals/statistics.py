r"""How far a stream of arrivals is from Poisson.

A Poisson stream has gaps with a coefficient of variation of 1, uncorrelated, and counts whose
variance is their mean whatever the window. The *index of dispersion* compares the two,

.. math:: I(w) = \frac{\operatorname{Var} N(w)}{\mathbb{E} N(w)},

and its growth with the window w tells on which time scales a stream is bursty: a queue feels the
dispersion over the time it takes to empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.arrivals.trace import Trace

FEWEST_WINDOWS = 30
"""No variance is estimated from fewer windows than this."""


@dataclass(frozen=True)
class ArrivalStatistics:
    """What a stream of arrivals looks like; lengths of windows in mean gaps.

    Attributes
    ----------
    name : str
        Of the trace.
    count : int
        Arrivals.
    duration : float
        From the first to the last, in s.
    rate : float
        In 1/s.
    cv : float
        Standard deviation of the gaps over their mean.
    correlation : float
        Of the logarithms of successive gaps.
    windows, dispersion : tuple of float
        Lengths of windows, in mean gaps, and the index of dispersion over each.
    """

    name: str
    count: int
    duration: float
    rate: float
    cv: float
    correlation: float
    windows: tuple[float, ...]
    dispersion: tuple[float, ...]


def index_of_dispersion(trace: Trace, windows: ArrayLike) -> Array:
    r"""Return :math:`\operatorname{Var} N(w) / \mathbb{E} N(w)` over windows side by side.

    Parameters
    ----------
    trace : Trace
        The arrivals.
    windows : array_like, (K,)
        Lengths of windows, in mean gaps.

    Returns
    -------
    ndarray, (K,)
    """
    scaled = trace.times * trace.arrival_rate
    found = []
    for window in np.atleast_1d(np.asarray(windows, dtype=np.float64)):
        whole = int(scaled[-1] // window)
        counts = np.bincount((scaled // window).astype(np.int64))[:whole]
        found.append(counts.var(ddof=1) / counts.mean())
    return np.array(found)


def arrival_statistics(trace: Trace) -> ArrivalStatistics:
    """Return rate, variation of the gaps and dispersion over windows of all lengths.

    Parameters
    ----------
    trace : Trace
        The arrivals; at least 100 for windows that mean anything.
    """
    gaps = trace.gaps
    positive = np.log(np.maximum(gaps, gaps[gaps > 0].min()))
    longest = max(1.0, gaps.size / FEWEST_WINDOWS)
    windows = np.geomspace(0.5, longest, 20)
    return ArrivalStatistics(
        name=trace.name,
        count=int(trace.times.size),
        duration=float(trace.times[-1]),
        rate=trace.arrival_rate,
        cv=float(gaps.std(ddof=1) / gaps.mean()),
        correlation=float(np.corrcoef(positive[:-1], positive[1:])[0, 1]),
        windows=tuple(windows.tolist()),
        dispersion=tuple(index_of_dispersion(trace, windows).tolist()),
    )
