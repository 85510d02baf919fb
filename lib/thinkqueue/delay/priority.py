r"""Non-preemptive priority: a free server takes the most urgent of those who wait (Cobham 1954).

.. math:: \mathbb{E}[T_k] = s_k + \frac{\lambda M/2}{x_{k-1}x_k}, \qquad
          x_k = 1 - \sum_{j\le k}\lambda\pi_js_j

with the types numbered in the order of their urgency. Kleinrock's law: whatever the order is,
:math:`\sum_k\rho_k\mathbb{E}[W_k] = \rho\,\lambda M/(2(1-\rho))`.

Not convex in the tokens; for a fixed order convex in the *logarithms* of the service times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.delay.ranked import Ranked, Ranks
from thinkqueue.workload.servers import NonPreemptivePriority


@dataclass(frozen=True)
class Priority(Ranked):
    """The formulas for a given order.

    Parameters
    ----------
    order : tuple of int
        All types, the most urgent first.
    """

    order: tuple[int, ...]

    def line(self, share: Array, s: Array, rate: float) -> Ranks:
        """Line up the types in the given order.

        Parameters
        ----------
        share, s : ndarray, (N,)
            π and s.
        rate : float
            λ.
        """
        return Ranks.of(share, s, rate, NonPreemptivePriority(self.order).rank(s), merge=False)

    def times(self, line: Ranks) -> Array:
        """Return the mean time of each type, in the order of the line.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        residual = line.rate * (line.share @ line.s**2) / 2
        return np.asarray(line.s + residual / (line.before * line.after))

    def slopes(self, line: Ranks) -> Array:
        r"""Return what a second more of each type adds, through M and as load.

        It is :math:`1 + \lambda s_kR + \frac{\lambda M}{2}\frac{\partial R}{\pi_k\partial s_k}`
        with :math:`R = \sum_k\pi_k/(x_{k-1}x_k)`, which a second of type j raises through each
        :math:`x_k`, :math:`k \ge j`.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        rate, share, s, before, after, *_ = line[1:]
        residual = rate * (share @ s**2) / 2
        crowd = share / (before * after)
        raised = line.from_here(crowd / after) + line.behind(crowd / before)
        return np.asarray(1 + rate * s * crowd.sum() + rate * residual * raised)
