r"""Limited-memory quasi-Newton steps, for servers whose mean time has no curvature to hand.

SciPy's L-BFGS-B climbs J in units in which every type bends alike, and is started again while that
helps. What certifies the result is not the method but the tangent bound.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array, first
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.checks import check_count
from thinkqueue.objective import Answers
from thinkqueue.solution import Status
from thinkqueue.workload import Parameters

INSIDE = 0.01
"""Beyond the stable region J goes on along the tangent of where this part of the slack is left."""


@dataclass(frozen=True)
class QuasiNewton:
    """L-BFGS-B, restarted: for any delay that knows its mean time and its prices.

    Parameters
    ----------
    restarts : int, optional
        How often it is started again at most.
    """

    restarts: int = 20

    def __post_init__(self) -> None:
        check_count("restarts", self.restarts)

    def iterates(
        self, problem: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        """Yield the start and then the allocation at the end of each run.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,), optional
            A stable start within the caps; no tokens where not given.
        """
        from scipy.optimize import minimize

        p, answers = problem, Answers.of(problem)
        delay = answers.delay
        here = tangent(p, np.zeros_like(p.share) if tokens is None else tokens, answers)
        bend = answers.stake * p.curves.bend(here.reply(p.max_tokens))
        unit = 1 / np.sqrt(np.where(bend > 0, bend, np.inf))
        unit = np.where(unit > 0, np.minimum(unit, np.maximum(p.max_tokens, 1e-300)), 1.0)
        size = max(abs(first(here.objective)), 1.0)
        good = here.tokens

        def inside(asked: Array) -> Array:
            """Go from the last stable point as far as a part of its slack is kept."""
            enough = INSIDE * delay.at(p, good).slack
            low, high = 0.0, 1.0
            for _ in range(60):
                part = (low + high) / 2
                slack = delay.at(p, good + part * (asked - good)).slack
                low, high = (part, high) if slack > enough else (low, part)
                if enough < slack < 2 * enough:
                    break
            return np.asarray(good + low * (asked - good))

        def loss(x: Array) -> tuple[float, Array]:
            nonlocal good
            asked = np.minimum(np.maximum(x * unit, 0), p.max_tokens)
            with np.errstate(all="ignore"):
                state = delay.at(p, asked)
                at = asked if state.slack > 0 else inside(asked)
                state = state if state.slack > 0 else delay.at(p, at)
            good = at
            slope = p.share * state.price - answers.stake * p.curves.slope(at)
            value = state.time - answers.worth(at) + slope @ (asked - at)
            return first(value) / size, slope * unit / size

        bounds = np.stack([np.zeros_like(unit), p.max_tokens / unit], axis=1)
        for _ in range(self.restarts):
            yield here
            found = minimize(loss, here.tokens / unit, jac=True, bounds=bounds, method="L-BFGS-B",
                             options={"ftol": 1e-16, "gtol": 1e-13, "maxiter": 2000})  # fmt: skip
            reached = np.minimum(np.maximum(found.x * unit, 0), p.max_tokens)
            with np.errstate(all="ignore"):
                if not delay.at(p, reached).slack > 0:
                    reached = inside(reached)
            there = tangent(p, reached, answers)
            if not there.objective > here.objective and not there.gap < here.gap:
                return Status.STALLED
            here = there
        yield here
        return Status.STALLED
