r"""Processor sharing: everybody present is served at once, each with an equal part of the server.

.. math:: \mathbb{E}[T_k] = \frac{s_k}{1-\rho}, \qquad
          \mathbb{E}[T] = \frac{m}{1 - \lambda m}

whatever the distribution of the service times is: the idealisation of continuous batching.
"""

from __future__ import annotations

from thinkqueue.arrays import Scalar
from thinkqueue.delay.delay import RateSlopes, State
from thinkqueue.delay.two_moments import Formula, MeanOnly, by_rate, room
from thinkqueue.workload.parameters import Parameters


class Sharing(MeanOnly):
    r""":math:`g(m) = m/(1 - \lambda m)`, convex."""

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        r"""Return :math:`g = m/y,\ g' = 1/y^2,\ g'' = 2\lambda/y^3`.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            :math:`\lambda`.
        m : float or ndarray, (..., 1)
            The mean service time.
        """
        slack = 1 - rate * m
        y = room(slack)
        return Formula(slack, m / y, 1 / (y * y), 2 * rate / (y * y * y), 0.0, 0.0, 0.0)

    def by_rate(self, problem: Parameters, state: State) -> RateSlopes:
        """Return how time and prices move with the arrival rate.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        return by_rate(problem, state)
