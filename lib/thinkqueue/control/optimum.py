r"""The best budgets that depend on the number waiting, by policy iteration.

With the relative values of a table, :math:`D(j)`, a second of service costs, while j are in the
system,

.. math:: q(j) = j + \eta - \lambda D(j) ,

as everybody present waits for it, as time is worth :math:`\eta = \lambda J` a second to those who
are yet to come, and as an arrival, after all, brings :math:`D(j)`. A budget that is kept pays
for its last second

.. math:: q_{\text{start}}(j, s) = j + \lambda s + \eta - \lambda\,\mathbb{E}\,D(j + A_s),

with :math:`A_s` the number that comes in s seconds. Tables at these prices are better than the one
before, until none is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammainc

from thinkqueue.arrays import Array, Index
from thinkqueue.control.lookup import ByWaiting
from thinkqueue.control.newcomers import newcomers, poisson
from thinkqueue.control.rule import dearest, replies, stopping_rule, trimmed
from thinkqueue.control.table import MOST_ROWS, When, check_when, check_workload, refuse_long
from thinkqueue.control.value import TableValue, evaluate
from thinkqueue.errors import ThinkQueueError
from thinkqueue.workload import Saturating, Workload
from thinkqueue.workload.accuracy import bisect

MOST_STEPS, MOST_HALVINGS = 60, 100
ROUNDING = 2.0**-44
"""The objective is known to this part of its terms, however many levels there are."""


@dataclass(frozen=True)
class Policy(ByWaiting):
    r"""The best budgets of all that depend on the number waiting.

    Attributes
    ----------
    workload : Workload
        Whose types it is for.
    when : {"start", "any time"}
        Whether a budget is kept from the start of a service, or the queue may stop a thought.
    thresholds : ndarray, (R, N)
        Tokens, a row for every number waiting; the last row holds for all larger numbers.
    value : TableValue
        What it is worth, with the relative values from which prices come.
    error : float
        No table is better by more than this, in s: the most that another budget at any level would
        add to one query, and what rounding may hide.
    steps : int
        How often the policy was improved.
    """

    workload: Workload
    when: When
    thresholds: Array = field(repr=False)
    value: TableValue = field(repr=False)
    error: float
    steps: int

    @property
    def objective(self) -> float:
        """J of the policy, in s."""
        return self.value.objective

    @property
    def price(self) -> Array:
        """The price of a second now, a row of ``thresholds`` each, (R,)."""
        return now(self.workload, self.value, np.arange(1, len(self.thresholds) + 1))


def optimal_control(workload: Workload, when: When = "any time") -> Policy:
    r"""Find the best budgets that depend on the number waiting.

    .. math:: \max_{\ell_k(n)}\; J = \alpha\,\mathbb{E}[w\,p] - \mathbb{E}[T]

    over tables of budgets for every number n of waiting queries, first come, first served.

    Parameters
    ----------
    workload : Workload
        With concave accuracy curves.
    when : {"start", "any time"}, optional
        Whether a budget is chosen at the start of a service and kept, or a thought may be stopped
        when more queries come.

    Returns
    -------
    Policy
        The table, its exact value, and what is left to be gained at most.

    Raises
    ------
    UnstableError
        If the queue is unstable without any thinking.
    WorkloadError
        If the workload has another server, other service times or other curves, or needs a longer
        table than there is room for.

    Notes
    -----
    Policy iteration from :func:`stopping_rule`; no level is cut off, see
    :mod:`~thinkqueue.control.value`. Where nobody thinks any more the values are affine in the
    number waiting.
    """
    check_when(when)
    check_workload(workload)
    value = evaluate(workload, stopping_rule(workload, when=when).thresholds, when)
    for step in range(1, MOST_STEPS):
        better = improved(workload, value, when)
        left = max(advantage(workload, value, better, when), 0.0)
        lost = ROUNDING * _size(workload, value)
        found = evaluate(workload, better, when)
        # beyond this point improvements are smaller than rounding; the last table is as good as
        # the one before, and nearer to the best
        if left <= lost or (found.objective <= value.objective and left <= 2**8 * lost):
            return Policy(workload, when, better, found, left + lost, step)
        value = found
    raise ThinkQueueError(
        f"Improving the policy did not end after {MOST_STEPS} steps: {left:.3g} s are left; please "
        "report this workload."
    )


def now(workload: Workload, value: TableValue, level: Index) -> Array:
    r"""Return :math:`j + \eta - \lambda D(j)`.

    Parameters
    ----------
    workload : Workload
        The workload.
    value : TableValue
        The relative values.
    level : ndarray of int
        j, the numbers in the system.
    """
    lam = workload.arrival_rate
    return np.asarray(level + lam * (value.objective - value.step_at(level)))


def improved(workload: Workload, value: TableValue, when: When) -> Array:
    """Return the table at the prices of relative values.

    Parameters
    ----------
    workload : Workload
        The workload.
    value : TableValue
        The relative values.
    when : {"start", "any time"}
        When a budget is read.
    """
    lam = workload.arrival_rate
    d0, d1 = value.line
    # beyond its own levels the price is affine: so many levels until nobody thinks
    far = (dearest(workload) - lam * (value.objective - d0)) / (1 + lam * d1)
    rows = max(value.step.size, int(np.ceil(max(min(far, 1e9), 0.0)))) + 1
    if rows > MOST_ROWS:
        refuse_long(rows)
    level = np.arange(1, rows + 1)
    if when == "any time":
        # a policy that is not optimal yet may have prices that fall somewhere, and a thought that
        # was stopped cannot go on
        price = np.maximum.accumulate(now(workload, value, level))
        return trimmed(replies(workload, price[:, None], when, 1.0))
    return trimmed(_kept(workload, value, level))


def _kept(workload: Workload, value: TableValue, level: Index) -> Array:
    """Return the budgets that are kept: the worth of a token falls, and its price rises."""
    lam, pace, eta = (
        workload.arrival_rate,
        workload.time_per_token,
        workload.arrival_rate * value.objective,
    )
    worth = workload.accuracy_weight * workload.weight
    shape = (level.size, len(workload))
    # no price is below 1, nor below the number present
    low = np.zeros(shape)
    high = replies(workload, level[:, None].astype(np.float64), "any time", 1.0)

    def surplus(tokens: Array) -> Array:
        s = workload.service.mean(tokens)
        price = level[:, None] + lam * s + eta - lam * mean_step(value, level, lam * s)
        ratio = worth * workload.curves.slope(tokens) / (pace * np.maximum(price, 1.0))
        return np.log(np.maximum(ratio, 1e-300))

    if isinstance(workload.curves, Saturating):
        return falling_root(surplus, low, high)
    return bisect(surplus, low, low, high)  # a curve may have kinks


def falling_root(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Return where falling functions are 0, or the nearer end, by false position (Illinois).

    Parameters
    ----------
    function : callable
        Of arrays, entry by entry.
    low, high : ndarray
        The ends.
    """
    below, above = function(low), function(high)
    none, all_of_it = below <= 0, above >= 0
    left, right, at = low.copy(), high.copy(), np.where(none, low, high)
    side = np.zeros(at.shape, np.int64)
    for _ in range(MOST_HALVINGS):
        with np.errstate(invalid="ignore", divide="ignore"):
            guess = (left * above - right * below) / (above - below)
        guess = np.where(none, low, np.where(all_of_it, high, np.clip(guess, left, right)))
        if (np.abs(guess - at) <= 4e-16 * np.abs(guess)).all():
            break
        at, here = guess, function(guess)
        more = here > 0
        # the end that stays for a second time counts half, so that it will move
        above = np.where(more, np.where(side > 0, above / 2, above), here)
        below = np.where(more, here, np.where(side < 0, below / 2, below))
        left, right = np.where(more, at, left), np.where(more, right, at)
        side = np.where(more, 1, -1)
    return at


