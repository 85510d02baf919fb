r"""What is certain at an allocation: the tangent bound, and the constants of the two iterations.

:math:`\mathbb{E}[T]` is convex, so its tangent at any stable :math:`\hat\ell` lies below it. What
remains to be maximised, the accuracy minus a linear price, falls apart into one problem a type,
each solved in closed form *by the fixed-point map itself*. Hence every evaluation of the map
carries an upper bound on :math:`J^*` for free: it is a conditional-gradient step, and its duality
gap is a certificate (our own derivation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, total
from thinkqueue.delay.fifo import Queue, queue, stable_queue
from thinkqueue.errors import WorkloadError
from thinkqueue.objective import objective, price
from thinkqueue.workload import Parameters, Workload, tokens_array


@dataclass(frozen=True)
class Tangent:
    r"""Everything that one look at an allocation tells; scalars have shape (..., 1).

    Attributes
    ----------
    tokens : ndarray, (..., N)
        :math:`\hat\ell`, where the tangent touches.
    queue : Queue
        :math:`s, m, M, y` there.
    cost : ndarray, (..., N)
        :math:`c_k q_k`, the price of a token.
    surplus : ndarray, (..., N)
        :math:`u_k = \ln(\alpha w_k A_k b_k) - b_k\hat\ell_k - \ln(c_k q_k)`: how far, in units of
        :math:`1/b_k`, the unclipped fixed-point step goes. A marginal token is worth
        :math:`e^{u_k}` times its price.
    slope : ndarray, (..., N)
        :math:`c_k q_k (e^{u_k} - 1)`, the gradient of J per share.
    scaled_step : ndarray, (..., N)
        :math:`v_k = b_k (F_k(\hat\ell) - \hat\ell_k)`, which is :math:`u_k` unless it is clipped.
    objective : ndarray, (..., 1)
        :math:`J(\hat\ell)`.
    gap : ndarray, (..., 1)
        :math:`U(\hat\ell) - J(\hat\ell) \ge 0`, summed from terms none of which is negative.
    """

    tokens: Array
    queue: Queue
    cost: Array
    surplus: Array
    slope: Array
    scaled_step: Array
    objective: Array
    gap: Array


@dataclass(frozen=True)
class Curves:
    r"""What a solver needs of the accuracy curves and does not want to compute twice.

    Attributes
    ----------
    log_value : ndarray, (..., N)
        :math:`\ln(\alpha w_k A_k b_k)`; minus infinity where more tokens are worth nothing.
    stake : ndarray, (..., N)
        :math:`\alpha w_k \pi_k A_k`, what unlimited thinking adds to J.
    idle_worth : ndarray, (..., 1)
        :math:`\alpha \sum_k w_k \pi_k D_k`, what the answers without thinking add.
    room : ndarray, (..., N)
        :math:`b_k \ell_{\max,k}`.
    share_over_rate : ndarray, (..., N)
        :math:`\pi_k / b_k`.
    """

    log_value: Array
    stake: Array
    idle_worth: Array
    room: Array
    share_over_rate: Array

    @classmethod
    def of(cls, parameters: Parameters) -> Curves:
        """Precompute for a workload, or for arrays that broadcast like one."""
        p = parameters
        worth = np.asarray(p.accuracy_weight * p.weight)
        with np.errstate(divide="ignore"):
            log_value = np.log(worth * p.gain) + np.log(p.rate)
        return cls(
            log_value=log_value,
            stake=worth * p.share * p.gain,
            idle_worth=total(worth * p.share, p.baseline),
            room=p.rate * p.max_tokens,
            share_over_rate=p.share / p.rate,
        )


def tangent(parameters: Parameters, tokens: Array, curves: Curves | None = None) -> Tangent:
    r"""Look at a stable allocation: prices, the map :math:`F`, and the gap of the tangent bound.

    Type k adds :math:`\pi_k \frac{c_k q_k}{b_k}\bigl(e^{u_k}(1-e^{-v_k}) - v_k\bigr) \ge 0` to
    the gap, which is :math:`\pi_k \frac{c_k q_k}{b_k}(e^{u_k} - 1 - u_k)` where nothing is clipped.

    Parameters
    ----------
    parameters : Parameters
        A workload, or arrays that broadcast like one.
    tokens : ndarray, (..., N)
        Thinking tokens, checked and stable.
    curves : Curves, optional
        ``Curves.of(parameters)`` if it is at hand.
    """
    p = parameters
    curves = curves or Curves.of(p)
    state = queue(p, tokens)
    cost = price(p, state)
    cost *= p.time_per_token
    scaled = p.rate * tokens
    surplus = curves.log_value - scaled
    surplus -= np.log(cost)
    slope = np.expm1(surplus)
    slope *= cost
    # F = clip(ℓ + u/b): the step v = b (F − ℓ) is u, cut where the budget meets 0 or its cap
    v = np.minimum(np.maximum(surplus, -scaled), curves.room - scaled)
    # e^u (1 − e^{−v}) − v, in the form that neither overflows nor cancels
    terms = np.expm1(v)
    terms *= np.exp(surplus - v)
    terms -= v
    terms *= cost
    gap = np.maximum(total(terms, curves.share_over_rate), 0)
    objective = height(p, curves, state, scaled)
    return Tangent(tokens, state, cost, surplus, slope, v, objective, gap)


def height(p: Parameters, curves: Curves, state: Queue, scaled: Array) -> Array:
    r"""Return J, shape (..., 1), from parts that are at hand.

    Parameters
    ----------
    p : Parameters
        A workload, or arrays that broadcast like one.
    curves : Curves
        ``Curves.of(p)``.
    state : Queue
        The queue at the allocation.
    scaled : ndarray, (..., N)
        :math:`b_k \ell_k`.
    """
    thinking = total(curves.stake, np.expm1(-scaled))
    return np.asarray(curves.idle_worth - thinking - state.mean_system_time(p.arrival_rate))


def fixed_point_map(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the allocation that is best at the prices of this one.

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
    look = tangent(workload, _stable_tokens(workload, tokens))
    return np.clip(look.tokens + look.scaled_step / workload.rate, 0, workload.max_tokens)


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

    Notes
    -----
    Computed in floating point; :func:`thinkqueue.certify` makes it rigorous. Our own derivation.
    """
    ell = _stable_tokens(workload, tokens)
    # added to the very number that objective() gives, so that no rounding can turn the gap negative
    return objective(workload, ell) + tangent(workload, ell).gap[..., 0]


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
        If the lower corner does not lie below the upper one.
    """
    low = tokens_array(workload, lower, single=True)
    high = tokens_array(workload, upper, single=True)
    if not (low <= high).all():
        k = int(np.argmax(low > high))
        raise WorkloadError(
            f"lower is {low[k]:g} tokens for task type {workload.name(k)!r}, which is above "
            f"upper, {high[k]:g}; swap them.",
            parameter="lower",
            value=float(low[k]),
            task=workload.name(k),
        )
    stable_queue(workload, high)
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
    c, pressure = p.time_per_token, p.arrival_rate / corner.y
    u, v = total(p.share, c), total(p.share * c, corner.s)
    growth = pressure * c + pressure**2 * (corner.s * u + v) + pressure**3 * corner.M * u
    ratio = growth / (p.rate * price(p, queue(p, low)))
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
    stable_queue(workload, ell)
    return ell
