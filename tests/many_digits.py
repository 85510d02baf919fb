"""Public functions on extreme workloads, against the formulas in arithmetic of fifty digits.

Each reference is written from MODEL's formula with the workload's numbers as they are stored, and
uses nothing of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import mpmath
import numpy as np
from mpmath import mpf

import thinkqueue as tq
from fifty_digits import LOADS, at_load
from thinkqueue import Workload
from thinkqueue.arrays import Array
from workloads import LINE, QWEN, batching_workload, plain_workload

DIGITS = 50
EPS = float(np.finfo(float).eps)
TINIEST = float(np.finfo(float).tiny)


class Case(NamedTuple):
    """A workload, an allocation, and how much of the server they leave free."""

    name: str
    workload: Workload
    tokens: Array
    free: float


class Number(NamedTuple):
    """What a function said, what is true, and the size of the terms that true is the sum of."""

    said: float
    true: mpf
    scale: mpf

    @property
    def error(self) -> float:
        """Relative to the terms."""
        if not self.scale:
            return float(self.said != 0)
        return float(abs(mpf(float(self.said)) - self.true) / self.scale)


def extremes(most: int = 1000) -> Iterator[Case]:
    """Yield the extreme workloads, each from an idle server to one that is all but full."""
    g = np.random.default_rng(14)
    plain = plain_workload(1, 16)
    tokens = g.uniform(0, 2000, 16)
    rare = np.full(16, 1 / 15)
    rare[3] = 1e-300
    shapes = {
        "the book's server": (Workload.from_toml(QWEN), g.uniform(0, 2000, 5)),
        "one type": (plain_workload(2, 1), np.array([300.0])),
        "rates over 15 decades": (plain.replace(rate=np.geomspace(1e-12, 1e3, 16)), tokens),
        "times over 15 decades": (
            plain.replace(
                base_time=np.geomspace(1e-9, 1e6, 16),
                time_per_token=np.geomspace(1e3, 1e-12, 16),
            ),
            tokens,
        ),
        "caps of 0": (
            plain.replace(max_tokens=np.where(np.arange(16) % 2, 0.0, 32768.0)),
            np.where(np.arange(16) % 2, 0.0, tokens),
        ),
        "caps of 1e30": (plain.replace(max_tokens=1e30), tokens),
        "equal types": (
            plain.replace(
                share=np.full(16, 1 / 16), gain=0.4, rate=1e-3, baseline=0.1, base_time=0.3,
                time_per_token=0.01,
            ),
            np.full(16, 250.0),
        ),
        "a share of 1e-300": (plain.replace(share=rare), tokens),
        f"{most:,} types": (plain_workload(3, most), g.uniform(0, 2000, most)),
    }  # fmt: skip
    for name, (workload, ell) in shapes.items():
        for load in LOADS:
            yield Case(name, at_load(workload, ell, load), ell, 1 - load)


@dataclass(frozen=True)
class Digits:
    """The M/G/1 queue of a case in fifty digits; it must be used with that precision set."""

    case: Case

    def columns(self, *names: str) -> list[list[mpf]]:
        """The columns of the workload."""
        return [[mpf(float(x)) for x in getattr(self.case.workload, name)] for name in names]

    @cached_property
    def rate(self) -> mpf:
        return mpf(self.case.workload.arrival_rate)

    @cached_property
    def alpha(self) -> mpf:
        return mpf(self.case.workload.accuracy_weight)

    @cached_property
    def share(self) -> list[mpf]:
        return self.columns("share")[0]

    @cached_property
    def seconds(self) -> list[mpf]:
        base, pace = self.columns("base_time", "time_per_token")
        return [t + c * mpf(float(x)) for t, c, x in zip(base, pace, self.case.tokens)]

    @cached_property
    def mean(self) -> mpf:
        return mpmath.fsum(p * s for p, s in zip(self.share, self.seconds))

    @cached_property
    def second(self) -> mpf:
        return mpmath.fsum(p * s * s for p, s in zip(self.share, self.seconds))

    @cached_property
    def free(self) -> mpf:
        return 1 - self.rate * self.mean

    @cached_property
    def wait(self) -> mpf:
        return self.rate * self.second / (2 * self.free)

    @cached_property
    def right(self) -> list[mpf]:
        low, gain, rate = self.columns("baseline", "gain", "rate")
        return [
            d + a * -mpmath.expm1(-b * mpf(float(x)))
            for d, a, b, x in zip(low, gain, rate, self.case.tokens)
        ]

    @cached_property
    def worth(self) -> mpf:
        (weight,) = self.columns("weight")
        return mpmath.fsum(w * p * r for w, p, r in zip(weight, self.share, self.right))

    @cached_property
    def prices(self) -> list[mpf]:
        nu = self.rate / self.free
        return [1 + nu * s + nu * nu * self.second / 2 for s in self.seconds]

    @cached_property
    def marginal(self) -> list[mpf]:
        """α w A b e^{−bℓ}."""
        weight, gain, rate = self.columns("weight", "gain", "rate")
        return [
            self.alpha * w * a * b * mpmath.exp(-b * mpf(float(x)))
            for w, a, b, x in zip(weight, gain, rate, self.case.tokens)
        ]

    @cached_property
    def replies(self) -> list[mpf]:
        """F(ℓ), clipped."""
        weight, gain, rate, pace, cap = self.columns(
            "weight", "gain", "rate", "time_per_token", "max_tokens"
        )
        return [
            min(max(mpmath.log(self.alpha * w * a * b / (c * q)) / b, mpf(0)), top)
            for w, a, b, c, top, q in zip(weight, gain, rate, pace, cap, self.prices)
        ]


Numbers = Iterator[Number]
Check = Callable[[Case, Digits], Numbers]


def each(said: object, true: list[mpf], scale: list[mpf] | None = None) -> Numbers:
    """Pair what was said with what is true."""
    for s, t, size in zip(np.ravel(np.asarray(said, dtype=float)), true, scale or true):
        yield Number(float(s), t, abs(size))


def one(said: object, true: mpf, scale: mpf | None = None) -> Numbers:
    """The same for a single number."""
    return each([said], [true], None if scale is None else [scale])


def _gradient(case: Case, d: Digits) -> Numbers:
    (pace,) = d.columns("time_per_token")
    cost = [c * q for c, q in zip(pace, d.prices)]
    true = [p * (m - k) for p, m, k in zip(d.share, d.marginal, cost)]
    size = [p * (m + k) for p, m, k in zip(d.share, d.marginal, cost)]
    return each(tq.gradient(case.workload, case.tokens), true, size)


def _reply(case: Case, d: Digits) -> Numbers:
    """In units of the curve's own width 1/b, or of a budget where that is larger."""
    (rate,) = d.columns("rate")
    size = [
        max(abs(x), mpf(float(here))) + 1 / b for x, here, b in zip(d.replies, case.tokens, rate)
    ]
    return each(tq.fixed_point_map(case.workload, case.tokens), d.replies, size)


