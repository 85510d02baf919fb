"""CVXPY with Clarabel: E[W] as a quadratic over a linear function, the accuracy by exponentials."""

from __future__ import annotations

import cvxpy as cp
import numpy as np

from thinkqueue import Workload
from thinkqueue.arrays import Array


def natural(workload: Workload, seconds: float) -> Array:
    """Tokens and seconds, as one would write it down."""
    w = workload
    ell = cp.Variable(len(w))
    s = w.base_time + cp.multiply(w.time_per_token, ell)
    m = w.share @ s
    waiting = (
        w.arrival_rate
        / 2
        * cp.quad_over_lin(cp.multiply(np.sqrt(w.share), s), 1 - w.arrival_rate * m)
    )
    missing = cp.multiply(w.weight * w.share * w.gain, cp.exp(cp.multiply(-w.rate, ell)))
    cost = w.accuracy_weight * cp.sum(missing) + m + waiting
    problem = cp.Problem(cp.Minimize(cost), [ell >= 0, ell <= w.max_tokens])
    problem.solve(solver=cp.CLARABEL)
    return np.asarray(ell.value, dtype=np.float64)


def rescaled(workload: Workload, seconds: float) -> Array:
    """Tokens in units of 1/b, loads for times, and the objective in units of α."""
    w = workload
    z = cp.Variable(len(w))
    loads = w.arrival_rate * w.base_time + cp.multiply(
        w.arrival_rate * w.time_per_token / w.rate, z
    )
    rho = w.share @ loads
    waiting = cp.quad_over_lin(cp.multiply(np.sqrt(w.share), loads), 1 - rho) / 2
    worth = w.arrival_rate * w.accuracy_weight
    missing = cp.multiply(w.weight * w.share * w.gain, cp.exp(-z))
    cost = cp.sum(missing) + (rho + waiting) / worth
    problem = cp.Problem(cp.Minimize(cost), [z >= 0, z <= w.rate * w.max_tokens])
    problem.solve(solver=cp.CLARABEL)
    return np.asarray(z.value, dtype=np.float64) / w.rate
