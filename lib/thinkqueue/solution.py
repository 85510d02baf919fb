"""What a solver hands back: an allocation, what it is worth, how far from the best it can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.errors import ThinkQueueError


class Status(Enum):
    """How a solver ended: the cause and, where there is one to name, the remedy."""

    CONVERGED = "Converged: the certified gap is at most the one asked for."
    OUT_OF_STEPS = (
        "The steps ran out before the certified gap was small enough; raise max_steps, accept a "
        "larger gap, or use Newton()."
    )
    STALLED = (
        "The steps no longer improve the objective: the gap asked for is below what double "
        "precision can resolve here; accept a larger gap."
    )
    OSCILLATES = (
        "The iterates swing without coming closer, because each step overshoots the change in "
        "prices that it causes; use ConditionalGradient() or Newton(), which shorten such a step."
    )
    LEFT_STABLE_REGION = (
        "A full step led to a load of 1 or more, where the queue has no mean; use "
        "ConditionalGradient() or Newton(), which stay inside."
    )

    LOCAL = (
        "A local optimum: some accuracy curves are not concave, so the bound is valid and need not "
        "close; its gap is what a better allocation elsewhere could add at most."
    )
    NO_BOUND = (
        "A local optimum without a bound: the mean time of this server is not convex in the "
        "tokens, so its tangents prove nothing."
    )

    def __repr__(self) -> str:
        return f"Status.{self.name}"


class Step(NamedTuple):
    """One entry of a solver's history.

    Attributes
    ----------
    objective : float
        J, in s.
    gap : float
        U − J, in s.
    utilization : float
        The load.
    """

    objective: float
    gap: float
    utilization: float


Values = TypeVar("Values", float, Array)


@dataclass(frozen=True)
class Bounded(Generic[Values]):
    r"""What every answer of this library has in common, with one meaning throughout.

    Attributes
    ----------
    tokens : ndarray, (N,)
        The best allocation found: allowed, and stable.
    objective : float
        What was maximised, at these tokens: J in s unless the answer says otherwise.
    upper_bound : float
        No allocation that was allowed reaches more.
    gap : float
        ``upper_bound - objective``: none is better by more than this.
    """

    tokens: NDArray[Any]
    objective: Values
    upper_bound: Values
    gap: Values


@dataclass(frozen=True)
class Solution(Bounded[float]):
    r"""A token allocation with its certificate, the tangent bound :math:`U(\ell) \ge J^*`.

    Attributes
    ----------
    utilization : float
        The load :math:`\rho`.
    mean_system_time : float
        :math:`\mathbb{E}[T]` in s.
    mean_accuracy : float
        :math:`\sum_k w_k \pi_k p_k`.
    steps : int
        How many steps the solver took.
    status : Status
        How it ended, in words.
    history : tuple of Step
        Objective, gap and load at the start and after each step.
    """

    utilization: float
    mean_system_time: float
    mean_accuracy: float
    steps: int
    status: Status
    history: tuple[Step, ...] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether the gap asked for was reached."""
        return self.status is Status.CONVERGED


@dataclass(frozen=True)
class GridSolution(Bounded[Array]):
    r"""The optima of a grid of workloads, each with its certificate.

    The fields are those of :class:`~thinkqueue.Solution`; ``tokens`` has the shape of the grid and
    one axis more for the types, everything else the shape of the grid.

    Attributes
    ----------
    tokens : ndarray, (..., N)
        The best allocations found.
    objective, upper_bound, gap : ndarray, (...)
        :math:`J`, :math:`U` and :math:`U - J` in s. Minus infinity, minus infinity and 0 where no
        allocation is stable.
    utilization : ndarray, (...)
        The load; at no tokens, and 1 or more, where no allocation is stable.
    mean_system_time : ndarray, (...)
        In s; infinite where no allocation is stable.
    mean_accuracy : ndarray, (...)
        :math:`\sum_k w_k\pi_k p_k`.
    stable : ndarray of bool, (...)
        Where some allocation is stable.
    """

    utilization: Array
    mean_system_time: Array
    mean_accuracy: Array
    stable: NDArray[np.bool_]


class NotConvergedError(ThinkQueueError):
    """A solver stopped before its certified gap was small enough.

    Attributes
    ----------
    solution : Solution or GridSolution
        The best allocation found, with its status and its (still valid) certified gap; from
        :func:`~thinkqueue.solve_grid` the whole grid.
    """

    def __init__(self, message: str, *, solution: Solution | GridSolution) -> None:
        super().__init__(message)
        self.solution = solution
