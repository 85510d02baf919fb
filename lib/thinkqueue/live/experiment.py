"""The experiment: calibrate an engine, plan its budgets, let queries come, and keep what happened.

Each step writes one table and is not repeated once that is there; what was stopped goes on where it
was. Runs with one seed see the same queries at the same moments, whatever the budgets.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tqdm import tqdm

from thinkqueue.arrivals import MarkovModulated
from thinkqueue.errors import ThinkQueueError
from thinkqueue.files import write_atomically
from thinkqueue.live import calibration, plan
from thinkqueue.live.client import Client
from thinkqueue.live.engine import engine, small_model
from thinkqueue.live.gateway import Decide, Query, serve
from thinkqueue.live.questions import HEAD, SHARES, draw
from thinkqueue.live.record import kept, log_rows

Policy = Literal["best", "none", "same", "twice", "rule"]

MOST_PLACES = 8
BURSTS = 3.0
"""Coefficient of variation of the gaps between arrivals in bursts."""


@dataclass(frozen=True)
class Run:
    """Queries that come to an engine under one allocation.

    Attributes
    ----------
    load : float
        Of the best budgets; it sets the arrival rate of all policies.
    policy : {"best", "none", "same", "twice", "rule"}
        The best budgets, none, the best that are the same for all, twice the best, or the stopping
        rule, which reads how many wait.
    queries : int
        How many come.
    places : int
        How many are served at once.
    bursts : bool
        Whether they come in bursts instead of at random.
    """

    load: float
    policy: Policy
    queries: int
    places: int = 1
    bursts: bool = False

    @property
    def name(self) -> str:
        """What its files are called."""
        return (
            f"{self.policy}-{self.load:.0%}".rstrip("%")
            + (f"-{self.places}-places" if self.places > 1 else "")
            + ("-bursts" if self.bursts else "")
        )


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes
    ----------
    runs : tuple of Run
        The runs.
    repeats, questions, thoughts, tokens, rounds : int
        Of the calibration: services timed at each budget of a type, questions marked for each,
        long thoughts followed, and tokens and rounds at each number of busy places.
    """

    runs: tuple[Run, ...]
    repeats: int
    questions: int
    thoughts: int
    tokens: int
    rounds: int


FULL = Scale(
    runs=(
        Run(0.6, "best", 1500),
        Run(0.8, "best", 1500),
        Run(0.8, "rule", 1500),
        Run(0.6, "none", 500),
        Run(0.6, "same", 500),
        Run(0.6, "twice", 500),
        Run(0.6, "best", 600, places=4),
        Run(0.6, "best", 600, places=8),
        Run(0.6, "best", 500, bursts=True),
        Run(0.3, "best", 1500),
    ),
    repeats=12,
    questions=60,
    thoughts=3,
    tokens=60,
    rounds=3,
)

SMALL = Scale(
    runs=(
        Run(0.5, "best", 8),
        Run(0.5, "rule", 8),
        Run(0.5, "best", 8, places=2),
        Run(0.5, "best", 8, bursts=True),
    ),
    repeats=2,
    questions=1,
    thoughts=1,
    tokens=6,
    rounds=1,
)


