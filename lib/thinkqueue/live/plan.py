r"""From what was measured to budgets: the library's own predictions, over the measured budgets.

A thought is worth what it was measured to be worth, at the budgets where it was measured, so that
no shape of a curve is taken for granted: an allocation picks one of those budgets for each type,
and all allocations are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.latency import LatencyFit, fit_latency
from thinkqueue.delay import service_moments, utilization
from thinkqueue.live.calibration import GRID
from thinkqueue.live.questions import LONGEST, SHARES
from thinkqueue.objective import objective
from thinkqueue.workload import Batching, Interpolated, TokenTime, TokenTimeTable, Workload

ACCURACY_WEIGHT = 5.0
"""What a right answer is worth, in s: so much that thinking pays up to a load of 0.8."""

Rows = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class MeasuredEngine:
    """What the calibration of an engine came to.

    Attributes
    ----------
    accuracy : ndarray, (N, G)
        The share of right answers of each type at each budget of ``GRID``.
    latency : tuple of LatencyFit
        Seconds against thinking tokens, for each type.
    """

    accuracy: Array
    latency: tuple[LatencyFit, ...]

    @classmethod
    def of(cls, service: Rows, accuracy: Rows) -> MeasuredEngine:
        """Take the rows of the calibration.

        Parameters
        ----------
        service, accuracy : sequence of mapping
            Rows of ``service.csv`` and ``accuracy.csv``.
        """
        right = [
            [np.mean([int(r["right"]) for r in accuracy if _cell(r) == (t, b)]) for b in GRID]
            for t in SHARES
        ]
        fits = []
        for t in SHARES:
            rows = [r for r in service if r["type"] == t and r["prompt_kept"] == "1"]
            tokens = np.array([float(r["budget"]) for r in rows])
            fits.append(fit_latency(tokens, np.array([float(r["seconds"]) for r in rows])))
        return cls(np.array(right), tuple(fits))

    def workload(self, arrival_rate: float) -> Workload:
        """Return the workload of the engine, one query at a time.

        Parameters
        ----------
        arrival_rate : float
            Queries a second.
        """
        return Workload.from_arrays(
            share=list(SHARES.values()),
            names=list(SHARES),
            accuracy=[Interpolated(GRID, tuple(row)) for row in self.accuracy.tolist()],
            base_time=[fit.base_time for fit in self.latency],
            time_per_token=[fit.time_per_token for fit in self.latency],
            max_tokens=2 * LONGEST,  # twice the best is tried too
            arrival_rate=arrival_rate,
            accuracy_weight=ACCURACY_WEIGHT,
        )

    def batched(self, arrival_rate: float, steps: TokenTimeTable, places: int) -> Workload:
        """Return the workload of the engine with several places.

        The seconds that a query takes alone without a thought, reading and answering, are counted
        in steps of a batch of one, since no formula is known for prompts that take time of their
        own where queries wait for a place.

        Parameters
        ----------
        arrival_rate : float
            Queries a second.
        steps : TokenTimeTable
            How long a step takes, by how many take part.
        places : int
            How many may take part.
        """
        alone = float(steps.seconds_at(1.0))
        base = np.array([fit.base_time for fit in self.latency])
        return Workload.from_arrays(
            share=list(SHARES.values()),
            names=list(SHARES),
            accuracy=[Interpolated(GRID, tuple(row)) for row in self.accuracy.tolist()],
            answer_tokens=base / alone,
            max_tokens=2 * LONGEST,  # twice the best is tried too
            arrival_rate=arrival_rate,
            accuracy_weight=ACCURACY_WEIGHT,
            server=Batching(steps, places, "wait"),
        )


def step_table(rows: Rows) -> TokenTimeTable:
    """Return how long a step takes, by how many take part, from the rows of ``steps.csv``.

    Parameters
    ----------
    rows : sequence of mapping
        What was measured.
    """
    busy = sorted({int(row["busy"]) for row in rows})
    seconds = []
    for n in busy:
        here = [row for row in rows if int(row["busy"]) == n]
        seconds.append(sum(float(r["seconds"]) for r in here) / sum(int(r["steps"]) for r in here))
    return TokenTime.table(busy, seconds, allow=True)


def allocations() -> Array:
    """Return every allocation of measured budgets, (G^N, N)."""
    return np.array(list(product(GRID, repeat=len(SHARES))), dtype=np.float64)


def best(workload: Workload) -> Array:
    """Return the allocation of measured budgets of the largest J.

    Parameters
    ----------
    workload : Workload
        The engine's.
    """
    return _best_of(workload, allocations())


def best_for_all(workload: Workload) -> Array:
    """Return the measured budget that is best where all types get the same.

    Parameters
    ----------
    workload : Workload
        The engine's.
    """
    return _best_of(workload, np.array(GRID, dtype=np.float64)[:, None] * np.ones(len(SHARES)))


def rate_at(measured: MeasuredEngine, load: float) -> float:
    r"""Return the arrival rate at which the best allocation has a load, or nearly.

    The best allocation changes with the rate in jumps, so the load can jump over the one that is
    asked for; the rate is then that of the jump, where both of its sides are as good.

    Parameters
    ----------
    measured : MeasuredEngine
        The engine.
    load : float
        :math:`\rho`.
    """
    low, high = 0.0, load / min(fit.base_time for fit in measured.latency)
    for _ in range(30):
        middle = (low + high) / 2
        here = measured.workload(middle)
        if float(utilization(here, best(here))) < load:
            low = middle
        else:
            high = middle
    return low


def rule(workload: Workload) -> list[list[int]]:
    r"""Return the stopping rule's budgets, a row for each number waiting, for each type.

    The price of a second that begins while n wait is :math:`1 + n/y`, that of the next ones
    :math:`1 + (n + \lambda s)/y` (chapter 12); a budget kept from its start costs

    .. math:: \int_0^S 1 + \frac{n + \lambda s}{y}\,ds = S + \frac{nS + \lambda S^2/2}{y},

    and of the measured budgets that which earns most above its cost is taken. The last row holds
    for all larger numbers.

    Parameters
    ----------
    workload : Workload
        The engine's, one query at a time.
    """
    y = 1 - float(utilization(workload, best(workload)))
    grid = np.array(GRID, dtype=np.float64)[:, None] * np.ones(len(SHARES))
    worth = workload.accuracy_weight * workload.curves.value(grid)
    seconds = workload.base_time + workload.time_per_token * grid
    rows: list[list[int]] = []
    for waiting in range(1000):
        cost = seconds + (waiting * seconds + workload.arrival_rate * seconds**2 / 2) / y
        rows.append([GRID[g] for g in (worth - cost).argmax(axis=0)])
        if not any(rows[-1]):
            break
    return rows


def predicted_load(workload: Workload, tokens: Any) -> float:
    """Return the load of an allocation.

    Parameters
    ----------
    workload : Workload
        The engine's.
    tokens : array_like, (N,)
        The allocation.
    """
    return float(utilization(workload, tokens))


def mean_service(workload: Workload, tokens: Any) -> float:
    """Return the mean service time of an allocation, in s.

    Parameters
    ----------
    workload : Workload
        The engine's, one query at a time.
    tokens : array_like, (N,)
        The allocation.
    """
    return float(service_moments(workload, tokens)[0])


def _best_of(workload: Workload, choices: Array) -> Array:
    stable = choices[np.asarray(utilization(workload, choices)) < 1]
    return np.asarray(stable[int(np.argmax(objective(workload, stable)))])


def _cell(row: Mapping[str, str]) -> tuple[str, int]:
    return row["type"], int(row["budget"])
