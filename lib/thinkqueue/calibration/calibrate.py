"""From measurements to a workload: the public face of the calibration."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.fit import bootstrap
from thinkqueue.calibration.latency import LatencyFit, LatencyVerdict, fit_latency
from thinkqueue.calibration.measurements import (
    MeasurementError,
    Measurements,
    read_measurements,
)
from thinkqueue.calibration.pooling import Pooled, pool_rates
from thinkqueue.calibration.uncertainty import Draws
from thinkqueue.calibration.verdicts import AccuracyFit, Verdict, judge, with_pooled_rate
from thinkqueue.checks import check_count
from thinkqueue.errors import ThinkQueueError
from thinkqueue.workload import Workload

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    """

    name: str
    accuracy: AccuracyFit | None
    latency: LatencyFit | None


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
        raise KeyError(f"{name!r} was not measured; measured are {', '.join(self.names)}.")

    def __repr__(self) -> str:
        facts = [f"{name}: {verdict}" for name, verdict in self.verdicts.items()]
        return f"Calibration({'; '.join(facts) or _listed(self.names)})"

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
        share: PerTask | None = None,
        base_time: PerTask | None = None,
        time_per_token: PerTask | None = None,
        max_tokens: PerTask | None = None,
        accept: Collection[Verdict | str] = (Verdict.ADEQUATE,),
    ) -> Workload:
        """Return the workload of the most likely curves.

        Parameters
        ----------
        arrival_rate : float
            Queries per second.
        accuracy_weight : float
            Seconds of mean system time that one unit of accuracy is worth.
        share : number, sequence or mapping by task, optional
            The mix of the traffic, which measurements do not show; equal shares if not given.
        base_time, time_per_token : number, sequence or mapping by task, optional
            Service times in s and s/token, in place of the measured ones.
        max_tokens : number, sequence or mapping by task, optional
            Largest budgets; if not given, the largest ones measured, since nothing is known beyond.
        accept : collection of Verdict, optional
            The verdicts on accuracy curves that are good enough.

        Raises
        ------
        CalibrationError
            If a task has no curve, no service time, or a verdict that is not accepted.
        """
        curves = self._accepted_curves(accept)
        base, slope = self._service_times(base_time, time_per_token)
        count = len(self.tasks)
        budgets = [float(curve.series.tokens[-1]) for curve in curves]
        return Workload.from_arrays(
            share=np.full(count, 1 / count) if share is None else self._each("share", share),
            gain=[curve.gain for curve in curves],
            rate=[curve.rate for curve in curves],
            baseline=[curve.baseline for curve in curves],
            base_time=base,
            time_per_token=slope,
            max_tokens=budgets if max_tokens is None else self._each("max_tokens", max_tokens),
            arrival_rate=arrival_rate,
            accuracy_weight=accuracy_weight,
            names=self.names,
        )

    def draws(self, workload: Workload, draws: int = 1000, *, seed: int = 0) -> Draws:
        r"""Return whole workloads that might be true: refits of simulated experiments.

        Accuracy curves are drawn by parametric bootstrap; service times from the normal law of
        their estimates, cut at 0, and are held at the workload's where they were given and not
        measured.

        Parameters
        ----------
        workload : Workload
            What :meth:`workload` returned.
        draws : int, optional
            How many.
        seed : int, optional
            Seed of the simulation.
        """
        check_count("seed", seed, least=0)
        seeds = np.random.SeedSequence(seed).spawn(len(workload))
        if workload.names != self.names:
            raise CalibrationError(
                f"The workload has the types {_listed(workload.names)}, and measured are "
                f"{_listed(self.names)}: draw from the workload that this calibration made."
            )
        streams = [np.random.default_rng(stream) for stream in seeds]
        curves = np.stack(
            [
                _draw_curve(task, draws, rng, self.pooled.prior if self.pooled else None)
                for task, rng in zip(self.tasks, streams, strict=True)
            ],
            axis=1,
        )
        times = np.stack(
            [
                _draw_times(task, workload, k, draws, rng)
                for k, (task, rng) in enumerate(zip(self.tasks, streams, strict=True))
            ],
            axis=1,
        )
        return Draws(
            workload, gain=curves[..., 0], rate=curves[..., 1], baseline=curves[..., 2],
            base_time=times[..., 0], time_per_token=times[..., 1],
        )  # fmt: skip

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
        workload.to_toml(path, comment=self.summary())

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

    def _accepted_curves(self, accept: Collection[Verdict | str]) -> list[AccuracyFit]:
        without = [task.name for task in self.tasks if task.accuracy is None]
        if without:
            raise CalibrationError(
                f"No answers were scored for {_listed(without)}: there is no accuracy curve.",
                tasks=without,
            )
        curves = [task.accuracy for task in self.tasks if task.accuracy]
        unknown = [str(verdict) for verdict in accept if verdict not in set(Verdict)]
        if unknown:
            raise CalibrationError(
                f"{_listed(unknown)} is no verdict to accept; there are {_listed([*Verdict])}."
            )
        accepted = {Verdict(verdict) for verdict in accept}
        refused = {
            task.name: f"{task.name}: {curve.verdict}. {curve.words}"
            for task, curve in zip(self.tasks, curves, strict=True)
            if curve.verdict not in accepted
        }
        if refused:
            raise CalibrationError(
                "These accuracy curves cannot be relied on:\n  "
                + "\n  ".join(refused.values())
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
                    f"No service time is known for {_listed(lacking)}: give {name}=. "
                    + " ".join(sorted(why)),
                    tasks=lacking,
                )
            values.append(np.array([getattr(fitted, name) for fitted in measured]))
        return values[0], values[1]

    def _each(self, name: str, value: PerTask) -> Array:
        """Return one number a task, in the order of the tasks."""
        if isinstance(value, Mapping):
            lacking = [task for task in self.names if task not in value]
            unknown = [str(task) for task in value if task not in self.names]
            if lacking or unknown:
                fault = (
                    f"says nothing of {_listed(lacking)}"
                    if lacking
                    else f"names {_listed(unknown)}"
                )
                raise CalibrationError(
                    f"{name} {fault}; the tasks measured are {_listed(self.names)}.",
                    tasks=lacking or unknown,
                )
            return np.array([value[task] for task in self.names], dtype=float)
        numbers = np.asarray(value, dtype=float)
        if numbers.ndim and numbers.shape != (len(self.tasks),):
            raise CalibrationError(
                f"{name} has {numbers.size} values for {len(self.tasks)} tasks "
                f"({_listed(self.names)})."
            )
        return np.broadcast_to(numbers, (len(self.tasks),)).copy()


