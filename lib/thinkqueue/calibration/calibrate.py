"""From measurements to a workload: the public face of the calibration."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.calibration.curves import SATURATING
from thinkqueue.calibration.fit import CurveFit, bootstrap
from thinkqueue.calibration.latency import LatencyFit, LatencyVerdict, fit_latency
from thinkqueue.calibration.measurements import Measurements, read_measurements
from thinkqueue.calibration.pooling import Pooled, pool_rates
from thinkqueue.calibration.uncertainty import Draws
from thinkqueue.calibration.usage import Usage
from thinkqueue.calibration.variation import Variation, measure_variation
from thinkqueue.calibration.verdicts import AccuracyFit, Verdict, judge, with_pooled_rate
from thinkqueue.checks import check_count, floats
from thinkqueue.errors import ThinkQueueError
from thinkqueue.executors import gather
from thinkqueue.names import listed, shown
from thinkqueue.workload import Workload

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_LINES = 6

PerTask = float | Sequence[float] | Mapping[str, float]


class CalibrationError(ThinkQueueError):
    """The measurements do not support the workload that was asked for.

    Attributes
    ----------
    tasks : tuple of str
        The tasks that stand in the way.
    """

    def __init__(self, message: str, *, tasks: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tasks = tuple(tasks)


@dataclass(frozen=True, eq=False)
class TaskCalibration:
    """What the measurements say of one task.

    Attributes
    ----------
    name : str
        The task.
    accuracy : AccuracyFit or None
        Its accuracy curve; None without scored answers.
    latency : LatencyFit or None
        Its service time; None without latencies.
    usage : Usage or None
        The tokens used under each budget, if both were measured: the tokens of the curve are then
        means of tokens used.
    queries : float
        How many queries its rows stand for.
    variation : Variation or None
        How much its thinking lengths vary at one budget; None where no single query tells both its
        budget and the tokens it used.
    """

    name: str
    accuracy: AccuracyFit | None
    latency: LatencyFit | None
    usage: Usage | None
    queries: float
    variation: Variation | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Fits, intervals and verdicts for every task.

    Attributes
    ----------
    tasks : tuple of TaskCalibration
        One for each task measured.
    pooled : Pooled or None
        How the rates were pooled across tasks, if they were.
    notes : tuple of str
        What was missing, left out or taken for granted.
    """

    tasks: tuple[TaskCalibration, ...]
    pooled: Pooled | None
    notes: tuple[str, ...]

    def __getitem__(self, name: str) -> TaskCalibration:
        """Return what is known of one task."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"{shown(name)} was not measured; measured are {listed(self.names)}.")

    def __repr__(self) -> str:
        facts = [f"{name}: {verdict}" for name, verdict in self.verdicts.items()]
        return f"Calibration({'; '.join(facts) or listed(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks measured."""
        return tuple(task.name for task in self.tasks)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each accuracy curve."""
        return {task.name: task.accuracy.verdict for task in self.tasks if task.accuracy}

    def workload(
        self,
        *,
        arrival_rate: float,
        accuracy_weight: float,
        share: PerTask | Literal["log"] | None = None,
        base_time: PerTask | None = None,
        time_per_token: PerTask | None = None,
        variation: PerTask | None = None,
        max_tokens: PerTask | None = None,
        family: str | Mapping[str, str] = SATURATING.name,
        accept: Collection[Verdict | str] = (Verdict.ADEQUATE,),
    ) -> Workload:
        """Return the workload of the most likely curves.

        Parameters
        ----------
        arrival_rate : float
            Queries per second.
        accuracy_weight : float
            Seconds of mean system time that one unit of accuracy is worth.
        share : number, sequence or mapping by task, or "log", optional
            The mix of the traffic; "log" takes that of the rows, which is right for a log of
            traffic and means nothing for a benchmark. Equal shares if not given.
        base_time, time_per_token : number, sequence or mapping by task, optional
            Service times in s and s/token, in place of the measured ones.
        variation : number, sequence or mapping by task, optional
            How much thinking lengths vary at one budget, in place of what was measured: 0 where
            nothing was, as if every query used its budget.
        max_tokens : number, sequence or mapping by task, optional
            Largest budgets that the server takes; if not given, the largest ones measured, since
            nothing is known beyond. Where the tokens used were measured beside budgets, the
            workload holds the mean used under each: all tokens of a workload are tokens used.
        family : str or mapping by task, optional
            Which of the fitted curves to take: "saturating", a rival such as "power law", "Hill",
            "logistic", "any concave", "any monotone", or "best" for the one of the smallest AICc.
            Another curve than the saturating one is taken whatever the verdict on that one is.
        accept : collection of Verdict, optional
            The verdicts on accuracy curves that are good enough.

        Raises
        ------
        CalibrationError
            If a task has no curve, no service time, or a verdict that is not accepted.
        """
        families = self._families(family)
        plain = [name for name, kind in families.items() if kind == SATURATING.name]
        curves = self._accepted_curves(accept, plain)
        base, slope = self._service_times(base_time, time_per_token)
        budgets = [float(curve.series.tokens[-1]) for curve in curves]
        return Workload.from_arrays(
            share=self._shares(share),
            accuracy=[
                curve.law if kind == SATURATING.name else _rival(name, curve, kind).accuracy
                for curve, (name, kind) in zip(curves, families.items(), strict=True)
            ],
            base_time=base,
            time_per_token=slope,
            variation=self._variations(variation),
            max_tokens=budgets if max_tokens is None else self._used_under(max_tokens),
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            names=self.names,
        )

    def caps(self, tokens: ArrayLike) -> Array:
        """Return the budgets to set on the server so that so many tokens are used in the mean.

        Parameters
        ----------
        tokens : array_like, (N,)
            Mean tokens used by each task, such as the best ones of the workload.

        Raises
        ------
        ThinkQueueError
            If they lie beyond what was used under the largest budget measured.
        """
        used = self._each("tokens", np.asarray(tokens, dtype=float).tolist())
        return np.array(
            [
                task.usage.cap_for(at) if task.usage else at
                for task, at in zip(self.tasks, used.tolist(), strict=True)
            ]
        )

    def draws(
        self,
        draws: int = 1000,
        *,
        arrival_rate: float,
        accuracy_weight: float,
        seed: int = 0,
        executor: Executor | None = None,
        **options: Any,
    ) -> Draws:
        r"""Return workloads as new experiments would have given them: refits of simulated ones.

        Accuracy curves are drawn by parametric bootstrap; service times from the normal law of
        their estimates, with the intercept held at 0 as that of the estimate is. A base time or a
        time per token among the options was not measured and does not vary; the variation of the
        lengths is that of the estimate throughout.

        Parameters
        ----------
        draws : int, optional
            How many.
        arrival_rate, accuracy_weight : float
            As in :meth:`workload`.
        seed : int, optional
            Seed of the simulation.
        executor : concurrent.futures.Executor, optional
            Where the curves are refitted, task by task. The result is the same, bit for bit, with
            any executor and with none.
        **options
            Further arguments of :meth:`workload`.

        Raises
        ------
        CalibrationError
            As :meth:`workload`, and if two latencies are all that a service time rests on.
        """
        check_count("seed", seed, least=0)
        workload = self.workload(
            arrival_rate=arrival_rate, accuracy_weight=accuracy_weight, **options
        )
        seeds = np.random.SeedSequence(seed).spawn(len(workload))
        streams = [np.random.default_rng(stream) for stream in seeds]
        prior = self.pooled.prior if self.pooled else None
        times = {
            name: np.tile(getattr(workload.service, name), (draws, 1))
            for name in ("base_time", "time_per_token")
        }
        measured = [name for name in times if options.get(name) is None]
        drawn = gather(
            executor,
            _draw_task,
            [
                (task, draws, rng, prior, bool(measured))
                for task, rng in zip(self.tasks, streams, strict=True)
            ],
        )
        curves = np.stack([curve for curve, _ in drawn], axis=1)
        for k, (_, sample) in enumerate(drawn):
            for place, name in enumerate(times):
                if name in measured:
                    times[name][:, k] = sample[:, place]
        return Draws(
            workload, gain=curves[..., 0], rate=curves[..., 1], baseline=curves[..., 2], **times
        )

    def to_toml(
        self,
        path: str | os.PathLike[str],
        *,
        arrival_rate: float,
        accuracy_weight: float,
        **options: Any,
    ) -> None:
        """Write the workload as a TOML file, with verdicts and intervals as comments at its head.

        Parameters
        ----------
        path : path-like
            The file; :meth:`thinkqueue.Workload.from_toml` reads it.
        arrival_rate, accuracy_weight : float
            As in :meth:`workload`.
        **options
            Further arguments of :meth:`workload`.
        """
        workload = self.workload(
            arrival_rate=arrival_rate, accuracy_weight=accuracy_weight, **options
        )
        workload.to_toml(path, comment="\n".join([self.summary(), *self._notes_on(options)]))

    def _notes_on(self, options: Mapping[str, Any]) -> list[str]:
        """Return what a workload takes for granted."""
        notes = []
        if options.get("share") is None and len(self.tasks) > 1:
            notes.append(
                "The shares are equal, for want of knowledge of the traffic: give share=, or "
                "--share on the command line."
            )
        if any(task.usage for task in self.tasks):
            notes.append("All tokens of the workload are means of tokens used, and not caps.")
        return notes

    def summary(self) -> str:
        """Return every verdict and parameter with its interval, one task a paragraph."""
        lines = [line for task in self.tasks for line in _lines(task)]
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return the calibration as plain values, for JSON."""
        return {"tasks": [_plain(task) for task in self.tasks], "notes": list(self.notes)}

    def plot(self) -> Figure:
        """Draw every series with its intervals and all fitted curves; needs matplotlib."""
        from thinkqueue.calibration.figures import draw_series

        return draw_series({task.name: task.accuracy for task in self.tasks if task.accuracy})

    def _families(self, family: str | Mapping[str, str]) -> dict[str, str]:
        """Return which curve each task is to have."""
        if isinstance(family, str):
            return dict.fromkeys(self.names, family)
        unknown = [name for name in family if name not in self.names]
        if unknown:
            raise CalibrationError(
                f"family names {listed(unknown)}; the tasks measured are {listed(self.names)}.",
                tasks=unknown,
            )
        return {name: family.get(name, SATURATING.name) for name in self.names}

    def _accepted_curves(
        self, accept: Collection[Verdict | str], plain: Collection[str] | None = None
    ) -> list[AccuracyFit]:
        without = [task.name for task in self.tasks if task.accuracy is None]
        if without:
            raise CalibrationError(
                f"No answers were scored for {listed(without)}: there is no accuracy curve.",
                tasks=without,
            )
        curves = [task.accuracy for task in self.tasks if task.accuracy]
        unknown = [str(verdict) for verdict in accept if verdict not in set(Verdict)]
        if unknown:
            raise CalibrationError(
                f"{listed(unknown)} is no verdict to accept; there are {listed([*Verdict])}."
            )
        accepted = {Verdict(verdict) for verdict in accept}
        refused = {
            task.name: f"{task.name}: {curve.verdict}. {curve.words}"
            for task, curve in zip(self.tasks, curves, strict=True)
            if curve.verdict not in accepted and (plain is None or task.name in plain)
        }
        if refused:
            lines = list(refused.values())[:_MOST_LINES]
            if len(refused) > _MOST_LINES:
                lines.append(f"and {len(refused) - _MOST_LINES} more")
            raise CalibrationError(
                "These accuracy curves cannot be relied on:\n  "
                + "\n  ".join(lines)
                + "\nMeasure more, leave the task out, or name the verdicts that you accept: "
                "accept=('adequate', …), or --accept on the command line.",
                tasks=tuple(refused),
            )
        return curves

    def _service_times(
        self, base_time: PerTask | None, time_per_token: PerTask | None
    ) -> tuple[Array, Array]:
        measured = [task.latency for task in self.tasks]
        given = {"base_time": base_time, "time_per_token": time_per_token}
        values = []
        for name, value in given.items():
            if value is not None:
                values.append(self._each(name, value))
                continue
            lacking = [
                task.name
                for task, fitted in zip(self.tasks, measured, strict=True)
                if fitted is None or not fitted.identified
            ]
            if lacking:
                why = {fitted.words for fitted in measured if fitted and not fitted.identified}
                raise CalibrationError(
                    f"No service time is known for {listed(lacking)}: give {name}=. "
                    + " ".join(sorted(why)),
                    tasks=lacking,
                )
            values.append(np.array([getattr(fitted, name) for fitted in measured]))
        return values[0], values[1]

    def _variations(self, variation: PerTask | None) -> Array:
        """Return the variation given, or the one measured where there is one."""
        if variation is not None:
            return self._each("variation", variation)
        return np.array([task.variation.value if task.variation else 0.0 for task in self.tasks])

    def _shares(self, share: PerTask | Literal["log"] | None) -> Array:
        queries = np.array([task.queries for task in self.tasks])
        if isinstance(share, str):
            if share != "log":
                raise CalibrationError(
                    f"share is {shown(share)}; it must be shares by task, or 'log' for those of "
                    "the rows."
                )
            return np.asarray(queries / queries.sum())
        count = len(self.tasks)
        return np.full(count, 1 / count) if share is None else self._each("share", share)

    def _used_under(self, max_tokens: PerTask) -> Array:
        """Return the mean tokens used under each cap."""
        caps = self._each("max_tokens", max_tokens).tolist()
        return np.array(
            [
                task.usage.used_under(cap) if task.usage else cap
                for task, cap in zip(self.tasks, caps, strict=True)
            ]
        )

    def _each(self, name: str, value: PerTask) -> Array:
        """Return one number a task, in the order of the tasks."""
        if isinstance(value, Mapping):
            lacking = [task for task in self.names if task not in value]
            unknown = [task for task in value if task not in self.names]
            if lacking or unknown:
                fault = (
                    f"says nothing of {listed(lacking)}" if lacking else f"names {listed(unknown)}"
                )
                raise CalibrationError(
                    f"{name} {fault}; the tasks measured are {listed(self.names)}.",
                    tasks=lacking or unknown,
                )
            return floats(name, [value[task] for task in self.names])
        numbers = floats(name, value)
        if numbers.ndim and numbers.shape != (len(self.tasks),):
            raise CalibrationError(
                f"{name} has {numbers.size} values for {len(self.tasks)} tasks "
                f"({listed(self.names)})."
            )
        return np.broadcast_to(numbers, (len(self.tasks),)).copy()


