r"""What budgets lose that were computed for another arrival rate, worth or speed than the true one.

The loss is exact, since the queue is known: solve the workload as it is believed to be, and judge
the budgets by the workload as it is. Which side is the safe one is a theorem: an arrival rate or a
time per token believed too *high* can never lose more than all the accuracy that thinking adds;
one believed too *low* loses without bound from a factor on that can be computed. (Our own
derivation.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.bounds import upper_bound
from thinkqueue.checks import floats
from thinkqueue.delay.time import utilization
from thinkqueue.errors import UnstableError, WorkloadError
from thinkqueue.objective import objective
from thinkqueue.solve import solve
from thinkqueue.workload import Workload

PARAMETERS = ("arrival_rate", "accuracy_weight", "time_per_token", "base_time", "gain", "rate")
"""What may be misjudged by a factor."""


@dataclass(frozen=True, eq=False)
class Misjudged:
    r"""What budgets for a wrong parameter lose.

    Attributes
    ----------
    factor : ndarray, (R,)
        The value believed, as a multiple of the true one.
    tokens : ndarray, (R, N)
        The budgets that are best for it.
    regret : ndarray, (R,)
        :math:`J^* - J` of these budgets on the true workload, in s; infinite where they overload
        it, or where the believed workload has no stable allocation.
    bound : ndarray, (R,)
        The tangent bound on it, which asks for no optimum of the true workload.
    utilization : ndarray, (R,)
        The true load under these budgets.
    """

    factor: Array
    tokens: Array
    regret: Array
    bound: Array
    utilization: Array


def misjudged(workload: Workload, parameter: str, factor: ArrayLike) -> Misjudged:
    r"""Return what is lost when a parameter is believed to be this many times its true value.

    Parameters
    ----------
    workload : Workload
        The truth.
    parameter : str
        ``"arrival_rate"``, ``"accuracy_weight"``, ``"time_per_token"``, ``"base_time"``,
        ``"gain"`` or ``"rate"``: λ, α, c, t₀, A or b, of all types together.
    factor : array_like, (R,)
        Positive.

    Returns
    -------
    Misjudged

    Raises
    ------
    UnstableError
        If no allocation of the true workload is stable.
    WorkloadError
        If the parameter is another one, the workload does not have it, or its believed value is
        out of range.
    """
    if parameter not in PARAMETERS:
        raise WorkloadError(
            f"parameter is {parameter!r}; it must be one of {', '.join(PARAMETERS)}.",
            parameter="parameter",
            value=parameter,
        )
    factors = np.atleast_1d(floats("factor", factor))
    if factors.ndim != 1 or not (np.isfinite(factors) & (factors > 0)).all():
        raise WorkloadError(
            "factor must be positive numbers, one or a list.", parameter="factor", value=factor
        )
    own = getattr(workload, parameter)
    best = solve(workload, throw=False)
    size = len(factors)
    tokens = np.full((size, len(workload)), np.nan)
    regret, bound, load = np.full(size, np.inf), np.full(size, np.inf), np.full(size, np.inf)
    for r, times in enumerate(factors):
        try:
            believed = solve(workload.replace(**{parameter: times * own}), throw=False)
        except UnstableError:  # so it is believed: then no budget is worth anything
            continue
        tokens[r] = believed.tokens
        load[r] = float(utilization(workload, tokens[r]))
        if load[r] < 1:
            regret[r] = max(best.objective - float(objective(workload, tokens[r])), 0.0)
            bound[r] = float(upper_bound(workload, tokens[r]) - objective(workload, tokens[r]))
    return Misjudged(factors, tokens, regret, bound, load)
