"""From the files of several tools to one body of evidence: arrivals, times, accuracy.

One file rarely says everything. Arrivals and times come from the log of a server or a benchmark,
right and wrong from an evaluation, and both are joined by the name of the task. What no file says
is named, with what would supply it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.measurements import Measurements, read_measurements
from thinkqueue.calibration.tables import COLUMNS
from thinkqueue.calibration.token_time import TokenTimeFit, fit_token_time
from thinkqueue.names import listed
from thinkqueue.readers.arrival_rate import ArrivalRate, arrival_rate
from thinkqueue.readers.log import Log, Mask, join_logs
from thinkqueue.readers.missing import Missing, MissingError
from thinkqueue.workload import Batching, Workload

if TYPE_CHECKING:
    from thinkqueue.calibration.calibrate import Calibration

BUDGETS = 4
"""How many budgets test a curve of three parameters."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What several files say together.

    Attributes
    ----------
    logs : tuple of Log
        The logs of tools, with their tasks under the names that are used here.
    tables : tuple of Measurements
        Tables with this library's own columns.
    """

    logs: tuple[Log, ...]
    tables: tuple[Measurements, ...] = ()

    def __repr__(self) -> str:
        return f"Evidence({listed(self.names)}: {listed(map(repr, self.logs))})"

    @property
    def serving(self) -> tuple[Log, ...]:
        """The logs of traffic, real or of a benchmark."""
        return tuple(log for log in self.logs if not log.scored)

    @property
    def evaluations(self) -> tuple[Log, ...]:
        """The logs in which answers were judged."""
        return tuple(log for log in self.logs if log.scored)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, those of the traffic first."""
        named = [log.names for log in (*self.serving, *self.evaluations)]
        named += [table.names for table in self.tables]
        return tuple(dict.fromkeys(name for names in named for name in names))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or taken for granted in reading."""
        notes = [note for log in self.logs for note in log.notes]
        if not self.serving and any(np.isfinite(log.latency).any() for log in self.evaluations):
            unknown = any(np.isnan(log.sent).all() for log in self.evaluations)
            if unknown:
                notes.append(
                    "The times are those of an evaluation that does not say what ran together: "
                    "they are taken for those of a query alone, as with --max-connections 1."
                )
        try:
            if self.serving and self.arrival_rate.bursty:
                notes.append(
                    f"Arrivals come in bursts: the squared coefficient of variation of their gaps "
                    f"is {self.arrival_rate.variation:.3g}, and 1 for the Poisson stream of the "
                    "model, which is then too hopeful."
                )
        except MissingError:
            pass
        return tuple(dict.fromkeys(notes))

    @cached_property
    def measurements(self) -> Measurements:
        """All rows as :func:`~thinkqueue.calibrate` takes them.

        The time of a query is that in service where the wait in the queue was logged. Times of an
        evaluation count where there is no log of traffic, or all its thoughts are of one length.

        Raises
        ------
        MissingError
            If no row has thoughts or a budget.
        """
        parts = [self._rows(log) for log in (*self.serving, *self.evaluations)]
        parts = [part for part in parts if len(part["task"])]
        if not parts and not self.tables:
            raise MissingError(self._no_thoughts(self.names))
        tables = list(self.tables)
        if parts:
            columns: dict[str, Any] = {"task": [name for part in parts for name in part["task"]]}
            for name in COLUMNS:
                if name not in ("task", "accuracy"):
                    columns[name] = np.concatenate([part[name] for part in parts])
            tables.append(read_measurements(columns))
        return _joined(tables)

    @cached_property
    def arrival_rate(self) -> ArrivalRate:
        """How often queries came in the logs of traffic.

        Raises
        ------
        MissingError
            If no log of traffic says when its requests were sent.
        """
        found = arrival_rate([log.sent[log.traffic] for log in self.serving])
        if found is None:
            raise MissingError(
                Missing(
                    "the arrival rate",
                    "Add a log of traffic with the times at which requests were sent (LiteLLM, "
                    "OpenTelemetry, a benchmark), or give --arrival-rate.",
                )
            )
        return found

    @property
    def share(self) -> dict[str, float]:
        """The mix of the traffic.

        Raises
        ------
        MissingError
            If there is no log of traffic.
        """
        count = dict.fromkeys(self.names, 0)
        for log in self.serving:
            for name in log.names:
                count[name] += int((log.of(name) & log.traffic).sum())
        total = sum(count.values())
        if not total:
            raise MissingError(
                Missing(
                    "the mix of the traffic",
                    "Add a log of traffic that names the type of each request (tags of LiteLLM, "
                    "an attribute of the span), or give --share TASK=SHARE.",
                )
            )
        return {name: queries / total for name, queries in count.items()}

    @property
    def answer_tokens(self) -> dict[str, float]:
        """Mean tokens of an answer without its thoughts, by task, where they are told apart."""
        found = {}
        columns = join_logs(self.logs)
        task = np.array(columns["task"], dtype=object)
        answer = columns["output_tokens"] - columns["thinking_tokens"]
        for name in self.names:
            known = (task == name) & np.isfinite(answer)
            if known.any():
                found[name] = float(answer[known].mean())
        return found

    def token_time(self) -> TokenTimeFit:
        """Fit the time of a token against who was decoding, counted from the logs themselves.

        Raises
        ------
        MissingError
            If no log of traffic has the times of sending, the first and the last token.
        MeasurementError
            If who was there does not vary enough to fit a line.
        """
        starts, ends, tokens = [np.empty(0)], [np.empty(0)], [np.empty(0)]
        for log in self.serving:
            first = np.where(
                np.isfinite(log.to_first), log.to_first, np.nan_to_num(log.waited, nan=np.nan)
            )
            usable = np.isfinite(log.sent + first + log.latency) & (log.output_tokens > 1)
            usable &= log.latency > first
            starts.append((log.sent + first)[usable])
            ends.append((log.sent + log.latency)[usable])
            tokens.append(log.output_tokens[usable])
        start, end, count = map(np.concatenate, (starts, ends, tokens))
        if not start.size:
            raise MissingError(
                Missing(
                    "how long a token takes when many are served together",
                    "Add a log of traffic that has the times of sending, of the first and of the "
                    "last token of every request: a benchmark at several rates, or streamed "
                    "requests in a proxy's log.",
                )
            )
        return fit_token_time({"start": start - start.min(), "end": end - start.min(),
                               "tokens": count})  # fmt: skip

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What a workload needs and no file says."""
        found = []
        for look in (lambda: self.arrival_rate, lambda: self.share):
            try:
                look()
            except MissingError as error:
                found.append(error.missing)
        try:
            measured = self.measurements
        except MissingError as error:
            return (*found, error.missing)
        return (*found, *self._missing_from(measured))

    def workload(
        self,
        calibration: Calibration,
        *,
        accuracy_weight: float,
        batching: bool = False,
        max_batch: int | None = None,
        **options: Any,
    ) -> Workload:
        """Return the workload that the files describe.

        Parameters
        ----------
        calibration : Calibration
            What :func:`~thinkqueue.calibrate` made of :attr:`measurements`.
        accuracy_weight : float
            Seconds of mean time that one unit of accuracy is worth.
        batching : bool, optional
            Whether the server serves many at once: then the time of a token is fitted to who was
            there, and answers count in tokens.
        max_batch : int, optional
            How many it serves at once, at most.
        **options
            Further arguments of :meth:`Calibration.workload <thinkqueue.Calibration.workload>`, in
            place of what the logs say: ``arrival_rate``, ``share`` and others.

        Raises
        ------
        MissingError
            If something is needed that no file says.
        CalibrationError
            If the measurements do not support a workload.
        """
        options = {name: value for name, value in options.items() if value is not None}
        if "arrival_rate" not in options:
            options["arrival_rate"] = self.arrival_rate.value
        if "share" not in options:
            options["share"] = self._share_of(calibration)
        if not batching:
            return calibration.workload(accuracy_weight=accuracy_weight, **options)
        answer = self.answer_tokens
        lacking = tuple(name for name in calibration.names if name not in answer)
        if lacking:
            raise MissingError(self._no_thoughts(lacking))
        server = Batching(self.token_time().token_time, max_batch)
        # a batching server has no service times of its own; those of the copy are never used
        plain = calibration.workload(
            accuracy_weight=accuracy_weight, base_time=0.0, time_per_token=1.0, **options
        )
        return plain.replace(
            server=server, answer_tokens=[answer[name] for name in calibration.names]
        )

    def _share_of(self, calibration: Calibration) -> dict[str, float]:
        share = self.share
        return {name: share.get(name, 0.0) for name in calibration.names}

    def _rows(self, log: Log) -> dict[str, Any]:
        """Return the rows of a log that say something about thoughts."""
        told = np.isfinite(log.thinking_tokens) | np.isfinite(log.budget)
        waited = np.nan_to_num(log.waited)
        timed = self._tells_service(log)
        columns = {
            "budget": log.budget,
            "tokens": log.thinking_tokens,
            "correct": log.correct,
            "total": np.ones(len(log)),
            "latency": np.where(timed, log.latency - waited, np.nan),
            "sent": np.where(timed, log.sent + waited, np.nan),
        }
        return {
            "task": [name for name, keep in zip(log.task, told.tolist(), strict=True) if keep],
            **{name: values[told] for name, values in columns.items()},
        }

    def _tells_service(self, log: Log) -> Mask:
        """Return which requests of a log tell what a query alone takes.

        Of traffic that does not say when it was sent nobody knows what was served alone. An
        evaluation may have had another server: its times count where there is no traffic, or where
        all thoughts of a type of the traffic are of one length, as under a hard cap, and the
        evaluation says when each was sent.
        """
        sent = np.isfinite(log.sent)
        if not log.scored:
            return sent
        if not self.serving:
            return np.ones(len(log), np.bool_)
        return sent & np.isin(np.array(log.task, dtype=object), list(self._of_one_length))

    @cached_property
    def _of_one_length(self) -> set[str]:
        lengths: dict[str, set[float]] = {}
        for log in self.serving:
            for name in log.names:
                seen = log.thinking_tokens[log.of(name) & np.isfinite(log.sent)]
                lengths.setdefault(name, set()).update(np.unique(seen[np.isfinite(seen)]).tolist())
        return {name for name, seen in lengths.items() if len(seen) < 2}

    def _missing_from(self, measured: Measurements) -> list[Missing]:
        found = []
        scored = np.isfinite(measured.correct)
        without = [name for name in self.names if not scored[measured.rows(name)].any()]
        if without:
            hint = ""
            traffic = {name for log in self.serving for name in log.names}
            evaluated = [name for name in self.names if name not in traffic]
            if self.serving and evaluated:
                hint = (
                    f" {listed(evaluated)} were evaluated: if they are the same, say so, --task "
                    f"{evaluated[0]}={without[0]}."
                )
            found.append(
                Missing(
                    "how often answers are right",
                    "Add evaluations at four budgets or more (inspect_ai, "
                    f"lm-evaluation-harness, a table).{hint}",
                    tuple(without),
                )
            )
        few = [
            name
            for name in measured.names
            if scored[measured.rows(name)].any()
            and np.unique(_points(measured, name, scored)).size < BUDGETS
        ]
        if few:
            found.append(
                Missing(
                    "how accuracy rises with the budget",
                    f"Evaluate at {BUDGETS} budgets or more, a file each; for formats without a "
                    "budget, --budget FILE=TOKENS.",
                    tuple(few),
                )
            )
        untold = [
            name
            for log in self.serving
            for name in log.names
            if np.isnan(log.thinking_tokens[log.of(name)]).all()
        ]
        if untold:
            found.append(self._no_thoughts(tuple(dict.fromkeys(untold))))
        alone = [measured.latencies(name)[0].size for name in measured.names]
        if not any(alone):
            found.append(
                Missing(
                    "the service time of a query that has the server to itself",
                    "Benchmark with one request at a time, or say that the server answers many "
                    "at once: --server batching.",
                )
            )
        return found

    @staticmethod
    def _no_thoughts(tasks: tuple[str, ...]) -> Missing:
        return Missing(
            "how many tokens were thoughts",
            "Log the server's usage with reasoning tokens (a reasoning parser counts them), or say "
            "what an answer takes: --answer-tokens COUNT.",
            tasks,
        )


def _points(measured: Measurements, name: str, scored: Any) -> Array:
    rows = measured.rows(name) & scored
    budget = measured.budget[rows]
    points: Array = np.where(np.isfinite(budget), budget, measured.tokens[rows])
    return points


def _joined(tables: Sequence[Measurements]) -> Measurements:
    if len(tables) == 1:
        return tables[0]
    columns = {
        name: np.concatenate([getattr(table, name) for table in tables])
        for name in ("budget", "tokens", "correct", "total", "latency", "sent")
    }
    return Measurements(
        task=sum((table.task for table in tables), ()),
        **columns,
        notes=tuple(dict.fromkeys(note for table in tables for note in table.notes)),
    )