def _bound(case: Case, d: Digits) -> Numbers:
    weight, gain, rate, low, pace = d.columns(
        "weight", "gain", "rate", "baseline", "time_per_token"
    )
    total, size = -(d.mean + d.wait), d.mean + d.wait
    for w, a, b, base, c, p, q, x, here in zip(
        weight, gain, rate, low, pace, d.share, d.prices, d.replies, case.tokens
    ):
        worth = d.alpha * w * p * (base + a * -mpmath.expm1(-b * x))
        cost = p * c * q
        total += worth - cost * x + cost * mpf(float(here))
        size += worth + cost * x + cost * mpf(float(here))
    return one(tq.upper_bound(case.workload, case.tokens), total, size)


def _hessian(case: Case, d: Digits) -> Numbers:
    """Its product with a vector of ones: every entry of it is positive for the time, and so."""
    rate, pace = d.columns("rate", "time_per_token")
    nu = d.rate / d.free
    u = mpmath.fsum(p * c for p, c in zip(d.share, pace))
    v = mpmath.fsum(p * c * s for p, c, s in zip(d.share, pace, d.seconds))
    true = [
        p * (m * b + nu * c * c)
        + nu**2 * p * c * (v + s * u)
        + nu**3 * d.second * p * c * u
        for p, m, b, c, s in zip(d.share, d.marginal, rate, pace, d.seconds)
    ]  # fmt: skip
    ones = np.ones(len(case.tokens))
    return each(tq.negative_hessian(case.workload, case.tokens) @ ones, true)


def _modulus(case: Case, d: Digits) -> Numbers:
    rate, pace = d.columns("rate", "time_per_token")
    base, _ = d.columns("base_time", "baseline")
    nu = d.rate / d.free
    u = mpmath.fsum(p * c for p, c in zip(d.share, pace))
    v = mpmath.fsum(p * c * s for p, c, s in zip(d.share, pace, d.seconds))
    idle = d.rate / (1 - d.rate * mpmath.fsum(p * t for p, t in zip(d.share, base)))
    second = mpmath.fsum(p * t * t for p, t in zip(d.share, base))
    true = max(
        (nu * c + nu**2 * (s * u + v) + nu**3 * d.second * u)
        / (b * (1 + idle * t + idle**2 * second / 2))
        for b, c, s, t in zip(rate, pace, d.seconds, base)
    )
    start = np.zeros_like(case.tokens)
    return one(tq.contraction_modulus(case.workload, start, case.tokens), true)


