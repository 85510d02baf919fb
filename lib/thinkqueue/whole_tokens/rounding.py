"""From an ideal allocation to whole tokens, and what that can cost."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Index, first
from thinkqueue.checks import one_number
from thinkqueue.delay import only_fifo, refuse_unstable
from thinkqueue.delay.fifo import queue
from thinkqueue.errors import WorkloadError
from thinkqueue.objective import gradient, saturating
from thinkqueue.whole_tokens.choices import Choices, Menu
from thinkqueue.workload import Workload, tokens_array

How = Literal["nearest", "floor", "ceil"]


def round_tokens(
    workload: Workload, tokens: ArrayLike, how: How = "nearest", *, menu: Menu | None = None
) -> Index:
    r"""Round an allocation to whole tokens, or to a menu, and keep the queue stable.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        The allocation, usually the continuous optimum.
    how : {"nearest", "floor", "ceil"}, optional
        Which neighbour each type takes.
    menu : sequence of int, or a sequence of those for each type, optional
        The allowed budgets; all whole numbers where not given.

    Returns
    -------
    ndarray of int64, (N,)
        Allowed budgets at which the queue is stable.

    Raises
    ------
    UnstableError
        If even the smallest allowed budgets give a load of 1 or more.

    Notes
    -----
    Where rounding leads to :math:`\rho \ge 1`, types are stepped down, cheapest first by the worth
    lost per second of service released, until :math:`\rho < 1`.
    """
    if how not in ("nearest", "floor", "ceil"):
        raise WorkloadError(
            f'how is {how!r}; it must be "nearest", "floor" or "ceil".',
            parameter="how",
            value=how,
        )
    choices = Choices.of(workload, menu)
    index = round_index(choices, tokens_array(workload, tokens, single=True), how)
    return choices.tokens(index).astype(np.int64)


def round_index(choices: Choices, tokens: np.ndarray, how: How = "nearest") -> Index:
    """Return the positions of the rounded and repaired allocation, as :func:`round_tokens` does.

    Parameters
    ----------
    choices : Choices
        The allowed budgets.
    tokens : ndarray, (N,)
        The allocation.
    how : {"nearest", "floor", "ceil"}, optional
        Which neighbour each type takes.
    """
    down = choices.position(tokens)
    up = np.minimum(down + 1, choices.count - 1)
    below, above = choices.tokens(down), choices.tokens(up)
    if how == "floor":
        index = down
    elif how == "ceil":
        index = np.where(below < tokens, up, down)
    else:
        index = np.where(above - tokens < tokens - below, up, down)
    return _repair(choices, index)


def rounding_loss_bound(workload: Workload, tokens: ArrayLike, *, distance: float = 0.5) -> float:
    r"""Return what rounding an allocation can cost at most, before it is rounded.

    With :math:`\ell + d \ge 0`, :math:`|d_k| \le \delta` for every budget that is not yet whole and
    :math:`d_k = 0` for the others, Taylor's formula and the Gram form of the Hessian give

    .. math::

        J(\ell) - J(\ell + d) \le \delta \sum_k |\partial_k J| + \frac{\delta^2}{2} \Bigl[
        \sum_k \alpha w_k \pi_k A_k b_k^2 e^{-b_k(\ell_k - \delta)_+} + \frac{\lambda}{y}
        \Bigl(\sqrt{\textstyle\sum_k \pi_k c_k^2}
        + \frac{\lambda\sqrt M}{y} \textstyle\sum_k \pi_k c_k\Bigr)^2 \Bigr]

    with sums over the budgets that move, and y, M at the upper corner :math:`\ell + \delta`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        A stable allocation; at the continuous optimum the first sum vanishes.
    distance : float, optional
        :math:`\delta`, half a token for nearest rounding, one for floor and ceil.

    Returns
    -------
    float
        In seconds; infinite where the upper corner is unstable.

    Raises
    ------
    UnstableError
        If the allocation itself is.
    WorkloadError
        If ``distance`` is negative or no number.

    Notes
    -----
    Our own derivation. It holds for every allocation in the box, so for the best of its corners
    too.
    """
    distance = one_number("distance", distance, least=0)
    only_fifo(workload, "The bound on the loss of rounding")
    ell = tokens_array(workload, tokens, single=True)
    slope = gradient(workload, ell)
    moves = ell != np.floor(ell)
    reach = np.where(moves, distance, 0.0)
    corner = queue(workload, ell + reach)
    y, second = float(corner.y[0]), float(corner.M[0])
    if not y > 0:
        return float("inf")
    share, c = workload.share, workload.time_per_token
    stake = workload.accuracy_weight * workload.weight * share
    bend = float(stake @ (saturating(workload).bend(np.maximum(ell - distance, 0)) * reach**2))
    pressure = workload.arrival_rate / y
    norm = float(np.sqrt(share @ (c * reach) ** 2))
    shift = float(share @ (c * reach))
    queueing = pressure * (norm + pressure * np.sqrt(second) * shift) ** 2
    return float(np.abs(slope) @ reach + (bend + queueing) / 2)


def _repair(choices: Choices, index: Index) -> Index:
    """Step types down, cheapest first, until the queue is stable."""
    workload, index = choices.workload, index.copy()
    while True:
        tokens, slack = choices.tokens(index), first(choices.state(index).slack)
        if slack > 0:
            return index
        lower = choices.tokens(np.maximum(index - 1, 0))
        released = workload.share * (choices.service(tokens) - choices.service(lower))
        movable = np.flatnonzero(released > 0)
        if not movable.size:
            refuse_unstable(workload, 1 - slack, "even with the smallest budgets allowed")
        lost = choices.worth(tokens) - choices.worth(lower)
        order = movable[np.argsort(lost[movable] / released[movable], kind="stable")]
        excess = -slack / workload.arrival_rate
        needed = int(np.searchsorted(np.cumsum(released[order]), excess, side="right")) + 1
        # an eighth at a time, since the next step down of the cheapest may still be the cheapest
        index[order[: max(1, needed // 8)]] -= 1
