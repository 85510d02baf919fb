"""L-BFGS-B, SLSQP and trust-constr of SciPy, with the analytic gradient.

SciPy knows no open constraint ρ < 1. The waiting time 1/y is continued beyond y = 1e-4 by its
tangent, which keeps the problem smooth and convex in y and moves no optimum that lies before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, minimize
from scipy.sparse.linalg import LinearOperator

from thinkqueue import Workload
from thinkqueue.arrays import Array

CUT = 1e-4


def plain_tokens(workload: Workload) -> Array:
    """Natural units."""
    return np.ones(len(workload))


def widths(workload: Workload) -> Array:
    """Units in which every accuracy curve bends alike: (α w π A b²)^(−1/2)."""
    w = workload
    return (w.accuracy_weight * w.weight * w.share * w.gain) ** -0.5 / w.rate


@dataclass(frozen=True)
class Cost:
    """−J/α and its derivatives in the variables z = tokens / unit."""

    workload: Workload
    unit: Array

    def __call__(self, z: Array) -> tuple[float, Array]:
        w = self.workload
        ell = self.unit * z
        s = w.base_time + w.time_per_token * ell
        m, second = float(w.share @ s), float(w.share @ s**2)
        h, slope, _ = self.congestion(1 - w.arrival_rate * m)
        missing = w.gain * np.exp(-w.rate * ell)
        worth = w.accuracy_weight * w.weight * w.share
        value = m + w.arrival_rate * second * h / 2 + float(worth @ (missing - w.gain))
        price = 1 + w.arrival_rate * h * s - w.arrival_rate**2 * second * slope / 2
        gradient = w.share * w.time_per_token * price - worth * w.rate * missing
        return value / w.accuracy_weight, self.unit * gradient / w.accuracy_weight

    def hessian(self, z: Array) -> LinearOperator:
        """The curvature as a product with vectors: diagonal plus rank two."""
        w, lam = self.workload, self.workload.arrival_rate
        ell = self.unit * z
        s = w.base_time + w.time_per_token * ell
        m, second = float(w.share @ s), float(w.share @ s**2)
        h, slope, bend = self.congestion(1 - lam * m)
        worth = w.accuracy_weight * w.weight * w.share * w.gain
        u = w.share * w.time_per_token
        v = u * s
        diagonal = lam * h * u * w.time_per_token + worth * w.rate**2 * np.exp(-w.rate * ell)

        def product(direction: Array) -> Array:
            d = self.unit * np.ravel(direction)
            ud, vd = u @ d, v @ d
            full = diagonal * d - lam**2 * slope * (u * vd + v * ud)
            full += lam**3 * second * bend / 2 * u * ud
            return self.unit * full / w.accuracy_weight

        return LinearOperator((z.size, z.size), matvec=product, dtype=np.float64)

    @staticmethod
    def congestion(y: float) -> tuple[float, float, float]:
        """1/y with its first two derivatives, continued by the tangent below CUT."""
        if y >= CUT:
            return 1 / y, -1 / y**2, 2 / y**3
        return (2 - y / CUT) / CUT, -1 / CUT**2, 0.0


Run = Callable[[Cost, Bounds], Array]


def l_bfgs_b(cost: Cost, box: Bounds) -> Array:
    options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 10**5, "maxfun": 10**6}
    start = np.zeros(cost.unit.size)
    return minimize(cost, start, jac=True, method="L-BFGS-B", bounds=box, options=options).x


def slsqp(cost: Cost, box: Bounds) -> Array:
    w = cost.workload
    load = w.arrival_rate * w.share * w.time_per_token * cost.unit
    slack = 1 - CUT - w.arrival_rate * float(w.share @ w.base_time)
    stable: dict[str, Any] = {
        "type": "ineq",
        "fun": lambda z: slack - load @ z,
        "jac": lambda z: -load,
    }
    options = {"ftol": 1e-12, "maxiter": 1000}
    start = np.zeros(cost.unit.size)
    return minimize(
        cost, start, jac=True, method="SLSQP", bounds=box, constraints=[stable], options=options
    ).x


def trust_constr(cost: Cost, box: Bounds) -> Array:
    w = cost.workload
    load = w.arrival_rate * w.share * w.time_per_token * cost.unit
    slack = 1 - CUT - w.arrival_rate * float(w.share @ w.base_time)
    options = {"gtol": 1e-9, "xtol": 1e-12, "barrier_tol": 1e-9, "maxiter": 3000}
    # an interior start: half way to the caps or to the stability limit
    start = 0.5 * np.minimum(box.ub, slack / load / load.size)
    return minimize(
        cost,
        start,
        jac=True,
        hess=cost.hessian,
        method="trust-constr",
        bounds=box,
        constraints=[LinearConstraint(load[None, :], -np.inf, slack)],
        options=options,
    ).x


@dataclass(frozen=True)
class SciPy:
    """One of the three methods, in one of the two units."""

    run: Run
    unit: Callable[[Workload], Array]

    def __call__(self, workload: Workload, seconds: float) -> Array:
        unit = self.unit(workload)
        box = Bounds(np.zeros(len(workload)), workload.max_tokens / unit)
        return unit * self.run(Cost(workload, unit), box)