def _strong(case: Case, d: Digits) -> Numbers:
    (pace,) = d.columns("time_per_token")
    least = min(p * c * c for p, c in zip(d.share, pace))
    true = d.rate / d.free * least / (1 + d.rate * mpmath.sqrt(d.second)) ** 2
    if true < TINIEST:
        return iter(())  # a share of 1e-300 leaves a number with few bits
    return one(tq.strong_concavity_modulus(case.workload, case.tokens), true)


def _decay(case: Case, d: Digits) -> Numbers:
    """The root θ, found by bisection; it is near 2(1 − ρ)/(λM) where the server is nearly full."""

    def excess(theta: mpf) -> mpf:
        terms = (p * mpmath.expm1(theta * s) for p, s in zip(d.share, d.seconds))
        return d.rate * mpmath.fsum(terms) / theta - 1

    low, high = mpf(0), 1 / max(s for p, s in zip(d.share, d.seconds) if p > 0)
    while excess(high) < 0:
        low, high = high, 2 * high
    for _ in range(190):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return one(tq.tail_bound(case.workload, case.tokens).decay_rate, low)


#: First come, first served: what has a formula, and the formula.
FIFO: dict[str, Check] = {
    "service_time": lambda c, d: each(tq.service_time(c.workload, c.tokens), d.seconds),
    "accuracy": lambda c, d: each(tq.accuracy(c.workload, c.tokens), d.right),
    "mean_accuracy": lambda c, d: one(tq.mean_accuracy(c.workload, c.tokens), d.worth),
    "utilization": lambda c, d: one(tq.utilization(c.workload, c.tokens), 1 - d.free),
    "mean_waiting_time": lambda c, d: one(tq.mean_waiting_time(c.workload, c.tokens), d.wait),
    "mean_system_time": lambda c, d: one(
        tq.mean_system_time(c.workload, c.tokens), d.mean + d.wait
    ),
    "mean_type_time": lambda c, d: each(
        tq.mean_type_time(c.workload, c.tokens), [s + d.wait for s in d.seconds]
    ),
    "objective": lambda c, d: one(
        tq.objective(c.workload, c.tokens),
        d.alpha * d.worth - d.mean - d.wait,
        d.alpha * d.worth + d.mean + d.wait,
    ),
    "queueing_price": lambda c, d: each(tq.queueing_price(c.workload, c.tokens), d.prices),
    "gradient": _gradient,
    "negative_hessian": _hessian,
    "fixed_point_map": _reply,
    "upper_bound": _bound,
    "contraction_modulus": _modulus,
    "strong_concavity_modulus": _strong,
    "tail_bound": _decay,
}


# other disciplines


def _times(case: Case, d: Digits, order: list[int], kind: str) -> mpf:
    """The mean time under a fixed order of the types, by the formulas of Cobham and others."""
    share, s = [d.share[k] for k in order], [d.seconds[k] for k in order]
    total = ahead = below = mpf(0)
    steps, last = mpf(0), mpf(0)
    for k, (p, x) in enumerate(zip(share, s)):
        before = 1 - d.rate * below
        below, ahead = below + p * x, ahead + p * x * x
        after = 1 - d.rate * below
        if kind == "waits":
            time = x + d.rate * d.second / (2 * before * after)
        elif kind == "interrupts":
            time = x / before + d.rate * ahead / (2 * before * after)
        else:  # the one with the least left: longer ones count with what they are cut to
            rest = ahead + x * x * mpmath.fsum(share[k + 1 :])
            steps, last = steps + (x - last) / before, x
            time = d.rate * rest / (2 * before * after) + steps
        total += p * time
    return total


def _ranked(server: object, kind: str) -> Check:
    def check(case: Case, d: Digits) -> Numbers:
        w = case.workload
        n = len(w.share)
        order = list(range(n)) if hasattr(server, "order") else sorted(
            range(n), key=lambda k: d.seconds[k]
        )  # fmt: skip
        served = type(server)(tuple(range(n))) if hasattr(server, "order") else server
        if len({float(x) for x in d.seconds}) < n:
            return iter(())  # equal times are one class, which this reference does not merge
        said = tq.mean_system_time(w.replace(server=served), case.tokens)
        return one(said, _times(case, d, order, kind))

    return check


