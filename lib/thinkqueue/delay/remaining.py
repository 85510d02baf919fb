r"""Shortest remaining time first (SRPT) for a mixture of certain times, ties handled right.

With equal times merged into one class and classes in rising order, for type k

.. math:: \mathbb{E}[T_k] = \frac{\lambda\,(Q_k + \pi_{>k}s_k^2)}{2x_{k-1}x_k}
          + \sum_{i\le k}\frac{s_i - s_{i-1}}{x_{i-1}}, \qquad s_0 = 0.

The first term is the wait: the work ahead on arrival is that of the shorter and equal ones, and
what is left of a longer one counts once it is down to :math:`s_k` (Schrage and Miller 1966). The
second is the time of the service itself, in which a query with t left is interrupted by those
shorter than t only. Beside PSJF,

.. math:: \mathbb{E}[T]_{\mathrm{SRPT}} = \mathbb{E}[T]_{\mathrm{PSJF}}
          - \frac\lambda2\sum_k\frac{\pi_k\pi_{>k}s_k^2}{x_{k-1}x_k} \quad\text{(our own).}
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.delay.ranked import Ranked, Ranks


@dataclass(frozen=True)
class LeastLeft(Ranked):
    """The formulas of SRPT: continuous in the tokens, also where two service times meet."""

    def line(self, share: Array, s: Array, rate: float) -> Ranks:
        """Line up the types by their service times, equal ones in one class.

        Parameters
        ----------
        share, s : ndarray, (N,)
            π and s.
        rate : float
            λ.
        """
        return Ranks.of(share, s, rate, s, merge=True)

    def times(self, line: Ranks) -> Array:
        """Return the mean time of each type, in the order of the line.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        rate, share, s, before, after, *_ = line[1:]
        ahead = line.up_to(share * s**2) + line.behind(share) * s**2
        steps = np.cumsum(np.diff(s, prepend=0.0) / before)
        return np.asarray(rate * ahead / (2 * before * after) + steps)

    def slopes(self, line: Ranks) -> Array:
        r"""Return what a second more of each type adds, equal ones in the order of their indices.

        The mean over all types is the same whether equal ones are merged or not, since
        :math:`\sum_{j\in K}\lambda\pi_js/(x_{j-1}x_j)` telescopes; so it may be differentiated in
        the form with all types apart.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        rate, share, s = line.rate, line.share, line.s
        apart = Ranks.of(share, s, rate, np.arange(s.size, dtype=float), merge=False)
        before, after = apart.before, apart.after
        behind, crowd = apart.behind(share), share / (before * after)
        waits = crowd * rate * (apart.up_to(share * s**2) + behind * s**2) / 2
        steps = np.diff(s, prepend=0.0) * apart.from_here(share) / before**2
        load = apart.from_here(waits / after) + apart.behind(waits / before + steps)
        # as a longer one that others see, λs·π_{>k}/(x x'), cancels in the steps of the service
        return np.asarray(1 / before + rate * s * apart.from_here(crowd) + rate * load)
