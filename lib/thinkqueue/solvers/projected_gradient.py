r"""Projected gradient with a step that is computed and not guessed (our own derivation).

The step :math:`1/L` of :mod:`thinkqueue.smoothness` cannot fail. Walk from an iterate towards the
next one: while J is above its start the bound L holds, so J grows; hence J never comes back to its
start, and the walk never leaves the set on which L holds.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array, Scalar, first, total
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.objective import Answers
from thinkqueue.smoothness import bound_above
from thinkqueue.solution import Status
from thinkqueue.workload import Parameters

RESOLUTION = 1e-14
"""Relative to J, what a comparison of two objectives in double precision is trusted to resolve."""


@dataclass(frozen=True)
class ProjectedGradient:
    r"""Climb along the gradient and project onto the caps.

    Parameters
    ----------
    scaled : bool, optional
        Whether each type has its own step, :math:`1/(\pi_k\Lambda_k)`, or all have :math:`1/L`.
    backtracking : bool, optional
        Whether to try longer steps first and keep one only if it gains what the guaranteed step
        promises, and to renew the bound at each height reached; without, the step is that of the
        start throughout.
    accelerated : bool, optional
        Whether to add Nesterov's momentum, dropped whenever it would lead below the last height
        or out of the stable region, so that J grows in every step all the same.

    Notes
    -----
    Every variant rises in every step and converges from any stable start. ``ProjectedGradient(
    scaled=False, backtracking=False)`` is the textbook method with its guaranteed step.
    """

    scaled: bool = True
    backtracking: bool = True
    accelerated: bool = False

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
        p, answers = problem, Answers.of(problem)
        delay = answers.delay
        here = tangent(p, np.zeros_like(p.share) if tokens is None else tokens, answers)
        bend = self._curvature(p, here.objective)
        ease, momentum, base = 1.0, 1.0, here
        while True:
            yield here
            if self.backtracking:
                lower = min(here.objective, base.objective)
                bend, ease = self._curvature(p, lower), ease / 2
            there, ease = self._step(p, answers, base, bend, ease)
            if base is not here and there.objective < here.objective:
                there, ease = self._step(p, answers, here, bend, ease)
                momentum = 1.0
            if np.array_equal(there.tokens, here.tokens):
                return Status.STALLED
            base = there
            if self.accelerated:
                following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
                ahead = there.tokens + (momentum - 1) / following * (there.tokens - here.tokens)
                ahead = np.minimum(np.maximum(ahead, 0), p.max_tokens)
                momentum = following
                if delay.at(p, ahead).slack > 0:
                    trial = tangent(p, ahead, answers)
                    # the step of the start is safe at all heights above it
                    base = trial if trial.objective >= here.objective else there
                momentum = 1.0 if base is there else momentum
            here = there

    def _curvature(self, p: Parameters, height: Scalar) -> Array:
        """Bound the curvature per share above a height, as a whole or type by type."""
        bound = bound_above(p, first(height))
        if self.scaled:
            return bound.per_share
        with np.errstate(divide="ignore"):  # a type without queries does not move
            return np.asarray(bound.lipschitz / p.share)

    def _step(
        self, p: Parameters, answers: Answers, base: Tangent, bend: Array, ease: float
    ) -> tuple[Tangent, float]:
        """Step by 1/(ease · bend), the ease doubled until the step keeps its promise."""
        blur = RESOLUTION * abs(first(base.objective))
        while True:
            ease = min(ease, 1.0)
            target = base.tokens + base.slope / (ease * bend)
            target = np.minimum(np.maximum(target, 0), p.max_tokens)
            if not self.backtracking:
                return tangent(p, target, answers), ease
            if answers.delay.at(p, target).slack > 0:
                d = target - base.tokens
                there = tangent(p, target, answers)
                finite = p.share * np.where(np.isfinite(bend), bend, 0)
                promise = first(total(p.share * base.slope, d) - ease / 2 * total(finite * d, d))
                if ease == 1.0 or there.objective >= base.objective + promise - blur:
                    return there, ease
            elif ease == 1.0:
                return base, ease
            ease *= 2
