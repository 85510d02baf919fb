"""One function that runs any solver until its certificate is good enough."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first, total
from thinkqueue.bounds import Tangent
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay.time import delay_of, refuse_unstable, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.solution import NotConvergedError, Solution, Status, Step
from thinkqueue.solvers.newton import Newton
from thinkqueue.solvers.quasi_newton import QuasiNewton
from thinkqueue.workload import Parameters, Workload, tokens_array


class Solver(Protocol):
    """An iteration on stable allocations, each looked at by :func:`~thinkqueue.bounds.tangent`."""

    def iterates(
        self, problem: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, Any, Status]:
        """Yield the start and then the allocation after each step; return why there is no next.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,), optional
            A stable start within the caps; the solver's own choice where not given.
        """
        ...


def solve(
    workload: Workload,
    solver: Solver | None = None,
    *,
    start: ArrayLike | None = None,
    gap: float = 1e-9,
    max_steps: int = 10_000,
    throw: bool = True,
) -> Solution:
    r"""Find the best token allocation of a workload.

    .. math:: \max_{\ell}\; J(\ell) = \alpha \sum_k w_k\pi_k p_k(\ell_k) - \mathbb{E}[T](\ell)
              \quad\text{subject to}\quad 0 \le \ell_k \le \ell_{\max,k},\; \rho(\ell) < 1.

    Parameters
    ----------
    workload : Workload
        The workload.
    solver : Solver, optional
        ``Newton()``, the default, or ``FixedPoint()``, ``ConditionalGradient()``,
        ``ProjectedGradient()``, ``QuasiNewton()``, the default where the server has no curvature.
    start : array_like, (N,), optional
        A stable allocation within the caps; the solver's own choice where not given.
    gap : float, optional
        The certified gap :math:`U(\ell) - J(\ell)` at which to stop, in seconds. Where double
        precision cannot resolve that, ``gap`` relative to :math:`|J|` counts as converged too.
    max_steps : int, optional
        When to give up.
    throw : bool, optional
        Whether to raise where the solver did not converge, or to return what it has.

    Returns
    -------
    Solution
        The allocation with the smallest certified gap of all that the solver visited.

    Raises
    ------
    UnstableError
        If :math:`\rho(0) \ge 1`, so that no allocation is stable, or if ``start`` is not.
    NotConvergedError
        If ``throw`` is set and the gap was not reached; the best allocation is attached.
    WorkloadError
        If an argument is out of its range, or ``solver`` is no solver.
    """
    delay = delay_of(workload.server)
    if solver is None:
        solver = Newton() if hasattr(delay, "curvature") else QuasiNewton()
    if isinstance(solver, type) or not hasattr(solver, "iterates"):
        raise WorkloadError(
            f"solver is {solver!r}; it must be a solver such as Newton() or FixedPoint().",
            parameter="solver",
            value=solver,
        )
    gap = one_number("gap", gap, least=0)
    check_count("max_steps", max_steps, least=0)
    tokens = None
    if start is not None:
        tokens = tokens_array(workload, start, capped=True, single=True)
        stable_state(workload, tokens)

    history: list[Step] = []
    iterates = solver.iterates(workload, tokens)
    status = Status.OUT_OF_STEPS
    best = look = next(iterates)
    if not look.state.slack > 0:
        where = "even with no thinking tokens at all"
        refuse_unstable(workload, 1 - first(look.state.slack), where)
    while True:
        history.append(Step(first(look.objective), first(look.gap), 1 - first(look.state.slack)))
        if look.gap < best.gap:
            best = look
        if best.gap <= gap or len(history) > max_steps:
            break
        try:
            look = next(iterates)
        except StopIteration as stop:
            status = stop.value
            break
    if not delay.convex:
        status = Status.NO_BOUND
    elif best.gap <= gap * max(1.0, abs(first(best.objective))):
        status = Status.CONVERGED
    elif status is Status.STALLED and not workload.curves.concave:
        status = Status.LOCAL
    elif status is Status.CONVERGED:
        status = Status.STALLED  # only the certificate may say that
    solution = _solution(workload, best, status, history)
    if throw and not solution.converged:
        raise NotConvergedError(
            f"{type(solver).__name__} stopped after {solution.steps} steps at a "
            f"certified gap of {solution.gap:.3g} s; {gap:.3g} s was asked for. {status.value}",
            solution=solution,
        )
    return solution


def _solution(workload: Workload, best: Tangent, status: Status, history: list[Step]) -> Solution:
    value, gap = first(best.objective), first(best.gap)
    if status is Status.NO_BOUND:
        gap = np.inf
    tokens = np.array(best.tokens)
    tokens.flags.writeable = False
    return Solution(
        tokens=tokens,
        objective=value,
        upper_bound=value + gap,
        gap=gap,
        utilization=1 - first(best.state.slack),
        mean_system_time=first(best.state.time),
        mean_accuracy=first(total(workload.weight * workload.share, workload.curves.value(tokens))),
        steps=len(history) - 1,
        status=status,
        history=tuple(history),
    )
