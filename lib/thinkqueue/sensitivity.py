"""How the optimum moves when the world does: derivatives and shadow prices of a solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.delay.delay import RateSlopes
from thinkqueue.delay.time import delay_of, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.objective import NegativeHessian, gradient, mean_accuracy, negative_hessian
from thinkqueue.solution import Solution
from thinkqueue.workload import Workload, tokens_array


@dataclass(frozen=True)
class Sensitivity:
    r"""Derivatives of the optimal allocation and of its value.

    Attributes
    ----------
    tokens_by_arrival_rate : ndarray, (N,)
        :math:`\mathrm d\ell^*_k/\mathrm d\lambda` in tokens per (query/s).
    tokens_by_accuracy_weight : ndarray, (N,)
        :math:`\mathrm d\ell^*_k/\mathrm d\alpha` in tokens per s.
    objective_by_arrival_rate : float
        :math:`\mathrm dJ^*/\mathrm d\lambda` in s per (query/s).
    objective_by_accuracy_weight : float
        :math:`\mathrm dJ^*/\mathrm d\alpha`, which is the mean accuracy.
    cap_price : ndarray, (N,)
        :math:`\mathrm dJ^*/\mathrm d\ell_{\max,k}` in s per token; 0 where the cap does not bind.
    load_price : float
        What J loses, in s, for each unit of the server's time taken away by something else.
    free : ndarray of bool, (N,)
        The types that react: they have queries and a budget strictly between 0 and the cap.
    """

    tokens_by_arrival_rate: Array
    tokens_by_accuracy_weight: Array
    objective_by_arrival_rate: float
    objective_by_accuracy_weight: float
    cap_price: Array
    load_price: float
    free: NDArray[np.bool_]


def sensitivity(workload: Workload, solution: Solution) -> Sensitivity:
    r"""Differentiate the optimum with respect to the arrival rate and the worth of accuracy.

    The free types satisfy :math:`\partial J/\partial\ell_k = 0` whatever the parameters are, so
    with :math:`H = -\nabla^2 J` on them :math:`H\,\mathrm d\ell^* = \partial_\theta \nabla J`,

    .. math:: \partial_\lambda\partial_k J = -\pi_k\,\partial_\lambda q_k, \qquad
              \partial_\alpha\partial_k J = w_k\pi_k p_k'(\ell_k),

    with :math:`q_k` the price of a token, and by the envelope theorem :math:`\mathrm dJ^*/\mathrm
    d\lambda = -\partial_\lambda\,\mathbb{E}[T]` and :math:`\mathrm dJ^*/\mathrm d\alpha =
    \sum_k w_k\pi_kp_k`. First come, first served :math:`\partial_\lambda q_k = \frac{c_k}{y^2}
    (s_k + \lambda M/y)` and :math:`\partial_\lambda\,\mathbb{E}[T] = M/(2y^2)`; for
    :math:`\tau(n) = a + bn` they are :math:`2b\tau(1)m/y^3` and :math:`b\tau(1)m^2/y^2` (our own
    derivation).

    Parameters
    ----------
    workload : Workload
        The workload.
    solution : Solution
        Its optimum, as :func:`~thinkqueue.solve` returns it.

    Returns
    -------
    Sensitivity
        One-sided where a budget is just about to leave 0 or its cap. Where the mean time is not
        convex they are those of this local optimum.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at its tokens.
    WorkloadError
        If the workload's server does not know how it answers to more arrivals.
    """
    ell = tokens_array(workload, solution.tokens, capped=True, single=True)
    delay = delay_of(workload.server)
    if not hasattr(delay, "by_rate"):
        raise WorkloadError(
            f"{workload.server!r} does not say how time and prices move with the arrival rate: it "
            "has no by_rate(problem, state).",
            parameter="server",
            value=workload.server,
        )
    bend = negative_hessian(workload, ell)
    moved: RateSlopes = delay.by_rate(workload, stable_state(workload, ell))
    free = (ell > 0) & (ell < workload.max_tokens) & (workload.share > 0)
    marginal = workload.weight * workload.curves.slope(ell)
    right = workload.share[:, None] * np.stack([-moved.price, marginal], axis=1)
    moves = np.zeros((len(workload), 2))
    moves[free] = NegativeHessian(bend.diagonal[free], bend.basis[free], bend.core).solve(
        right[free]
    )
    slope = gradient(workload, ell)
    return Sensitivity(
        tokens_by_arrival_rate=moves[:, 0],
        tokens_by_accuracy_weight=moves[:, 1],
        objective_by_arrival_rate=-moved.time,
        objective_by_accuracy_weight=float(mean_accuracy(workload, ell)),
        cap_price=np.where(ell >= workload.max_tokens, np.maximum(slope, 0), 0.0),
        load_price=moved.taken,
        free=free,
    )
