"""What it is worth to read the queue, at several arrival rates, beside the best fixed budgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import floats
from thinkqueue.control.optimum import optimal_control
from thinkqueue.control.rule import stopping_rule
from thinkqueue.solve import solve
from thinkqueue.workload import Workload


@dataclass(frozen=True)
class ControlGains:
    """J of the best fixed budgets, and what others add to it, all in s and all (R,).

    Attributes
    ----------
    arrival_rate : ndarray
        In 1/s.
    utilization : ndarray
        The load of the best fixed budgets.
    fixed : ndarray
        Their J.
    rule, rule_start : ndarray
        What the rule adds, stopped at any time and chosen at the start.
    best, best_start : ndarray
        What the best tables add.
    naive : ndarray
        What the rule adds at the price 1 + n, which forgets those who are yet to come.
    """

    arrival_rate: Array
    utilization: Array
    fixed: Array
    rule: Array
    rule_start: Array
    best: Array
    best_start: Array
    naive: Array

    @property
    def kept(self) -> Array:
        """The part of what stopping can add that the rule adds, (R,)."""
        return np.asarray(self.rule / self.best)

    @property
    def kept_start(self) -> Array:
        """The same for budgets chosen at the start, (R,)."""
        return np.asarray(self.rule_start / self.best_start)


def control_gains(workload: Workload, arrival_rate: ArrayLike) -> ControlGains:
    """Return what it is worth to read the queue, first come, first served.

    Parameters
    ----------
    workload : Workload
        First come, first served by one server, with concave accuracy curves.
    arrival_rate : array_like, (R,)
        In 1/s.

    Raises
    ------
    UnstableError
        If no budgets are stable at one of the rates.
    WorkloadError
        If the workload is one for which no table is known.
    """
    rates = np.atleast_1d(floats("arrival_rate", arrival_rate))
    rows = []
    for rate in rates:
        here = workload.replace(arrival_rate=float(rate))
        fixed = solve(here)
        others = (
            stopping_rule(here).objective,
            stopping_rule(here, when="start").objective,
            optimal_control(here).objective,
            optimal_control(here, "start").objective,
            stopping_rule(here, slack=1.0).objective,
        )
        added = [other - fixed.objective for other in others]
        rows.append([fixed.utilization, fixed.objective, *added])
    return ControlGains(rates, *np.array(rows).T)
