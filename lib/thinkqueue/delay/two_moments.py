r"""Servers whose mean time depends on the mix through two moments of the service time.

.. math:: \mathbb{E}[T] = \varphi(\lambda, m, M) = g(m) + M f(m), \qquad
          m = \sum_k\pi_k s_k,\quad M = \sum_k\pi_k q_k

with :math:`q_k = \mathbb{E}[S_k^2]`. First come first served, its corrections for arrivals that are
not Poisson, and the approximations for several servers are of this form. A token of type k costs
:math:`\varphi_m s_k' + f q_k'`, and completing the square turns the Hessian into

.. math:: \sum_k\pi_k h_k\Bigl(d_k + \frac{f'q_k'}{h_k}a\Bigr)^2 + \kappa a^2, \qquad
          h_k = \varphi_m s_k'' + f q_k'', \quad a = \sum_k\pi_k s_k'd_k,

.. math:: \kappa = g'' + M f'' - \sum_k\pi_k\frac{(f'q_k')^2}{h_k}
                = g'' + M\Bigl(f'' - \frac{2f'^2}{f}\Bigr)

where the last form holds for certain times affine in the tokens (our own derivation).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Scalar, first, total
from thinkqueue.delay.delay import RateSlopes, State, TimeCurvature
from thinkqueue.workload.parameters import Parameters
from thinkqueue.workload.service import Affine, Generated, Moments


class Formula(NamedTuple):
    r"""The functions f and g at one mean service time, with their derivatives.

    Attributes
    ----------
    slack : float or ndarray, (..., 1)
        :math:`1 - \rho`.
    g, g1, g2 : float or ndarray, (..., 1)
        :math:`g, g', g''`.
    f, f1 : float or ndarray, (..., 1)
        :math:`f, f'`.
    excess : float or ndarray, (..., 1)
        :math:`f'' - 2f'^2/f`, which is 0 for first come, first served.
    """

    slack: Scalar
    g: Scalar
    g1: Scalar
    g2: Scalar
    f: Scalar
    f1: Scalar
    excess: Scalar


class Detail(NamedTuple):
    """What a state remembers: the moments of each type and of all, and the formula there."""

    types: Moments
    m: Scalar
    M: Scalar
    formula: Formula


class TwoMoments:
    """A delay from a formula in two moments: one method to write."""

    convex: bool = True
    pace: float = 1.0
    """By how much the load rises, over the arrival rate, with the mean of what is asked."""

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        r"""Return :math:`f, g` and their derivatives.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            :math:`\lambda`.
        m : float or ndarray, (..., 1)
            The mean service time. Nothing is divided by a slack that is not positive: see
            :func:`room`.
        """
        raise TypeError(f"{type(self).__name__} has no formula; define it.")

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        types = problem.service.moments(tokens)
        m, second = total(problem.share, types.mean), total(problem.share, types.square)
        at = self.formula(problem.arrival_rate, m)
        price = types.square_slope * at.f
        price += types.mean_slope * (at.g1 + at.f1 * second)
        crowd = at.f * second
        shake = crowd / room(at.slack)
        return State(at.g + crowd, at.slack, price, shake, Detail(types, m, second, at))

    def frozen(self, problem: Parameters, tokens: Array, state: State) -> tuple[Array, Array]:
        """Return the prices at other tokens, and their slopes, as if the moments stayed.

        Parameters
        ----------
        problem : Parameters
            A workload of any number of types.
        tokens : ndarray, (N,)
            Its tokens.
        state : State
            Where the two moments come from.
        """
        at, second = state.detail.formula, state.detail.M
        types = problem.service.moments(tokens)
        first = at.g1 + at.f1 * second
        price = types.square_slope * at.f + types.mean_slope * first
        return price, types.square_bend * at.f + types.mean_bend * first

    def curvature(self, problem: Parameters, state: State) -> TimeCurvature:
        """Return the Hessian of the mean time at a stable state.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        types, _, second, at = state.detail
        own = types.square_bend * at.f
        if not isinstance(types.mean_bend, float):
            own = own + types.mean_bend * (at.g1 + at.f1 * second)
        cross = types.square_slope * at.f1
        square = cross * cross
        square /= own
        joint = at.g2 + second * at.excess
        if not isinstance(problem.service, Affine | Generated):
            joint = joint + 2 * at.f1 * at.f1 / at.f * second - total(problem.share, square)
        drift = problem.arrival_rate * self.pace
        return TimeCurvature(own, cross, square, types.mean_slope, joint, drift)


