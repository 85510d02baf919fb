r"""How a server turns an allocation into time: the seam that every kind of server fits.

A delay is asked three things at an allocation: the mean time from arrival to answer, the price of
one more token of each type, and how far the server is from being overrun. Whether the mean time is
convex decides what its tangents are worth; its curvature, where it has one, makes Newton's method
fast. A reader's own server is an object with these members, given as ``server`` of a workload; see
the page "Extending the library".
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

from thinkqueue.arrays import Array, Scalar
from thinkqueue.workload.parameters import Parameters


class State(NamedTuple):
    r"""What a server does at an allocation; scalars are numbers, or (..., 1) for many workloads.

    Attributes
    ----------
    time : float or ndarray, (..., 1)
        :math:`\mathbb{E}[T]` in s. Means nothing where ``slack`` is not positive.
    slack : float or ndarray, (..., 1)
        :math:`1 - \rho`: the queue is stable iff it is positive.
    price : ndarray, (..., N)
        :math:`\frac{1}{\pi_k}\frac{\partial\,\mathbb{E}[T]}{\partial\ell_k}`, s a token.
    magnified : float or ndarray, (..., 1)
        How much a relative rounding error of the load weighs in the mean time, in s.
    detail : Any
        What the delay itself wants to find again, for its curvature.
    """

    time: Scalar
    slack: Scalar
    price: Array
    magnified: Scalar = 0.0
    detail: Any = None


class TimeCurvature(NamedTuple):
    r"""The Hessian of the mean time, in a form in which its convexity is plain to see.

    .. math:: d^\top\nabla^2\mathbb{E}[T]\,d
              = \sum_k \pi_k h_k (d_k + r_k a)^2 + \kappa a^2, \qquad a = \sum_k\pi_k c_k d_k

    Convex iff no :math:`h_k` and not :math:`\kappa` is negative.

    Attributes
    ----------
    own : ndarray, (..., N), or float
        :math:`h`.
    cross : ndarray, (..., N), or float
        :math:`h r`.
    cross_square : ndarray, (..., N), or float
        :math:`h r^2`.
    load : ndarray, (..., N)
        :math:`c`, by how much a token moves the mean of what is asked of the server.
    joint : float or ndarray, (..., 1)
        :math:`\kappa`.
    drift : float or ndarray, (..., 1)
        :math:`\partial\rho/\partial a`, by which a step is kept in the stable region.
    """

    own: Array | float
    cross: Array | float
    cross_square: Array | float
    load: Array
    joint: Scalar
    drift: Scalar


class RateSlopes(NamedTuple):
    r"""How a server answers to more arrivals, the tokens being what they are.

    Attributes
    ----------
    time : float
        :math:`\partial\,\mathbb{E}[T]/\partial\lambda` in s per (query/s).
    price : ndarray, (N,)
        The same of the price of a token of each type.
    taken : float
        What the mean time rises by, in s, for each unit of the server's time that is taken away.
    """

    time: float
    price: Array
    taken: float


@runtime_checkable
class Delay(Protocol):
    """A server, as the solvers see it."""

    @property
    def convex(self) -> bool:
        """Whether the mean time is a convex function of the tokens on the stable region."""
        ...

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        ...


@runtime_checkable
class CurvedDelay(Delay, Protocol):
    """A server whose mean time has a Hessian to hand, for Newton's method."""

    def curvature(self, problem: Parameters, state: State) -> TimeCurvature:
        """Return the Hessian of the mean time at a stable state.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        ...
