r"""The convex core of a tail target: the best budgets whose tail decays at a given rate.

For a fixed :math:`\theta` the decay rate is at least :math:`\theta` iff

.. math:: \sum_k \pi_k e^{\theta s_k(\ell_k)} \le 1 + \theta/\lambda ,

a convex set, because exponentials of affine functions are convex. One multiplier
:math:`\nu` separates the types, and each has a closed form (our own derivation):

.. math:: \ell_k = \operatorname{clip}\Bigl(
          \frac{\ln\frac{w_kA_kb_k}{\nu\theta c_k} - \theta t_{0,k}}
          {b_k + \theta c_k},\ 0,\ \text{cap}_k\Bigr).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array
from thinkqueue.objective import mean_accuracy
from thinkqueue.workload import Workload


@dataclass(frozen=True)
class DecayOptimum:
    """The best accuracy among the allocations whose tail decays fast enough.

    Attributes
    ----------
    tokens : ndarray, (N,)
        The allocation.
    mean_accuracy : float
        What it reaches.
    upper_bound : float
        The dual value: no allocation of the set reaches more.
    """

    tokens: Array
    mean_accuracy: float
    upper_bound: float


def best_at_decay_rate(
    workload: Workload, theta: float, caps: Array, floors: Array | None = None
) -> DecayOptimum | None:
    r"""Maximise the mean accuracy over the allocations with a decay rate of at least θ.

    .. math:: \max_{\text{floor}\le\ell\le\text{cap}} \sum_k w_k\pi_k p_k(\ell_k)
              \quad\text{subject to}\quad
              \sum_k\pi_k e^{\theta s_k(\ell_k)} \le 1 + \theta/\lambda .

    Parameters
    ----------
    workload : Workload
        The workload.
    theta : float
        The decay rate demanded, in 1/s.
    caps : ndarray, (N,)
        The largest budgets allowed.
    floors : ndarray, (N,), optional
        The smallest ones, 0 where not given.

    Returns
    -------
    DecayOptimum or None
        None if the set is empty.
    """
    w = workload
    room = 1 + theta / w.arrival_rate
    least = np.zeros(len(w)) if floors is None else floors
    with np.errstate(divide="ignore"):
        worth = np.log(w.weight * w.gain * w.rate) - np.log(theta * w.time_per_token)
    slope = w.rate + theta * w.time_per_token

    def budgets(log_price: float) -> Array:
        free = (worth - log_price - theta * w.base_time) / slope
        return np.clip(free, least, caps)

    def used(ell: Array) -> float:
        with np.errstate(over="ignore"):
            return float(w.share @ np.exp(theta * (w.base_time + w.time_per_token * ell)))

    if (caps < least).any() or used(least) > room:
        return None
    if used(caps) <= room:
        reached = float(mean_accuracy(w, caps))
        return DecayOptimum(caps, reached, reached)
    finite = np.isfinite(worth)
    if not finite.any():
        reached = float(mean_accuracy(w, least))
        return DecayOptimum(least, reached, reached)
    # at the upper end nobody gets anything, at the lower everybody has the cap
    high = float((worth - theta * w.base_time)[finite].max())
    low = float((worth - theta * w.base_time - slope * caps)[finite].min())
    if used(budgets(low)) <= room:
        log_price = low
    else:
        log_price = float(brentq(lambda p: used(budgets(p)) - room, low, high, xtol=1e-14))
        # end on the side where the constraint holds
        step = 1e-15
        while used(budgets(log_price)) > room:
            log_price += step
            step *= 2
    ell = budgets(log_price)
    reached = float(mean_accuracy(w, ell))
    slack = np.exp(log_price) * (room - used(ell))
    return DecayOptimum(ell, reached, reached + float(slack))