class MeanOnly:
    r"""A delay from the mean alone, :math:`\mathbb{E}[T] = g(m)`: one price for every second.

    Convex iff g is.
    """

    convex: bool = True
    pace: float = 1.0
    """By how much the load rises, over the arrival rate, with the mean of what is asked."""

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        r"""Return g and its derivatives, with f = 0.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            :math:`\lambda`.
        m : float or ndarray, (..., 1)
            The mean service time.
        """
        raise TypeError(f"{type(self).__name__} has no formula; define it.")

    def formula_of(self, problem: Parameters, m: Scalar) -> Formula:
        """Return the formula where it depends on more of the workload than its arrival rate.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        m : float or ndarray, (..., 1)
            The mean service time.
        """
        return self.formula(problem.arrival_rate, m)

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        types = problem.service.moments(tokens)
        m = total(problem.share, types.mean)
        at = self.formula_of(problem, m)
        price = types.mean_slope * at.g1
        shake = at.g / room(at.slack)
        return State(at.g, at.slack, price, shake, Detail(types, m, 0.0, at))

    def frozen(self, problem: Parameters, tokens: Array, state: State) -> tuple[Array, Array]:
        """Return the prices at other tokens, and their slopes, as if the mean stayed.

        Parameters
        ----------
        problem : Parameters
            A workload of any number of types.
        tokens : ndarray, (N,)
            Its tokens.
        state : State
            Where the mean comes from.
        """
        types, slope = problem.service.moments(tokens), state.detail.formula.g1
        return types.mean_slope * slope, types.mean_bend * slope + np.zeros_like(tokens)

    def curvature(self, problem: Parameters, state: State) -> TimeCurvature:
        """Return the Hessian of the mean time at a stable state.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        types, _, _, at = state.detail
        own, drift = types.mean_bend * at.g1, problem.arrival_rate * self.pace
        return TimeCurvature(own, 0.0, 0.0, types.mean_slope, at.g2, drift)


def by_rate(problem: Parameters, state: State) -> RateSlopes:
    r"""Return how time and prices move with the arrival rate, where services are the only times.

    Then a change of the unit of time says that :math:`\lambda f(\lambda, m)^{-1}` and
    :math:`\lambda g(\lambda, m)` depend on :math:`\lambda m` alone, hence

    .. math:: \lambda\,\partial_\lambda g = m g' - g, \qquad
              \lambda\,\partial_\lambda f = m f' + f .

    What is taken is what all services lose if all of them get slower alike.

    Parameters
    ----------
    problem : Parameters
        The workload.
    state : State
        What a delay of two moments, or of the mean, returned.
    """
    types, m, second, at = state.detail
    rate, bend = problem.arrival_rate, at.excess
    if first(at.f1):
        bend = bend + 2 * at.f1 * at.f1 / at.f
    rise = at.f + m * at.f1
    time = (m * at.g1 - at.g + second * rise) / rate
    price = types.mean_slope * (m * at.g2 + second * (2 * at.f1 + m * bend))
    price += types.square_slope * rise
    taken = m * at.g1 + second * (2 * at.f + m * at.f1)
    return RateSlopes(first(time), price / rate, first(taken))


def room(slack: Scalar) -> Scalar:
    r"""Return what may be divided by in place of :math:`1 - \rho`: NaN where that is not positive.

    Parameters
    ----------
    slack : float or ndarray
        :math:`1 - \rho`.
    """
    if isinstance(slack, float):
        return slack if slack > 0 else float("nan")
    return np.where(slack > 0, slack, np.nan)
