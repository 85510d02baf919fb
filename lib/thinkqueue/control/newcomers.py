r"""How long a service goes on with i newcomers behind it: all that a table of budgets does.

A table has a row for every number waiting, from none on; its last row holds for all larger numbers.
Level j means that j queries are in the system, so that j - 1 wait. Let :math:`T_i` be the time at
which a service ends that has seen i arrivals: at the start it is set once and for all, and at any
time it is :math:`T_i = t_k(j + i)`, which falls with i. Then it is in progress at t with i arrivals
behind it iff i have come and :math:`t < T_i`, so that it is there for

.. math:: w_i = \int_0^{T_i} e^{-\lambda t}\frac{(\lambda t)^i}{i!}\,dt
              = \frac1\lambda P(i + 1, \lambda T_i), \qquad P(A > i) = \lambda w_i

with the regularised incomplete gamma function P. All newcomers from the I-th on, which leads to the
last row, are summed in closed form, as partial moments of a Poisson number: with
:math:`a = \lambda T`

.. math:: \sum_{i\ge I}\lambda w_i = a P(I, a) - I P(I + 1, a),

so that nothing is cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammainc, gammaln

from thinkqueue.arrays import Array, Index
from thinkqueue.control.stopped import accuracy_when_stopped
from thinkqueue.workload import Workload

When = Literal["start", "any time"]


@dataclass(frozen=True)
class Newcomers:
    r"""What happens during a service that begins at level j = 1 … L, all types together.

    Attributes
    ----------
    seconds : ndarray, (L, B)
        :math:`w_i`, as far as level :math:`j + i` has a row of its own.
    moves : ndarray, (L, B)
        The probability of i arrivals.
    beyond : ndarray, (L,)
        The probability that as many arrive as lead to the last row or further.
    tail, tail_first : ndarray, (L,)
        :math:`\sum w_i` and :math:`\sum i w_i` over all i that lead there.
    accuracy : ndarray, (L,)
        :math:`\sum\pi w\,\mathbb{E}\,p`.
    """

    seconds: Array
    moves: Array
    beyond: Array
    tail: Array
    tail_first: Array
    accuracy: Array

    @property
    def service(self) -> Array:
        """The mean service time of each level, (L,)."""
        return np.asarray(self.seconds.sum(axis=1) + self.tail)


def newcomers(workload: Workload, table: Array, when: When) -> Newcomers:
    """Return what happens during services under a table.

    Parameters
    ----------
    workload : Workload
        First come, first served.
    table : ndarray, (L + 1, N)
        Tokens, a row a number waiting, nonincreasing where stopped at any time.
    when : {"start", "any time"}
        When a budget is read from it.
    """
    lam, levels = workload.arrival_rate, len(table) - 1
    limits = workload.service.mean(table)  # seconds, (L + 1, N)
    width = _width(lam * float(limits.max()), levels)
    level, came = np.arange(1, levels + 1)[:, None], np.arange(width)
    row = np.minimum(level - 1 + came, levels) if when == "any time" else level - 1 + 0 * came
    own = level + came <= levels  # the levels with a row of their own
    first = levels + 1 - level[:, 0]  # newcomers from which on the last row holds
    shape = (levels, width)
    seconds, moves = np.zeros(shape), np.zeros(shape)
    beyond, tail, tail_first, accuracy = np.zeros((4, levels))
    for k, share in enumerate(workload.share):
        until = lam * limits[row, k]
        passed = gammainc(came + 1, until)
        seconds += share / lam * np.where(own, passed, 0.0)
        chance = poisson(came, until)
        if when == "any time":
            # arrivals that come when the table has already said to stop at them
            before = lam * limits[np.maximum(row - 1, 0), k][:, 1:]
            chance[:, 1:] += gammainc(came[1:], before) - gammainc(came[1:], until[:, 1:])
        moves += share * np.where(own, chance, 0.0)
        last = lam * (limits[-1:, k] if when == "any time" else limits[:-1, k])
        # the arrival that leads to the last row comes while the row before it holds
        brings = lam * (limits[-2:-1, k] if when == "any time" else limits[:-1, k])
        beyond += share * gammainc(first, brings)
        upper, upper_first = _partial(first, np.broadcast_to(last, first.shape))
        tail += share / lam * upper
        tail_first += share / lam * upper_first
        if when == "start":
            value = workload.curves.pick(k).value(table[:-1, k])
        else:
            value = accuracy_when_stopped(workload, k, table[:, k], width)
        accuracy += share * workload.weight[k] * value
    return Newcomers(seconds, moves, beyond, tail, tail_first, accuracy)


def poisson(count: Index, mean: Array) -> Array:
    r"""Return :math:`e^{-a}a^i/i!`, also for a = 0.

    Parameters
    ----------
    count : ndarray of int
        i.
    mean : ndarray
        a.
    """
    positive = np.maximum(mean, 1e-300)
    return np.asarray(np.exp(count * np.log(positive) - mean - gammaln(count + 1.0)))


def _partial(first: Index, a: Array) -> tuple[Array, Array]:
    r"""Return :math:`\sum_{i\ge I}P(A>i)` and :math:`\sum_{i\ge I}iP(A>i)` for A Poisson.

    .. math:: a P(A\ge I) - I P(A\ge I+1), \qquad
              \tfrac12\left[a^2P(A\ge I-1) - I(I-1)P(A\ge I+1)\right]
    """
    above = gammainc(first + 1, a)
    two = np.where(first > 1, gammainc(np.maximum(first - 1, 1), a), 1.0)
    once = a * gammainc(first, a) - first * above
    twice = (a * a * two - first * (first - 1) * above) / 2
    # each is a sum of probabilities: what is below zero is rounding
    return np.maximum(once, 0.0), np.maximum(twice, 0.0)


def _width(mean: float, levels: int) -> int:
    """Return how many newcomers are told apart: all of them, or those that ever come."""
    most = mean + 12 * np.sqrt(mean) + 40 if mean < 1e9 else levels
    return int(min(levels, most))
