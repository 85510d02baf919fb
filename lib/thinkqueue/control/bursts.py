"""What budgets earn where arrivals come in bursts of which they know nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from thinkqueue.arrivals import MarkovModulated, Records
from thinkqueue.control.judge import Record, Served
from thinkqueue.control.optimum import optimal_control
from thinkqueue.control.rule import stopping_rule
from thinkqueue.solve import solve
from thinkqueue.workload import Workload


@dataclass(frozen=True)
class BurstOutcome:
    """How one way to set budgets fared on arrivals that are not Poisson.

    Attributes
    ----------
    trace : str
        What the arrivals were fitted to.
    arrival_rate : float
        In 1/s.
    budgets : str
        "fixed" for the best fixed budgets under Poisson arrivals, "best fixed" for those on these
        arrivals; "rule", "rule at the start" and "table" for the rule, the rule read at the start
        of a service, and the best table, all of them for Poisson arrivals; "tuned rule" with a
        slack that is tuned on these arrivals.
    slack : float
        y of a rule; NaN for others.
    objective, low, high : float
        J in s, with an interval of 95% from batch means.
    over_fixed, over_fixed_low, over_fixed_high : float
        By how much it is above that of "best fixed" on the same queries.
    mean_system_time, mean_accuracy, late : float
        In s; a share; and the 99th percentile of the system time in s.
    """

    trace: str
    arrival_rate: float
    budgets: str
    slack: float
    objective: float
    low: float
    high: float
    over_fixed: float
    over_fixed_low: float
    over_fixed_high: float
    mean_system_time: float
    mean_accuracy: float
    late: float


def burst_outcomes(
    workload: Workload, model: MarkovModulated, trace: str, *, jobs: int, seed: int
) -> list[BurstOutcome]:
    """Try fixed budgets, the rule and the best table on the same bursty arrivals.

    Budgets that are tuned on arrivals are tuned on another stream of the same model, a quarter as
    long.

    Parameters
    ----------
    workload : Workload
        First come, first served, with saturating curves.
    model : MarkovModulated
        The arrivals.
    trace : str
        What they are called.
    jobs : int
        How many queries.
    seed : int
        Of the stream on which budgets are judged; the next one is for tuning.
    """
    rule, tuning = stopping_rule(workload), max(jobs // 4, 1000)
    records = Records.draw(
        workload, model, seed=seed + 1, replications=20, jobs=max(tuning // 20, 50)
    )
    fixed = solve(workload).tokens
    best = records.solve(start=fixed).tokens
    apart = Record.draw(workload, jobs=tuning, seed=seed + 1, arrivals=model)
    tuned = _tuned(apart, rule.slack)
    record = Record.draw(workload, jobs=jobs, seed=seed, arrivals=model)
    ways: dict[str, tuple[float, Callable[[], Served]]] = {
        "best fixed": (np.nan, lambda: record.serve(best)),
        "fixed": (np.nan, lambda: record.serve(fixed)),
        "rule": (rule.slack, lambda: record.serve_by_price(per_query=1 / rule.slack)),
        "tuned rule": (tuned, lambda: record.serve_by_price(per_query=1 / tuned)),
        "rule at the start": (
            rule.slack,
            lambda: record.serve(stopping_rule(workload, when="start").thresholds, when="start"),
        ),
        "table": (np.nan, lambda: record.serve(optimal_control(workload).thresholds)),
    }
    outcomes, beside = [], np.zeros(0)
    for name, (slack, serve) in ways.items():
        served = serve()
        worth, value = served.worth, served.objective
        beside = beside if beside.size else worth
        over = served.difference(beside)
        outcomes.append(
            BurstOutcome(
                trace=trace,
                arrival_rate=workload.arrival_rate,
                budgets=name,
                slack=slack,
                objective=value.value,
                low=value.low,
                high=value.high,
                over_fixed=over.value,
                over_fixed_low=over.low,
                over_fixed_high=over.high,
                mean_system_time=served.mean_system_time.value,
                mean_accuracy=served.mean_accuracy.value,
                late=float(np.quantile(served.system, 0.99)),
            )
        )
    return outcomes


def _tuned(record: Record, slack: float) -> float:
    """Return the slack with which the rule does best on a record."""

    def loss(log_slack: float) -> float:
        served = record.serve_by_price(per_query=float(np.exp(-log_slack)))
        return -float(served.worth.mean())

    bounds = (float(np.log(slack)) - 3, float(np.log(slack)) + 1)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 0.02})
    return float(np.exp(found.x))
