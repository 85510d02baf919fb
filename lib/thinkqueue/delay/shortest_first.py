r"""Shortest first, nobody interrupted (SPT): priority in the order of the service times.

.. math:: \mathbb{E}[T_k] = s_k + \frac{\lambda M/2}{x_{k-1}x_k}

where types of equal times are one class. Of all orders of this kind it has the least
:math:`\mathbb{E}[T]`, so :math:`\mathbb{E}[T]` is a minimum over orders, with a concave kink
wherever two service times meet.
"""

from __future__ import annotations

from dataclasses import dataclass

from thinkqueue.arrays import Array
from thinkqueue.delay.priority import Priority
from thinkqueue.delay.ranked import Ranks


@dataclass(frozen=True)
class ShortFirst(Priority):
    """Priority by the service times themselves."""

    order: tuple[int, ...] = ()

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
