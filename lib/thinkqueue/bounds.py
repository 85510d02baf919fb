r"""What is certain at an allocation: the tangent bound, and the constants of the two iterations.

Where :math:`\mathbb{E}[T]` is convex its tangent at any stable :math:`\hat\ell` lies below it. What
remains to be maximised, the accuracy minus a linear price, falls apart into one problem a type,
each solved *by the fixed-point map itself*, in closed form where the curves saturate. Hence every
evaluation of the map carries an upper bound on :math:`J^*` for free: it is a conditional-gradient
step, and its duality gap is a certificate (our own derivation). The curves may be of any kind: the
bound is valid for curves that are not concave too, but then it need not close.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Scalar, total
from thinkqueue.delay.delay import State
from thinkqueue.delay.fifo import queue, stable_queue
from thinkqueue.delay.time import certain_service_time, delay_of, flat, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.objective import Answers, objective, saturating
from thinkqueue.workload import Parameters, Workload, tokens_array


class Tangent(NamedTuple):
    r"""Everything that one look at an allocation tells.

    Scalars are numbers for one workload, (..., 1) for many.

    Attributes
    ----------
    tokens : ndarray, (..., N)
        :math:`\hat\ell`, where the tangent touches.
    state : State
        Mean time, prices and slack there.
    step : ndarray, (..., N)
        :math:`F_k(\hat\ell) - \hat\ell_k`.
    slope : ndarray, (..., N)
        The gradient of J per share, :math:`\alpha w_kp_k' - c_kq_k`.
    bend : ndarray, (..., N)
        The curvature of the accuracy part per share, see :class:`~thinkqueue.workload.Reply`.
    objective : float or ndarray, (..., 1)
        :math:`J(\hat\ell)`.
    gap : float or ndarray, (..., 1)
        :math:`U(\hat\ell) - J(\hat\ell) \ge 0`, summed from terms none of which is negative.
    """

    tokens: Array
    state: State
    step: Array
    slope: Array
    bend: Array
    objective: Scalar
    gap: Scalar

    def reply(self, caps: Array) -> Array:
        r"""Return :math:`F(\hat\ell)`, the best budgets at the prices of these.

        Parameters
        ----------
        caps : ndarray, (..., N)
            The largest budgets allowed.
        """
        return np.minimum(np.maximum(self.tokens + self.step, 0), caps)


def tangent(problem: Parameters, tokens: Array, answers: Answers | None = None) -> Tangent:
    r"""Look at a stable allocation: prices, the map :math:`F`, and the gap of the tangent bound.

    Type k adds :math:`\pi_k\max_x\,[\alpha w_k(p_k(x) - p_k(\hat\ell_k)) - c_kq_k(x -
    \hat\ell_k)] \ge 0` to the gap.

    Parameters
    ----------
    problem : Parameters
        A workload, or arrays that broadcast like one.
    tokens : ndarray, (..., N)
        Thinking tokens, checked, within the caps, and stable.
    answers : Answers, optional
        ``Answers.of(problem)`` if it is at hand.
    """
    answers = answers or Answers.of(problem)
    state = answers.delay.at(problem, tokens)
    reply, worth = answers.respond(tokens, state.price)
    gap = total(problem.share, reply.gain)
    gap = max(gap, 0.0) if isinstance(gap, float) else np.maximum(gap, 0)
    return Tangent(tokens, state, reply.step, reply.slope, reply.bend, worth - state.time, gap)


def fixed_point_map(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the allocation that is best at the prices of this one.

    .. math:: F_k(\ell) = \arg\max_{0\le x\le\ell_{\max,k}}
              \bigl[\alpha w_k p_k(x) - c_k q_k(\ell)\,x\bigr],

    which for saturating curves is

    .. math:: F_k(\ell) = \operatorname{clip}\Bigl(\frac{1}{b_k}
              \ln\frac{\alpha w_k A_k b_k}{c_k q_k(\ell)},\; 0,\; \ell_{\max,k}\Bigr).

    The optimum is its only fixed point (arXiv:2601.10274).

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (..., N)
        Tokens between 0 and the caps; they may be unstable.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at ``tokens``.
    """
    return tangent(workload, _stable_tokens(workload, tokens)).reply(workload.max_tokens)


