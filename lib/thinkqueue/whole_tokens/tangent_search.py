r"""Exact integers by the tangent bound, reduced costs and depth-first search.

The tangent of the convex :math:`E[T]` at any stable :math:`\hat\ell` bounds every allocation. With
only whole tokens, or only the entries of a menu, in each term the bound is

.. math::

    J(\ell) \le U_{\mathbb Z} - \sum_k r_k(\ell_k), \qquad
    r_k(v) = \max_{v'} \mathrm{val}_k(v') - \mathrm{val}_k(v) \ge 0, \qquad
    \mathrm{val}_k(v) = \alpha w_k\pi_k p_k(v) - \pi_k c_k q_k(\hat\ell)\,v .

A budget whose reduced cost :math:`r_k(v)` exceeds :math:`U_{\mathbb Z} - J(\text{incumbent})` is
in no better allocation and is removed for good; the rest is searched depth first under the same
bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array, Index, first
from thinkqueue.bounds import Tangent
from thinkqueue.whole_tokens.choices import Choices, blur


@dataclass(frozen=True)
class Reduced:
    """What the reduced costs leave.

    Attributes
    ----------
    first, last : ndarray of int64, (N,)
        The window of positions that a better allocation may use.
    bound : float
        U over all allowed budgets.
    tolerance : float
        How far rounding can take a comparison of the bound with an objective.
    """

    first: Index
    last: Index
    bound: float
    tolerance: float
    price: Array
    top: Array

    @property
    def log_size(self) -> float:
        """The natural logarithm of the number of allocations left."""
        return float(np.log(self.last - self.first + 1).sum())


def reduce(choices: Choices, look: Tangent, incumbent: float) -> Reduced:
    """Remove all budgets that the tangent bound excludes.

    Parameters
    ----------
    choices : Choices
        The allowed budgets.
    look : Tangent
        The tangent, best at the continuous optimum.
    incumbent : float
        J of the best allocation known.
    """
    w = choices.workload
    price = w.share * look.state.price

    def value(index: Index) -> Array:
        tokens = choices.tokens(index)
        return choices.worth(tokens) - price * tokens

    best = choices.climb(choices.position(look.reply(w.max_tokens)), value)
    top = value(best)
    time = first(look.state.time)
    paid = float(price @ look.tokens)
    bound = float(top.sum()) - time + paid
    size = float(choices.worth(choices.tokens(best)).sum() + price @ choices.tokens(best))
    tolerance = 2 * blur((size + time + paid + abs(incumbent)) / first(look.state.slack))
    slack = bound - incumbent + tolerance
    low, high = choices.window(best, lambda index: np.asarray(top - value(index) <= slack))
    # a type that never comes costs nothing and earns nothing: leave its budget alone
    matters = w.share > 0
    low, high = np.where(matters, low, best), np.where(matters, high, best)
    return Reduced(low, high, bound, tolerance, price, top)


def search(
    choices: Choices, reduced: Reduced, incumbent: Index, *, node_limit: int
) -> tuple[Index, int, bool]:
    """Search what is left depth first.

    Parameters
    ----------
    choices : Choices
        The allowed budgets.
    reduced : Reduced
        The windows.
    incumbent : ndarray of int64, (N,)
        The best positions known.
    node_limit : int
        When to give up.

    Returns
    -------
    tuple
        The best positions found, the nodes visited, and whether the search is complete.
    """
    open_types = np.flatnonzero(reduced.last > reduced.first)
    best, value = incumbent, float(choices.objective(incumbent))
    shut = reduced.last == reduced.first
    tokens = choices.tokens(reduced.first)
    lost = reduced.top - choices.worth(tokens) + reduced.price * tokens
    levels = [_level(choices, reduced, int(k)) for k in open_types]
    order = sorted(range(len(levels)), key=lambda i: -levels[i][-1][1])
    stack: list[tuple[int, float, tuple[int, ...]]] = [(0, float(lost[shut].sum()), ())]
    nodes = 0
    while stack:
        depth, loss, path = stack.pop()
        if loss > reduced.bound - value + reduced.tolerance:
            continue
        nodes += 1
        if nodes > node_limit:
            return best, nodes, False
        if depth < len(levels):
            for position, more in reversed(levels[order[depth]]):
                stack.append((depth + 1, loss + more, (*path, position)))
            continue
        trial = reduced.first.copy()
        for i, position in zip(order, path):
            trial[open_types[i]] = position
        reached = float(choices.objective(trial))
        if reached > value:
            best, value = trial, reached
    return best, nodes, True


def _level(choices: Choices, reduced: Reduced, k: int) -> list[tuple[int, float]]:
    """Return the choices of one type with their reduced costs, cheapest first."""
    positions = np.arange(reduced.first[k], reduced.last[k] + 1)
    tokens = choices.row(k, positions)
    loss = reduced.top[k] - choices.worth_of(k, tokens) + reduced.price[k] * tokens
    order = np.argsort(loss, kind="stable")
    return list(zip(positions[order].tolist(), loss[order].tolist()))
