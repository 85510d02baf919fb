r"""How many tokens are used under a cap, and which cap makes the mean what it should be.

The model's budget is the number of tokens that a query uses. What a server takes is a cap, under
which a query of length :math:`X` uses :math:`\min(X, c)`, so that the mean used,

.. math:: u(c) = \mathbb{E}\min(X, c),

lies below the cap. Measured pairs of caps and means give :math:`u` by a monotone cubic through them
and the origin (Fritsch and Carlson 1980, SIAM Journal on Numerical Analysis 17).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.errors import ThinkQueueError

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Usage:
    """Mean tokens used under each cap that was measured.

    Attributes
    ----------
    caps : ndarray, (n,)
        Budgets that were allowed, ascending.
    used : ndarray, (n,)
        Means of the tokens used under them, ascending: a cap under which no more were used than
        under a smaller one is left out.
    """

    caps: Array
    used: Array

    @classmethod
    def of_groups(cls, caps: Array, used: Array) -> Usage | None:
        """Return the usage of groups of rows, or None where none used a token.

        Parameters
        ----------
        caps, used : ndarray, (n,)
            Distinct caps, ascending, and the mean tokens used under each.
        """
        before = np.maximum.accumulate(np.concatenate([[0.0], used]))[:-1]
        rises = (used > before) & (caps > 0)
        return cls(caps[rises], used[rises]) if rises.any() else None

    def used_under(self, cap: float) -> float:
        """Return the mean tokens used under a cap.

        Parameters
        ----------
        cap : float
            At most the largest one measured.

        Raises
        ------
        ThinkQueueError
            If nothing was measured under so large a cap.
        """
        self._within("budget", cap, self.caps[-1])
        return float(self._curve(min(cap, self.caps[-1])))

    def cap_for(self, used: float) -> float:
        """Return the cap to set so that so many tokens are used in the mean.

        Parameters
        ----------
        used : float
            At most what was used under the largest cap measured.

        Raises
        ------
        ThinkQueueError
            If so many were never used.
        """
        self._within("mean use", used, self.used[-1])
        if used >= self.used[-1]:
            return float(self.caps[-1])
        return float(self._curve.solve(used, extrapolate=False)[0])

    @property
    def _curve(self) -> PchipInterpolator:
        from scipy.interpolate import PchipInterpolator

        origin = np.zeros(1)
        return PchipInterpolator(
            np.concatenate([origin, self.caps]), np.concatenate([origin, self.used])
        )

    @staticmethod
    def _within(what: str, tokens: float, most: float) -> None:
        if not 0 <= tokens <= most * (1 + _ROUNDING):
            raise ThinkQueueError(
                f"A {what} of {tokens:,.4g} tokens lies beyond the largest one measured, "
                f"{most:,.4g}: what is used there is not known."
            )
