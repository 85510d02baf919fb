r"""A promise on the mean time of a batching server is a ration: one linear price keeps it.

Where an overflow shares, :math:`\mathbb{E}[T] \le d` says that no more than so many tokens may be
given in the mean (:func:`~thinkqueue.token_budget`). Where time grows with the context,
:math:`(am + \bar w)/(1-\lambda\bar w) \le d` says

.. math:: \sum_k\pi_k\bigl[a x_k + (1+\lambda d)\,w_k(x_k)\bigr] \le d,

which is separable too, and convex although the mean time is not. So the best budgets under either
are the best replies at one multiplier, for any accuracy curves in the first case and for concave
ones in the second, and the dual value at that multiplier bounds all others (our own derivation).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array
from thinkqueue.batching.budget import token_budget
from thinkqueue.delay.batching import Context, Shared
from thinkqueue.errors import WorkloadError
from thinkqueue.replies import best_replies
from thinkqueue.targets.tangents import Found
from thinkqueue.workload import Workload


class Ration(NamedTuple):
    r"""A limit :math:`\sum_k\pi_k(P_k\ell_k + \tfrac12Q\ell_k^2) \le R`.

    Attributes
    ----------
    linear : ndarray, (N,)
        P.
    quadratic : float
        Q.
    room : float
        R.
    """

    linear: Array
    quadratic: float
    room: float

    def used(self, share: Array, tokens: Array) -> float:
        """Return what budgets take.

        Parameters
        ----------
        share, tokens : ndarray, (N,)
            Shares and budgets.
        """
        return float(share @ (tokens * (self.linear + self.quadratic / 2 * tokens)))


def most_accurate(workload: Workload, ration: Ration, caps: Array) -> tuple[Array, float]:
    """Return the most accurate budgets that a ration allows, and what none of them exceeds.

    Parameters
    ----------
    workload : Workload
        The workload.
    ration : Ration
        The limit; no tokens at all keep it.
    caps : ndarray, (N,)
        The largest budgets.
    """
    w, worth = workload, workload.weight * workload.share

    def reply(price: float) -> Array:
        linear, quadratic = price * ration.linear, price * ration.quadratic
        return best_replies(w.curves, w.weight, linear, quadratic, caps)

    def over(log_price: float) -> float:
        return ration.used(w.share, reply(float(np.exp(log_price)))) - ration.room

    price, tokens = 0.0, caps
    if ration.used(w.share, caps) > ration.room:
        slope = np.max(w.weight * w.curves.slope(np.zeros(len(w))) / ration.linear)
        high = float(np.log(max(slope, 1e-300))) + 1.0
        low = high - 1.0
        while over(low) <= 0 and low > -700:
            low -= 10.0
        root = float(brentq(over, low, high, xtol=1e-14)) if over(high) < 0 < over(low) else high
        step = 1e-15
        while over(root) > 0:
            root, step = root + step, 2 * step
        price = float(np.exp(root))
        tokens = reply(price)
    # at any price the dual value of the best replies is a bound
    bound = float(worth @ w.curves.value(tokens))
    bound += price * (ration.room - ration.used(w.share, tokens))
    return tokens, bound


def mean_ration(workload: Workload, delay: Shared | Context, limit: float) -> Ration:
    """Return what a promise on the mean time says of the tokens.

    Parameters
    ----------
    workload : Workload
        The workload.
    delay : Shared or Context
        Its server's formulas.
    limit : float
        d in s; kept without any thinking.
    """
    share, nothing = workload.share, np.zeros(len(workload))
    answer = workload.service.mean(nothing)
    if isinstance(delay, Shared):
        room = token_budget(workload, limit) - float(share @ answer)
        return Ration(np.ones(len(workload)), 0.0, max(room, 0.0))
    dear, a = 1 + workload.arrival_rate * limit, delay.step.base
    _, work, slope = delay.work(workload, nothing)
    room = limit - float(share @ (a * answer + dear * work))
    return Ration(a + dear * slope, dear * delay.step.per_context, max(room, 0.0))


def under_mean(workload: Workload, delay: Shared | Context, limit: float) -> Found:
    """Return the most accurate budgets whose mean time is within a limit.

    Parameters
    ----------
    workload : Workload
        The workload.
    delay : Shared or Context
        Its server's formulas.
    limit : float
        d in s.
    """
    if isinstance(delay, Context) and not workload.curves.concave:
        raise WorkloadError(
            "A promise on the mean time needs concave accuracy curves where time grows with the "
            "context.",
            parameter="accuracy",
        )
    ration = mean_ration(workload, delay, limit)
    tokens, bound = most_accurate(workload, ration, workload.max_tokens)
    return Found(tokens, np.nan, bound, tokens)