def _rival(task: str, fit: AccuracyFit, family: str) -> CurveFit:
    """Return one of the curves fitted to a task, by name."""
    if family == "best":
        return min(fit.parametric.values(), key=lambda rival: rival.aicc)
    if family not in fit.fits:
        raise CalibrationError(
            f"No curve called {family!r} was fitted to {task}; there are {listed(fit.fits)}, and "
            "'best'.",
            tasks=(task,),
        )
    return fit.fits[family]


def calibrate(
    measurements: Any,
    *,
    columns: Mapping[str, str] | None = None,
    level: float = 0.95,
    simulations: int = 499,
    pool: bool = False,
    seed: int = 0,
    report: Callable[[str], object] | None = None,
) -> Calibration:
    r"""Fit accuracy curves and service times to measurements, and say how far to trust them.

    For each task the saturating curve :math:`D + A(1-e^{-b\ell})` of greatest binomial likelihood
    and the service time :math:`t_0 + c\,\ell`, with intervals, rival curves and a verdict.

    Parameters
    ----------
    measurements : path-like, data frame, mapping of columns or rows
        See :func:`thinkqueue.calibration.read_measurements` for the columns.
    columns : mapping of str to str, optional
        What columns are called there, where that is not what they are called here.
    level : float, optional
        Coverage of the intervals.
    simulations : int, optional
        Simulated experiments behind each p-value, at least 39.
    pool : bool, optional
        Shrink the rates of the tasks towards a common one where the data are thin.
    seed : int, optional
        Seed of the simulations.
    report : callable, optional
        Is told in words what is being done, before each step.

    Raises
    ------
    MeasurementError
        If the measurements cannot be read; the message names file, line and column.
    """
    if not 0 < level < 1:
        raise CalibrationError(f"level is {shown(level)}; it must lie between 0 and 1.")
    if simulations < 39:
        raise CalibrationError(
            f"simulations is {shown(simulations)}; a p-value of 0.025 needs at least 39."
        )
    check_count("seed", seed, least=0)
    say = report or (lambda text: None)
    say("reading")
    measured = read_measurements(measurements, columns=columns)
    streams = np.random.SeedSequence(seed).spawn(len(measured.names))
    found: list[TaskCalibration] = []
    for name, stream in zip(measured.names, streams, strict=True):
        say(f"{name}, task {len(found) + 1} of {len(streams)}, {len(measured.task):,} rows in all")
        rng = np.random.default_rng(stream)
        found.append(_calibrate_task(measured, name, level, simulations, rng))
    tasks = tuple(found)
    tasks, notes = _with_common_service_time(tasks, measured)
    if not pool:
        return Calibration(tasks, None, measured.notes + notes)
    curves = {task.name: task.accuracy for task in tasks if task.accuracy}
    pooled = pool_rates({name: curve.saturating for name, curve in curves.items()}, level)
    shrunk = tuple(
        replace(
            task,
            accuracy=with_pooled_rate(
                task.accuracy,
                pooled.fits[task.name],
                pooled.covariances[task.name],
                pooled.intervals[task.name],
            ),
        )
        if task.accuracy
        else task
        for task in tasks
    )
    return Calibration(shrunk, pooled, (*measured.notes, *notes, pooled.words))


