"""Measure the formulas of a batching server against the simulation, at forty settings in one run.

Nine regimes: those whose formula is exact must have it in the interval, the others show how far off
they are. Beside the formula for a line stands the plain birth–death model, which takes the lengths
for exponential (queue-analysis of llm-inferno, used by the workload-variant-autoscaler of llm-d:
the mean number of a state-dependent M/M/1 queue over the throughput), and where the simple form for
prompts and context is used, that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from measuring import machine, record, significant, timed
from numpy.random import Generator

import thinkqueue as tq
from thinkqueue.workload import Moments

SEED = 1
LINE = tq.TokenTime(6.5e-3, 9.7e-5)
TABLE = tq.TokenTime.table([1, 8, 16, 64], [0.0100, 0.0102, 0.0105, 0.0135])
SPREAD = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0]), np.array([0.5, 0.2, 0.1, 0.1, 0.1])
EQUAL = np.array([1000.0]), np.array([1.0])
WIDE = np.array([400.0, 6400.0]), np.array([0.9, 0.1])  # CV 1.8
NOBODY = {"gain": 0.5, "rate": 1e-3, "baseline": 0.0, "accuracy_weight": 1.0}
"""No budgets are chosen here: all lengths are those of answers."""


class Lengths(NamedTuple):
    """Lengths of 1,000 tokens in the mean whatever the law."""

    law: Callable[[Generator, int], np.ndarray]
    second: float

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        return tokens + 1000.0

    def moments(self, tokens: np.ndarray) -> Moments:
        x = self.mean(tokens)
        return Moments(x, self.second * x * x, np.ones_like(x), 2 * self.second * x, 0.0,
                       2 * self.second * np.ones_like(x))  # fmt: skip

    def draw(self, tokens: np.ndarray, kinds: np.ndarray, random: Generator) -> np.ndarray:
        return self.mean(tokens)[kinds] * self.law(random, kinds.size)


LAWS = {
    "exponential": Lengths(lambda random, n: random.exponential(size=n), 2.0),
    "lognormal, CV 1.5": Lengths(
        lambda random, n: random.lognormal(-np.log(3.25) / 2, np.sqrt(np.log(3.25)), n), 3.25
    ),
}


@dataclass(frozen=True)
class Setting:
    """One server, one mix, one load."""

    regime: str
    case: str
    load: float
    server: tq.Batching
    mix: tuple[np.ndarray, np.ndarray] = SPREAD
    law: str = ""
    prompt_time: float = 0.0
    prompt_tokens: float = 0.0
    memory: float | None = None

    @property
    def workload(self) -> tq.Workload:
        """At its load."""
        lengths, share = self.mix
        times: dict[str, Any] = {
            "answer_tokens": lengths,
            "prompt_time": self.prompt_time,
            "prompt_tokens": self.prompt_tokens,
        }
        if self.law:
            times = {"service": LAWS[self.law]}
        w = tq.Workload.from_arrays(
            share=share, arrival_rate=1e-3, server=self.server, **times, **NOBODY
        )
        none = np.zeros(len(w))
        if self.memory is None:
            return w.replace(arrival_rate=self.load * 1e-3 / float(tq.utilization(w, none)))
        most = tq.memory_limit(w, none, self.memory).max_arrival_rate
        return w.replace(arrival_rate=self.load * most)

    def formula(self) -> float:
        """The best formula for the mean time, in s."""
        w = self.workload
        none = np.zeros(len(w))
        if self.memory is not None:
            return tq.memory_limit(w, none, self.memory).mean_system_time
        if self.regime == "prompts and context":
            return tq.branching_time(w, none).mean_system_time
        return float(tq.mean_system_time(w, none))

    def other(self) -> float | None:
        """What the usual formula says: births and deaths for a line, else the simple form."""
        w = self.workload
        none = np.zeros(len(w))
        if self.regime == "prompts and context":
            return float(tq.mean_system_time(w, none))
        if self.server.overflow != "wait":
            return None
        shared = tq.Batching(self.server.token_time, self.server.max_batch)
        return float(tq.mean_system_time(w.replace(server=shared), none))


def settings() -> Iterator[Setting]:
    """All forty."""
    for base, load in ((3.5, 0.5), (3.5, 0.95), (67.0, 0.5), (67.0, 0.95)):
        step = tq.TokenTime(base * 9.7e-5, 9.7e-5)
        yield Setting("no cap", f"a/b = {base:g}", load, tq.Batching(step))
    for cap, load in ((4, 0.5), (4, 0.95), (64, 0.5), (64, 0.95)):
        yield Setting("a cap that is shared", f"B = {cap}", load, tq.Batching(LINE, cap))
    for load in (0.5, 0.9):
        yield Setting("a measured table", "64 rows", load, tq.Batching(TABLE))
    for law in LAWS:
        for load in (0.5, 0.9):
            yield Setting("random lengths", law, load, tq.Batching(LINE), EQUAL, law)
    for context, prompt, length, reading, load in (
        (5e-8, 0.0, 4000.0, 0.0, 0.5), (5e-8, 2000.0, 1500.0, 0.05, 0.8),
        (5e-8, 3000.0, 200.0, 0.15, 0.7), (1e-6, 0.0, 2000.0, 0.5, 0.8),
    ):  # fmt: skip
        mix = length * np.array([0.5, 1.5]), np.array([0.5, 0.5])
        step = tq.TokenTime(LINE.base, LINE.per_query, context)
        case = f"x = {length:,.0f}, prompt {prompt:,.0f} tokens, {reading:g} s, "
        case += f"g = {1e9 * context:g} ns"
        server = tq.Batching(step)
        yield Setting("prompts and context", case, load, server, mix, "", reading, prompt)
    for name, mix in (("equal lengths", EQUAL), ("lengths of CV 1.8", WIDE)):
        for cap in (4, 16, 64):
            for load in (0.5, 0.8, 0.95):
                server = tq.Batching(LINE, cap, "wait")
                yield Setting(f"a line, {name}", f"B = {cap}", load, server, mix)
    for memory, prompt, load in (
        (2e4, 1e3, 0.8),
        (6e4, 0.0, 0.9),
        (6e4, 1e3, 0.8),
        (2e5, 1e3, 0.9),
    ):
        case = f"{memory:,.0f} tokens, prompts of {prompt:,.0f}"
        yield Setting(
            "a limit of memory", case, load, tq.Batching(LINE), prompt_tokens=prompt, memory=memory
        )


def jobs_of(setting: Setting) -> int:
    """The closer to saturation, the more queries."""
    return int(2e6 if setting.load < 0.9 else 1e7)


def measure(setting: Setting, jobs: int) -> dict[str, Any]:
    """Compare one formula with the simulation."""
    w = setting.workload
    run = tq.simulate(w, np.zeros(len(w)), jobs=jobs, seed=SEED, memory=setting.memory)
    seen, told, other = run.mean_system_time, setting.formula(), setting.other()
    return {
        "regime": setting.regime,
        "case": setting.case,
        "load": setting.load,
        "queries": run.queries,
        "simulated": significant(seen.value, 6),
        "half_width": significant(seen.half_width, 3),
        "formula": significant(told, 6),
        "error": significant(told / seen.value - 1, 3),
        "covered": bool(seen.covers(told)),
        "other": None if other is None else significant(other, 6),
        "other_error": None if other is None else significant(other / seen.value - 1, 3),
    }


def speed() -> dict[str, Any]:
    """Queries per minute of processor time on one core."""
    shown = (
        Setting("", "", 0.8, tq.Batching(LINE)),
        Setting("", "", 0.8, tq.Batching(LINE, 16, "wait")),
    )
    rates = []
    for setting in shown:
        w = setting.workload
        none = np.zeros(len(w))
        tq.simulate(w, none, jobs=1000, seed=SEED)
        _, spent = timed(lambda w=w, none=none: tq.simulate(w, none, jobs=2_000_000, seed=SEED))
        rates.append(significant(60 * 2e6 / spent.cpu, 3))
    return {"shared": rates[0], "line": rates[1]}


def steps() -> dict[str, Any]:
    """What letting tokens flow leaves out: the same queries in whole steps."""
    w = Setting("", "", 0.8, tq.Batching(LINE)).workload
    none = np.zeros(len(w))
    flow, whole = (
        tq.simulate(w, none, jobs=1_000_000, seed=SEED, whole_steps=one) for one in (False, True)
    )
    assert flow.found is not None
    crowd = float(np.arange(flow.found.size) @ flow.found)
    later = whole.mean_system_time.value - flow.mean_system_time.value
    return {
        "load": 0.8,
        "mean_system_time": significant(flow.mean_system_time.value, 6),
        "later": significant(later, 3),
        "step": significant(float(LINE.seconds_at(crowd)), 3),
    }


def main() -> None:
    """Measure and record."""
    rows = []
    for setting in settings():
        rows.append(measure(setting, jobs_of(setting)))
        row = rows[-1]
        print(
            f"{row['regime']:<26}{row['case']:<50}{row['load']:<6}{row['simulated']:>10.5g} ± "
            f"{row['half_width']:<8.2g}{row['formula']:>9.5g} {row['error']:+.2%} {row['covered']} "
            + ("" if row["other_error"] is None else f"{row['other_error']:+.1%}")
        )
    results = {
        "machine": machine("numba", "numpy", "scipy"),
        "seed": SEED,
        "settings": rows,
        "speed": speed(),
        "steps": steps(),
    }
    print(results["speed"], results["steps"], record("batching", results))


if __name__ == "__main__":
    main()
