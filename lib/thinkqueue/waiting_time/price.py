r"""What a second of service does to the tail: the price of a token at a level of patience.

Differentiating the transform
:math:`\tilde W(z) = (1-\rho)z/(z - \lambda + \lambda\sum_k\pi_k e^{-zs_k})` with respect to one
service time and inverting again gives (our own derivation)

.. math:: \frac{\partial P(W>t)}{\partial s_k} = \frac{\lambda\pi_k}{1-\rho}
          \bigl[\,P(W + W' + s_k > t) - P(W > t)\,\bigr],

with W' an independent copy of W, where :math:`t \ne s_k`. At :math:`t = s_k` the derivatives on the
two sides differ, by :math:`\lambda\pi_k(1-\rho)`: that for a longer service has 1 as its first
probability. Integrated over t it is the queueing price of the mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay import service_time
from thinkqueue.waiting_time.bounds import times_array
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Workload


def waiting_time_tail_price(
    workload: Workload,
    tokens: ArrayLike,
    t: ArrayLike,
    *,
    longer: bool = False,
    error: float = 1e-10,
) -> Array:
    r"""Return :math:`\partial P(W>t)/\partial s_k`, what a second more for type k adds to the tail.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    t : array_like
        Times in s.
    longer : bool, optional
        Whether to return, where :math:`t = s_k` and the two differ, the derivative for a service
        that gets longer, and not that for one that gets shorter.
    error : float, optional
        The error aimed for in each of the two probabilities.

    Returns
    -------
    ndarray
        In 1/s; the shape of t, followed by (N,).

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    """
    at = times_array(t)
    mixture = ServiceMixture.of(workload, tokens)
    one = invert(mixture, at, error=error).value
    before = at[..., None] - service_time(workload, tokens)
    if longer:
        before = np.where(before == 0, -1.0, before)
    two = invert(mixture, before, waits=2, error=error)
    front = workload.arrival_rate * workload.share / (1 - mixture.load)
    return np.asarray(front * (two.value - one[..., None]))
