r"""Where plain iteration of the fixed-point map works, and where it does not (our own derivation).

Every price grows with every budget, so :math:`F` reverses the order of allocations. Started at no
tokens, its iterates therefore enclose the optimum, :math:`\ell^{(0)} \le \ell^{(2)} \le \dots \le
\ell^* \le \dots \le \ell^{(3)} \le \ell^{(1)}`, and there are three things that can happen:
:math:`F(0)` is unstable, both sides meet, or they end in a cycle of two.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array
from thinkqueue.bounds import modulus, tangent
from thinkqueue.checks import check_count
from thinkqueue.delay.fifo import queue
from thinkqueue.delay.time import only_fifo
from thinkqueue.grid import rows_of, select
from thinkqueue.objective import saturating
from thinkqueue.workload import Grid, Workload

MET, AT_REST = 1e-6, 1e-12
"""In units of 1/b: the two sides have met, or they no longer move."""


class Regime(IntEnum):
    """What plain iteration from no tokens does."""

    LEAVES = 0
    """:math:`F(0)` is unstable: the first step leads out of the stable region."""
    OSCILLATES = 1
    """It ends in a cycle of two allocations, one on each side of the optimum."""
    CONVERGES = 2
    """It converges, although the sufficient condition does not hold."""
    CONTRACTS = 3
    """The condition holds on :math:`[0, F(0)]`: it converges, and its speed is known."""


def fixed_point_regimes(
    workload: Workload,
    *,
    arrival_rate: ArrayLike,
    accuracy_weight: ArrayLike,
    steps: int = 2000,
) -> NDArray[np.int8]:
    r"""Say what plain iteration from no tokens does, for a grid of arrival rates and worths.

    Parameters
    ----------
    workload : Workload
        Gives the types.
    arrival_rate, accuracy_weight : array_like
        :math:`\lambda` and :math:`\alpha`; they broadcast.
    steps : int, optional
        How long to wait for the two sides to meet. On the very border between convergence and
        oscillation no finite number would do.

    Returns
    -------
    ndarray of int8
        A :class:`Regime` for each point of the grid.

    Raises
    ------
    WorkloadError
        If a value is out of its range.
    """
    check_count("steps", steps)
    only_fifo(workload, "The map of regimes")
    saturating(workload)
    grid, shape = rows_of(
        workload, {"arrival_rate": arrival_rate, "accuracy_weight": accuracy_weight}
    )
    rows = np.arange(int(np.prod(shape)))
    regime = np.full(rows.size, Regime.LEAVES, dtype=np.int8)
    if rows.size:
        low = np.zeros((rows.size, len(workload)))
        rows = rows[queue(select(grid, rows), low).y[:, 0] > 0]
        high = _reply(select(grid, rows), low[rows])
        stays = queue(select(grid, rows), high).y[:, 0] > 0
        rows, low, high = rows[stays], low[rows[stays]], high[stays]
        start = high
        regime[rows] = Regime.OSCILLATES
        for _ in range(steps):
            part, before = select(grid, rows), high
            low = _reply(part, high)
            high = _reply(part, low)
            met = ((high - low) * saturating(part).rate < MET).all(axis=1)
            kappa = modulus(part, np.zeros_like(start), start)[:, 0]
            regime[rows[met]] = np.where(kappa < 1, Regime.CONTRACTS, Regime.CONVERGES)[met]
            at_rest = ((before - high) * saturating(part).rate < AT_REST).all(axis=1)
            on = ~(met | at_rest)
            rows, low, high, start = rows[on], low[on], high[on], start[on]
            if not rows.size:
                break
    return regime.reshape(shape)


def _reply(grid: Grid, tokens: Array) -> Array:
    return tangent(grid, tokens).reply(grid.max_tokens)
