r"""How long a server works on a query of each type, as a function of its thinking tokens.

The time may be random; a delay of two moments needs its mean :math:`s_k(\ell)` and its second
moment :math:`q_k(\ell)`, with two derivatives each. A simulation needs its law, see
:class:`RandomService`. A server that answers many at once is asked for tokens
and not for seconds: how long one takes is then its own affair, see :class:`Generated`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.random import Generator

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


class RandomService(Service, Protocol):
    """Service times of which the law is known, so that they can be simulated."""

    def draw(self, tokens: Array, kinds: Index, random: Generator) -> Array:
        """Draw what each of some queries asks of the server, in the unit of :meth:`mean`.

        Parameters
        ----------
        tokens : ndarray, (N,)
            Thinking tokens of each type.
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from. If what is taken from it does not depend on the tokens, a query
            has the same luck whatever the budgets are, and allocations can be compared under
            common random numbers.

        Returns
        -------
        ndarray, (n,)
            Independent, finite, not negative, with the moments that :meth:`moments` says.
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


@dataclass(frozen=True)
class Generated:
    r"""What is asked of a server that answers many at once: tokens, :math:`x_k = a_k + \ell_k`.

    Its moments are those of the number of tokens to generate. Where the length is random with mean
    :math:`a_k + \ell_k` nothing changes at a server whose overflow shares (insensitivity).

    Parameters
    ----------
    answer_tokens : ndarray, (..., N)
        :math:`a`, the length of the answer without any thinking.
    prompt_time : ndarray, (..., N)
        :math:`p` in s, by which reading the prompt holds up everybody.
    prompt_tokens : ndarray, (..., N)
        The length of the prompt, which matters where time grows with the context.
    """

    answer_tokens: Array
    prompt_time: Array
    prompt_tokens: Array

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`a + \ell`, in tokens.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.answer_tokens + tokens)

    def moments(self, tokens: Array) -> Moments:
        r"""Return :math:`x, x^2, 1, 2x, 0, 2`, in tokens.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        x = self.answer_tokens + tokens
        one = np.ones_like(self.answer_tokens)
        return Moments(x, x * x, one, 2 * x, 0.0, 2 * one)

    def pick(self, place: Index | slice) -> Generated:
        """Return what is asked by some types.

        Parameters
        ----------
        place : ndarray of int or slice
            Which.
        """
        parts = (self.answer_tokens, self.prompt_time, self.prompt_tokens)
        return Generated(*(part[..., place] for part in parts))