def _calibrate_task(
    measured: Measurements, name: str, level: float, simulations: int, rng: np.random.Generator
) -> TaskCalibration:
    series = measured.series(name)
    budget, used = measured.lengths(name)
    tokens, latency = measured.latencies(name)
    return TaskCalibration(
        name,
        judge(series, simulations=simulations, level=level, rng=rng) if series else None,
        fit_latency(tokens, latency) if latency.size else None,
        measured.usage(name),
        float(measured.queries[measured.names.index(name)]),
        measure_variation(budget, used, level) if used.size else None,
    )


def _with_common_service_time(
    tasks: tuple[TaskCalibration, ...], measured: Measurements
) -> tuple[tuple[TaskCalibration, ...], tuple[str, ...]]:
    """Give tasks whose own latencies fix no line the line of all latencies, where that is one."""
    lacking = [task for task in tasks if task.latency is None or not task.latency.identified]
    if not lacking or not np.isfinite(measured.latency).any():
        return tasks, ()
    rows = [measured.latencies(name) for name in measured.names]
    common = fit_latency(*(np.concatenate(column) for column in zip(*rows, strict=True)))
    if not common.identified or common.verdict is LatencyVerdict.CURVED:
        return tasks, ()
    note = (
        f"{listed([task.name for task in lacking])}: too few latencies of their own; the "
        "service time "
        "is that of all tasks together."
    )
    return tuple(replace(t, latency=common) if t in lacking else t for t in tasks), (note,)


