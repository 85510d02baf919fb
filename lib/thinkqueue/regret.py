r"""What budgets from estimated curves lose at most, and to which type: no asymptotics.

The tangent bound of the *true* workload holds at any allocation, so also at the budgets that were
computed from estimates. It needs no solution of the true workload, and it is a sum over the types
(our own derivation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.bounds import upper_bound
from thinkqueue.checks import LARGEST, SMALLEST, floats
from thinkqueue.delay.time import stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.objective import Answers, saturating
from thinkqueue.workload import Curve, Grid, Workload, tokens_array


@dataclass(frozen=True, eq=False)
class RegretBound:
    r"""An upper bound on what an allocation loses to the best one, type by type.

    Attributes
    ----------
    per_type : ndarray, (..., N)
        What each type adds, in s; none is negative. The type that adds most, in the mean over what
        might be true, is the one whose curve is worth measuring next.
    surplus : ndarray, (..., N)
        :math:`u_k`, the error of the log of the marginal accuracy; minus infinity where a curve is
        flat.
    """

    per_type: Array
    surplus: Array

    @property
    def total(self) -> Array:
        """The bound itself, (...), in s."""
        return np.asarray(self.per_type.sum(axis=-1))


def regret_bound(
    workload: Workload,
    tokens: ArrayLike,
    *,
    curves: Curve | None = None,
    gain: ArrayLike | None = None,
    rate: ArrayLike | None = None,
) -> RegretBound:
    r"""Bound what budgets lose if other curves are true than those they were computed from.

    With the prices :math:`q_k` at the budgets in use and the true curves :math:`p_k`,

    .. math:: J^* - J(\ell) \le \sum_k \pi_k \max_{0\le x\le\ell_{\max,k}}
              \bigl[\alpha w_k(p_k(x) - p_k(\ell_k)) - c_kq_k(x - \ell_k)\bigr],

    and where they saturate and nothing is clipped, with the surplus :math:`u_k =
    \ln\frac{\alpha w_kA_kb_k}{c_kq_k} - b_k\ell_k`, type k adds
    :math:`\pi_k\frac{c_kq_k}{b_k}(e^{u_k} - 1 - u_k)`. If the budgets are the best ones for
    estimated curves, :math:`u_k` is the error of the log of the marginal accuracy, for every type
    strictly between 0 and its cap; the baselines play no part.

    Parameters
    ----------
    workload : Workload
        Gives everything but the curves in question.
    tokens : array_like, (N,)
        The budgets in use, stable and within the caps.
    curves : Curve, optional
        The curves that might be true, with fields of shape (..., N). The workload's own where not
        given.
    gain, rate : array_like, (..., N), optional
        :math:`A_k` and :math:`b_k` in place of those of saturating curves: one set, or many at
        once, such as the draws of a bootstrap or the corners of a confidence region.

    Returns
    -------
    RegretBound

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at ``tokens``.
    WorkloadError
        If a value is out of its range, or the mean time of the server is not convex.

    Notes
    -----
    It is never below the regret, whatever the curves are. For small errors of concave ones it is
    above it by a factor between 1 and :math:`1 + \Lambda`, with the :math:`\Lambda` of
    :func:`~thinkqueue.price_feedback`.
    """
    ell = tokens_array(workload, tokens, capped=True, single=True)
    upper_bound(workload, ell)  # refuses a server whose tangents bound nothing
    true = workload.curves if curves is None else curves
    if gain is not None or rate is not None:
        true = replace(
            saturating(workload),
            gain=_curve(workload, "gain", gain, 0.0, 1.0),
            rate=_curve(workload, "rate", rate, SMALLEST, LARGEST),
        )
    price = stable_state(workload, ell).price
    price = np.broadcast_to(price, np.broadcast_shapes(price.shape, true.value(ell).shape))
    problem = Grid(
        share=workload.share,
        max_tokens=workload.max_tokens,
        weight=workload.weight,
        curves=true,
        service=workload.service,
        arrival_rate=workload.arrival_rate,
        accuracy_weight=workload.accuracy_weight,
        server=workload.server,
    )
    reply, _ = Answers.of(problem).respond(ell, price)
    with np.errstate(divide="ignore"):
        surplus = np.log1p(np.maximum(reply.slope / price, -1.0))
    return RegretBound(np.maximum(workload.share * reply.gain, 0), surplus)


def _curve(
    workload: Workload, name: str, values: ArrayLike | None, low: float, high: float
) -> Array:
    array = floats(name, getattr(workload, name) if values is None else values)
    if array.shape[-1:] != (len(workload),):
        raise WorkloadError(
            f"{name} has shape {array.shape}; its last axis must have one entry for each of the "
            f"{len(workload)} task types.",
            parameter=name,
            value=array.shape,
        )
    bad = ~((array >= low) & (array <= high))
    if bad.any():
        where = np.unravel_index(int(np.argmax(bad)), bad.shape)
        task, value = workload.name(int(where[-1])), float(array[where])
        limit = "lie between 0 and 1" if name == "gain" else "be positive and finite"
        raise WorkloadError(
            f"{name} of task type {shown(task)} is {value:g}; it must {limit}.",
            parameter=name,
            value=value,
            task=task,
        )
    return array
