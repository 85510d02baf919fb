"""Workloads and allocations that many tests share: plain ones, and ones chosen to be hard."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from thinkqueue import Batching, Solution, TokenTime, Workload, fixed_point_map
from thinkqueue.arrays import Array

DATA = Path(__file__).parent.parent / "data"
QWEN = DATA / "workloads" / "qwen3-8b.toml"

HARD_SIZES = (1, 2, 5, 20, 100, 1000)

LINE = TokenTime(6.5e-3, 9.7e-5)
MEASURED = TokenTime.table([1, 8, 16, 64], [0.0100, 0.0102, 0.0105, 0.0135])
SERVERS = [
    Batching(LINE),
    Batching(LINE, max_batch=64),
    Batching(LINE, max_batch=3, overflow="wait"),
    Batching(TokenTime(6.5e-3, 9.7e-5, 5e-8)),
    Batching(MEASURED),
    Batching(MEASURED, max_batch=32),
    Batching(TokenTime.table([1, 2, 3], [0.01, 0.02, 0.02], allow=True), max_batch=3),
]
"""Batching servers of every kind."""


def plain_workload(generator: Generator | int, types: int = 5) -> Workload:
    """A workload as a real server might have it, at a load that is neither idle nor near 1."""
    g = np.random.default_rng(generator)
    share = g.dirichlet(np.full(types, 2.0)) if types < 10**5 else g.uniform(0.5, 1.5, types)
    share = share / share.sum()
    base_time = g.uniform(0.05, 0.5, types)
    # three decades: from arithmetic to olympiad problems
    rate = 10 ** g.uniform(-4.5, -2.5, types)
    time_per_token = 0.012 * 10 ** g.uniform(-0.2, 0.2, types)
    gain = g.uniform(0.1, 0.7, types)
    # an idle load of 0.1 % to 10 %
    arrival_rate = 10 ** g.uniform(-3, -1) / (share @ base_time)
    return Workload.from_arrays(
        share=share,
        gain=gain,
        rate=rate,
        baseline=g.uniform(0, 0.3, types),
        base_time=base_time,
        time_per_token=time_per_token,
        max_tokens=32768,
        arrival_rate=arrival_rate,
        accuracy_weight=10 ** g.uniform(1.5, 3.5),
    )


def hard_workload(generator: Generator | int, types: int | None = None) -> Workload:
    """A workload at the edge of what is allowed.

    Rates from 1e-12 to 1e3 per token, gains, weights and caps of zero, idle loads from 0.02 to
    1 − 1e-9, accuracy worth from a millisecond to three years.
    """
    g = np.random.default_rng(generator)
    size = int(g.choice(HARD_SIZES)) if types is None else types

    def some_zero(values: Array, part: float) -> Array:
        return np.where(g.uniform(size=size) < part, 0.0, values)

    share = g.exponential(size=size)
    share /= share.sum()
    base_time = g.uniform(0, 1, size) if g.uniform() < 0.8 else np.zeros(size)
    decades = (-12, 3) if g.uniform() < 0.5 else (-5, -2)
    slack = 10 ** g.uniform(-9, -0.01)
    idle = float(share @ base_time)
    return Workload.from_arrays(
        share=share,
        gain=some_zero(g.uniform(0, 0.7, size), 0.2),
        rate=10 ** g.uniform(*decades, size),
        baseline=g.uniform(0, 0.3, size),
        base_time=base_time,
        time_per_token=10 ** g.uniform(-6, 0, size),
        max_tokens=some_zero(np.round(10 ** g.uniform(0, 6, size)), 0.1),
        weight=some_zero(g.exponential(size=size), 0.1),
        arrival_rate=(1 - slack) / idle if idle else 10 ** g.uniform(-3, 2),
        accuracy_weight=10 ** g.uniform(-3, 8),
    )


def extreme_workload(generator: Generator | int | list[int], types: int | None = None) -> Workload:
    """Every parameter anywhere in its range, which is sixty decades wide."""
    g = np.random.default_rng(generator)
    size = int(g.choice([1, 2, 3, 5, 8])) if types is None else types

    def anywhere() -> Array:
        return 10 ** g.uniform(-30, 30, size)

    share = g.exponential(size=size)
    share /= share.sum()
    base_time = anywhere()
    idle = float(share @ base_time)
    return Workload.from_arrays(
        share=share,
        gain=g.uniform(0, 0.7, size),
        rate=anywhere(),
        baseline=g.uniform(0, 0.3, size),
        base_time=base_time,
        time_per_token=anywhere(),
        max_tokens=anywhere(),
        weight=anywhere(),
        arrival_rate=np.clip((1 - 10 ** g.uniform(-12, -0.01)) / idle, 1e-30, 1e30),
        accuracy_weight=10 ** g.uniform(-30, 30),
    )


def hard_workloads(count: int, seed: int = 0, types: int | None = None) -> Iterator[Workload]:
    """Many of them."""
    for one in np.random.SeedSequence(seed).spawn(count):
        yield hard_workload(np.random.default_rng(one), types)


def thinking_workloads(count: int, seed: int = 0, types: int | None = None) -> Iterator[Workload]:
    """Hard workloads at whose optimum somebody thinks: where no tokens at all are not the best."""
    thinking = (
        w
        for w in hard_workloads(100 * count, seed, types)
        if (fixed_point_map(w, np.zeros(len(w))) > 0).any()
    )
    yield from islice(thinking, count)


def plain_workloads(count: int, seed: int = 0, types: int = 5) -> Iterator[Workload]:
    """Many of them."""
    for one in np.random.SeedSequence(seed).spawn(count):
        yield plain_workload(np.random.default_rng(one), types)


def stable_tokens(workload: Workload, generator: Generator, load: float | None = None) -> Array:
    """Random tokens within the caps, stable; at this part of the way to ρ = 1 if it is given.

    The way starts at no tokens. Where the caps do not let the load come so far, it is what they
    let it be.
    """
    part = generator.uniform() if load is None else load
    direction = generator.uniform(size=len(workload)) * workload.max_tokens
    if generator.uniform() < 0.3:
        direction = np.where(generator.uniform(size=len(workload)) < 0.5, 0, direction)
    drift = workload.arrival_rate * float(workload.share * workload.time_per_token @ direction)
    slack = 1 - workload.arrival_rate * float(workload.share @ workload.base_time)
    length = part * min(1.0, slack / drift) if drift > 0 else part
    return np.minimum(length * direction, workload.max_tokens)


def rounding(found: Solution) -> float:
    """What double precision may do to the J of an answer, in s; the error of 1 − ρ is magnified."""
    waiting = found.mean_system_time / (1 - found.utilization)
    return 1e-13 * (1 + abs(found.objective)) + 1e-15 * waiting


def batching_workload(server: Batching, **changes: Any) -> Workload:
    """The main workload of the book, asked for tokens."""
    times = {"prompt_time": 0.0} if server.overflow == "wait" else {"prompt_time": 0.02}
    return Workload.from_toml(QWEN).replace(
        **({"server": server, "answer_tokens": 200.0, "accuracy_weight": 600.0} | times | changes)
    )
