r"""Preemptive resume: the most urgent query of all present is served; interrupted ones go on later.

.. math:: \mathbb{E}[T_k] = \frac{\lambda Q_k}{2x_{k-1}x_k} + \frac{s_k}{x_{k-1}}, \qquad
          Q_k = \sum_{j\le k}\pi_js_j^2,

since for type k those behind it do not exist. In the order of the service times this is PSJF.
There a class of equal times must be *one* class: none of them interrupts another. Two types of
nearly equal times do interrupt each other, so :math:`\mathbb{E}[T]` jumps down at every tie.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.delay.ranked import Ranked, Ranks
from thinkqueue.workload.servers import PreemptivePriority


@dataclass(frozen=True)
class Resume(Ranked):
    """The formulas for a given order, or for that of the service times.

    Parameters
    ----------
    order : tuple of int, optional
        All types, the most urgent first; by their service times where not given.
    """

    order: tuple[int, ...] | None = None

    def line(self, share: Array, s: Array, rate: float) -> Ranks:
        """Line up the types; by service times, equal ones are one class.

        Parameters
        ----------
        share, s : ndarray, (N,)
            π and s.
        rate : float
            λ.
        """
        if self.order is None:
            return Ranks.of(share, s, rate, s, merge=True)
        return Ranks.of(share, s, rate, PreemptivePriority(self.order).rank(s), merge=False)

    def times(self, line: Ranks) -> Array:
        """Return the mean time of each type, in the order of the line.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        residual = line.rate * line.up_to(line.share * line.s**2) / 2
        return np.asarray(residual / (line.before * line.after) + line.s / line.before)

    def slopes(self, line: Ranks) -> Array:
        """Return what a second more of each type adds: its own, as residual work, and as load.

        Parameters
        ----------
        line : Ranks
            Stable.
        """
        rate, share, s, before, after, *_ = line[1:]
        crowd = share / (before * after)
        waits = crowd * rate * line.up_to(share * s**2) / 2
        stretched = share * s / before**2
        load = line.from_here(waits / after) + line.behind(waits / before + stretched)
        return np.asarray(1 / before + rate * s * line.from_here(crowd) + rate * load)
