r"""What is maximised: the worth of the answers minus the time they take.

.. math:: J(\ell) = \alpha \sum_k w_k \pi_k p_k(\ell_k) - \mathbb{E}[T](\ell)

Its negative Hessian is the sum of a diagonal, which the accuracy curves and the service times
share, and a matrix of rank two, by which every type feels the tokens of every other one. It is
never formed: see :class:`NegativeHessian`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Scalar, first, total
from thinkqueue.delay.time import curved, delay_of, flat, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload import Parameters, Reply, Saturating, Workload, tokens_array


class Answers:
    r"""What the answers are worth, :math:`\alpha\sum_k w_k\pi_kp_k`, and who gives them.

    It holds what an iteration needs at every step and what does not change on the way.

    Parameters
    ----------
    problem : Parameters
        A workload, or arrays that broadcast like one.
    """

    def __init__(self, problem: Parameters) -> None:
        self.curves, self.share, self.cap = problem.curves, problem.share, problem.max_tokens
        self.delay = delay_of(problem.server)
        self.value = np.asarray(problem.accuracy_weight * problem.weight)
        self.stake = self.value * self.share

    @staticmethod
    def of(problem: Parameters) -> Answers:
        """Return the answers of a workload, in the form that suits its curves.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        """
        if type(problem.curves) is Saturating:
            return SaturatingAnswers(problem)
        return Answers(problem)

    def worth(self, tokens: Array) -> Scalar:
        """Return what all answers are worth, in s.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return total(self.stake, self.curves.value(tokens))

    def respond(self, tokens: Array, price: Array) -> tuple[Reply, Scalar]:
        """Return how the types answer prices, and what their answers are worth now.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens, within the caps.
        price : ndarray, (..., N)
            Seconds a token.
        """
        value, cap = (np.broadcast_to(x, price.shape) for x in (self.value, self.cap))
        return self.curves.respond(value, price, tokens, cap), self.worth(tokens)

    def towards(self, tokens: Array, price: Array, rise: Array) -> Array:
        """Return a step towards the budgets at prices that rise with the tokens.

        Parameters
        ----------
        tokens, price, rise : ndarray, (..., N)
            The present tokens, seconds a token there, and the slope of these.
        """
        reply = self.respond(tokens, price)[0]
        return np.asarray(reply.slope / (reply.bend + rise))


class SaturatingAnswers(Answers):
    r"""The same where all curves saturate: everything in closed form, and exact near the optimum.

    With :math:`u_k = \ln(v_kA_kb_k) - b_k\ell_k - \ln(\text{price}_k)` a marginal token is worth
    :math:`e^{u_k}` times its price, the fixed-point step is :math:`u_k/b_k`, cut where the budget
    meets 0 or its cap (:math:`v_k`), and gains :math:`\frac{\text{price}_k}{b_k}
    \bigl(e^{u_k}(1-e^{-v_k}) - v_k\bigr)`.

    Parameters
    ----------
    problem : Parameters
        A workload, or arrays that broadcast like one.
    """

    def __init__(self, problem: Parameters) -> None:
        super().__init__(problem)
        curves: Saturating = problem.curves  # type: ignore[assignment]
        gain, self.rate = np.asarray(curves.gain), np.asarray(curves.rate)
        with np.errstate(divide="ignore"):
            self.log_value = np.log(self.value * gain) + np.log(self.rate)
        self.stake_gain = self.stake * gain
        self.idle = total(self.stake, np.asarray(curves.baseline))
        self.room, self.width = self.rate * self.cap, 1 / self.rate

    def worth(self, tokens: Array) -> Scalar:
        """Return what all answers are worth, in s.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return self.idle - total(self.stake_gain, np.expm1(-self.rate * tokens))

    def respond(self, tokens: Array, price: Array) -> tuple[Reply, Scalar]:
        """Return how the types answer prices, and what their answers are worth now.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens, within the caps.
        price : ndarray, (..., N)
            Seconds a token.
        """
        least = -self.rate * tokens
        u = self.log_value + least
        u -= np.log(price)
        u += TINY  # so that 0/0 below is 1
        gain = np.expm1(u)
        slope = gain * price
        bend = slope / u
        bend *= self.rate
        v = np.minimum(np.maximum(u, least), self.room + least)
        # e^u (1 − e^{−v}) − v, in the form that neither overflows nor cancels
        np.expm1(v, out=gain, where=v != u)
        u -= v
        gain *= np.exp(u, out=u)
        gain -= v
        gain *= price
        gain *= self.width
        v *= self.width
        worth = self.idle - total(self.stake_gain, np.expm1(least, out=least))
        return Reply(v, gain, slope, bend), worth

    def towards(self, tokens: Array, price: Array, rise: Array) -> Array:
        """Return the step of Newton's method for u = 0, which is convex: it never overshoots.

        Parameters
        ----------
        tokens, price, rise : ndarray, (..., N)
            The present tokens, seconds a token there, and the slope of these.
        """
        u = self.log_value - self.rate * tokens
        u -= np.log(price)
        return np.asarray(u / (self.rate + rise / price))


TINY = 1e-150
"""Where a marginal token is worth exactly its price, its logarithm is this instead of 0."""


def saturating(problem: Parameters) -> Saturating:
    """Return the curves of a workload, or refuse it where they do not saturate exponentially.

    Parameters
    ----------
    problem : Parameters
        A workload, or arrays that broadcast like one.

    Raises
    ------
    WorkloadError
        If they are of another kind.
    """
    if not isinstance(problem.curves, Saturating):
        raise WorkloadError(
            f"This holds for saturating curves only; some of these are of another kind: "
            f"{shown(problem.curves)}.",
            parameter="accuracy",
            value=problem.curves,
        )
    return problem.curves


def accuracy(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the accuracy of each type, :math:`p_k(\ell_k)`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (..., N)
    """
    return workload.curves.value(tokens_array(workload, tokens))


