r"""How long a step along the fixed-point map may be: exactly, and beforehand (our own derivation).

At the optimum the map answers a change of the budgets with
:math:`\mathrm dF = -E^{-1}\nabla^2\mathbb{E}[T]\,\mathrm d\ell` on the free types, where
:math:`E = \operatorname{diag}(\pi_k b_k c_k q_k)` is the curvature of the accuracy. All eigenvalues
of this feedback are negative, and the largest in size, :math:`-\Lambda`, decides what repeated
steps :math:`\ell \leftarrow \ell + \eta(F(\ell) - \ell)` do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.bounds import fixed_point_map
from thinkqueue.delay.time import curved, only_fifo
from thinkqueue.grid import rows_of, solve_grid
from thinkqueue.objective import queueing_price
from thinkqueue.smoothness import curvature_bound
from thinkqueue.workload import Workload

_HALVINGS = 70
_FINEST = 1e-17
"""Below this part of the trace nothing can be added to the largest diagonal entry."""


def price_feedback(
    workload: Workload,
    *,
    arrival_rate: ArrayLike | None = None,
    accuracy_weight: ArrayLike | None = None,
) -> Array:
    r"""Return how strongly prices answer budgets at the optimum, for one server or a grid of them.

    .. math:: \Lambda = \lambda_{\max}\bigl(E^{-1/2}\,\nabla^2\mathbb{E}[T]\,E^{-1/2}\bigr)
              \quad\text{on the free types,}\quad E = \operatorname{diag}(-\alpha w_k\pi_kp_k''),

    which is :math:`\operatorname{diag}(\pi_k b_k c_k q_k)` where the curves saturate.

    The step :math:`\ell \leftarrow \ell + \eta(F(\ell) - \ell)` converges locally if
    :math:`\eta < 2/(1 + \Lambda)` and is repelled if :math:`\eta` is larger; plain iteration is
    :math:`\eta = 1`. The step :math:`\eta = 2/(2 + \Lambda)` shrinks the error by
    :math:`\Lambda/(2 + \Lambda)`.

    Parameters
    ----------
    workload : Workload
        Gives what is not varied.
    arrival_rate, accuracy_weight : array_like, optional
        :math:`\lambda` and :math:`\alpha`; they broadcast.

    Returns
    -------
    ndarray, (...)
        :math:`\Lambda` with the shape of the grid; 0 where no type is strictly between 0 and its
        cap. A type without queries counts as a rare one does.

    Raises
    ------
    WorkloadError
        If a value is out of its range, or the server is not first come, first served.
    UnstableError
        If some server has no stable allocation.

    Notes
    -----
    The matrix is diagonal plus rank two, :math:`\operatorname{diag}(\tau) + fg^\top + gf^\top +
    \beta ff^\top`. With :math:`R_i(x) = \sum_k f_k^{2-i}g_k^i/(x - \tau_k)`, the largest eigenvalue
    is the only root above :math:`\max_k\tau_k` of :math:`\beta R_0 + 2R_1 + R_0R_2 - R_1^2 = 1`; it
    is bisected, in O(N).
    """
    only_fifo(workload, "The threshold of damping")
    parameters: dict[str, ArrayLike] = {
        "arrival_rate": workload.arrival_rate if arrival_rate is None else arrival_rate,
        "accuracy_weight": workload.accuracy_weight if accuracy_weight is None else accuracy_weight,
    }
    best = solve_grid(workload, **parameters)  # type: ignore[arg-type]
    grid, shape = rows_of(workload, parameters)
    tokens = best.tokens.reshape(-1, len(workload))
    delay, worth = curved(workload.server), np.asarray(grid.accuracy_weight * grid.weight)
    state = delay.at(grid, tokens)
    own, cross, square, load, joint, _ = delay.curvature(grid, state)
    # the reply to the prices is nearer to the optimum of a rare type than the solver had to come
    nothing = np.zeros_like(tokens)
    with np.errstate(divide="ignore"):
        replies = grid.curves.reply(state.price / worth, nothing, nothing + grid.max_tokens)
    bend = worth * grid.curves.bend(replies)
    free = (tokens > 0) & (tokens < workload.max_tokens) & (bend > 0)
    soft = np.where(free, 1 / np.where(free, bend, 1.0), 0.0)
    both = (grid.share * square).sum(axis=-1, keepdims=True) + joint
    strength = _largest_eigenvalue(own * soft, grid.share * load**2 * soft, cross / load, both)
    return strength.reshape(shape)


def _largest_eigenvalue(own: Array, felt: Array, cross: Array, both: Array) -> Array:
    """Bisect the secular equation, geometrically in the distance from the largest diagonal entry.

    Here ``own`` is τ, ``felt`` is f², ``cross`` is g/f and ``both`` is β; all rows of a grid side
    by side.
    """
    top = own.max(axis=-1, keepdims=True)
    whole = (own + felt * (2 * cross + both)).sum(axis=-1, keepdims=True)
    low, high = _FINEST * whole, np.maximum(whole - top, 2 * _FINEST * whole)
    for _ in range(_HALVINGS if (whole > 0).any() else 0):
        middle = np.sqrt(low * high)
        pull = felt / np.where(whole > 0, top - own + middle, 1.0)
        r0, r1, r2 = ((pull * cross**i).sum(axis=-1, keepdims=True) for i in range(3))
        below = both * r0 + 2 * r1 + np.maximum(r0 * r2 - r1**2, 0) > 1
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((top + high)[..., 0])


def line_search_factor(workload: Workload) -> float:
    r"""Return by how much each step of the line search shrinks :math:`J^* - J`, at the least.

    Started at no tokens, :class:`~thinkqueue.ConditionalGradient` never gives anybody more than
    :math:`F(0)`, and up to there the accuracy curves at least as much as
    :math:`E = \operatorname{diag}(\pi_k b_k c_k q_k(0))`. With :math:`L \ge
    \lambda_{\max}(E^{-1/2}\nabla^2\mathbb{E}[T]E^{-1/2})` wherever :math:`J \ge J(0)`,

    .. math:: J^* - J(\ell^{(n+1)}) \le \frac{L}{1 + L}\,\bigl(J^* - J(\ell^{(n)})\bigr), \qquad
              L = \bar\sigma \max_{k:\,F_k(0) > 0}\frac{c_k}{b_k q_k(0)},

    where :math:`\nabla^2\mathbb{E}[T] \preccurlyeq \bar\sigma\operatorname{diag}(\pi c^2)` is the
    ceiling of :func:`~thinkqueue.curvature_bound` for the caps :math:`F(0)`.

    Parameters
    ----------
    workload : Workload
        The workload.

    Returns
    -------
    float
        Between 0 and 1; 0 where nobody thinks at the optimum.

    Raises
    ------
    UnstableError
        If the server has no stable allocation.
    """
    idle = np.zeros(len(workload))
    most = fixed_point_map(workload, idle)
    thinking = (most > 0) & (workload.share > 0)
    if not thinking.any():
        return 0.0
    soft = workload.time_per_token / (workload.rate * queueing_price(workload, idle))
    ceiling = curvature_bound(workload.replace(max_tokens=most), idle).ceiling
    bend = ceiling * float(soft[thinking].max())
    return bend / (1 + bend)