def calibrate(
    measurements: Any,
    *,
    level: float = 0.95,
    simulations: int = 499,
    pool: bool = False,
    seed: int = 0,
) -> Calibration:
    r"""Fit accuracy curves and service times to measurements, and say how far to trust them.

    For each task the saturating curve :math:`D + A(1-e^{-b\ell})` of greatest binomial likelihood
    and the service time :math:`t_0 + c\,\ell`, with intervals, rival curves and a verdict.

    Parameters
    ----------
    measurements : path-like, data frame, mapping of columns or rows
        See :func:`thinkqueue.calibration.read_measurements` for the columns.
    level : float, optional
        Coverage of the intervals.
    simulations : int, optional
        Simulated experiments behind each p-value, at least 39.
    pool : bool, optional
        Shrink the rates of the tasks towards a common one where the data are thin.
    seed : int, optional
        Seed of the simulations.

    Raises
    ------
    MeasurementError
        If the measurements cannot be read; the message names file, line and column.
    """
    if not 0 < level < 1:
        raise CalibrationError(f"level is {level!r}; it must lie between 0 and 1.")
    if simulations < 39:
        raise CalibrationError(
            f"simulations is {simulations!r}; a p-value of 0.025 needs at least 39."
        )
    check_count("seed", seed, least=0)
    measured = read_measurements(measurements)
    streams = np.random.SeedSequence(seed).spawn(len(measured.names))
    tasks = tuple(
        _calibrate_task(measured, name, level, simulations, np.random.default_rng(stream))
        for name, stream in zip(measured.names, streams, strict=True)
    )
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
    tokens, latency = measured.latencies(name)
    return TaskCalibration(
        name,
        judge(series, simulations=simulations, level=level, rng=rng) if series else None,
        fit_latency(tokens, latency) if latency.size else None,
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
        f"{_listed([task.name for task in lacking])}: too few latencies of their own; the "
        "service time "
        "is that of all tasks together."
    )
    return tuple(replace(t, latency=common) if t in lacking else t for t in tasks), (note,)


def _draw_curve(
    task: TaskCalibration,
    draws: int,
    rng: np.random.Generator,
    prior: tuple[float, float] | None,
) -> Array:
    if task.accuracy is None:
        raise CalibrationError(f"{task.name} has no accuracy curve to draw.", tasks=[task.name])
    return bootstrap(task.accuracy.saturating, draws, rng, prior)


def _draw_times(
    task: TaskCalibration, workload: Workload, k: int, draws: int, rng: np.random.Generator
) -> Array:
    centre = np.array([workload.base_time[k], workload.time_per_token[k]])
    fitted = task.latency
    if fitted is None or not np.array_equal(centre, [fitted.base_time, fitted.time_per_token]):
        return np.broadcast_to(centre, (draws, 2))
    sample = rng.multivariate_normal(centre, fitted.covariance, size=draws, method="eigh")
    return np.maximum(sample, [0.0, centre[1] / 100])


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
            "covariance": latency.covariance.tolist(),
            "rows": latency.used,
            "batched_rows": latency.batched,
            "outliers": latency.outliers,
            "curvature_p": latency.curvature_p,
        }
    return plain


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


__all__ = [
    "Calibration",
    "CalibrationError",
    "MeasurementError",
    "TaskCalibration",
    "calibrate",
]
