r"""The server whose buffer holds only so many seconds of work: how often it has nothing to do.

Let :math:`I(t, s)` be the long-run share of time in which a server with room for t seconds of work
is idle, when whatever does not fit is lost. Below the level t it moves as the server with an
unlimited buffer does, so the two distributions are proportional there (level crossing), and for
:math:`\rho < 1`

.. math:: P(W \le t) = \frac{1-\rho}{I(t, s)} .

I is jointly convex in t and the service times :math:`s_1, \dots, s_N`: on every path the work
accepted and the work done are minima of affine functions of them. Hence
:math:`\{P(W > t) \le \varepsilon\} = \{(1-\varepsilon)I(t,s) \le 1-\rho(s)\}` is a convex set. The
derivatives follow from the transform (our own derivation):

.. math:: \frac{\partial I}{\partial s_k} = -\lambda\pi_k\,
          \frac{P(W+W' \le t-s_k)}{P(W\le t)^2}, \qquad
          \frac{\partial I}{\partial t} = -(1-\rho)\,\frac{f_W(t)}{P(W\le t)^2},

with W' an independent copy of W and :math:`f_W` its density. Where :math:`t = s_k` both jump; the
derivatives returned are those for a t a little larger, together a subgradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay import service_time
from thinkqueue.delay.fifo import stable_queue
from thinkqueue.waiting_time.bounds import times_array
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Workload


@dataclass(frozen=True)
class LimitedBuffer:
    r"""What some buffers lose, with its derivatives.

    Attributes
    ----------
    late : ndarray, (J,)
        P(W > t), what the unlimited buffer lets through.
    lost : ndarray, (J,)
        The load that is lost, :math:`I - (1-\rho)`.
    by_service : ndarray, (J, N)
        Its derivatives in the service times, 1/s.
    by_buffer : ndarray, (J,)
        Its derivative in t, 1/s; that of I is the same.
    error : float
        A bound on the error of the probabilities that all of this was computed from.
    """

    late: Array
    lost: Array
    by_service: Array
    by_buffer: Array
    error: float


def limited_buffer(
    workload: Workload, tokens: ArrayLike, buffer: Array, *, error: float = 1e-12
) -> LimitedBuffer:
    r"""Return what is lost for want of room, and its derivatives, each at several buffers.

    A server that is idle more often than it would have to be does less work than it was offered:
    the difference :math:`I - (1-\rho) = (1-\rho)\,P(W>t)/P(W\le t)` is the load that is lost. It
    is as convex as I, and exact also where it is tiny.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    buffer : ndarray, (J,)
        t in s, at least 0.
    error : float, optional
        The error asked of the probabilities.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`. (I would still be there, but not the wait.)
    """
    mixture = ServiceMixture.of(workload, tokens)
    state = stable_queue(workload, tokens)
    rate, share, slack = workload.arrival_rate, workload.share, float(state.y[0])
    before = buffer[:, None] - state.s
    at = np.concatenate([buffer[:, None], before], axis=1)
    one, two = invert(mixture, at, error=error), invert(mixture, before, waits=2, error=error)
    late, earlier = one.value[:, 0], one.value[:, 1:]
    density = rate * np.maximum((earlier - late[:, None]) @ share, 0.0)
    kept = 1 - late[:, None]
    return LimitedBuffer(
        late=late,
        lost=slack * late / (1 - late),
        by_service=rate * share * (two.value - late[:, None] * (1 + kept)) / kept**2,
        by_buffer=-slack * density / (1 - late) ** 2,
        error=max(one.error, two.error),
    )


def idle_probability(
    workload: Workload, tokens: ArrayLike, buffer: ArrayLike, *, error: float = 1e-12
) -> Array:
    r"""Return I, the idle share of the same server with a buffer of t seconds of work.

    .. math:: I(t, s) = \frac{1-\rho}{P(W \le t)}, \qquad I(0, s) = 1,\quad
              I(\infty, s) = 1 - \rho.

    It is convex, jointly in the buffer and the tokens; all that is known about the convexity of
    percentiles follows from this.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    buffer : array_like
        t in s. A negative buffer holds nothing and stands for infinity, as convexity asks.
    error : float, optional
        The error asked of the probabilities.

    Returns
    -------
    ndarray, the shape of buffer

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    at = times_array(buffer)
    late = invert(ServiceMixture.of(workload, tokens), at, error=error).value
    slack = 1 - workload.arrival_rate * float(workload.share @ service_time(workload, tokens))
    return np.where(at < 0, np.inf, slack / np.where(at < 0, 1.0, 1 - late))


def lost_load(workload: Workload, tokens: ArrayLike, buffer: Array, *, error: float) -> Array:
    r"""Return :math:`I - (1-\rho)`, the load that is lost for want of room.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    buffer : ndarray, (J,)
        t in s, at least 0.
    error : float
        The error asked of the probabilities.
    """
    mixture, state = ServiceMixture.of(workload, tokens), stable_queue(workload, tokens)
    late = invert(mixture, buffer, error=error).value
    return np.asarray(state.y[0] * late / (1 - late))
