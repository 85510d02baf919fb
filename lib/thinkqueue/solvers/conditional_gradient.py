r"""Generalised conditional gradient: the fixed-point step with a line search (our own derivation).

:math:`F(\ell)` maximises the tangent model, so :math:`d = F(\ell) - \ell` is a direction of ascent
wherever :math:`\ell` is not the optimum. J is concave along it and falls without bound as
:math:`\rho \to 1`, so the best point of the line lies inside the stable region.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array, total
from thinkqueue.bounds import Curves, Tangent, tangent
from thinkqueue.delay.fifo import queue
from thinkqueue.solution import Status
from thinkqueue.solvers.fixed_point import best_reply
from thinkqueue.workload import Parameters


@dataclass(frozen=True)
class ConditionalGradient:
    """The fixed-point step, shortened to the best point on the way.

    Converges at every stable load, and every step certifies its gap.
    """

    def iterates(
        self, parameters: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        """Yield the start and then the allocation after each step.

        Parameters
        ----------
        parameters : Parameters
            The workload.
        tokens : ndarray, (N,), optional
            A stable start within the caps; no tokens where not given.
        """
        p, curves = parameters, Curves.of(parameters)
        here = tangent(p, np.zeros_like(p.share) if tokens is None else tokens, curves)
        while True:
            yield here
            d = best_reply(p, here) - here.tokens
            fraction = best_fraction(p, curves, here, d)
            moved = np.clip(here.tokens + fraction * d, 0, p.max_tokens)
            while not queue(p, moved).y > 0:  # by rounding, where ρ is 1 but for a few last digits
                fraction /= 2
                moved = np.clip(here.tokens + fraction * d, 0, p.max_tokens)
            if np.array_equal(moved, here.tokens):
                return Status.STALLED
            here = tangent(p, moved, curves)


def best_fraction(p: Parameters, curves: Curves, here: Tangent, d: Array) -> float:
    r"""Return the :math:`t \in [0, 1]` that maximises :math:`J(\ell + t d)` among the stable ones.

    Along the line both moments are polynomials in t, so only the accuracy needs the whole vector.

    Parameters
    ----------
    p : Parameters
        The workload.
    curves : Curves
        ``Curves.of(p)``.
    here : Tangent
        The start of the line.
    d : ndarray, (N,)
        Its direction, one of ascent.
    """
    state, weighted = here.queue, p.share * p.time_per_token * d
    load, y = float(np.ravel(p.arrival_rate)[0]), float(state.y[0])
    second, a, e = float(state.M[0]), float(weighted.sum()), float(total(weighted, state.s)[0])
    bow = float(total(weighted, p.time_per_token * d)[0])
    worth = curves.stake * p.rate * d * np.exp(-p.rate * here.tokens)
    decay = p.rate * d

    def slope(t: float) -> float:
        margin = y - t * load * a
        square = second + t * (2 * e + t * bow)
        time = a + load * ((e + t * bow) + load * a * square / (2 * margin)) / margin
        return float(worth @ np.exp(-t * decay)) - time

    end = 1.0
    if load * a >= y:  # the line leaves the stable region: stay a hair inside, where J falls
        end = y / (load * a) * (1 - 1e-9)
    if slope(0.0) <= 0:
        return 0.0
    if slope(end) >= 0:
        return end
    return float(brentq(slope, 0.0, end, xtol=1e-300, rtol=1e-12))