def mean_accuracy(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the weighted mean accuracy of a query, :math:`\sum_k w_k \pi_k p_k(\ell_k)`.

    With all weights 1 this is the share of queries answered right.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)
    """
    return accuracy(workload, tokens) @ (workload.weight * workload.share)


def objective(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return :math:`J(\ell) = \alpha \sum_k w_k\pi_k p_k(\ell_k) - \mathbb{E}[T](\ell)` in s.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    ell = tokens_array(workload, tokens)
    time = flat(stable_state(workload, ell).time, ell)
    return workload.accuracy_weight * mean_accuracy(workload, ell) - time


def queueing_price(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the price of a second of service for each type, in seconds of mean system time.

    First come, first served it is

    .. math:: q_k = 1 + \frac{\lambda s_k}{y} + \frac{\lambda^2 M}{2 y^2}, \qquad
              \frac{\partial\,\mathbb{E}[T]}{\partial \ell_k} = \pi_k c_k q_k.

    One second for the query itself, and the seconds that it makes others wait.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (..., N)

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    ell = tokens_array(workload, tokens)
    seconds = workload.service.moments(ell).mean_slope
    return np.asarray(stable_state(workload, ell).price / seconds)


def gradient(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the derivatives of J, in seconds per token.

    .. math:: \frac{\partial J}{\partial \ell_k} =
              \pi_k\bigl(\alpha w_k p_k'(\ell_k) - c_k q_k(\ell)\bigr).

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (..., N)

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    ell = tokens_array(workload, tokens)
    worth = workload.accuracy_weight * workload.weight * workload.curves.slope(ell)
    return np.asarray(workload.share * (worth - stable_state(workload, ell).price))


@dataclass(frozen=True)
class NegativeHessian:
    r"""The negative Hessian of J, :math:`-\nabla^2 J = \operatorname{diag}(\delta) + B C B^\top`.

    Attributes
    ----------
    diagonal : ndarray, (N,)
        :math:`\delta_k = -\alpha w_k\pi_k p_k'' + \pi_k h_k`.
    basis : ndarray, (N, 2)
        :math:`B = [\pi c,\; \pi h r]` in the letters of :class:`~thinkqueue.delay.TimeCurvature`;
        first come, first served it is :math:`[\pi c,\; \tfrac{\lambda^2}{y^2}\pi c s]`.
    core : ndarray, (2, 2)
        :math:`C`, with :math:`\sum\pi hr^2 + \kappa` and 0 on its diagonal, 1 off it.
    """

    diagonal: Array
    basis: Array
    core: Array

    def __matmul__(self, direction: ArrayLike) -> Array:
        """Return the product with a vector, in O(N).

        Parameters
        ----------
        direction : array_like, (N,)
            The vector.
        """
        d = np.asarray(direction, dtype=np.float64)
        return np.asarray(self.diagonal * d + self.basis @ (self.core @ (self.basis.T @ d)))

    def solve(self, right: ArrayLike) -> Array:
        r"""Return the solution of :math:`(-\nabla^2 J)\,d = r`, in O(N), by Woodbury's identity.

        Parameters
        ----------
        right : array_like, (N,) or (N, K)
            The right-hand side, or several as columns.
        """
        r = np.asarray(right, dtype=np.float64)
        scaled = self.basis / self.diagonal[:, None]
        # (δ + BCBᵀ)⁻¹ = δ⁻¹ − δ⁻¹B C (I + BᵀDB C)⁻¹ Bᵀδ⁻¹ holds for a singular C as well
        inner = np.eye(2) + (self.basis.T @ scaled) @ self.core
        step = self.core @ np.linalg.solve(inner, scaled.T @ r)
        over = self.diagonal if r.ndim == 1 else self.diagonal[:, None]
        return np.asarray(r / over - scaled @ step)

    def dense(self) -> Array:
        """Return the whole matrix, (N, N): for small N and for checks."""
        return np.asarray(np.diag(self.diagonal) + self.basis @ self.core @ self.basis.T)


def negative_hessian(workload: Workload, tokens: ArrayLike) -> NegativeHessian:
    r"""Return the negative Hessian of J in its structured form.

    First come, first served

    .. math:: \nabla^2 \mathbb{E}[T] = \frac{\lambda}{y}\operatorname{diag}(\pi c^2)
              + \frac{\lambda^2}{y^2}(uv^\top + vu^\top) + \frac{\lambda^3 M}{y^3} uu^\top,
              \qquad u = \pi c,\; v = \pi c s,

    to which the accuracy curves add :math:`\operatorname{diag}(-\alpha w\pi p'')`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    ell = tokens_array(workload, tokens, single=True)
    state = stable_state(workload, ell)
    own, cross, square, load, joint, _ = curved(workload.server).curvature(workload, state)
    share, nothing = workload.share, np.zeros_like(ell)
    bend = workload.accuracy_weight * workload.weight * workload.curves.bend(ell)
    return NegativeHessian(
        diagonal=share * (bend + own),
        basis=np.stack([share * load, share * (cross + nothing)], axis=1),
        core=np.array([[first(total(share, square + nothing) + joint), 1.0], [1.0, 0.0]]),
    )