RANKED: dict[str, Check] = {
    "NonPreemptivePriority": _ranked(tq.NonPreemptivePriority((0,)), "waits"),
    "ShortestFirst": _ranked(tq.ShortestFirst(), "waits"),
    "PreemptivePriority": _ranked(tq.PreemptivePriority((0,)), "interrupts"),
    "PreemptiveShortestFirst": _ranked(tq.PreemptiveShortestFirst(), "interrupts"),
    "ShortestRemaining": _ranked(tq.ShortestRemaining(), "cut"),
    "ProcessorSharing": lambda c, d: one(
        tq.mean_system_time(c.workload.replace(server=tq.ProcessorSharing()), c.tokens),
        d.mean / d.free,
    ),
}


# batching


def batches(sizes: tuple[int | None, ...] = (1, 8, 10**3, 10**6, None)) -> Iterator[Case]:
    """Yield batching servers of every size of batch, from idle to all but full."""
    tokens = np.array([100.0, 0.0, 2000.0, 500.0, 50.0])
    for size in sizes:
        w = batching_workload(tq.Batching(LINE, size), prompt_time=0.0)
        base = float(tq.utilization(w.replace(arrival_rate=1e-6), tokens))
        # the nearer to full, the more terms has the sum of the reference
        for load in LOADS[: 6 if size and size <= 1000 else 5]:
            name = f"batches of {size:,}" if size else "batches without limit"
            yield Case(name, w.replace(arrival_rate=1e-6 * load / base), tokens, 1 - load)


def births_and_deaths(case: Case) -> tuple[mpf, mpf, mpf]:
    """Mean time, mean number present, and price of a token, from the law of the number present."""
    w, cap = case.workload, case.workload.server.max_batch
    share = [mpf(float(p)) for p in w.share]
    asked = [mpf(float(a)) + mpf(float(x)) for a, x in zip(w.answer_tokens, case.tokens)]
    rate, a, b = mpf(w.arrival_rate), mpf(LINE.base), mpf(LINE.per_query)
    theta = rate * mpmath.fsum(p * x for p, x in zip(share, asked))
    weight, sums, n = mpf(1), [mpf(1), mpf(0), mpf(0)], 0
    while cap is None or n < cap:
        n += 1
        step = theta * (a + b * n) / n
        weight *= step
        sums = [s + n**j * weight for j, s in enumerate(sums)]
        if step < 1 and weight * n**2 < mpf(10) ** -55 * (1 - step) * sums[0]:
            break
    if n == cap:
        s = theta * (a + b * cap) / cap
        tail = [s / (1 - s), s / (1 - s) ** 2, s * (1 + s) / (1 - s) ** 3]
        sums[0] += weight * tail[0]
        sums[1] += weight * (cap * tail[0] + tail[1])
        sums[2] += weight * (cap * cap * tail[0] + 2 * cap * tail[1] + tail[2])
    mean = sums[1] / sums[0]
    return mean / rate, mean, (sums[2] / sums[0] - mean**2) / theta


def batching_numbers(case: Case) -> Iterator[tuple[str, Number]]:
    """Yield what the functions of a batching server say."""
    time, present, price = births_and_deaths(case)
    w, x = case.workload, case.tokens
    marginal = w.accuracy_weight * w.weight * w.curves.slope(x) - tq.gradient(w, x) / w.share
    said = {
        "Batching": (tq.mean_system_time(w, x), time),
        "queries_present": (tq.queries_present(w, x).mean, present),
    }
    for name, (value, true) in said.items():
        yield name, Number(float(value), true, abs(true))
    # a token's price is what remains of the slope of its worth: the error is of that size
    for value, worth in zip(marginal, w.accuracy_weight * w.weight * w.curves.slope(x)):
        yield "gradient, batching", Number(float(value), price, price + mpf(float(worth)))


# the whole waiting time


def erlang(load: mpf, t: mpf) -> mpf:
    """P(W > t) in M/D/1 with services of one second: Erlang's series, which cancels badly."""
    terms = (
        (-(load * (t - j))) ** j * mpmath.exp(load * (t - j)) / mpmath.factorial(j)
        for j in range(int(mpmath.floor(t)) + 1)
    )
    return 1 - (1 - load) * mpmath.fsum(terms)


