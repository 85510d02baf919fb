"""IPOPT through CasADi, which derives gradient and Hessian itself, exactly.

Direct: −J as it is written, whose Hessian is dense. Lifted: the two moments become variables of
their own, tied by two equations, after which the Hessian is sparse. The second is what an expert
would do.
"""

from __future__ import annotations

import casadi as ca
import numpy as np

from thinkqueue import Workload
from thinkqueue.arrays import Array

CUT = 1e-6
OPTIONS = {
    "print_time": False,
    "ipopt.print_level": 0,
    "ipopt.sb": "yes",
    "ipopt.tol": 1e-10,
    "ipopt.max_iter": 3000,
}


def direct(workload: Workload, seconds: float) -> Array:
    w = workload
    z = ca.SX.sym("z", len(w))
    s = w.base_time + w.time_per_token / w.rate * z
    m, second = ca.dot(ca.DM(w.share), s), ca.dot(ca.DM(w.share), s**2)
    y = 1 - w.arrival_rate * m
    missing = ca.dot(ca.DM(w.weight * w.share * w.gain), ca.exp(-z))
    cost = missing + (m + w.arrival_rate * second / (2 * y)) / w.accuracy_weight
    solver = ca.nlpsol("solver", "ipopt", {"x": z, "f": cost, "g": y}, _options(seconds))
    answer = solver(x0=0, lbx=0, ubx=w.rate * w.max_tokens, lbg=CUT, ubg=np.inf)
    return np.asarray(answer["x"]).ravel() / w.rate


def lifted(workload: Workload, seconds: float) -> Array:
    w, n = workload, len(workload)
    z = ca.SX.sym("z", n)
    rho, spread = ca.SX.sym("rho"), ca.SX.sym("spread")
    loads = w.arrival_rate * (w.base_time + w.time_per_token / w.rate * z)
    missing = ca.dot(ca.DM(w.weight * w.share * w.gain), ca.exp(-z))
    cost = missing + (rho + spread / (2 * (1 - rho))) / (w.arrival_rate * w.accuracy_weight)
    ties = ca.vertcat(
        ca.dot(ca.DM(w.share), loads) - rho, ca.dot(ca.DM(w.share), loads**2) - spread
    )
    problem = {"x": ca.vertcat(z, rho, spread), "f": cost, "g": ties}
    solver = ca.nlpsol("solver", "ipopt", problem, _options(seconds))
    idle = w.arrival_rate * w.base_time
    answer = solver(
        x0=np.concatenate([np.zeros(n), [w.share @ idle, w.share @ idle**2]]),
        lbx=0,
        ubx=np.concatenate([w.rate * w.max_tokens, [1 - CUT, np.inf]]),
        lbg=0,
        ubg=0,
    )
    return np.asarray(answer["x"]).ravel()[:n] / w.rate


def _options(seconds: float) -> dict[str, object]:
    return OPTIONS | {"ipopt.max_cpu_time": seconds}
