r"""What a table of budgets is worth: exactly, with every number waiting taken into account.

Let :math:`V(j)` be the relative value with j in the system at the start of a service and
:math:`D(j) = V(j) - V(j-1)`. With the times :math:`w_i` of :mod:`~thinkqueue.control.newcomers`,

.. math:: D(j) = \alpha\,\mathbb{E}[wp] - \sum_i w_i(j + i + \eta) + \sum_i \lambda w_i D(j+i),
          \qquad \eta = \lambda J,

and D is affine from the last row of the table on, where nothing depends on the number waiting any
more: with m, M and p of the last row and :math:`y = 1 - \lambda m`

.. math:: D(j) = \frac{\alpha\,\mathbb{E}[wp] - \eta m - \tfrac12\lambda M(1 + \lambda m/y)}{y}
                 - \frac m y j .

What is left is a chain on the levels that have a row of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.control.newcomers import Newcomers, newcomers
from thinkqueue.control.skip_free import gain_and_values
from thinkqueue.control.table import When, check_when, check_workload, table_array
from thinkqueue.delay.time import refuse_unstable
from thinkqueue.errors import ThinkQueueError
from thinkqueue.workload import Workload


class Far(NamedTuple):
    r"""The levels from the last row of a table on, where D is affine.

    Attributes
    ----------
    accuracy, mean, square : float
        :math:`\sum\pi wp`, m and M of the last row.
    slack : float
        :math:`y = 1 - \lambda m`.
    """

    accuracy: float
    mean: float
    square: float
    slack: float

    def line(self, workload: Workload, eta: float) -> tuple[float, float]:
        r"""Return :math:`(d_0, d_1)` with :math:`D(j) = d_0 - d_1j`.

        Parameters
        ----------
        workload : Workload
            The workload.
        eta : float
            :math:`\eta = \lambda J`.
        """
        return self.earned(workload) - self.held(workload) - eta * self.mean / self.slack, (
            self.mean / self.slack
        )

    def earned(self, workload: Workload) -> float:
        """Return what the answers of an excursion one level up are worth, in s.

        Parameters
        ----------
        workload : Workload
            The workload.
        """
        return workload.accuracy_weight * self.accuracy / self.slack

    def held(self, workload: Workload) -> float:
        """Return what those of an excursion wait above its first level, in s.

        Parameters
        ----------
        workload : Workload
            The workload.
        """
        lam = workload.arrival_rate
        return lam * self.square * (1 + lam * self.mean / self.slack) / (2 * self.slack)


@dataclass(frozen=True)
class TableValue:
    r"""What a table of budgets is worth.

    Attributes
    ----------
    objective : float
        J in s, :math:`\alpha` times the mean accuracy less the mean system time.
    mean_accuracy : float
        :math:`\sum\pi w\,\mathbb{E}\,p`.
    mean_system_time : float
        In s.
    utilization : float
        The share of time in which the server is busy.
    step : ndarray, (L,)
        :math:`D(1) \dots D(L)`: what one query more in the system is worth, relatively, in s.
    line : tuple of float
        :math:`(d_0, d_1)`: beyond, :math:`D(j) = d_0 - d_1 j`.
    """

    objective: float
    mean_accuracy: float
    mean_system_time: float
    utilization: float
    step: Array
    line: tuple[float, float]

    def step_at(self, level: Index) -> Array:
        r"""Return :math:`D(j)` at any levels.

        Parameters
        ----------
        level : ndarray of int
            :math:`j \ge 1`, the number in the system.
        """
        d0, d1 = self.line
        beyond = d0 - d1 * level
        if not self.step.size:
            return np.asarray(beyond)
        known = self.step[np.minimum(level, self.step.size) - 1]
        return np.where(level <= self.step.size, known, beyond)


def table_value(
    workload: Workload, thresholds: ArrayLike, *, when: When = "any time"
) -> TableValue:
    r"""Return what budgets that depend on the number waiting are worth, exactly.

    Parameters
    ----------
    workload : Workload
        First come, first served, with concave curves.
    thresholds : array_like, (R, N)
        Tokens of each type, a row for every number waiting from none on. The last row holds for all
        larger numbers, so that one row alone is a fixed allocation.
    when : {"start", "any time"}
        Whether a budget is read when the service starts, and kept; or at any time, so that a
        thought is stopped when too many have come. The base time is counted before the thought.

    Returns
    -------
    TableValue

    Raises
    ------
    UnstableError
        If the last row alone has a load of 1 or more.
    ThinkQueueError
        If a value is beyond double precision, as where budgets that are kept rise a lot.
    WorkloadError
        If the table rises where it must not, or has a value that is no budget; if the workload has
        another server, other service times or other curves than this holds for.
    """
    check_when(when)
    check_workload(workload)
    return evaluate(workload, table_array(workload, thresholds, when), when)


def far_of(workload: Workload, last: Array) -> Far:
    """Return what happens where the last row holds.

    Parameters
    ----------
    workload : Workload
        The workload.
    last : ndarray, (N,)
        The last row of its table.

    Raises
    ------
    UnstableError
        If it alone has a load of 1 or more.
    """
    s = workload.service.mean(last)
    accuracy = float(workload.share @ (workload.weight * workload.curves.value(last)))
    mean = float(workload.share @ s)
    slack = 1 - workload.arrival_rate * mean
    if not slack > 0:
        refuse_unstable(workload, 1 - slack, "however many wait")
    return Far(accuracy, mean, float(workload.share @ s**2), slack)


def evaluate(workload: Workload, table: Array, when: When) -> TableValue:
    """Return what a table is worth that has been checked.

    Parameters
    ----------
    workload : Workload
        The workload.
    table : ndarray, (L + 1, N)
        The table.
    when : {"start", "any time"}
        When a budget is read from it.
    """
    far, seen = far_of(workload, table[-1]), newcomers(workload, table, when)
    moves, gathered, taken = chain(workload, far, seen)
    worth = np.array([workload.accuracy_weight, -1.0, 0.0])
    reference = usual_level(workload.arrival_rate * seen.service)
    with np.errstate(all="ignore"):
        gains, values = gain_and_values(moves, gathered, worth, taken, reference)
    eta = float(gains @ worth)
    if not (np.isfinite(gains).all() and np.isfinite(values).all()):
        raise ThinkQueueError(
            "Under this table the number waiting leaves some levels so seldom that their values "
            "are beyond double precision: give larger numbers waiting no more tokens than smaller "
            "ones."
        )
    accuracy, present, busy = (float(gain) for gain in gains)
    lam = workload.arrival_rate
    return TableValue(
        objective=eta / lam,
        mean_accuracy=accuracy / lam,
        mean_system_time=present / lam,
        utilization=busy,
        step=np.diff(values),
        line=far.line(workload, eta),
    )


def chain(workload: Workload, far: Far, seen: Newcomers) -> tuple[Array, Array, Array]:
    r"""Return the chain on the levels 0 … L, seen at the starts of services.

    An excursion to the levels beyond comes back to L, and what it gathers is counted where it
    began.

    Parameters
    ----------
    workload : Workload
        The workload.
    far : Far
        What happens beyond.
    seen : Newcomers
        What happens during services.

    Returns
    -------
    moves : ndarray, (L + 1, L + 1)
        Probabilities.
    gathered : ndarray, (L + 1, 3)
        Weighted right answers, seconds that queries spend in the system, seconds of work.
    taken : ndarray, (L + 1,)
        Seconds.
    """
    lam, levels = workload.arrival_rate, seen.tail.size
    back = far.mean / far.slack  # seconds of an excursion one level up
    moves, gathered = np.zeros((levels + 1, levels + 1)), np.zeros((levels + 1, 3))
    taken = np.zeros(levels + 1)
    taken[0] = 1 / lam
    if not levels:
        gathered[0] = far.accuracy / far.slack, far.held(workload) + back, back
        taken[0] += back
        return moves, gathered, taken
    moves[0, 1] = 1.0
    level = np.arange(1, levels + 1)
    came = np.arange(seen.moves.shape[1])
    for j in level:
        own = came[: levels + 1 - j]
        moves[j, j - 1 + own] = seen.moves[j - 1, : own.size]
    moves[1:, levels] += seen.beyond
    gathered[1:, 0] = seen.accuracy + lam * seen.tail * far.accuracy / far.slack
    gathered[1:, 1] = (
        (seen.seconds * (level[:, None] + came)).sum(axis=1)
        + level * seen.tail
        + seen.tail_first
        + lam * (far.held(workload) + back * level) * seen.tail
        + lam * back * seen.tail_first
    )
    gathered[1:, 2] = seen.service + lam * back * seen.tail
    taken[1:] = gathered[1:, 2]
    return moves, gathered, taken


def usual_level(arrivals: Array) -> int:
    """Return the first level at which fewer arrive during a service than leave.

    Parameters
    ----------
    arrivals : ndarray, (L,)
        Mean number of arrivals during a service that begins there.
    """
    if not arrivals.size:
        return 0
    falls = np.flatnonzero(arrivals < 1)
    return int(falls[0]) + 1 if falls.size else arrivals.size