def _draw_task(
    task: TaskCalibration,
    draws: int,
    rng: np.random.Generator,
    prior: tuple[float, float] | None,
    timed: bool,
) -> tuple[Array, Array]:
    """Return curves and, if wanted, service times of one task, from one stream."""
    curves = _draw_curve(task, draws, rng, prior)
    return curves, _draw_times(task, draws, rng) if timed else np.empty((draws, 0))


def _draw_curve(
    task: TaskCalibration,
    draws: int,
    rng: np.random.Generator,
    prior: tuple[float, float] | None,
) -> Array:
    if task.accuracy is None:
        raise CalibrationError(f"{task.name} has no accuracy curve to draw.", tasks=[task.name])
    return bootstrap(task.accuracy.saturating, draws, rng, prior)


def _draw_times(task: TaskCalibration, draws: int, rng: np.random.Generator) -> Array:
    fitted = task.latency
    if fitted is None or not fitted.identified:
        raise CalibrationError(
            f"{task.name} has no service time to draw: give base_time= and time_per_token=.",
            tasks=[task.name],
        )
    if not fitted.degrees.all():
        raise CalibrationError(
            f"{task.name} has two latencies, which say nothing of their error: measure more, or "
            "give base_time= and time_per_token=.",
            tasks=[task.name],
        )
    return fitted.draw(draws, rng)


