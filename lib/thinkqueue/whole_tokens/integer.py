"""The best whole-number allocation, with its proof or with the gap that is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Index
from thinkqueue.bounds import tangent
from thinkqueue.delay import delay_of
from thinkqueue.errors import WorkloadError
from thinkqueue.solution import Bounded
from thinkqueue.solve import solve
from thinkqueue.whole_tokens import load_search, tangent_search
from thinkqueue.whole_tokens.choices import Choices, Menu, blur
from thinkqueue.whole_tokens.local_search import improve
from thinkqueue.whole_tokens.rounding import round_index
from thinkqueue.workload import Workload

FEW = 40.0
"""Natural logarithm of the number of allocations up to which the tangent bound is tried alone."""

QUICK = 3000
"""The largest number of allocations that it then looks at."""


LEAST_BOUNDS = 100
"""How many bounds a search by load needs at least; without room for them it is not begun."""


@dataclass(frozen=True)
class IntegerSolution(Bounded[float]):
    r"""The best allowed allocation that was found, and what is certain about it.

    Its tokens are int64. Where it is proven, only the tolerance for rounding is left of the gap.

    Attributes
    ----------
    proven : bool
        Whether every other allocation was compared, or excluded by a bound with room for rounding.
    nodes : int
        Reduced costs computed for bounds, N for each but at least 256, and partial allocations
        looked at: a measure of the work.
    """

    proven: bool
    nodes: int


def solve_integer(
    workload: Workload, *, menu: Menu | None = None, node_limit: int = 10_000_000
) -> IntegerSolution:
    r"""Find the best allocation in whole tokens, or from a menu of budgets.

    .. math:: \max_{\ell}\; J(\ell) \quad\text{subject to}\quad
              \ell_k \in V_k \subset \mathbb Z,\; 0 \le \ell_k \le \ell_{\max,k},\; \rho(\ell) < 1.

    Parameters
    ----------
    workload : Workload
        The workload.
    menu : sequence of int, or a sequence of those for each type, optional
        :math:`V_k`, for instance ``[0, 1024, 8192, 24576]`` or ``range(0, 32769, 256)``; all whole
        numbers where not given.
    node_limit : int, optional
        When to stop without proof; the gap that is left is certified all the same.

    Returns
    -------
    IntegerSolution
        The allocation, and its proof or its gap.

    Raises
    ------
    UnstableError
        If even the smallest allowed budgets give a load of 1 or more.
    WorkloadError
        If the menu has an entry that is no budget, or nothing for some type; if some accuracy curve
        is not concave, or the server's mean time not convex.

    Notes
    -----
    First the tangent bound at the continuous optimum removes budgets by their reduced costs, and a
    depth-first search ends it where few are left. Otherwise cells of load are bounded with the
    curvature of the queue kept, see :mod:`thinkqueue.whole_tokens.load_search`; that needs first
    come, first served or a batching server whose overflow shares, and for other servers the first
    search goes on to the limit. All comparisons
    leave room for rounding, some :math:`256\,\varepsilon` times the size of their terms, so that
    nothing optimal is lost; allocations that differ by less than that may be taken for one
    another.
    """
    _check_convexity(workload)
    choices = Choices.of(workload, menu)
    ideal = solve(workload, throw=False).tokens
    # rounded to whole tokens the ideal is nearly best; rounded to a menu it may be far off
    starts = [round_index(choices, ideal)]
    if choices.table is not None:
        starts += [round_index(choices, ideal, "floor"), round_index(choices, 0 * ideal)]
    incumbent = max(
        (improve(choices, index) for index in starts),
        key=lambda index: float(choices.objective(index)),
    )
    value = float(choices.objective(incumbent))
    reduced = tangent_search.reduce(choices, tangent(workload, ideal), value)
    nodes = 0
    by_load = choices.coupling is not None
    quick = QUICK if by_load else node_limit
    if reduced.log_size <= FEW or not by_load:
        incumbent, nodes, complete = tangent_search.search(
            choices, reduced, incumbent, node_limit=min(quick, node_limit)
        )
        if complete:
            value = float(choices.objective(incumbent))
            return _solution(
                choices,
                incumbent,
                value,
                value + 2 * blur(choices.magnitude(incumbent)),
                True,
                nodes,
            )
    if not by_load or len(workload) * LEAST_BOUNDS > node_limit - nodes:
        value = float(choices.objective(incumbent))
        upper = reduced.bound + reduced.tolerance
        return _solution(choices, incumbent, value, upper, False, nodes)
    found = load_search.search(choices, incumbent, node_limit=node_limit - nodes)
    upper = min(found.upper_bound, reduced.bound + reduced.tolerance)
    return _solution(
        choices, found.index, found.objective, upper, found.proven, nodes + found.nodes
    )


def _check_convexity(workload: Workload) -> None:
    """Refuse what no tangent bounds, or where the allowed budgets worth keeping are no interval."""
    if not (workload.curves.concave and delay_of(workload.server).convex):
        raise WorkloadError(
            "Whole tokens with proof need concave accuracy curves and a server whose mean time is "
            "convex; round_tokens rounds any allocation.",
            parameter="accuracy" if not workload.curves.concave else "server",
        )


def _solution(
    choices: Choices, index: Index, value: float, upper: float, proven: bool, nodes: int
) -> IntegerSolution:
    tokens = choices.tokens(index).astype(np.int64)
    tokens.flags.writeable = False
    return IntegerSolution(tokens, value, upper, upper - value, proven, nodes)
