"""What arrivals that are not Poisson do to budgets, in one table; and the records of two traces.

The traces themselves are not part of the library. What is known of them is: their statistics, a
fitted model, and how budgets fared on them, as CSV files that :func:`write_records` makes from
the traces and that the book reads.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from thinkqueue.arrays import Array
from thinkqueue.arrivals.markov import MarkovModulated, fit_markov_modulated
from thinkqueue.arrivals.queue import (
    Records,
    fitted_variability,
    solve_corrected,
)
from thinkqueue.arrivals.statistics import ArrivalStatistics, arrival_statistics
from thinkqueue.arrivals.trace import Trace
from thinkqueue.delay import mean_waiting_time, utilization
from thinkqueue.errors import ThinkQueueError
from thinkqueue.files import write_together
from thinkqueue.names import brief, printable
from thinkqueue.solution import Solution
from thinkqueue.solve import solve
from thinkqueue.workload import Workload

RATES = (0.005, 0.02, 0.05)
"""The arrival rates of the recorded study, in 1/s: the book's workload, calmer and busier."""


@dataclass(frozen=True)
class Outcome:
    """How one set of budgets fares on arrivals.

    Attributes
    ----------
    trace : str
        The arrivals.
    arrival_rate : float
        The rate that they were brought to, in 1/s.
    budgets : str
        Where the budgets come from: ``poisson`` (the optimum of the M/G/1 queue), ``corrected``
        (with the measured variation of the gaps), ``calibrated`` (with the variability that
        explains one measured waiting time), ``model`` (the optimum on the fitted model),
        ``arrivals`` (the optimum on these arrivals, known only afterwards).
    utilization : float
        The load.
    predicted_waiting_time : float
        What the M/G/1 formula says, in s.
    mean_waiting_time, low, high : float
        What these arrivals give, in s, with a 95% interval over the types of the queries.
    objective : float
        J on these arrivals, in s.
    gap : float
        For ``arrivals``: no budgets do better on them by more than this, in s; 0 for the others.
    """

    trace: str
    arrival_rate: float
    budgets: str
    utilization: float
    predicted_waiting_time: float
    mean_waiting_time: float
    low: float
    high: float
    objective: float
    gap: float


def study(
    workload: Workload,
    arrivals: Trace | MarkovModulated,
    statistics: ArrivalStatistics,
    model: MarkovModulated,
    *,
    seed: int = 1,
    replications: int = 20,
    jobs: int = 10_000,
) -> list[Outcome]:
    """Try the budgets of five ways of planning on arrivals at one load.

    Parameters
    ----------
    workload : Workload
        Its arrival rate is the one that the arrivals are brought to.
    arrivals : Trace or MarkovModulated
        What the budgets are tried on.
    statistics : ArrivalStatistics
        Of the arrivals: what the correction may know.
    model : MarkovModulated
        Fitted to them.
    seed : int, optional
        Of the types, and of the arrivals of the model.
    replications, jobs : int, optional
        As in :meth:`Records.draw`.
    """
    records = Records.draw(workload, arrivals, seed=seed, replications=replications, jobs=jobs)
    made = Records.draw(workload, model, seed=seed + 1, replications=replications, jobs=jobs)
    poisson: Array = solve(workload).tokens
    best = records.solve()
    plans: dict[str, Solution | Array] = {
        "poisson": poisson,
        "corrected": solve_corrected(workload, statistics.cv**2),
        "calibrated": solve_corrected(workload, max(fitted_variability(records, poisson), 0.0)),
        "model": made.solve(),
        "arrivals": best,
    }
    outcomes = []
    for name, plan in plans.items():
        tokens = plan.tokens if isinstance(plan, Solution) else plan
        wait = records.mean_waiting_time(tokens)
        outcomes.append(
            Outcome(
                trace=statistics.name,
                arrival_rate=workload.arrival_rate,
                budgets=name,
                utilization=float(utilization(workload, tokens)),
                predicted_waiting_time=float(mean_waiting_time(workload, tokens)),
                mean_waiting_time=wait.value,
                low=wait.low,
                high=wait.high,
                objective=records.objective(tokens),
                gap=max(best.gap, 0.0) if name == "arrivals" else 0.0,
            )
        )
    return outcomes


@dataclass(frozen=True)
class Recorded:
    """What is recorded of a trace.

    Attributes
    ----------
    statistics : ArrivalStatistics
        Rate, variation and dispersion.
    model : MarkovModulated
        The fitted model.
    outcomes : list of Outcome
        How budgets fared on the trace itself.
    """

    statistics: ArrivalStatistics
    model: MarkovModulated
    outcomes: list[Outcome]