@dataclass
class Experiment:
    """A folder and an engine.

    Parameters
    ----------
    folder : path
        Where the tables go.
    scale : Scale, optional
        How much is measured.
    seed : int, optional
        Of everything drawn.
    url, name : str, optional
        An engine that runs already, with at least ``MOST_PLACES`` places, and its model's name; one
        is started for each run without it.
    model : path, optional
        The GGUF file of the engine that is started.
    elsewhere : bool, optional
        Whether ``url`` may be another machine.
    quiet : bool, optional
        Whether to show no progress.
    """

    folder: Path
    scale: Scale = FULL
    seed: int = 2026
    url: str | None = None
    name: str = ""
    model: Path | None = None
    elsewhere: bool = False
    quiet: bool = False

    def run(self) -> None:
        """Do what is not done yet; the summary says what was planned, before queries come.

        Raises
        ------
        ThinkQueueError
            If the engine fails, or a table of another experiment is in the folder.
        """
        self._claim()
        calibrated = (self.folder / "steps.csv").is_file()
        measured = self.calibrate()
        steps = plan.step_table(self.steps())
        # its day and its versions are those of the calibration
        if not (calibrated and self._summary.is_file()):
            self._summarise(measured, steps)
        for run in self.scale.runs:
            self.measure(run, measured, steps)

    def calibrate(self) -> plan.MeasuredEngine:
        """Measure accuracy and service times, one query at a time."""
        scale = self.scale
        grid, types = len(calibration.GRID), len(SHARES)
        with self._places(1) as places:
            service = self._table(
                "service",
                scale.repeats * types * grid,
                lambda tick: calibration.service_rows(places()[0], scale.repeats, self.seed, tick),
            )
            accuracy = self._table(
                "accuracy",
                scale.questions * types,
                lambda tick: calibration.accuracy_rows(
                    places()[0], scale.questions, self.seed, tick
                ),
            )
            self._table(
                "context",
                scale.thoughts,
                lambda tick: calibration.context_rows(places()[0], scale.thoughts, tick),
            )
        return plan.MeasuredEngine.of(service, accuracy)

    def steps(self) -> list[dict[str, str]]:
        """Measure the steps of a batch."""
        scale = self.scale
        with self._places(MOST_PLACES) as places:
            return self._table(
                "steps",
                scale.rounds * MOST_PLACES,
                lambda tick: calibration.step_rows(places(), scale.tokens, scale.rounds, tick),
            )

    def measure(self, run: Run, measured: plan.MeasuredEngine, steps: Any) -> None:
        """Let the queries of a run come.

        Parameters
        ----------
        run : Run
            Which.
        measured : MeasuredEngine
            The calibration.
        steps : TokenTimeTable
            How long a step of a batch takes.
        """
        path = self.folder / f"run-{run.name}.csv"
        if path.is_file():
            return
        workload = self.workload(run, measured, steps)
        queries = self.queries(run, workload.arrival_rate)
        with self._places(run.places) as places:
            self._table(
                path.stem,
                run.queries,
                lambda tick: log_rows(
                    serve(queries, places(), self.decision(run, workload), done=tick)
                ),
            )

    def workload(self, run: Run, measured: plan.MeasuredEngine, steps: Any) -> Any:
        """Return the workload that a run is planned with.

        Parameters
        ----------
        run : Run
            Which.
        measured : MeasuredEngine
            The calibration.
        steps : TokenTimeTable
            How long a step of a batch takes.
        """
        rate = plan.rate_at(measured, run.load)
        if run.places == 1:
            return measured.workload(rate)
        # as many more as the engine is faster with all places busy
        faster = run.places * float(steps.seconds_at(1.0)) / float(steps.seconds_at(run.places))
        return measured.batched(max(faster, 1.0) * rate, steps, run.places)

    def table(self, run: Run, workload: Any) -> list[list[int]]:
        """Return the budgets of a run, a row for each number waiting.

        Parameters
        ----------
        run : Run
            Which.
        workload : Workload
            What it is planned with.
        """
        if run.policy == "rule":
            return plan.rule(workload)
        if run.policy == "none":
            tokens = np.zeros(len(SHARES))
        elif run.policy == "same":
            tokens = plan.best_for_all(workload)
        else:
            tokens = plan.best(workload) * (2 if run.policy == "twice" else 1)
        return [[int(budget) for budget in tokens]]

    def decision(self, run: Run, workload: Any) -> Decide:
        """Return what the gateway asks before each thought.

        Parameters
        ----------
        run : Run
            Which.
        workload : Workload
            What it is planned with.
        """
        table, names = self.table(run, workload), list(SHARES)
        return lambda type, waiting: table[min(waiting, len(table) - 1)][names.index(type)]

    def queries(self, run: Run, rate: float) -> list[Query]:
        """Return the queries of a run, the same for all policies.

        Parameters
        ----------
        run : Run
            Which.
        rate : float
            Queries a second.
        """
        gaps_seed, types_seed, words_seed = np.random.SeedSequence(self.seed).spawn(3)
        most = max(other.queries for other in self.scale.runs)
        if run.bursts:
            gaps = MarkovModulated.renewal(BURSTS).sample(most, gaps_seed)
        else:
            gaps = np.random.default_rng(gaps_seed).exponential(size=most)
        types = np.random.default_rng(types_seed).choice(
            list(SHARES), size=most, p=list(SHARES.values())
        )
        words = np.random.default_rng(words_seed)
        asked = [draw(str(type), words) for type in types]
        times = np.cumsum(gaps) / rate
        return [
            Query(float(t), str(k), q)
            for t, k, q in zip(times[: run.queries], types, asked, strict=False)
        ]

    def _table(
        self, name: str, steps: int, measure: Callable[[Callable[[], object]], Any]
    ) -> list[dict[str, str]]:
        with tqdm(total=steps, desc=name, disable=self.quiet, leave=False) as bar:
            return kept(self.folder / f"{name}.csv", lambda: measure(bar.update))

    @contextmanager
    def _places(self, count: int) -> Iterator[Callable[[], Sequence[Client]]]:
        """Give places of an engine, which is started when they are first asked for."""
        with ExitStack() as stack:

            @cache
            def places() -> list[Client]:
                url = self.url or stack.enter_context(engine(count, model=self.model))
                clients = [
                    Client(url, model=self.name, place=k, elsewhere=self.elsewhere)
                    for k in range(count)
                ]
                for client in clients:
                    client.generate(HEAD, 1)  # the examples are read once, before anybody comes
                return clients

            yield places

    @property
    def _summary(self) -> Path:
        return self.folder.with_suffix(".json")

    def _claim(self) -> None:
        """Keep two experiments from mixing in one folder."""
        path = self.folder / "seed.json"
        mine = {"seed": self.seed, "scale": asdict(self.scale)}
        text = json.dumps(mine, indent=1) + "\n"
        if path.is_file() and path.read_text(encoding="utf-8") != text:
            raise ThinkQueueError(
                f"{self.folder} holds tables of another experiment; name another folder."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)

    def _summarise(self, measured: plan.MeasuredEngine, steps: Any) -> None:
        runs: list[Mapping[str, Any]] = []
        for run in self.scale.runs:
            workload = self.workload(run, measured, steps)
            runs.append(
                {
                    "name": run.name,
                    **asdict(run),
                    "arrival_rate": workload.arrival_rate,
                    "budgets": self.table(run, workload),
                }
            )
        summary = {
            "machine": {
                "system": f"{platform.system()} {platform.machine()}",
                "cores": os.cpu_count(),
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            },
            "engine": self._engine(),
            "seed": self.seed,
            "types": SHARES,
            "grid": calibration.GRID,
            "accuracy_weight": plan.ACCURACY_WEIGHT,
            "burst_variation": BURSTS,
            "runs": runs,
        }
        write_atomically(self._summary, json.dumps(summary, indent=1) + "\n")

    def _engine(self) -> dict[str, Any]:
        if self.url is not None:
            return {"model": self.name}
        return {
            "model": (self.model or small_model()).name,
            "threads": 1,
            "versions": {
                "python": platform.python_version(),
                "thinkqueue": version("thinkqueue"),
                "xllamacpp": version("xllamacpp"),
            },
        }
