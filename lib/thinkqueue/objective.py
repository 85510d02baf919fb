r"""What is maximised: the worth of the answers minus the time they take.

.. math:: J(\ell) = \alpha \sum_k w_k \pi_k p_k(\ell_k) - \mathbb{E}[T](\ell)

Its negative curvature is the sum of a diagonal, which the accuracy curves and the service times
share, and a matrix of rank two, by which every type feels the tokens of every other one. It is
never formed: see :class:`Curvature`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay.fifo import Queue, stable_queue
from thinkqueue.workload import Parameters, Workload, tokens_array


def answered_right(parameters: Parameters, tokens: Array) -> Array:
    r"""Return :math:`D_k + A_k(1 - e^{-b_k\ell_k})` at tokens that are already checked.

    Parameters
    ----------
    parameters : Parameters
        A workload, or arrays that broadcast like one.
    tokens : ndarray, (..., N)
        Thinking tokens of each type.
    """
    p = parameters
    return np.asarray(p.baseline - p.gain * np.expm1(-p.rate * tokens))


def accuracy(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the accuracy of each type, :math:`p_k(\ell_k) = D_k + A_k(1 - e^{-b_k\ell_k})`.

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
    return answered_right(workload, tokens_array(workload, tokens))


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
    time = stable_queue(workload, tokens).mean_system_time(workload.arrival_rate)[..., 0]
    return workload.accuracy_weight * mean_accuracy(workload, tokens) - time


def price(parameters: Parameters, state: Queue) -> Array:
    r"""Return the queueing price :math:`q_k` at a stable state.

    .. math:: q_k = 1 + \frac{\lambda s_k}{y} + \frac{\lambda^2 M}{2 y^2}

    Parameters
    ----------
    parameters : Parameters
        A workload, or arrays that broadcast like one.
    state : Queue
        Its queue at the allocation in question.
    """
    pressure = parameters.arrival_rate / state.y
    return np.asarray((1 + pressure**2 * state.M / 2) + pressure * state.s)


def queueing_price(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the price of a second of service for each type, in seconds of mean system time.

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
    return price(workload, stable_queue(workload, tokens))


def gradient(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the derivatives of J, in seconds per token.

    .. math:: \frac{\partial J}{\partial \ell_k} =
              \pi_k\bigl(\alpha w_k A_k b_k e^{-b_k\ell_k} - c_k q_k(\ell)\bigr).

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
    value = workload.accuracy_weight * workload.weight * workload.gain * workload.rate
    cost = workload.time_per_token * queueing_price(workload, ell)
    return np.asarray(workload.share * (value * np.exp(-workload.rate * ell) - cost))


@dataclass(frozen=True)
class Curvature:
    r"""The negative Hessian of J, :math:`-\nabla^2 J = \operatorname{diag}(\delta) + B C B^\top`.

    Attributes
    ----------
    diagonal : ndarray, (N,)
        :math:`\delta_k = \alpha w_k\pi_k A_k b_k^2 e^{-b_k\ell_k} + (\lambda/y)\,\pi_k c_k^2`.
    basis : ndarray, (N, 2)
        :math:`B = [\pi c,\; \pi c s]`.
    core : ndarray, (2, 2)
        :math:`C`, with :math:`\lambda^3 M/y^3` and 0 on its diagonal, :math:`\lambda^2/y^2` off it.
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


def curvature(workload: Workload, tokens: ArrayLike) -> Curvature:
    r"""Return the negative Hessian of J in its structured form.

    .. math:: \nabla^2 \mathbb{E}[T] = \frac{\lambda}{y}\operatorname{diag}(\pi c^2)
              + \frac{\lambda^2}{y^2}(uv^\top + vu^\top) + \frac{\lambda^3 M}{y^3} uu^\top,
              \qquad u = \pi c,\; v = \pi c s,

    to which the accuracy curves add :math:`\operatorname{diag}(\alpha w\pi A b^2 e^{-b\ell})`.

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
    state = stable_queue(workload, ell)
    pressure, second = float(workload.arrival_rate / state.y[0]), float(state.M[0])
    share, rate, c = workload.share, workload.rate, workload.time_per_token
    worth = workload.accuracy_weight * workload.weight * workload.gain
    bend = worth * rate**2 * np.exp(-rate * ell)
    return Curvature(
        diagonal=share * (bend + pressure * c**2),
        basis=np.stack([share * c, share * c * state.s], axis=1),
        core=np.array([[pressure**3 * second, pressure**2], [pressure**2, 0.0]]),
    )
