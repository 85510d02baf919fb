"""The best budgets under a latency target, with what is certain about them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq, minimize

from thinkqueue.arrays import Array
from thinkqueue.delay import mean_system_time, utilization
from thinkqueue.errors import UnstableError, WorkloadError
from thinkqueue.objective import gradient, mean_accuracy, objective
from thinkqueue.solve import solve
from thinkqueue.targets.convex import best_at_decay_rate
from thinkqueue.targets.target import (
    InfeasibleTargetError,
    MeanTarget,
    TailTarget,
    Target,
    TypeTailTarget,
)
from thinkqueue.waiting_time.bounds import shrink
from thinkqueue.workload import Workload

MARGIN = 1e-8
"""How far inside a tail target the search stays, relatively: more than its evaluation can err."""

LARGEST_WEIGHT = 1e15
RATES_TRIED = 60
SLICES = 24
MOST_TIGHTENED = 20

STEP = 1e-9
"""How finely the end of a step onto the boundary of the target is resolved."""


@dataclass(frozen=True)
class TargetSolution:
    r"""Budgets that meet a latency target.

    Attributes
    ----------
    tokens : ndarray, (N,)
        The budgets. They meet the target, as evaluated on the exact distribution.
    value : float
        What was maximised: the mean accuracy, or J in s.
    upper_bound : float
        No allocation that meets the target reaches more.
    gap : float
        ``upper_bound - value``.
    convex : bool
        Whether the problem is convex, so that the gap vanishes. If not, ``tokens`` is a local
        optimum reached from ``safe_tokens``.
    safe_tokens : ndarray, (N,)
        The optimum of the convex inner problem, which meets the target by a theorem and not only
        by evaluation; the same as ``tokens`` if the problem is convex. All zero where the inner
        problem has no solution.
    ratio : ndarray
        What is reached over what is allowed, each limit an entry, none above 1.
    mean_accuracy, objective, mean_system_time, utilization : float
        The usual figures at ``tokens``.
    """

    tokens: Array
    value: float
    upper_bound: float
    gap: float
    convex: bool
    safe_tokens: Array
    ratio: Array
    mean_accuracy: float
    objective: float
    mean_system_time: float
    utilization: float


def solve_target(
    workload: Workload, target: Target, *, count_delay: bool = False
) -> TargetSolution:
    r"""Find the most accurate budgets that meet a latency target.

    .. math:: \max_{0\le\ell\le\ell_{\max},\,\rho(\ell)<1} \sum_k w_k\pi_k p_k(\ell_k)
              \quad\text{subject to the target.}

    Parameters
    ----------
    workload : Workload
        The workload.
    target : MeanTarget, TailTarget or TypeTailTarget
        What must hold.
    count_delay : bool, optional
        Maximise J, which pays for mean delay as well, and not the accuracy alone.

    Returns
    -------
    TargetSolution

    Raises
    ------
    InfeasibleTargetError
        If not even zero tokens meet the target.
    UnstableError
        If not even zero tokens are stable.
    WorkloadError
        If ``target`` is none of these.

    Notes
    -----
    Under a :class:`MeanTarget` the problem is convex and the result optimal to the gap it carries.
    Under the tail targets it is not; there the search is among the allocations in which every
    service fits into its deadline, the convex set of a fast enough decay rate lies inside the
    feasible one and gives ``safe_tokens``, a wider one gives the upper bound, and between them a
    local method (SciPy's SLSQP) climbs with exact derivatives of the tail. Our own derivations. A
    tail target takes about a second with five to ten types and twenty with thirty.
    """
    if not isinstance(target, MeanTarget | TailTarget | TypeTailTarget):
        raise WorkloadError(
            f"target is {target!r}; it must be a MeanTarget, TailTarget or TypeTailTarget.",
            parameter="target",
            value=target,
        )
    idle = np.zeros(len(workload))
    least = float(target.ratio(workload, idle).max())
    if least > 1:
        raise InfeasibleTargetError(
            f"No budgets meet the target: without a single thinking token {least:.4g} times what "
            "it allows is reached. Lower the arrival rate, speed up the service, or ask for less.",
            least=least,
        )
    if isinstance(target, MeanTarget):
        return _mean(workload, target, count_delay)
    return _tail(workload, target, count_delay)


def _mean(workload: Workload, target: MeanTarget, count_delay: bool) -> TargetSolution:
    r"""Lagrange: the best budgets under a cap are the best of J at some weight :math:`\alpha'`.

    For every :math:`\ell` with :math:`\mathbb{E}[T] \le L` and every :math:`\alpha' > 0`, the
    accuracy is at most :math:`(U(\alpha') + L)/\alpha'`, with U the certified bound on
    :math:`\max\, \alpha'\,\text{accuracy} - \mathbb{E}[T]`.
    """
    limit, alpha = target.limit, workload.accuracy_weight
    top = alpha if count_delay else LARGEST_WEIGHT
    tiny = float(np.finfo(float).tiny)

    def at(log_weight: float) -> Workload:
        return workload.replace(accuracy_weight=float(np.exp(log_weight)))

    def excess(log_weight: float) -> float:
        return float(solve(at(log_weight), throw=False).mean_system_time) - limit

    if alpha == 0 and count_delay:
        found = solve(workload, throw=False)
        return _result(workload, target, found.tokens, found.upper_bound, True, True, found.tokens)
    high = np.log(top)
    if excess(high) > 0:
        low = np.log(np.min(workload.time_per_token)) - 60
        low = max(low, np.log(tiny) / 2)
        log_weight = float(brentq(excess, low, high, xtol=1e-13))
        step = 1e-14
        while excess(log_weight) > 0:
            log_weight -= step
            step *= 2
    else:
        log_weight = high
    found = solve(at(log_weight), throw=False)
    price = 1 / np.exp(log_weight)
    bound = price * (found.upper_bound + limit)
    if count_delay:
        slackless = alpha * price
        bound = slackless * found.upper_bound + (slackless - 1) * limit
    elif log_weight == high:
        # the cap does not bind at any weight: nothing is more accurate than the caps
        bound = min(bound, float(mean_accuracy(workload, workload.max_tokens)))
    return _result(workload, target, found.tokens, float(bound), count_delay, True, found.tokens)


def _tail(
    workload: Workload, target: TailTarget | TypeTailTarget, count_delay: bool
) -> TargetSolution:
    caps = _caps(workload, target)
    inner, outer = _inner(workload, target, caps), _outer(workload, target, caps)
    safe = np.zeros(len(workload)) if inner is None else inner
    free = solve(workload, throw=False)
    if count_delay and _meets(workload, target, free.tokens):
        return _result(workload, target, free.tokens, free.upper_bound, True, True, free.tokens)
    bound = free.upper_bound if count_delay else outer
    starts = [safe, _stretch(workload, target, safe, caps)]
    start = max(starts, key=lambda ell: _value(workload, ell, count_delay))
    found = _climb(workload, target, start, caps, count_delay)
    best = max([start, found], key=lambda ell: _value(workload, ell, count_delay))
    return _result(workload, target, best, bound, count_delay, False, safe)


def _caps(workload: Workload, target: TailTarget | TypeTailTarget) -> Array:
    """For each type the largest budget that meets the target while no other type thinks.

    With many types only what fits into the deadline: looser, and enough for a bound.
    """
    deadline = _deadlines(workload, target)
    fits = (deadline - workload.base_time) / workload.time_per_token * (1 - 1e-12)
    caps = np.minimum(workload.max_tokens, np.maximum(fits, 0.0))
    if len(workload) > MOST_TIGHTENED:
        return caps
    for k in range(len(workload)):
        alone = np.zeros(len(workload))
        alone[k] = caps[k]
        if not _meets(workload, target, alone):
            caps[k] *= _largest_step(workload, target, np.zeros(len(workload)), alone)
            caps[k] = min(caps[k] * (1 + 2 * STEP), workload.max_tokens[k])
    return caps


def _inner(workload: Workload, target: TailTarget | TypeTailTarget, caps: Array) -> Array | None:
    r"""Sufficient: :math:`P(T>d) \le e^{-\theta d}(1+\theta/\lambda)`, and for a type
    :math:`P(T_k>d_k) \le e^{-\theta(d_k-s_k)}`.
    """
    if isinstance(target, TailTarget):
        theta = _rate(workload, target.deadline, target.probability)
        found = best_at_decay_rate(workload, theta, caps)
        return None if found is None else found.tokens
    deadline, rare = _deadlines(workload, target), -np.log(target.probabilities(workload))

    def at(theta: float) -> tuple[float, Array]:
        room = (deadline - rare / theta - workload.base_time) / workload.time_per_token
        found = best_at_decay_rate(workload, theta, np.minimum(caps, room))
        return (-np.inf, caps) if found is None else (found.mean_accuracy, found.tokens)

    least = float((rare / deadline).min())
    value, tokens = max(
        (at(float(theta)) for theta in least * np.geomspace(1.0, 1e3, RATES_TRIED)),
        key=lambda pair: pair[0],
    )
    return tokens if np.isfinite(value) else None


def _outer(workload: Workload, target: TailTarget | TypeTailTarget, caps: Array) -> float:
    r"""Bound the accuracy of all allocations that meet the target, by convex relaxations.

    With S at least the longest service, :math:`P(T_k>d) \ge g(\theta S) e^{-\theta(d-s_k)}`; so a
    decay rate that depends on S is necessary, and the shorter S, the more it asks. The range of
    the longest service is cut into slices; in each one type after the other is the longest.
    """
    w = workload
    asked = w.share > 0
    shortest = float(w.base_time[asked].max())
    longest = float((w.base_time + w.time_per_token * caps)[asked].max())
    best = -np.inf
    for low, high in pairwise(np.linspace(shortest, longest, SLICES + 1)):
        within = np.where(asked, np.minimum(caps, (high - w.base_time) / w.time_per_token), caps)
        for k in np.flatnonzero(asked):
            floors = np.zeros(len(w))
            floors[k] = max((low - w.base_time[k]) / w.time_per_token[k], 0.0)
            if floors[k] <= within[k]:
                theta = _necessary_rate(workload, target, int(k), float(low), float(high))
                found = best_at_decay_rate(w, theta, np.maximum(within, 0.0), floors)
                best = best if found is None else max(best, found.upper_bound)
    at_caps = float(mean_accuracy(workload, caps))
    return min(at_caps, best) if np.isfinite(best) else at_caps


def _necessary_rate(
    workload: Workload, target: TailTarget | TypeTailTarget, k: int, low: float, high: float
) -> float:
    r"""The decay rate needed when the longest service, between two times, is of type k.

    For type k itself :math:`P(T_k > d_k) \ge g(\theta s_k)\,e^{\theta s_k} e^{-\theta d_k}`, which
    grows with :math:`s_k`.
    """
    if isinstance(target, TailTarget):
        return _rate(workload, target.deadline, target.probability, high)
    asked = workload.share > 0
    deadline = target.deadlines(workload)
    rare = -np.log(target.probabilities(workload))
    shortest = np.where(np.arange(len(workload)) == k, low, workload.base_time)
    slack = deadline - shortest

    def excess(theta: float) -> float:
        factor = np.full(len(workload), shrink(theta * high))
        factor[k] = shrink(theta * low)
        return float((np.log(np.maximum(factor, 1e-300)) + rare - theta * slack)[asked].max())

    top = float((rare / deadline)[asked].max())
    while excess(top) > 0:
        top *= 2
    return float(brentq(excess, 0.0, top))


def _rate(workload: Workload, time: float, probability: float, longest: float = 0.0) -> float:
    r"""The root of :math:`g(\theta S)\,e^{-\theta t}(1+\theta/\lambda) = \varepsilon`.

    In logarithms, where the left side is concave and starts at 0: it is crossed once.
    """
    rate = workload.arrival_rate

    def excess(theta: float) -> float:
        factor = np.log(max(shrink(theta * longest), 1e-300))
        return float(factor + np.log1p(theta / rate) - theta * time - np.log(probability))

    high = -np.log(probability) / time
    while excess(high) > 0:
        high *= 2
    return float(brentq(excess, 0.0, high, xtol=high * 1e-15, rtol=1e-15))


def _climb(
    workload: Workload, target: TailTarget | TypeTailTarget, start: Array, caps: Array, delay: bool
) -> Array:
    """Climb from a feasible allocation to a local optimum that meets the target."""
    scale = np.maximum(caps, 1.0)
    w = workload

    def slope(x: Array) -> Array:
        ell = x * scale
        if delay:
            return -np.asarray(gradient(w, ell)) * scale / max(w.accuracy_weight, 1e-300)
        return -np.asarray(w.weight * w.share * w.gain * w.rate * np.exp(-w.rate * ell)) * scale

    def loss(x: Array) -> float:
        unit = max(w.accuracy_weight, 1e-300) if delay else 1.0
        return -_value(w, x * scale, delay) / unit

    def room(x: Array) -> Array:
        return -np.log(np.maximum(target.ratio(w, x * scale), 1e-12)) - MARGIN

    def room_slope(x: Array) -> Array:
        ratio = np.maximum(target.ratio(w, x * scale), 1e-12)
        return -target.ratio_gradient(w, x * scale) * scale / ratio[:, None]

    try:
        found = minimize(
            loss,
            start / scale,
            jac=slope,
            bounds=[(0.0, c / s) for c, s in zip(caps, scale)],
            constraints={"type": "ineq", "fun": room, "jac": room_slope},
            method="SLSQP",
            options={"maxiter": 200, "ftol": 1e-13},
        )
        reached = np.clip(found.x * scale, 0.0, caps)
    except UnstableError:
        # a trial step left the stable region; what was reached before stands
        return start
    step = _largest_step(w, target, start, reached - start)
    return np.asarray(start + step * (reached - start))


def _stretch(
    workload: Workload, target: TailTarget | TypeTailTarget, start: Array, caps: Array
) -> Array:
    """Go from a feasible allocation straight towards the caps, as far as the target allows."""
    return start + _largest_step(workload, target, start, caps - start) * (caps - start)


def _largest_step(workload: Workload, target: Target, start: Array, direction: Array) -> float:
    """The largest part of a step, from an allocation that meets the target, that keeps it met."""

    def over(part: float) -> float:
        tokens = start + part * direction
        if utilization(workload, tokens) >= 1:
            return 50.0
        worst = float(target.ratio(workload, tokens).max())
        return min(float(np.log(max(worst, 1e-300))), 50.0) + MARGIN / 2

    if over(1.0) <= 0:
        return 1.0
    if over(0.0) >= 0:
        return 0.0
    part = float(brentq(over, 0.0, 1.0, xtol=STEP / 4))
    while part > 0 and over(part) > 0:
        part = max(part - STEP, 0.0)
    return part


def _meets(workload: Workload, target: Target, tokens: Array) -> bool:
    """Whether an allocation is stable and meets the target, with room for rounding."""
    if utilization(workload, tokens) >= 1:
        return False
    return bool((target.ratio(workload, tokens) <= 1 - MARGIN / 2).all())


def _deadlines(workload: Workload, target: TailTarget | TypeTailTarget) -> Array:
    if isinstance(target, TailTarget):
        return np.full(len(workload), target.deadline)
    return target.deadlines(workload)


def _value(workload: Workload, tokens: Array, count_delay: bool) -> float:
    if not count_delay:
        return float(mean_accuracy(workload, tokens))
    return float(objective(workload, tokens)) if utilization(workload, tokens) < 1 else -np.inf


def _result(
    workload: Workload,
    target: Target,
    tokens: Array,
    bound: float,
    count_delay: bool,
    convex: bool,
    safe: Array,
) -> TargetSolution:
    value = _value(workload, tokens, count_delay)
    return TargetSolution(
        tokens=tokens,
        value=value,
        upper_bound=max(bound, value),
        gap=max(bound - value, 0.0),
        convex=convex,
        safe_tokens=safe,
        ratio=target.ratio(workload, tokens),
        mean_accuracy=float(mean_accuracy(workload, tokens)),
        objective=float(objective(workload, tokens)),
        mean_system_time=float(mean_system_time(workload, tokens)),
        utilization=float(utilization(workload, tokens)),
    )
