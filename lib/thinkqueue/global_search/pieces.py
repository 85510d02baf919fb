r"""Accuracy curves of any kind between straight lines: what makes a global search possible.

On a piece :math:`[a, b]` with the chord of slope :math:`\sigma` a curve's own reply to the price
:math:`\sigma` is the point that is highest above the chord, so

.. math:: p(x) \le p(a) + \sigma(x - a) + e, \qquad
          e = \max_{a\le x\le b}\,[p(x) - p(a) - \sigma(x - a)] \ge 0,

is a bound for *every* curve that has a global reply, and no bound on its derivatives is asked for.
Pieces are cut where the curve is highest above them until no e is larger than allowed. A straight
line makes the best reply to a linear and a quadratic price a formula.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, Index
from thinkqueue.workload import Curve

Also = Callable[[Index, Array, Array], Array]
"""What else is off on pieces: from their types and ends, in accuracy."""

MOST_PIECES = 200_000
"""The largest number of pieces of all types together."""

FIRST_PIECES = 16
"""How many pieces a curve starts with, so that no bump hides between two points of equal height."""

SEEN = (0.25, 0.5, 0.75)
"""Where on a piece a curve is compared with its chord."""

MOST_PARTS = 256
"""Into how many parts a piece is cut at a time."""

NARROWEST = 1e-12
"""The width of a piece, relative to its end, that is not cut any more."""


TINY = 1e-200
"""A price of a squared token that stands for none."""


class TooManyPieces(Exception):
    """A curve is too rough, or an error too small, for a search with straight lines."""


class Replies(NamedTuple):
    """What every piece is worth at most at a price, and where.

    Attributes
    ----------
    value : ndarray, (N, K)
        An upper bound on the best reply on a piece, in s; minus infinity where none is allowed.
    tokens : ndarray, (N, K)
        Where it is taken.
    """

    value: Array
    tokens: Array

    def best(self) -> tuple[Array, Array]:
        """Return the bound of each type, (N,), and where it is taken, (N,)."""
        place = np.argmax(self.value, axis=1)
        rows = np.arange(len(place))
        return self.value[rows, place], self.tokens[rows, place]


@dataclass(frozen=True)
class Pieces:
    r"""Straight lines above the curves of all types, by type and piece, padded on the right.

    Attributes
    ----------
    left, right : ndarray, (N, K)
        The ends of the pieces, in tokens.
    height, slope : ndarray, (N, K)
        The line :math:`h + \sigma x` on a piece.
    count : ndarray of int, (N,)
        How many pieces a type has.
    error : ndarray, (N,)
        By how much the lines are above the curve, as far as is seen.
    """

    left: Array
    right: Array
    height: Array
    slope: Array
    count: Index
    error: Array

    @classmethod
    def of(cls, curves: Curve, high: Array, error: Array, also: Also | None = None) -> Pieces:
        """Cut the curves of all types into pieces, up to these tokens and to these errors.

        Parameters
        ----------
        curves : Curve
            The curves, of N types.
        high : ndarray, (N,)
            Where they end.
        error : ndarray, (N,)
            By how much a line may be above the curve.
        also : callable, optional
            What else is off on pieces, from their types and ends, and counts like that.

        Raises
        ------
        TooManyPieces
            If so many are needed that no search with them would end.
        """
        grid = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, FIRST_PIECES)])
        ends = high[:, None] * grid
        kind = np.repeat(np.arange(len(high)), FIRST_PIECES)
        left, right = ends[:, :-1].ravel(), ends[:, 1:].ravel()
        return cls._cover(curves, len(high), kind, left, right, error, also)

    def refined(
        self, curves: Curve, keep: NDArray[np.bool_], error: Array, also: Also | None = None
    ) -> Pieces:
        """Cut the pieces that are kept anew to smaller errors, and leave the others out.

        Parameters
        ----------
        curves : Curve
            The curves, of N types.
        keep : ndarray of bool, (N, K)
            Which.
        error : ndarray, (N,)
            By how much a line may be above the curve.
        also : callable, optional
            What else is off on pieces, from their types and ends, and counts like that.

        Raises
        ------
        TooManyPieces
            If so many are needed that no search with them would end.
        """
        kind, place = np.nonzero(keep & self.real)
        left, right = self.left[kind, place], self.right[kind, place]
        return self._cover(curves, len(self.left), kind, left, right, error, also)

    @property
    def real(self) -> NDArray[np.bool_]:
        """Which entries of the tables are pieces, (N, K)."""
        return np.asarray(np.arange(self.left.shape[1]) < self.count[:, None])

    @classmethod
    def _cover(
        cls,
        curves: Curve,
        size: int,
        kind: Index,
        left: Array,
        right: Array,
        error: Array,
        also: Also | None,
    ) -> Pieces:
        def ask(method: str, kind: Index, *arrays: Array) -> Array:
            return by_type(getattr(curves, method), size, kind, *arrays)

        done = []
        total = 0
        while kind.size:
            bottom, top = ask("value", kind, left), ask("value", kind, right)
            width = right - left
            slope = np.where(width > 0, (top - bottom) / np.where(width > 0, width, 1.0), 0.0)
            peak = ask("reply", kind, slope, left, right)
            # a flat curve has no reply to no price: one place is as good as another
            peak = np.clip(np.where(np.isfinite(peak), peak, left), left, right)
            above = ask("value", kind, peak) - bottom - slope * (peak - left)
            above = np.maximum(above, 0.0)
            # how far a curve sags below its chord is seen at a few points only: that makes the
            # bound looser where it is missed, and never wrong
            sag = [
                bottom + slope * part * width - ask("value", kind, left + part * width)
                for part in SEEN
            ]
            off = above + np.maximum(np.max(sag, axis=0), 0.0)
            if also is not None:
                off += also(kind, left, right)
            good = (off <= error[kind]) | (width <= NARROWEST * right)
            columns = (kind, left, right, bottom + above - slope * left, slope, off)
            done.append(tuple(column[good] for column in columns))
            total += int(good.sum())
            left_over = (a[~good] for a in (kind, left, right, peak, off / error[kind]))
            kind, left, right = _cut(*left_over)
            if total + kind.size > MOST_PIECES:
                raise TooManyPieces
        return cls._pack(size, *(np.concatenate(part) for part in zip(*done, strict=True)))

    @classmethod
    def _pack(
        cls,
        size: int,
        kind: Index,
        left: Array,
        right: Array,
        height: Array,
        slope: Array,
        above: Array,
    ) -> Pieces:
        order = np.lexsort((left, kind))
        kind = kind[order]
        count = np.bincount(kind, minlength=size)
        place = np.arange(kind.size) - np.repeat(np.cumsum(count) - count, count)

        def padded(column: Array, filler: float) -> Array:
            table = np.full((size, int(count.max())), filler)
            table[kind, place] = column[order]
            return table

        error = np.zeros(size)
        np.maximum.at(error, kind, above[order])
        return cls(
            padded(left, 0.0),
            padded(right, 0.0),
            padded(height, 0.0),
            padded(slope, 0.0),
            count,
            error,
        )

    def replies(
        self,
        worth: Array,
        linear: Array,
        quadratic: Array,
        fixed: Array | float = 0.0,
        low: Array | None = None,
        high: Array | None = None,
    ) -> Replies:
        r"""Bound :math:`\max_x\,[v\,p(x) - P_0 - Px - Qx^2]` on every piece between two budgets.

        Parameters
        ----------
        worth : ndarray, (N,)
            v, in s.
        linear : ndarray, (N, 1) or (N, K)
            P, in s/token.
        quadratic : ndarray, (N,)
            Q, in s/token², not negative.
        fixed : float or ndarray, (N, K), optional
            P₀, in s.
        low, high : ndarray, (N,), optional
            The budgets, ends of pieces; none and all where not given.
        """
        slope = worth[:, None] * self.slope
        slope -= linear
        bend = np.maximum(quadratic, TINY)[:, None]
        top = slope / (2 * bend)
        np.maximum(top, self.left, out=top)
        np.minimum(top, self.right, out=top)
        value = bend * top
        np.subtract(slope, value, out=value)
        value *= top
        value += worth[:, None] * self.height - fixed
        value[~self.real] = -np.inf
        if low is not None:
            value[self.left < low[:, None]] = -np.inf
        if high is not None:
            value[self.right > high[:, None]] = -np.inf
        return Replies(value, top)


def _cut(
    kind: Index, left: Array, right: Array, peak: Array, ratio: Array
) -> tuple[Index, Array, Array]:
    """Cut pieces into as many equal parts as a smooth curve wants, and where it is highest.

    The height above a chord falls with the square of its width. At a kink it does not; there the
    highest point is the kink itself.
    """
    parts = np.clip(np.ceil(1.02 * np.sqrt(ratio)), 2, MOST_PARTS).astype(np.int64)
    owner = np.repeat(np.arange(kind.size), parts - 1)
    step = np.arange(owner.size) - np.repeat(np.cumsum(parts - 1) - (parts - 1), parts - 1) + 1
    inner = left[owner] + (right - left)[owner] * (step / parts[owner])
    every = np.arange(kind.size)
    owner = np.concatenate([every, owner, every, every])
    at = np.concatenate([left, inner, peak, right])
    order = np.lexsort((at, owner))
    owner, at = owner[order], at[order]
    real = (owner[1:] == owner[:-1]) & (at[1:] > at[:-1])
    return kind[owner[:-1][real]], at[:-1][real], at[1:][real]


def by_type(method: Callable[..., Array], size: int, kind: Index, *arrays: Array) -> Array:
    """Ask the curves of all types about many pieces of each: one column a type, filled with 0.

    Parameters
    ----------
    method : callable
        From arrays (rows, N) to one of that shape.
    size : int
        N.
    kind : ndarray of int, (P,)
        The type of each piece.
    *arrays : ndarray, (P,)
        What is asked of each.
    """
    count = np.bincount(kind, minlength=size)
    order = np.argsort(kind, kind="stable")
    row = np.empty_like(kind)
    row[order] = np.arange(kind.size) - np.repeat(np.cumsum(count) - count, count)
    tables = []
    for array in arrays:
        table = np.zeros((int(count.max()), size))
        table[row, kind] = array
        tables.append(table)
    with np.errstate(all="ignore"):
        told = np.broadcast_to(method(*tables), tables[0].shape)
    return np.asarray(told[row, kind])
