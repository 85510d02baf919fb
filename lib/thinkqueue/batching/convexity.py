r"""Where the mean time stays convex although queries wait for a place in the batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import first
from thinkqueue.batching.present import batching_delay
from thinkqueue.delay.batching import Waiting
from thinkqueue.delay.time import stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import Workload, tokens_array


@dataclass(frozen=True)
class WaitingConvexity:
    r"""Whether :math:`\mathbb{E}[T]` is convex at an allocation on a server that lets wait.

    Attributes
    ----------
    variability : float
        :math:`c^2 = \sum_k\pi_kx_k^2/m^2 - 1`, the squared coefficient of variation of lengths.
    limit : float
        C: the Hessian has no negative eigenvalue iff :math:`c^2 \le C`, if there are two types.
    """

    variability: float
    limit: float

    @property
    def convex(self) -> bool:
        """Whether the variability is within the limit."""
        return self.variability <= self.limit


def waiting_convexity(workload: Workload, tokens: ArrayLike) -> WaitingConvexity:
    r"""Test whether the mean time is convex at an allocation.

    With S and Q the means of those in the batch and of those who wait, as functions of m, and
    :math:`g = Q/m^2`,

    .. math:: c^2 \le C = \frac{2S'' + Q''}{m^2\,(2g'^2/g - g'')} .

    Of all directions d that move m alike, :math:`d_k \propto 1 - (x_k - m)\,g'/g` costs least
    (our own derivation).

    Parameters
    ----------
    workload : Workload
        With ``Batching(..., max_batch, overflow="wait")``.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If it is asked for more than it can do.
    WorkloadError
        If the server is another one, or it asks for no tokens at all.
    """
    delay = batching_delay(workload, "The test of convexity")
    if not isinstance(delay, Waiting):
        raise WorkloadError(
            'The test of convexity is for overflow="wait": where it shares, the mean time is '
            "convex; where time grows with the context it is not.",
            parameter="server",
            value=workload.server,
        )
    ell = tokens_array(workload, tokens, single=True)
    stable_state(workload, ell)
    x = workload.service.mean(ell)
    m = float(workload.share @ x)
    if not m > 0:
        raise WorkloadError("No type asks for any token here.", parameter="tokens")
    at = delay.formula(workload.arrival_rate, m)
    f, rise = first(at.f), first(at.f1)
    # twice λ of the least that the directions can cost, at c² = 0 and by c²
    free = first(at.g2) + m * m * first(at.excess) + 2 * f * (1 + m * rise / f) ** 2
    costs = -m * m * first(at.excess)
    limit = free / costs if costs > 0 else np.inf
    return WaitingConvexity(float(workload.share @ x**2) / m**2 - 1, float(limit))
