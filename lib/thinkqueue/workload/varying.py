r"""Thinking lengths that vary about the budget: whoever is given 1,000 tokens may use 700 or 1,400.

The budget :math:`\ell` is the mean length, as it is in measurements of tokens used. A wait grows
with the second moment, so a queue in which lengths vary is longer than one in which they do not,
at the same mean times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.random import Generator

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import LARGEST, floats
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.lengths import ByValue
from thinkqueue.workload.service import Moments


@dataclass(frozen=True, eq=False)
class Varying(ByValue):
    r"""A time :math:`t_0 + cL` where the length L has mean :math:`\ell` and varies by a factor.

    .. math:: s_k = t_{0,k} + c_k\ell, \qquad q_k = s_k^2 + c_k^2v_k^2\ell^2.

    The mean time of a queue asks for these two moments alone. A simulation draws
    :math:`L = \ell Z` with Z from the gamma law of mean 1 and coefficient of variation v; for
    :math:`v = 1` that is the exponential law.

    Parameters
    ----------
    base_time : array_like, (N,)
        :math:`t_0` in s.
    time_per_token : array_like, (N,)
        :math:`c` in s/token.
    variation : array_like, (N,)
        :math:`v`, the coefficient of variation of the length at one budget.

    Raises
    ------
    WorkloadError
        If a variation is negative or not finite.
    """

    base_time: Array
    time_per_token: Array
    variation: Array

    def __post_init__(self) -> None:
        parts = ("base_time", "time_per_token", "variation")
        values = np.broadcast_arrays(*(floats(name, getattr(self, name)) for name in parts))
        for name, value in zip(parts, values, strict=True):
            if not ((value >= 0) & (value <= LARGEST)).all():
                wrong = value[~((value >= 0) & (value <= LARGEST))].flat[0]
                raise WorkloadError(
                    f"{name} is {wrong:.12g}; it must be at least 0 and at most {LARGEST:g}.",
                    parameter=name,
                    value=float(wrong),
                )
            object.__setattr__(self, name, value)

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`t_0 + c\ell` in s.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        return np.asarray(self.base_time + self.time_per_token * tokens)

    def moments(self, tokens: Array) -> Moments:
        r"""Return :math:`s,\ s^2 + c^2v^2\ell^2,\ c,\ 2c(s + v^2c\ell),\ 0,\ 2c^2(1 + v^2)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        s = self.mean(tokens)
        spread = self._spread * tokens
        square, slope = s * s + spread * tokens, 2 * (self.time_per_token * s + spread)
        return Moments(s, square, self.time_per_token, slope, 0.0, self._bend)

    @cached_property
    def _spread(self) -> Array:
        return np.asarray((self.time_per_token * self.variation) ** 2)

    @cached_property
    def _bend(self) -> Array:
        return np.asarray(2 * (self.time_per_token**2 + self._spread))

    def lengths(self, tokens: Array, kinds: Index, random: Generator) -> Array:
        """Draw how many tokens some queries think, (n,), from the gamma law.

        Parameters
        ----------
        tokens : ndarray, (N,)
            Thinking tokens of each type.
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from; what is taken of it does not depend on the tokens.
        """
        scale = self.variation**2
        with np.errstate(divide="ignore"):
            # a length that does not vary has an endless shape; any stands in for it
            shape = np.where(scale > 0, 1 / scale, 1.0)
        luck = random.standard_gamma(shape[kinds]) * scale[kinds]
        return np.asarray(tokens)[kinds] * np.where(scale[kinds] > 0, luck, 1.0)

    def draw(self, tokens: Array, kinds: Index, random: Generator) -> Array:
        """Draw the service times of some queries in s, (n,).

        Parameters
        ----------
        tokens : ndarray, (N,)
            Thinking tokens of each type.
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        lengths = self.lengths(tokens, kinds, random)
        return np.asarray(self.base_time[kinds] + self.time_per_token[kinds] * lengths)

    def pick(self, place: Index | slice) -> Varying:
        """Return the service of some types.

        Parameters
        ----------
        place : ndarray of int or slice
            Which.
        """
        parts = (self.base_time, self.time_per_token, self.variation)
        return Varying(*(part[..., place] for part in parts))
