"""One door to the best of all optima, where there may be several."""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import first, total
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay.time import delay_of
from thinkqueue.errors import WorkloadError
from thinkqueue.global_search.fixed_load import Found, Search
from thinkqueue.solution import NotConvergedError, Solution, Status
from thinkqueue.solve import solve
from thinkqueue.workload import Batching, Fifo, Workload


def solve_globally(
    workload: Workload, *, gap: float = 1e-6, max_cells: int = 20_000, throw: bool = True
) -> Solution:
    r"""Find the best budgets where :func:`~thinkqueue.solve` knows a local optimum only.

    First come, first served the accuracy curves may be of any kind, S-shaped or falling in parts;
    at a batching server the mean time need not be convex, but the curves must be concave. Where
    both are as they should be this is :func:`~thinkqueue.solve`.

    Parameters
    ----------
    workload : Workload
        The workload.
    gap : float, optional
        The certified gap at which to stop, relative to :math:`\max(1, |J|)`.
    max_cells : int, optional
        When to give up; the gap that is left is certified all the same.
    throw : bool, optional
        Whether to raise where the gap was not reached.

    Returns
    -------
    Solution
        With an upper bound on all allocations; ``steps`` counts the cells that were cut.

    Raises
    ------
    UnstableError
        If no allocation is stable.
    NotConvergedError
        If ``throw`` is set and the gap was not reached.
    WorkloadError
        If no bound that closes is known for this server with these curves, or a curve is so rough
        that it cannot be known closely enough for this gap.
    """
    gap = one_number("gap", gap, least=0)
    check_count("max_cells", max_cells)
    if workload.curves.concave and delay_of(workload.server).convex:
        return solve(workload, gap=gap, throw=throw)
    if isinstance(workload.server, Batching):
        from thinkqueue.batching.global_search import solve_globally as search_batching

        return search_batching(workload, gap=gap, max_cells=max_cells, throw=throw)
    if workload.server != Fifo():
        raise WorkloadError(
            f"With curves that are not concave no bound that closes is known for "
            f"{workload.server!r}; solve gives a local optimum and a bound.",
            parameter="server",
            value=workload.server,
        )
    found = Search(workload, gap).run(max_cells)
    solution = _solution(workload, found, gap)
    if throw and not solution.converged:
        raise NotConvergedError(
            f"The search stopped after {solution.steps} cells at a certified gap of "
            f"{solution.gap:.3g} s; {gap * max(1.0, abs(solution.objective)):.3g} s was asked for. "
            "Raise max_cells or accept a larger gap.",
            solution=solution,
        )
    return solution


def _solution(workload: Workload, found: Found, gap: float) -> Solution:
    tokens = np.array(found.tokens)
    tokens.flags.writeable = False
    state = delay_of(workload.server).at(workload, tokens)
    accuracy = first(total(workload.weight * workload.share, workload.curves.value(tokens)))
    value = workload.accuracy_weight * accuracy - first(state.time)
    left = max(found.upper_bound - value, 0.0)
    enough = left <= gap * max(1.0, abs(value)) * (1 + 1e-9)
    return Solution(
        tokens=tokens,
        objective=value,
        upper_bound=value + left,
        gap=left,
        utilization=1 - first(state.slack),
        mean_system_time=first(state.time),
        mean_accuracy=accuracy,
        steps=found.cells,
        status=Status.CONVERGED if enough else Status.OUT_OF_STEPS,
        history=found.history,
    )