def mean_step(value: TableValue, level: Index, mean: Array) -> Array:
    r"""Return :math:`\mathbb{E}\,D(j + A)` for a Poisson number A.

    Parameters
    ----------
    value : TableValue
        The relative values.
    level : ndarray of int, (L,)
        j.
    mean : ndarray, (L, N)
        The means of A.
    """
    d0, d1 = value.line
    levels = value.step.size
    most = float(mean.max())
    width = int(min(levels, most + 12 * np.sqrt(most) + 40))
    found = np.zeros_like(mean)
    for i in range(width):
        here = level + i
        part = poisson(np.array(i), mean) * value.step_at(here)[:, None]
        found += np.where(here[:, None] <= levels, part, 0.0)
    first = np.maximum(levels + 1 - level, 0)[:, None]
    some = np.where(first > 0, gammainc(np.maximum(first, 1), mean), 1.0)
    once = np.where(first > 1, gammainc(np.maximum(first - 1, 1), mean), 1.0)
    return np.asarray(found + (d0 - d1 * level[:, None]) * some - d1 * mean * once)


def advantage(workload: Workload, value: TableValue, better: Array, when: When) -> float:
    r"""Return the most that a query could gain, at any level, from another table.

    Services start :math:`\lambda` times a second, so no table has a J that is larger by more.

    Parameters
    ----------
    workload : Workload
        The workload.
    value : TableValue
        The relative values of the present table.
    better : ndarray, (R, N)
        The best table at its prices.
    when : {"start", "any time"}
        When a budget is read.
    """
    lam, alpha = workload.arrival_rate, workload.accuracy_weight
    rows = max(len(better), value.step.size + 1)
    table = np.vstack([better, np.repeat(better[-1:], rows - len(better), axis=0)])
    seen = newcomers(workload, table, when)
    level = np.arange(1, rows)
    if not level.size:
        return 0.0
    came = np.arange(seen.seconds.shape[1])
    there = level[:, None] + came
    each = there + lam * value.objective - lam * value.step_at(there)
    d0, d1 = value.line
    beyond = level + lam * value.objective - lam * (d0 - d1 * level)
    gained = alpha * seen.accuracy - (seen.seconds * each).sum(axis=1)
    gained -= beyond * seen.tail + (1 + lam * d1) * seen.tail_first
    return float(np.max(gained - value.step_at(level)))


def _size(workload: Workload, value: TableValue) -> float:
    """Return how large the terms are of which J and its relative values are made."""
    alpha = workload.accuracy_weight
    return float(alpha * value.mean_accuracy + value.mean_system_time + 1e-300) * (
        1 + float(np.abs(value.step).max(initial=0.0)) / (1e-300 + alpha + value.mean_system_time)
    )
