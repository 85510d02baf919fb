"""First come, first served in arithmetic of fifty digits, from the formulas and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np

from thinkqueue import (
    Workload,
    mean_system_time,
    mean_waiting_time,
    objective,
    queueing_price,
    solve,
)
from thinkqueue.arrays import Array

LOADS = (1e-12, 1e-6, 1e-3, 0.5, 0.9, 0.999, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12)


@dataclass(frozen=True)
class Exact:
    """What an allocation is worth, to fifty digits."""

    slack: mpmath.mpf
    mean_waiting_time: mpmath.mpf
    mean_system_time: mpmath.mpf
    accuracy: mpmath.mpf
    prices: list[mpmath.mpf]

    @property
    def objective(self) -> mpmath.mpf:
        return self.accuracy - self.mean_system_time

    @property
    def scale(self) -> mpmath.mpf:
        """The size of the terms of which the objective is the difference."""
        return abs(self.accuracy) + self.mean_system_time


def exact(workload: Workload, tokens: Array) -> Exact:
    """Evaluate with the workload's numbers as they are stored."""
    w = workload
    with mpmath.workdps(50):
        share, base, pace, gain, rate, low, weight, ell = (
            [mpmath.mpf(float(x)) for x in column]
            for column in (w.share, w.base_time, w.time_per_token, w.gain, w.rate, w.baseline,
                           w.weight, tokens)
        )  # fmt: skip
        lam, alpha = mpmath.mpf(w.arrival_rate), mpmath.mpf(w.accuracy_weight)
        seconds = [t + c * x for t, c, x in zip(base, pace, ell)]
        first = mpmath.fsum(p * s for p, s in zip(share, seconds))
        second = mpmath.fsum(p * s * s for p, s in zip(share, seconds))
        slack = 1 - lam * first
        right = [d + g * -mpmath.expm1(-b * x) for d, g, b, x in zip(low, gain, rate, ell)]
        return Exact(
            slack,
            lam * second / (2 * slack),
            first + lam * second / (2 * slack),
            alpha * mpmath.fsum(v * p * r for v, p, r in zip(weight, share, right)),
            [1 + lam * s / slack + lam**2 * second / (2 * slack**2) for s in seconds],
        )


def at_load(workload: Workload, tokens: Array, load: float) -> Workload:
    """The same queries, so many of them that these tokens load the server so much."""
    seconds = workload.base_time + workload.time_per_token * np.asarray(tokens)
    return workload.replace(arrival_rate=load / float(workload.share @ seconds))


def free_at_the_best(workload: Workload) -> mpmath.mpf:
    """The part of the time for which the best budget of a single type leaves its server free.

    The price of a token meets its worth where a decreasing function has its root; where the idle
    server is nearly full and its best budget tiny, that takes more than fifty digits.
    """
    w = workload
    with mpmath.workdps(150):
        base, pace, gain, rate, cap, weight = (
            mpmath.mpf(float(x[0]))
            for x in (w.base_time, w.time_per_token, w.gain, w.rate, w.max_tokens, w.weight)
        )
        lam, alpha = mpmath.mpf(w.arrival_rate), mpmath.mpf(w.accuracy_weight) * weight

        def free(tokens: mpmath.mpf) -> mpmath.mpf:
            return 1 - lam * (base + pace * tokens)

        def worth(tokens: mpmath.mpf) -> mpmath.mpf:
            wait = lam * (base + pace * tokens) / free(tokens)
            price = pace * (1 + wait + wait * wait / 2)
            return mpmath.log(alpha * gain * rate / price) - rate * tokens

        low = mpmath.mpf(0)
        high = min(cap, (1 / lam - base) / pace * (1 - mpmath.mpf(10) ** -60))
        if worth(low) <= 0:
            return free(low)
        if worth(high) >= 0:
            return free(high)
        for _ in range(240):
            middle = (low + high) / 2
            low, high = (middle, high) if worth(middle) > 0 else (low, middle)
        return free(low)


def relative(value: float, true: mpmath.mpf, scale: mpmath.mpf | None = None) -> float:
    return float(abs(mpmath.mpf(float(value)) - true) / (abs(true) if scale is None else scale))


def errors(workload: Workload, tokens: Array) -> dict[str, float]:
    """The relative errors of this library at an allocation."""
    true = exact(workload, tokens)
    prices = queueing_price(workload, tokens)
    return {
        "slack": float(true.slack),
        "mean waiting time": relative(mean_waiting_time(workload, tokens), true.mean_waiting_time),
        "mean system time": relative(mean_system_time(workload, tokens), true.mean_system_time),
        "prices": max(map(relative, prices, true.prices)),
        "objective": relative(objective(workload, tokens), true.objective, true.scale),
    }


def error_of_the_best(workload: Workload) -> float:
    """The error of the objective that a solution states, at its own tokens."""
    solution = solve(workload)
    true = exact(workload, solution.tokens)
    return relative(solution.objective, true.objective, true.scale)
