r"""Generalised conditional gradient: the fixed-point step with a line search (our own derivation).

:math:`F(\ell)` maximises the tangent model, so :math:`d = F(\ell) - \ell` is a direction of ascent
wherever :math:`\ell` is not the optimum. J is concave along it and falls without bound as
:math:`\rho \to 1`, so the best point of the line lies inside the stable region.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array, first, total
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.delay.time import delay_of
from thinkqueue.objective import Answers
from thinkqueue.solution import Status
from thinkqueue.workload import Parameters


@dataclass(frozen=True)
class ConditionalGradient:
    """The fixed-point step, shortened to the best point on the way.

    Converges at every stable load, and every step certifies its gap.
    """

    def iterates(
        self, problem: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        """Yield the start and then the allocation after each step.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,), optional
            A stable start within the caps; no tokens where not given.
        """
        answers = Answers.of(problem)
        delay = answers.delay
        here = tangent(problem, np.zeros_like(problem.share) if tokens is None else tokens, answers)
        while True:
            yield here
            target = here.reply(problem.max_tokens)
            fraction = best_fraction(problem, here.tokens, target - here.tokens)
            moved = between(here.tokens, target, fraction)
            while not delay.at(problem, moved).slack > 0:  # by rounding, where ρ is nearly 1
                fraction /= 2
                moved = between(here.tokens, target, fraction)
            if np.array_equal(moved, here.tokens):
                return Status.STALLED
            here = tangent(problem, moved, answers)


def between(start: Array, end: Array, fraction: float) -> Array:
    """Return a point of a segment, within its box whatever rounding does.

    Parameters
    ----------
    start, end : ndarray, (N,)
        The ends.
    fraction : float
        How far to go, from 0 to 1.
    """
    point = start + fraction * (end - start)
    return np.minimum(np.maximum(point, np.minimum(start, end)), np.maximum(start, end))


def best_fraction(p: Parameters, start: Array, d: Array) -> float:
    r"""Return the :math:`t \in [0, 1]` that maximises :math:`J(\ell + t d)` among the stable ones.

    Parameters
    ----------
    p : Parameters
        The workload.
    start, d : ndarray, (N,)
        A stable start and a direction of ascent.
    """
    from scipy.optimize import brentq

    delay, value = delay_of(p.server), p.accuracy_weight * p.weight
    weighted = p.share * d

    def slope(t: float) -> float:
        at = start + t * d
        with np.errstate(all="ignore"):
            state = delay.at(p, at)
            rise = first(total(weighted, value * p.curves.slope(at) - state.price))
        return rise if state.slack > 0 else -np.inf

    if not slope(0.0) > 0:
        return 0.0
    if slope(1.0) >= 0:
        return 1.0
    low, high = 0.0, 1.0
    while not np.isfinite(slope(high)):  # the line leaves the stable region, where J falls
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
        if high - low < 1e-15:
            return low
    return float(brentq(slope, low, high, xtol=1e-300, rtol=1e-12))
