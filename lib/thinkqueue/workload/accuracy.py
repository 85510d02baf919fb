"""What a token buys: accuracy curves with diminishing returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Saturating:
    r"""Accuracy that saturates exponentially in the thinking tokens.

    .. math:: p(\ell) = D + A\,(1 - e^{-b\ell}), \qquad A \ge 0,\; b > 0,\; D \ge 0,\; A + D \le 1.

    Parameters
    ----------
    gain : float
        :math:`A`, the accuracy that unlimited thinking adds.
    rate : float
        :math:`b` in 1/token; a share :math:`1 - 1/e` of the gain is reached at :math:`1/b` tokens.
    baseline : float, optional
        :math:`D`, the accuracy without thinking.

    Notes
    -----
    The ranges are checked where a :class:`~thinkqueue.Workload` is built, with the name of the
    task type in the message. The law is that of arXiv:2601.10274.
    """

    gain: float
    rate: float
    baseline: float = 0.0

    def __call__(self, tokens: ArrayLike) -> NDArray[np.float64]:
        r"""Return the accuracy :math:`p(\ell)` at these tokens, an array of their shape.

        Parameters
        ----------
        tokens : array_like
            Thinking tokens :math:`\ell \ge 0`.
        """
        ell = np.asarray(tokens, dtype=np.float64)
        return np.asarray(self.baseline - self.gain * np.expm1(-self.rate * ell))
