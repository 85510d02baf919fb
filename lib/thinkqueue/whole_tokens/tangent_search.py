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

from thinkqueue.arrays import Array, Index
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
    price = w.share * look.cost

    def value(index: Index) -> Array:
        tokens = choices.tokens(index)
        return choices.worth(tokens) - price * tokens

    target = np.clip(look.tokens + look.scaled_step / w.rate, 0, w.max_tokens)
    best = choices.climb(choices.position(target), value)
    top = value(best)
    time = float(look.queue.mean_system_time(w.arrival_rate)[0])
    paid = float(price @ look.tokens)
    bound = float(top.sum()) - time + paid
    size = float(choices.worth(choices.tokens(best)).sum() + price @ choices.tokens(best))
    tolerance = 2 * blur((size + time + paid + abs(incumbent)) / float(look.queue.y[0]))
    slack = bound - incumbent + tolerance
    # a type that never comes costs nothing and earns nothing: leave its budget alone
    matters = w.share > 0
    first, last = choices.window(best, lambda index: matters & (top - value(index) <= slack))
    first, last = np.where(matters, first, best), np.where(matters, last, best)
    return Reduced(first, last, bound, tolerance, price, top)


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
    w = choices.workload
    open_types = np.flatnonzero(reduced.last > reduced.first)
    best, value = incumbent, float(choices.objective(incumbent))
    fixed = reduced.first.copy()
    fixed_tokens = choices.tokens(fixed)
    shut = reduced.last == reduced.first
    s = choices.service(fixed_tokens)
    start_loss = float(
        (reduced.top - choices.worth(fixed_tokens) + reduced.price * fixed_tokens)[shut].sum()
    )
    start = (
        start_loss,
        float(choices.worth(fixed_tokens)[shut].sum()),
        float((w.share * s)[shut].sum()),
        float((w.share * s**2)[shut].sum()),
    )
    levels = [_level(choices, reduced, int(k)) for k in open_types]
    order = sorted(range(len(levels)), key=lambda i: -levels[i][-1][1])
    stack: list[tuple[int, tuple[float, ...], tuple[int, ...]]] = [(0, start, ())]
    nodes = 0
    while stack:
        depth, (loss, worth, m, second), path = stack.pop()
        if loss > reduced.bound - value + reduced.tolerance:
            continue
        nodes += 1
        if nodes > node_limit:
            return best, nodes, False
        if depth == len(levels):
            y = 1 - w.arrival_rate * m
            if y > 0 and worth - m - w.arrival_rate * second / (2 * y) > value:
                trial = fixed.copy()
                for i, position in zip(order, path):
                    trial[open_types[i]] = position
                exact = float(choices.objective(trial))
                if exact > value:
                    best, value = trial, exact
            continue
        for position, more, gain, first, square in reversed(levels[order[depth]]):
            state = (loss + more, worth + gain, m + first, second + square)
            stack.append((depth + 1, state, (*path, position)))
    return best, nodes, True


def _level(
    choices: Choices, reduced: Reduced, k: int
) -> list[tuple[int, float, float, float, float]]:
    """Return the choices of one type: position, reduced cost, worth, πs and πs²; cheapest first."""
    w = choices.workload
    positions = np.arange(reduced.first[k], reduced.last[k] + 1)
    tokens = choices.row(k, positions)
    stake = w.accuracy_weight * w.weight[k] * w.share[k]
    worth = stake * (w.baseline[k] - w.gain[k] * np.expm1(-w.rate[k] * tokens))
    s = w.base_time[k] + w.time_per_token[k] * tokens
    loss = reduced.top[k] - worth + reduced.price[k] * tokens
    order = np.argsort(loss, kind="stable")
    columns = (positions, loss, worth, w.share[k] * s, w.share[k] * s**2)
    return list(zip(*(column[order].tolist() for column in columns)))
