r"""The same optimum by another way: level by level from above, for a guess of :math:`\eta`.

:math:`D(j) = \Psi(j - 1 + \eta)`, where :math:`\Psi(z) = \sup(R - z\tau)` over what can be done
with one busy period, R its reward and :math:`\tau` its length: a busy period that begins one level
higher is the same, and everybody below waits for it. Nothing below j enters D(j), so that the
levels can be solved from the first that does not think downwards, each an equation in one number.
:math:`\eta` is where :math:`D(1) = \eta/\lambda`, found by Newton's method, as
:math:`\mathrm dD(1)/\mathrm d\eta` is minus the length of the best busy period.

It divides by the probability that nobody comes during a service, and so fails at high arrival rates
where policy iteration does not. It shares no code with that: accuracies are integrated and not
summed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincc, gammaln

from thinkqueue.arrays import Array
from thinkqueue.control.table import When, check_when, check_workload
from thinkqueue.errors import ThinkQueueError
from thinkqueue.solve import solve
from thinkqueue.workload import Workload

GUESSES = 60
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


@dataclass(frozen=True)
class Descent:
    r"""What the recursion found.

    Attributes
    ----------
    objective : float
        J in s.
    thresholds : ndarray, (L, N)
        Tokens, a row for every number waiting.
    step : ndarray, (L,)
        :math:`D(1) \dots D(L)`.
    """

    objective: float
    thresholds: Array
    step: Array


def descend(workload: Workload, when: When = "any time") -> Descent:
    """Find the best budgets by the descending recursion.

    Parameters
    ----------
    workload : Workload
        First come, first served, with concave accuracy curves.
    when : {"start", "any time"}, optional
        When a budget is read.

    Raises
    ------
    ThinkQueueError
        If the recursion does not settle, as at high arrival rates.
    WorkloadError
        If the workload is one for which no table is known.
    """
    check_when(when)
    check_workload(workload)
    lam = workload.arrival_rate
    # D(1) is convex in η: from below Newton's method never goes too far
    eta, before = lam * solve(workload).objective, np.inf
    for _ in range(GUESSES):
        with np.errstate(all="ignore"):
            table, step, length = _levels(workload, eta, when)
        move = (step[0] - eta / lam) / (length + 1 / lam)
        if not np.isfinite(move):
            break
        if abs(move) <= 2e-16 * abs(eta) or (abs(move) < 1e-12 and abs(move) >= before):
            return Descent(eta / lam, table, step)
        eta, before = eta + move, abs(move)
    raise ThinkQueueError(
        f"The recursion did not settle in {GUESSES} guesses; use optimal_control, which divides by "
        "no small probability."
    )


def _levels(workload: Workload, eta: float, when: When) -> tuple[Array, Array, float]:
    """Return the budgets, D, and the mean length of the best busy period, for one guess."""
    lam, share, base = workload.arrival_rate, workload.share, workload.base_time
    value = workload.accuracy_weight * workload.weight
    nothing = np.zeros(share.size)
    rest = float(share @ (value * workload.curves.value(nothing)))
    mean, square = float(share @ base), float(share @ base**2)
    y = 1 - lam * mean
    dearest = value * workload.curves.slope(nothing) / workload.time_per_token
    last = max(int(np.ceil(np.max(dearest))), 1)
    most = lam * float(workload.service.mean(_best(workload, 1.0)).max())
    # as many beyond the last level that thinks as ever come during one service
    level = np.arange(last + int(most + 12 * np.sqrt(most) + 40) + 1)
    d0 = (rest - eta * mean - lam * square * (1 + lam * mean / y) / 2) / y
    step = np.asarray(d0 - mean / y * level, dtype=np.float64)
    length: Array = np.full(level.size, mean / y)
    table = np.zeros((level.size, share.size))
    solved = _kept if when == "start" else _stopped
    for j in range(last, 0, -1):
        above = slice(j + 1, j + level.size - last)
        table[j], step[j], length[j] = solved(
            workload, eta, j, table[above], step[above], length[above]
        )
    return table[1 : last + 1], step[1 : last + 1], float(length[1])


Found = tuple[Array, float, float]


def _stopped(
    workload: Workload, eta: float, j: int, table: Array, step: Array, length: Array
) -> Found:
    """Return budgets, D and the length of a descent at one level, from those above it."""
    lam, share = workload.arrival_rate, workload.share
    base, pace = workload.base_time, workload.time_per_token
    value = workload.accuracy_weight * workload.weight
    came = np.arange(1, len(table) + 1)
    spent = gammainc(came[:, None] + 1, lam * (base + pace * table)) / lam
    brought = float(share @ (spent.T @ (lam * step - j - came - eta)))
    busy = float(share @ (spent.T @ (1 + lam * length)))
    for k in range(share.size):
        brought += share[k] * value[k] * _answered(workload, k, table[:, k])

    def worth(tokens: Array) -> Found:
        alone = np.array([_alone(workload, k, tokens[k]) for k in range(share.size)])
        s = -np.expm1(-lam * (base + pace * tokens)) / lam
        nobody = float(share @ np.exp(-lam * (base + pace * tokens)))
        total = float(share @ (value * alone - (j + eta) * s)) + brought
        return tokens, total / nobody, (busy + float(share @ s)) / nobody

    return _settled(lambda x: worth(_best(workload, max(j + eta - lam * x, 1.0))), step[0])


def _kept(
    workload: Workload, eta: float, j: int, table: Array, step: Array, length: Array
) -> Found:
    """Return the same for budgets that are kept."""
    lam, share = workload.arrival_rate, workload.share
    value = workload.accuracy_weight * workload.weight
    came = np.arange(len(table) + 1)
    start = _best(workload, float(j))
    factorial = gammaln(came + 1.0)

    def best(x: float, k: int) -> float:
        now = j + came + eta - lam * np.concatenate([[x], step])
        curve = workload.curves.pick(k)

        def surplus(tokens: float) -> float:
            a = lam * (workload.base_time[k] + workload.time_per_token[k] * tokens)
            chance = np.exp(came * np.log(max(a, 1e-300)) - a - factorial)
            slope = float(curve.slope(np.array(tokens)))
            return float(value[k] * slope - workload.time_per_token[k] * (chance @ now))

        if surplus(0.0) <= 0:
            return 0.0
        if surplus(start[k]) >= 0:
            return float(start[k])
        return float(brentq(surplus, 0.0, start[k], xtol=1e-13 * start[k], rtol=1e-15))

    def worth(x: float) -> Found:
        tokens = np.array([best(x, k) for k in range(share.size)])
        s = workload.service.mean(tokens)
        spent = share @ gammainc(came + 1, lam * s[:, None]) / lam
        answers = float(share @ (value * workload.curves.value(tokens)))
        total = answers - (j + eta) * spent[0] + spent[1:] @ (lam * step - j - came[1:] - eta)
        nobody = float(share @ np.exp(-lam * s))
        busy = spent[0] + spent[1:] @ (1 + lam * length)
        return tokens, float(total / nobody), float(busy / nobody)

    return _settled(worth, step[0])


def _settled(worth: Callable[[float], Found], low: float) -> Found:
    """Return where D is what its own best budgets are worth, from below: they only get better."""
    found = worth(low)
    for _ in range(GUESSES):
        again = worth(found[1])
        if again[1] <= found[1] + 1e-15 * abs(found[1]):
            return again
        found = again
    return found


def _best(workload: Workload, price: float) -> Array:
    """Return the budgets at one price of a second."""
    value = workload.accuracy_weight * workload.weight
    with np.errstate(divide="ignore"):
        asked = np.where(value > 0, price * workload.time_per_token / value, np.inf)
    return workload.curves.reply(asked, np.zeros(value.size), workload.max_tokens)


def _answered(workload: Workload, kind: int, stops: Array) -> float:
    """Return p(0) and what is gained while somebody has come, integrated between the stops."""
    curve, lam = workload.curves.pick(kind), workload.arrival_rate
    base, pace = workload.base_time[kind], workload.time_per_token[kind]
    gained = float(curve.value(np.zeros(1))[0])
    kinks = _kinks(workload, kind)
    edges = np.unique(np.concatenate([[0.0], stops, kinks[kinks < np.max(stops, initial=0.0)]]))
    for low, high in pairwise(edges):
        at, weight = _nodes(low, high, lam * pace)
        allowed = int(np.sum(stops >= high))
        going = gammaincc(allowed + 1, lam * (base + pace * at)) - np.exp(-lam * (base + pace * at))
        gained += float((weight * going) @ curve.slope(at))
    return gained


def _alone(workload: Workload, kind: int, tokens: float) -> float:
    """Return what is gained while nobody has come."""
    curve, lam = workload.curves.pick(kind), workload.arrival_rate
    base, pace = workload.base_time[kind], workload.time_per_token[kind]
    kinks, gained = _kinks(workload, kind), 0.0
    for low, high in pairwise(np.concatenate([[0.0], kinks[kinks < tokens], [tokens]])):
        at, weight = _nodes(low, high, lam * pace)
        gained += float((weight * np.exp(-lam * (base + pace * at))) @ curve.slope(at))
    return gained


def _kinks(workload: Workload, kind: int) -> Array:
    """Return where a measured curve is not smooth, inside its range."""
    points = np.asarray(getattr(workload.curves.pick(kind), "tokens", ()), dtype=np.float64)
    return points[points > 0]


def _nodes(low: float, high: float, pace: float) -> tuple[Array, Array]:
    """Return nodes and weights of Gauss and Legendre on pieces of an interval."""
    cuts = np.linspace(low, high, 9 + int(min(pace * (high - low), 400.0)))
    half = np.diff(cuts)[:, None] / 2
    return (cuts[:-1, None] + half * (1 + NODES)).ravel(), (half * WEIGHTS).ravel()