def record(trace: Trace, workload: Workload, rates: Sequence[float] = RATES) -> Recorded:
    """Measure a trace, fit a model to it, and try budgets on it at several rates.

    Parameters
    ----------
    trace : Trace
        The arrivals.
    workload : Workload
        The types.
    rates : sequence of float, optional
        In 1/s.
    """
    statistics = arrival_statistics(trace)
    model = fit_markov_modulated(statistics)
    jobs = trace.times.size
    outcomes = [
        outcome
        for rate in rates
        for outcome in study(
            workload.replace(arrival_rate=rate), trace, statistics, model, jobs=jobs
        )
    ]
    return Recorded(statistics, model, outcomes)


STATISTICS, DISPERSION, MODELS, OUTCOMES = (
    "statistics.csv",
    "dispersion.csv",
    "models.csv",
    "outcomes.csv",
)
_PLAIN = ("name", "count", "duration", "rate", "cv", "correlation")


def write_records(folder: str | os.PathLike[str], recorded: Sequence[Recorded]) -> None:
    """Write what is recorded of traces as four CSV files, all of them or none.

    Parameters
    ----------
    folder : path
        Where to.
    recorded : sequence of Recorded
        One of each trace.
    """
    tables: dict[str, tuple[Sequence[str], Iterable[Sequence[object]]]] = {
        STATISTICS: (
            _PLAIN,
            [[getattr(r.statistics, name) for name in _PLAIN] for r in recorded],
        ),
        DISPERSION: (
            ("name", "window", "dispersion"),
            [
                (r.statistics.name, *pair)
                for r in recorded
                for pair in zip(r.statistics.windows, r.statistics.dispersion, strict=True)
            ],
        ),
        MODELS: (
            ("name", "high", "low", "up", "down"),
            [
                (r.statistics.name, *source)
                for r in recorded
                for source in zip(*astuple(r.model), strict=True)
            ],
        ),
        OUTCOMES: (
            [f.name for f in fields(Outcome)],
            [list(asdict(outcome).values()) for r in recorded for outcome in r.outcomes],
        ),
    }
    texts = {}
    for file, (header, rows) in tables.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(
            [f"{value:.10g}" if isinstance(value, float) else value for value in row]
            for row in rows
        )
        texts[Path(folder) / file] = text.getvalue()
    write_together(texts)


def read_records(folder: str | os.PathLike[str]) -> dict[str, Recorded]:
    """Read what is recorded of traces, by name.

    Parameters
    ----------
    folder : path
        Where the four files are.

    Raises
    ------
    ThinkQueueError
        If they are not as :func:`write_records` writes them, or not of the same traces.
    OSError
        If one of them cannot be read.
    """
    try:
        tables = [_rows(Path(folder) / file) for file in (STATISTICS, DISPERSION, MODELS, OUTCOMES)]
        found = {row["name"]: _recorded(row, *tables[1:]) for row in tables[0]}
        if not found:
            message = f"{STATISTICS} has no rows"
            raise ValueError(message)
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ThinkQueueError(
            f"{folder}: these are not the records of traces that write_records writes "
            f"({type(error).__name__}: {brief(printable(str(error)), 80)})."
        ) from error
    return found


def _recorded(
    row: dict[str, str],
    dispersion: list[dict[str, str]],
    models: list[dict[str, str]],
    outcomes: list[dict[str, str]],
) -> Recorded:
    name = row["name"]
    curve = [
        (_finite(r["window"]), _finite(r["dispersion"])) for r in dispersion if r["name"] == name
    ]
    sources = [
        [_finite(r[k]) for k in ("high", "low", "up", "down")] for r in models if r["name"] == name
    ]
    windows, dispersions = zip(*curve, strict=True)
    high, low, up, down = zip(*sources, strict=True)
    numbers = {key: _finite(row[key]) for key in _PLAIN if key not in ("name", "count")}
    return Recorded(
        ArrivalStatistics(
            name=name, count=int(row["count"]), windows=windows, dispersion=dispersions, **numbers
        ),
        MarkovModulated(high, low, up, down),
        [_outcome(r) for r in outcomes if r["trace"] == name],
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return list(csv.DictReader(file))


def _outcome(row: dict[str, str]) -> Outcome:
    numbers = {k: _finite(v) for k, v in row.items() if k not in ("trace", "budgets")}
    return Outcome(trace=row["trace"], budgets=row["budgets"], **numbers)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text} is no finite number"
        raise ValueError(message)
    return number
