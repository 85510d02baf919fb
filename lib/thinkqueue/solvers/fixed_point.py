r"""Plain iteration of the coupled projected map :math:`\ell \leftarrow F(\ell)`.

The method of arXiv:2601.10274; the clipping at 0 and at the caps is part of the map.
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


@dataclass(frozen=True)
class FixedPoint:
    r"""Give every type the budget that is best at the prices which the last budgets caused.

    Converges where :func:`~thinkqueue.contraction_modulus` is below 1 on a box that the map takes
    into itself, and often elsewhere; it may also oscillate or leave the stable region, and then
    says so.

    Parameters
    ----------
    patience : int, optional
        After how many steps without a smaller gap the iteration counts as oscillating.
    """

    patience: int = 200

    def __post_init__(self) -> None:
        check_count("patience", self.patience)

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
        smallest, fruitless = np.inf, 0
        while fruitless < self.patience:
            yield here
            target = here.reply(problem.max_tokens)
            if not delay.at(problem, target).slack > 0:
                return Status.LEFT_STABLE_REGION
            here = tangent(problem, target, answers)
            closer = here.gap < smallest
            smallest, fruitless = min(smallest, first(here.gap)), 0 if closer else fruitless + 1
        return Status.OSCILLATES
