"""The budgets that may be given: whole numbers of tokens, or the entries of a menu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array, Index, first
from thinkqueue.delay import State, delay_of
from thinkqueue.delay.time import flat
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.replies import best_replies
from thinkqueue.whole_tokens.coupling import Coupling, coupling_of
from thinkqueue.workload import Affine, Generated, Workload

Menu = ArrayLike | Sequence[ArrayLike]
"""Allowed budgets: one list for all types, or a list for each."""

LARGEST_BUDGET = 2.0**53 - 1
"""Above this a float64 cannot tell whole numbers apart."""

EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Choices:
    r"""What each type may be given, by position in an increasing list.

    Attributes
    ----------
    workload : Workload
        The workload.
    count : ndarray of int64, (N,)
        How many budgets each type may choose from.
    table : ndarray, (N, max count) or None
        The budgets, padded on the right with infinity; None where position and budget are the same
        because all whole numbers are allowed.
    """

    workload: Workload
    count: Index
    table: Array | None

    @classmethod
    def of(cls, workload: Workload, menu: Menu | None = None) -> Choices:
        """Read a menu, or allow all whole numbers up to the caps.

        Parameters
        ----------
        workload : Workload
            Its ``max_tokens`` cut the lists.
        menu : sequence of int, or a sequence of those for each type, optional
            The allowed budgets.

        Raises
        ------
        WorkloadError
            If an entry is no whole number of at least 0, or nothing is left for some type.
        """
        if menu is None:
            top = np.floor(np.minimum(workload.max_tokens, LARGEST_BUDGET))
            return cls(workload, top.astype(np.int64) + 1, None)
        rows = [
            _allowed(workload, k, entries) for k, entries in enumerate(_per_type(workload, menu))
        ]
        count = np.array([len(row) for row in rows], dtype=np.int64)
        table = np.full((len(rows), int(count.max())), np.inf)
        for k, row in enumerate(rows):
            table[k, : len(row)] = row
        return cls(workload, count, table)

    def tokens(self, index: Index) -> Array:
        """Return the budgets at positions, (..., N)."""
        if self.table is None:
            return index.astype(np.float64)
        return np.asarray(self.table[np.arange(len(self.count)), index])

    def row(self, k: int, positions: Index) -> Array:
        """Return the budgets of one type at several positions, (P,)."""
        if self.table is None:
            return positions.astype(np.float64)
        return np.asarray(self.table[k, positions])

    def position(self, tokens: Array) -> Index:
        """Return the position of the largest budget that is at most this one, 0 if none is."""
        if self.table is None:
            index = np.floor(tokens)
        else:
            index = (self.table <= tokens[:, None]).sum(axis=1) - 1.0
        return np.clip(index, 0, self.count - 1).astype(np.int64)

    def worth(self, tokens: Array) -> Array:
        r"""Return :math:`\alpha w_k \pi_k p_k`, what the answers of each type are worth, in s."""
        return np.asarray(self.stake * self.workload.curves.value(tokens))

    def worth_of(self, k: int, tokens: Array) -> Array:
        r"""Return the same for one type and several budgets, (P,)."""
        return np.asarray(self.stake[k] * self.workload.curves.pick(k).value(tokens))

    @cached_property
    def stake(self) -> Array:
        r"""What right answers to all queries of a type are worth, :math:`\alpha w_k\pi_k`, in s."""
        w = self.workload
        return np.asarray(w.accuracy_weight * w.weight * w.share)

    def service(self, tokens: Array) -> Array:
        """Return the service times in s, or the tokens that are asked for."""
        return self.workload.service.mean(tokens)

    def service_of(self, k: int, tokens: Array) -> Array:
        """Return the same for one type and several budgets, (P,)."""
        service = cast(Affine | Generated, self.workload.service)
        return service.pick(np.array([k])).mean(tokens)

    def state(self, index: Index) -> State:
        """Return the state of the server at positions, (..., N), stable or not."""
        with np.errstate(all="ignore"):
            return delay_of(self.workload.server).at(self.workload, self.tokens(index))

    def objective(self, index: Index) -> Array:
        """Return J at positions, (..., N) → (...); minus infinity where the queue is unstable."""
        tokens, state = self.tokens(index), self.state(index)
        time = np.where(state.slack > 0, state.time, np.inf)
        return np.asarray(self.worth(tokens).sum(axis=-1) - flat(time, tokens))

    def changed(self, index: Index, step: Index) -> Array:
        """Return J after each single change of ``index`` to ``step``, (N,): one type at a time."""
        w, tokens, there = self.workload, self.tokens(index), self.tokens(step)
        worth, gain = self.worth(tokens), self.worth(there)
        if self.coupling is not None:
            s, t = self.service(tokens), self.service(there)
            m, second = (w.share * s).sum(), (w.share * s**2).sum()
            time = self.coupling.time(m + w.share * (t - s), second + w.share * (t**2 - s**2))
            return np.asarray(worth.sum() + gain - worth - time)
        value = np.full(len(w), -np.inf)
        for k in np.flatnonzero(step != index):
            one = index.copy()
            one[k] = step[k]
            value[k] = self.objective(one)
        return value

    @cached_property
    def coupling(self) -> Coupling | None:
        """How the types meet, where that is through one number."""
        return coupling_of(self.workload)

    def magnitude(self, index: Index) -> float:
        r"""Return the size of the terms of J at stable positions, as rounding sees them.

        That of :math:`y = 1 - \lambda m` is absolute, so the waiting time counts :math:`1/y` times.
        """
        state = self.state(index)
        worth = float(self.worth(self.tokens(index)).sum())
        return worth + first(state.time) + first(state.magnified)

    def lagrangian(self, index: Index, linear: float, burden: float) -> Array:
        r"""Return each type's share of J at a fixed load.

        .. math:: g_k(\ell) = \alpha w_k\pi_k p_k(\ell) - \pi_k(\nu s_k + \tau s_k^2)

        Parameters
        ----------
        index : ndarray of int64, (N,)
            Positions.
        linear : float
            :math:`\nu`, the price of a second, or of a token where tokens are asked for.
        burden : float
            :math:`\tau`, the price of its square.
        """
        tokens = self.tokens(index)
        s = self.service(tokens)
        return self.worth(tokens) - self.workload.share * (s * linear + burden * s**2)

    def best(self, linear: float, burden: float) -> Index:
        r"""Return the positions that maximise :meth:`lagrangian`, type by type.

        The continuous maximiser solves :math:`K e^{-b\ell} = P + Q\ell` by the Wright omega
        function; the neighbour that is better is then found by comparing, so that an inexact start
        costs time and never the maximum (the function is concave).
        """
        start = self.position(self._continuous_best(linear, burden))
        return self.climb(start, lambda index: self.lagrangian(index, linear, burden))

    def climb(self, index: Index, value: Callable[[Index], Array]) -> Index:
        """Return the positions that maximise a function concave in each type, by steps up.

        Parameters
        ----------
        index : ndarray of int64, (N,)
            Where to start, best close to the maximum.
        value : callable
            Positions (N,) → one value a type (N,).
        """
        reached, way, ended = value(index), 1, False
        while True:  # a stride may pass the top, and so may the way back
            before = index
            stride = np.ones_like(index)  # doubles while that leads up, then halves
            while stride.any():
                step = np.clip(index + way * stride, 0, self.count - 1)
                tried = value(step)
                better = tried > reached
                index, reached = np.where(better, step, index), np.where(better, tried, reached)
                stride = np.where(better, 2 * stride, stride // 2)
            if ended and np.array_equal(index, before):
                return index
            way, ended = -way, True

    def window(
        self, index: Index, keep: Callable[[Index], NDArray[np.bool_]]
    ) -> tuple[Index, Index]:
        """Return the first and the last position of the interval around ``index`` that is kept.

        Parameters
        ----------
        index : ndarray of int64, (N,)
            Positions that are kept.
        keep : callable
            Positions (N,) → whether they are kept, (N,); true on an interval only.
        """
        ends = []
        for limit in (np.zeros_like(index), self.count - 1):
            inside, outside = np.where(keep(limit), limit, index), limit
            while (np.abs(outside - inside) > 1).any():
                middle = (inside + outside) // 2
                kept = keep(middle)
                inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
            ends.append(inside)
        return ends[0], ends[1]

    def _continuous_best(self, price: float, burden: float) -> Array:
        w = self.workload
        # a budget of x tokens takes s = t + cx, and costs price·s + burden·s²
        none = w.service.moments(np.zeros(len(w)))
        linear = none.mean_slope * price + none.square_slope * burden
        quadratic = none.square_bend * burden
        return best_replies(w.curves, w.accuracy_weight * w.weight, linear, quadratic, w.max_tokens)


def blur(magnitude: float) -> float:
    r"""Return how far rounding can take a sum of products from its exact value.

    :math:`256\,\varepsilon` times the sum of the sizes of its terms,
    :math:`\varepsilon = 2^{-52}`: some 20 roundings in a term, up to 20 + log₂ N half-roundings in
    the pairwise sums of NumPy, and up to 400 more where a search adds its choices one by one.

    Parameters
    ----------
    magnitude : float
        The sum of the absolute values of the terms.
    """
    return 256 * EPSILON * magnitude


def _per_type(workload: Workload, menu: Menu) -> list[Any]:
    entries: list[Any] = list(menu) if np.iterable(menu) else [menu]
    if all(np.ndim(entry) == 0 for entry in entries):
        return [entries] * len(workload)
    if len(entries) != len(workload):
        raise WorkloadError(
            f"menu has {len(entries)} lists; it must be one list of budgets for all types, or one "
            f"for each of the {len(workload)} task types.",
            parameter="menu",
            value=len(entries),
        )
    return entries


def _allowed(workload: Workload, k: int, entries: ArrayLike) -> Array:
    try:
        values = np.unique(np.asarray(entries, dtype=np.float64))
    except (TypeError, ValueError):
        raise WorkloadError(
            f"menu is {entries!r}; it must be a list of whole numbers.",
            parameter="menu",
            value=entries,
        ) from None
    bad = ~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))
    if bad.any():
        raise WorkloadError(
            f"menu offers {values[bad][0]:g} tokens to task type {shown(workload.name(k))}; a "
            "budget must be a whole number of at least 0.",
            parameter="menu",
            value=float(values[bad][0]),
            task=workload.name(k),
        )
    kept = values[values <= workload.max_tokens[k]]
    if not kept.size:
        raise WorkloadError(
            f"menu offers task type {shown(workload.name(k))} nothing up to its max_tokens of "
            f"{workload.max_tokens[k]:g}.",
            parameter="menu",
            task=workload.name(k),
        )
    return np.asarray(kept)
