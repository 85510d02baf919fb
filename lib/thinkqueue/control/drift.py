"""What budgets earn over days with a rush hour, in which the mix of types moves as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.control.judge import Record, Served
from thinkqueue.control.optimum import optimal_control
from thinkqueue.control.rule import stopping_rule
from thinkqueue.control.table import check_workload
from thinkqueue.solve import solve
from thinkqueue.workload import Workload

HOUR = 3600.0


@dataclass(frozen=True)
class Day:
    """A day that repeats: how many come in each of its hours, and of which types.

    Attributes
    ----------
    rates : ndarray, (24,)
        Arrivals a second.
    shares : ndarray, (24, N)
        The mix.
    """

    rates: Array
    shares: Array

    def mean(self, workload: Workload) -> Workload:
        """Return the workload that an average over the day takes it for.

        Parameters
        ----------
        workload : Workload
            Its types.
        """
        share = self.rates @ self.shares / self.rates.sum()
        return workload.replace(arrival_rate=float(self.rates.mean()), share=share / share.sum())

    def at(self, workload: Workload, hour: int) -> Workload:
        """Return the workload of one hour.

        Parameters
        ----------
        workload : Workload
            Its types.
        hour : int
            From 0 to 23.
        """
        return workload.replace(
            arrival_rate=float(self.rates[hour]), share=self.shares[hour] / self.shares[hour].sum()
        )

    def draw(self, workload: Workload, *, days: int, seed: int) -> Record:
        """Draw the queries of some days.

        Parameters
        ----------
        workload : Workload
            The types.
        days : int
            How many.
        seed : int
            Of the random generator.
        """
        rng = np.random.default_rng(seed)
        times, kinds = [], []
        for hour in range(24 * days):
            come = int(rng.poisson(self.rates[hour % 24] * HOUR))
            times.append(HOUR * (hour + np.sort(rng.random(come))))
            kinds.append(rng.choice(len(workload), come, p=self.shares[hour % 24]))
        return Record(workload, np.concatenate(kinds), np.concatenate(times))


def rush_hour(workload: Workload, *, quiet: float, busy: float, rush: float) -> Day:
    """Return a day with nine quiet hours, thirteen busy ones and two of rush.

    In the rush the first type has half of its usual share again, and in quiet hours half of it; the
    others keep their proportions.

    Parameters
    ----------
    workload : Workload
        The types, and their shares in busy hours.
    quiet, busy, rush : float
        Arrivals a second.
    """
    hours = np.arange(24)
    kind = np.where(hours < 9, 0, np.where((hours == 10) | (hours == 11), 2, 1))
    first = workload.share[0] * np.array([0.5, 1.0, 1.5])[kind]
    shares = np.tile(workload.share, (24, 1))
    if len(workload) > 1:
        first = np.minimum(first, 0.95)
        shares *= ((1 - first) / (1 - workload.share[0]))[:, None]
        shares[:, 0] = first
    return Day(np.array([quiet, busy, rush])[kind], shares)


@dataclass(frozen=True)
class DriftOutcome:
    """How one way to set budgets fared over the days.

    Attributes
    ----------
    budgets : str
        "fixed": solved once for the mean of the day; "fixed for the rush": for its busiest hour;
        "re-solved": fixed budgets, anew each hour
        from estimates; "rule": with one slack for the whole day; "re-estimated rule": with one from
        estimates; "oracle": the best table for the true rate and mix of each hour.
    objective, low, high : float
        J in s, with an interval of 95% from batch means.
    regret, regret_low, regret_high : float
        By how much it is below the oracle on the same queries.
    """

    budgets: str
    objective: float
    low: float
    high: float
    regret: float
    regret_low: float
    regret_high: float


def drift_outcomes(
    workload: Workload, day: Day, *, days: int, seed: int, memory: float = HOUR
) -> list[DriftOutcome]:
    r"""Try budgets that know the day, estimate it, or know its mean alone.

    Parameters
    ----------
    workload : Workload
        The types.
    day : Day
        What happens.
    days : int
        How many of them.
    seed : int
        Of the record.
    memory : float, optional
        Estimates weigh the past by :math:`e^{-t/\text{memory}}`, in s.
    """
    check_workload(workload)
    record = day.draw(workload, days=days, seed=seed)
    hour = np.asarray(record.times // HOUR, dtype=np.int64)
    mean = day.mean(workload)
    seen = estimates(record, mean, 24 * days, memory)
    slack = stopping_rule(mean).slack
    slacks = np.array([stopping_rule(one).slack for one in seen])
    fixed, busiest = solve(mean).tokens, int(np.argmax(day.rates))
    again = np.stack([solve(one).tokens for one in seen])
    best = [optimal_control(day.at(workload, h)).thresholds for h in range(24)]
    rows = max(len(table) for table in best)
    tables = np.stack([np.pad(t, ((0, rows - len(t)), (0, 0)), mode="edge") for t in best])
    ways: dict[str, Callable[[], Served]] = {
        "oracle": lambda: record.serve_by(tables, hour % 24),
        "fixed": lambda: record.serve(fixed),
        "fixed for the rush": lambda: record.serve(solve(day.at(workload, busiest)).tokens),
        "re-solved": lambda: record.serve_by(again[:, None], hour, "start"),
        "rule": lambda: record.serve_by_price(per_query=1 / slack),
        "re-estimated rule": lambda: record.serve_by_price(per_query=1 / slacks[hour]),
    }
    outcomes, oracle = [], np.zeros(0)
    for name, serve in ways.items():
        served = serve()
        oracle = oracle if oracle.size else served.worth
        value, over = served.objective, served.difference(oracle)
        outcomes.append(
            DriftOutcome(
                name, value.value, value.low, value.high, -over.value, -over.high, -over.low
            )
        )
    return outcomes


def estimates(record: Record, prior: Workload, hours: int, memory: float) -> list[Workload]:
    """Return what is thought of the arrivals at the beginning of each hour.

    Parameters
    ----------
    record : Record
        The queries.
    prior : Workload
        What is thought at first, worth one memory of queries.
    hours : int
        How many.
    memory : float
        How fast the past is forgotten, in s.
    """
    counts = prior.arrival_rate * memory * prior.share
    place: Index = np.searchsorted(record.times, HOUR * np.arange(hours + 1))
    found = []
    for hour in range(hours):
        total = float(counts.sum())
        found.append(prior.replace(arrival_rate=total / memory, share=counts / total))
        part = slice(place[hour], place[hour + 1])
        weight = np.exp(-(HOUR * (hour + 1) - record.times[part]) / memory)
        fresh = np.bincount(record.kinds[part], weights=weight, minlength=len(prior))
        # a type that has not been seen for long is still thought to come one day
        counts = np.maximum(counts * np.exp(-HOUR / memory) + fresh, 1e-6)
    return found
