r"""The accuracy of a thought that the queue may stop.

A thought of tokens :math:`\ell` is still going on at t iff fewer have come than the table allows,
so that with :math:`\beta = b/c` a saturating curve gains

.. math:: A\sum_{i}\int_{t_0}^{T_i} \beta e^{-\beta(t - t_0)}\,e^{-\lambda t}
          \frac{(\lambda t)^i}{i!}\,dt = A\,e^{\beta t_0}\sum_i\frac{\beta}{\lambda+\beta}
          \Bigl(\frac{\lambda}{\lambda+\beta}\Bigr)^i
          \Bigl[Q(i+1, (\lambda+\beta)t_0) - Q(i+1, (\lambda+\beta)T_i)\Bigr]

with the complementary incomplete gamma function Q. Any other concave curve is integrated between
the stops, :math:`p(0) + \int p'(\ell)\,P(\text{it is still going on})\,d\ell`, by Gauss and
Legendre, in pieces so short that the error is that of rounding for a smooth curve, and for one that
is straight between its points.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.special import gammaincc

from thinkqueue.arrays import Array
from thinkqueue.workload import Saturating, Workload

NODES, WEIGHTS = np.polynomial.legendre.leggauss(20)
LONG_BASE = 500.0
"""Where saturation takes so much less time than the base, the closed form overflows."""


def accuracy_when_stopped(workload: Workload, kind: int, tokens: Array, width: int) -> Array:
    r"""Return :math:`\mathbb{E}\,p` of services of one type that begin at levels 1 … L.

    Parameters
    ----------
    workload : Workload
        First come, first served.
    kind : int
        Which type.
    tokens : ndarray, (L + 1,)
        Its column of the table, nonincreasing.
    width : int
        How many newcomers are told apart.
    """
    curve = workload.curves.pick(kind)
    if isinstance(curve, Saturating):
        beta = float(curve.rate / workload.time_per_token[kind])
        if beta * workload.base_time[kind] < LONG_BASE:
            gained = _saturating(workload, kind, tokens, width, beta)
            return np.asarray(curve.baseline + curve.gain * gained)
    return by_pieces(workload, kind, tokens)


def _saturating(workload: Workload, kind: int, tokens: Array, width: int, beta: float) -> Array:
    lam, base = workload.arrival_rate, float(workload.base_time[kind])
    levels, pace, both = (
        len(tokens) - 1,
        workload.time_per_token[kind],
        workload.arrival_rate + beta,
    )
    came, level = np.arange(width), np.arange(1, levels + 1)[:, None]
    row = np.minimum(level - 1 + came, levels)
    stop = base + pace * tokens[row]
    weight = np.exp(beta * base + came * np.log(lam / both)) * (beta / both)
    part = weight * (gammaincc(came + 1, both * base) - gammaincc(came + 1, both * stop))
    gained = np.where(level + came <= levels, part, 0.0).sum(axis=1)
    # all newcomers that lead to the last row, integrated by parts
    first = levels + 1 - level[:, 0]
    stop = base + pace * tokens[-1]
    if tokens[-1] > 0:
        scale = np.exp(beta * base + first * np.log(lam / both))
        late = gammaincc(first, lam * stop)
        gained += np.exp(-beta * pace * tokens[-1]) * (late - 1) + 1 - gammaincc(first, lam * base)
        gained += scale * (gammaincc(first, both * base) - gammaincc(first, both * stop))
    return np.asarray(gained)


def by_pieces(workload: Workload, kind: int, tokens: Array) -> Array:
    r"""Return the same for any smooth concave curve, by quadrature between the stops.

    Parameters
    ----------
    workload : Workload
        First come, first served.
    kind : int
        Which type.
    tokens : ndarray, (L + 1,)
        Its column of the table, nonincreasing.
    """
    curve, lam = workload.curves.pick(kind), workload.arrival_rate
    levels = len(tokens) - 1
    pace, base = float(workload.time_per_token[kind]), float(workload.base_time[kind])
    kinks = np.asarray(getattr(curve, "tokens", ()), dtype=np.float64)  # of a measured curve
    edges = np.unique(np.concatenate([[0.0], tokens, kinks[kinks < tokens[0]]]))
    value = np.full(levels, float(curve.value(np.zeros(1))[0]))
    begins = np.arange(levels)  # number waiting at the start
    for low, high in pairwise(edges):
        # rows whose budget reaches beyond this piece: the first `rows` of them
        rows = int(np.sum(tokens >= high))
        pieces = 1 + int(min(lam * pace * (high - low), 400.0) / 2 + 8 * (high - low) / (high + 1))
        cuts = np.linspace(low, high, pieces + 1)
        half = np.diff(cuts)[:, None] / 2
        at = (cuts[:-1, None] + half + half * NODES).ravel()
        slope = np.asarray(curve.slope(at)) * (half * WEIGHTS).ravel()
        if rows == len(tokens):  # nobody who comes stops it
            value += slope.sum()
            continue
        allowed = rows - 1 - begins[:rows]
        going = gammaincc(allowed[:, None] + 1, lam * (base + pace * at))
        value[:rows] += going @ slope
    return value