def _lines(task: TaskCalibration) -> list[str]:
    lines = []
    curve, latency = task.accuracy, task.latency
    if curve:
        parts = [
            f"{name} {getattr(curve, name):.4g} [{curve.intervals[name].low:.3g}, "
            f"{curve.intervals[name].high:.3g}]"
            for name in ("gain", "rate", "baseline")
        ]
        lines += [f"{task.name}: {curve.verdict}. {curve.words}", f"  {', '.join(parts)}"]
    if latency:
        lines.append(f"  service time {latency.verdict}: {latency.words}")
    if latency and latency.identified:
        bounds = latency.intervals()["time_per_token"]
        lines.append(
            f"  base time {latency.base_time:.4g} s, time per token {latency.time_per_token:.4g} s "
            f"[{bounds.low:.3g}, {bounds.high:.3g}]"
        )
    if task.variation:
        lines.append(f"  lengths {task.variation.verdict}: {task.variation.words}")
    if task.usage and not np.array_equal(task.usage.caps, task.usage.used):
        pairs = zip(task.usage.caps, task.usage.used, strict=True)
        shown_pairs = listed(f"{cap:.4g} uses {used:.4g}" for cap, used in pairs)
        lines.append(f"  tokens are means of tokens used, not budgets: a budget of {shown_pairs}")
    return lines


