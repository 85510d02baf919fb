r"""Where the optimum can be when the arrival rate is only known to lie between two values.

Every optimal budget falls as the arrival rate grows, whatever the accuracy curves are as long as
they are concave (our own derivation). So the optima of two rates enclose those of all rates between
them. Nothing of the kind holds for the worth of accuracy, nor for the load of the optimum.
"""

from __future__ import annotations

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.checks import one_number
from thinkqueue.delay.time import only_fifo
from thinkqueue.errors import WorkloadError
from thinkqueue.grid import solve_grid
from thinkqueue.workload import Workload


def budget_range(workload: Workload, *, lowest: float, highest: float) -> tuple[Array, Array]:
    r"""Enclose the best budgets of every arrival rate between two.

    .. math:: \ell^*(\lambda_{\text{high}}) \le \ell^*(\lambda) \le \ell^*(\lambda_{\text{low}})
              \quad\text{for}\quad \lambda_{\text{low}} \le \lambda \le \lambda_{\text{high}}.

    Parameters
    ----------
    workload : Workload
        Gives the types and the worth of accuracy; its own arrival rate plays no part.
    lowest, highest : float
        :math:`\lambda_{\text{low}}` and :math:`\lambda_{\text{high}}` in queries per second.

    Returns
    -------
    fewest, most : ndarray, (N,)
        In tokens. Both ends are attained.

    Raises
    ------
    WorkloadError
        If the rates are in the wrong order or out of their range, if a curve is not concave, or if
        the server is not first come, first served: then budgets may rise.
    UnstableError
        If the highest rate is too much even without thinking.
    """
    only_fifo(workload, "That budgets fall as traffic grows")
    if not workload.curves.concave:
        raise WorkloadError(
            "Some accuracy curve is not concave, and then a budget may rise as traffic grows; "
            "there is no range to give.",
            parameter="accuracy",
        )
    least = one_number("lowest", lowest, least=0)
    if not one_number("highest", highest, least=0) >= least:
        raise WorkloadError(
            f"highest is {highest:g}/s, which is below lowest, {lowest:g}/s; swap them.",
            parameter="highest",
            value=highest,
        )
    ends = solve_grid(workload, arrival_rate=np.array([highest, lowest])).tokens
    return ends[0], ends[1]
