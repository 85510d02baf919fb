r"""How long a server works on a query of each type, as a function of its thinking tokens.

The time may be random; a delay of two moments needs its mean :math:`s_k(\ell)` and its second
moment :math:`q_k(\ell)`, with two derivatives each. Affine and certain today; a cap on a random
thinking length is another :class:`Service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from thinkqueue.arrays import Array, Index


class Moments(NamedTuple):
    r"""The first two moments of each type's service time, and their derivatives by its tokens.

    Attributes
    ----------
    mean, square : ndarray, (..., N)
        :math:`s_k` in s and :math:`q_k` in s².
    mean_slope, square_slope : ndarray, (..., N)
        :math:`s_k'` and :math:`q_k'`.
    mean_bend, square_bend : ndarray, (..., N), or 0.0
        :math:`s_k''` and :math:`q_k''`.
    """

    mean: Array
    square: Array
    mean_slope: Array
    square_slope: Array
    mean_bend: Array | float
    square_bend: Array


class Service(Protocol):
    """The service times of all types at once, or, picked, of some."""

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`s_k(\ell_k)` in s.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        ...

    def moments(self, tokens: Array) -> Moments:
        """Return both moments with two derivatives.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        ...


@dataclass(frozen=True)
class Affine:
    r"""A certain time, affine in the tokens: :math:`s_k(\ell) = t_{0,k} + c_k\ell`.

    Parameters
    ----------
    base_time : ndarray, (..., N)
        :math:`t_0` in s.
    time_per_token : ndarray, (..., N)
        :math:`c` in s/token.
    """

    base_time: Array
    time_per_token: Array

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`t_0 + c\ell`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.base_time + self.time_per_token * tokens)

    def moments(self, tokens: Array) -> Moments:
        r"""Return :math:`s, s^2, c, 2cs, 0, 2c^2`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        s = self.mean(tokens)
        return Moments(s, s * s, self.time_per_token, self._twice * s, 0.0, self._twice_square)

    @cached_property
    def _twice(self) -> Array:
        return np.asarray(2 * self.time_per_token)

    @cached_property
    def _twice_square(self) -> Array:
        return np.asarray(self._twice * self.time_per_token)

    def pick(self, place: Index | slice) -> Affine:
        """Return the service of some types.

        Parameters
        ----------
        place : ndarray of int or slice
            Which.
        """
        return Affine(self.base_time[..., place], self.time_per_token[..., place])