def _plain(task: TaskCalibration) -> dict[str, Any]:
    plain: dict[str, Any] = {"name": task.name}
    curve, latency = task.accuracy, task.latency
    if curve:
        plain["accuracy"] = {
            "verdict": str(curve.verdict),
            "words": curve.words,
            "gain": curve.gain,
            "rate": curve.rate,
            "baseline": curve.baseline,
            "intervals": {
                name: [interval.low, interval.high] for name, interval in curve.intervals.items()
            },
            "covariance": curve.covariance.tolist(),
            "p_values": curve.goodness,
            "aicc": {name: fitted.aicc for name, fitted in curve.parametric.items()},
        }
    if latency:
        plain["latency"] = {
            "verdict": str(latency.verdict),
            "words": latency.words,
            "base_time": latency.base_time,
            "time_per_token": latency.time_per_token,
            "intervals": {
                name: [interval.low, None if interval.high_open else interval.high]
                for name, interval in latency.intervals().items()
            },
            "covariance": latency.covariance.tolist(),
            "rows": latency.used,
            "batched_rows": latency.batched,
            "outliers": latency.outliers,
            "curvature_p": latency.curvature_p,
        }
    if task.variation:
        varied = task.variation
        plain["variation"] = {
            "verdict": str(varied.verdict),
            "words": varied.words,
            "value": varied.value if varied.known else None,
            "interval": [varied.interval.low, varied.interval.high] if varied.known else None,
            "by_budget": {f"{budget:.12g}": value for budget, value in varied.by_budget.items()},
            "queries": varied.queries,
        }
    if task.usage:
        plain["usage"] = {
            "budget": task.usage.caps.tolist(),
            "tokens": task.usage.used.tolist(),
        }
    return plain


__all__ = [
    "Calibration",
    "CalibrationError",
    "TaskCalibration",
    "calibrate",
]