def waiting_numbers() -> Iterator[tuple[str, Case, Number]]:
    """Yield the tails of equal services, to 1e-30 and beyond, from idle to all but full."""
    base = Workload.from_arrays(
        share=[1.0], gain=0.5, rate=1e-3, baseline=0.0, base_time=0.5, time_per_token=0.01,
        arrival_rate=0.5, accuracy_weight=100.0,
    )  # fmt: skip
    tokens = np.array([50.0])
    for load in (1e-12, 1e-6, 1e-3, 0.5, 0.9, 0.999, 1 - 1e-6):
        case = Case("equal services", base.replace(arrival_rate=load), tokens, 1 - load)
        with mpmath.workdps(120):
            for t in (0.0, 0.3, 1.0, 2.5, 7.0):
                true = erlang(mpf(load), mpf(t))
                if true < mpf(10) ** -30:  # rarer than WaitingTime promises to tell
                    continue
                said = tq.waiting_time_tail(case.workload, tokens, t)
                yield "waiting_time_tail", case, Number(float(said), true, true)
                answer = tq.system_time_tail(case.workload, tokens, t + 1.0)
                yield "system_time_tail", case, Number(float(answer), true, true)
                low, high = tq.enclose_waiting_time_tail(case.workload, tokens, t)
                outside = max(mpf(low) - true, true - mpf(high), mpf(0))
                yield "enclose_waiting_time_tail", case, Number(float(outside), mpf(0), mpf(1))
            for p in (0.5, 0.99):
                if (
                    not 1 - load < p or load > 0.9
                ):  # all answers take a second, or the series is long
                    continue
                t = float(tq.system_time_quantile(case.workload, tokens, p)) - 1.0
                if t > 0:
                    late = erlang(mpf(load), mpf(t))
                    yield "system_time_quantile", case, Number(float(late), 1 - mpf(p), 1 - mpf(p))


#: Public functions without a number here, and why.
WITHOUT = {
    **dict.fromkeys(
        ("simulate", "simulate_difference", "propagate"), "estimates; their intervals are tested"
    ),
    **dict.fromkeys(
        ("read_log", "read_logs", "read_measurements", "request_parameters"), "read or write"
    ),
    **dict.fromkeys(("calibrate", "fit_token_time"), "fits; compared with other people's"),
    **dict.fromkeys(
        ("certify", "prove_concavity"), "balls: they hold the true value or say nothing"
    ),
    **dict.fromkeys(
        ("solve_globally", "solve_grid", "solve_integer", "solve_order", "solve_target",
         "optimal_control", "robust_budgets", "worst_mix", "table_value", "branching_time",
         "invert_waiting_time_tail", "waiting_time_distribution", "seen_classes"),
        "state the error or the gap of each answer themselves",
    ),
    **dict.fromkeys(
        ("curvature_bound", "envelope_bound", "fixed_load_bound", "idle_probability",
         "line_search_factor", "regret_bound", "relative_modulus", "rounding_loss_bound",
         "waiting_convexity"),
        "bounds; that they are on the right side is tested",
    ),
    **dict.fromkeys(
        ("budget_range", "capacity_law", "control_gains", "fixed_point_regimes",
         "largest_arrival_rate", "least_accuracy_weight", "light_traffic_tokens", "memory_limit",
         "misjudged", "price_feedback", "replicas_needed", "sensitivity", "slowest_decode",
         "batch_stopping_rule", "stopping_rule", "token_budget", "type_time",
         "waiting_time_tail_price"),
        "roots, rules and slopes at an optimum, made of the functions above",
    ),
    **dict.fromkeys(("capped", "round_tokens", "service_moments"), "exact, or no number of theirs"),
}  # fmt: skip


def million() -> Iterator[tuple[str, Case, Number]]:
    """Yield what the sums say of a million types."""
    w = plain_workload(4, 10**6)
    tokens = np.random.default_rng(4).uniform(0, 2000, 10**6)
    with mpmath.workdps(DIGITS):
        case = Case("1,000,000 types", at_load(w, tokens, 0.5), tokens, 0.5)
        digits = Digits(case)
        for name in ("utilization", "mean_waiting_time", "mean_system_time", "objective"):
            for number in FIFO[name](case, digits):
                yield name, case, number


def measured(most: int = 1000) -> Iterator[tuple[str, Case, Number]]:
    """Yield every number: the function, the case, and what it said."""
    with mpmath.workdps(DIGITS):
        for case in extremes(most):
            digits = Digits(case)
            for name, check in (FIFO | RANKED).items():
                if len(case.tokens) > 50 and name in (*RANKED, "tail_bound"):
                    continue
                for number in check(case, digits):
                    yield name, case, number
        for case in batches():
            for name, number in batching_numbers(case):
                yield name, case, number
    yield from waiting_numbers()