def upper_bound(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return a number that no feasible allocation's objective exceeds.

    .. math:: J(\ell) \le U(\hat\ell) = \sum_k \max_{0\le x\le \ell_{\max,k}}
              \bigl[\alpha w_k\pi_k p_k(x) - \pi_k c_k q_k(\hat\ell)\,x\bigr]
              - \mathbb{E}[T](\hat\ell) + \sum_k \pi_k c_k q_k(\hat\ell)\,\hat\ell_k.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Any stable allocation within the caps; the closer to the optimum, the tighter the bound.

    Returns
    -------
    ndarray, (...)
        In seconds. :math:`U(\hat\ell) - J(\hat\ell) \ge 0` bounds what ``tokens`` leaves on the
        table, and is 0 at the optimum only.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at ``tokens``.
    WorkloadError
        If the mean time of the workload's server is not convex.

    Notes
    -----
    Computed in floating point; :func:`thinkqueue.certify` makes it rigorous. Our own derivation.
    """
    ell = _stable_tokens(workload, tokens)
    if not delay_of(workload.server).convex:
        raise WorkloadError(
            f"The mean time of {workload.server!r} is not convex in the tokens, so its tangents "
            "bound nothing.",
            parameter="server",
            value=workload.server,
        )
    # added to the very number that objective() gives, so that no rounding can turn the gap negative
    return objective(workload, ell) + flat(tangent(workload, ell).gap, ell)


def contraction_modulus(workload: Workload, lower: ArrayLike, upper: ArrayLike) -> float:
    r"""Return a Lipschitz constant of the fixed-point map in the ∞-norm on a box.

    .. math:: \kappa = \max_k \frac{R_k(u)}{b_k\,q_k(l)}, \qquad
              R_k = \frac{\lambda c_k}{y} + \frac{\lambda^2\bigl(s_k \sum_j\pi_jc_j
                    + \sum_j \pi_j s_j c_j\bigr)}{y^2}
                    + \frac{\lambda^3 M \sum_j \pi_j c_j}{y^3}.

    :math:`R_k` is the sum of the partial derivatives of :math:`q_k`, all of them positive and
    growing with :math:`\ell`, so it is evaluated at the upper corner and :math:`q_k` at the lower
    one. If :math:`\kappa < 1` and the map takes the box into itself, plain iteration converges
    there from anywhere, and its error shrinks by :math:`\kappa` in each step. The condition is
    sufficient and not necessary.

    Parameters
    ----------
    workload : Workload
        The workload.
    lower, upper : array_like, (N,)
        The corners of the box.

    Raises
    ------
    UnstableError
        If the upper corner is unstable.
    WorkloadError
        If the lower corner does not lie below the upper one, or the service times are random.
    """
    low = tokens_array(workload, lower, single=True)
    high = tokens_array(workload, upper, single=True)
    if not (low <= high).all():
        k = int(np.argmax(low > high))
        raise WorkloadError(
            f"lower is {low[k]:g} tokens for task type {shown(workload.name(k))}, which is above "
            f"upper, {high[k]:g}; swap them.",
            parameter="lower",
            value=float(low[k]),
            task=workload.name(k),
        )
    stable_queue(workload, high)
    certain_service_time(workload, high, "The contraction modulus")
    return float(modulus(workload, low, high)[0])


def modulus(p: Parameters, low: Array, high: Array) -> Array:
    """Return κ of :func:`contraction_modulus` for arrays of shape (..., N), as (..., 1).

    Parameters
    ----------
    p : Parameters
        A workload, or arrays that broadcast like one.
    low, high : ndarray, (..., N)
        The corners of the boxes, both stable.
    """
    corner = queue(p, high)
    c, pressure = p.service.moments(high).mean_slope, p.arrival_rate / corner.y
    u = np.sum(p.share * c, axis=-1, keepdims=True)
    v = np.sum(p.share * c * corner.s, axis=-1, keepdims=True)
    growth = pressure * c + pressure**2 * (corner.s * u + v) + pressure**3 * corner.M * u
    start = queue(p, low)
    calm = p.arrival_rate / start.y
    ratio = growth / (saturating(p).rate * (1 + calm * start.s + calm**2 * start.M / 2))
    return np.asarray(ratio.max(axis=-1, keepdims=True))


def strong_concavity_modulus(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return an explicit lower bound on the curvature of :math:`\mathbb{E}[T]`, hence of J.

    .. math:: \nabla^2\mathbb{E}[T] \succcurlyeq \frac{\lambda}{y}\,
              \frac{\min_k \pi_k c_k^2}{(1 + \lambda\sqrt M)^2}\, I
              \quad\text{(our own derivation).}

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)
        In seconds per token².

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    state = stable_queue(workload, tokens)
    rate = workload.arrival_rate
    smallest = (workload.share * workload.time_per_token**2).min()
    return np.asarray(rate / state.y * smallest / (1 + rate * np.sqrt(state.M)) ** 2)[..., 0]


def _stable_tokens(workload: Workload, tokens: ArrayLike) -> Array:
    ell = tokens_array(workload, tokens, capped=True)
    stable_state(workload, ell)
    return ell
