"""The best budgets under a latency target, with what is certain about them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count, one_number
from thinkqueue.delay import delay_of, mean_system_time, stable_state, utilization
from thinkqueue.delay.batching import Context, Shared
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.objective import mean_accuracy, objective
from thinkqueue.solution import Bounded
from thinkqueue.solve import solve
from thinkqueue.targets.certificate import prove
from thinkqueue.targets.rations import under_mean
from thinkqueue.targets.shared_tails import under_deadlines
from thinkqueue.targets.splits import Splits
from thinkqueue.targets.tangents import Found, Limits, Tangents, solve_limits
from thinkqueue.targets.target import (
    InfeasibleTargetError,
    MeanTarget,
    TailTarget,
    Target,
    TypeTailTarget,
    WaitingTarget,
)
from thinkqueue.workload import Batching, Workload

CONVEX_GAP = 1e-10
"""The gap asked of a convex problem, in units of accuracy."""

MANY, MANY_GAP = 20, 5e-9
"""With more types than this, the gap asked of a convex problem: a matter of seconds."""

SPLIT_GAP = 2e-4
"""The gap asked where the lateness has to be split between the types."""

MOST_ROUNDS = 300
LARGEST_WEIGHT = 1e15

ROUNDING = 1e-11
"""How far, relatively, a bound may lie below a value before it is called wrong."""

STEP = 1e-14
"""The first step back from a target that was missed by rounding, relatively."""


@dataclass(frozen=True)
class TargetSolution(Bounded[float]):
    r"""Budgets that meet a latency target, as evaluated on the exact distribution.

    What was maximised, ``objective``, is the mean accuracy, or J in s where delay counts too; no
    allocation that meets the target reaches more than ``upper_bound``.

    Attributes
    ----------
    convex : bool
        Whether the problem is convex, so that the gap could be closed to rounding. If not, it is
        what branch and bound left.
    ratio : ndarray
        What is reached over what is allowed, each limit an entry, none above 1.
    mean_accuracy, mean_system_time, utilization : float
        The usual figures at ``tokens``.
    proven : bool
        Whether value and bound are proved in ball arithmetic.
    """

    convex: bool
    ratio: Array
    mean_accuracy: float
    mean_system_time: float
    utilization: float
    proven: bool = False


def solve_target(
    workload: Workload,
    target: Target,
    *,
    count_delay: bool = False,
    gap: float | None = None,
    nodes: int = 400,
    certify: bool = False,
) -> TargetSolution:
    r"""Find the most accurate budgets that meet a latency target.

    .. math:: \max_{0\le\ell\le\ell_{\max},\,\rho(\ell)<1} \sum_k w_k\pi_k p_k(\ell_k)
              \quad\text{subject to the target.}

    Parameters
    ----------
    workload : Workload
        The workload.
    target : MeanTarget, WaitingTarget, TypeTailTarget or TailTarget
        What must hold.
    count_delay : bool, optional
        Maximise J, which pays for mean delay as well, and not the accuracy alone.
    gap : float, optional
        When to stop, in units of what is maximised. Where not given, 1e-10 of accuracy (5e-9
        with more than 20 types), and 2e-4 under a :class:`TailTarget` (times :math:`\alpha` if J
        is maximised).
    nodes : int, optional
        How many splits of the lateness a :class:`TailTarget` may look at.
    certify : bool, optional
        For a :class:`WaitingTarget` or a :class:`TypeTailTarget` without ``count_delay``: prove in
        ball arithmetic that the budgets meet the target, and the bound. Needs python-flint and,
        for the exact series, few types and deadlines of not too many services.

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
        If ``target`` is none of these, or cannot be certified.
    ThinkQueueError
        If a proof was asked for and the series are too long.

    Notes
    -----
    At a batching server a cap on the mean time is a ration (:mod:`thinkqueue.targets.rations`). A
    percentile of each type is that of the shifted gamma law, which errs by about a percent; the
    budgets found under it are not proved best, and the bound on all others does not close
    (:mod:`thinkqueue.targets.shared_tails`).

    First come, first served, every percentile of the wait, and of the system time of one type, is
    convex in the budgets: all targets but :class:`TailTarget` are convex programs, solved to a gap
    that is stated and includes the error of evaluation. That one is a union of convex programs,
    one for each way to share out the lateness, and branch and bound says how far from the best the
    answer can be at most. Our own derivations. A type without arrivals gets no tokens under a tail.
    """
    if not isinstance(target, MeanTarget | WaitingTarget | TailTarget | TypeTailTarget):
        raise WorkloadError(
            f"target is {target!r}; it must be a MeanTarget, WaitingTarget, TailTarget or "
            "TypeTailTarget.",
            parameter="target",
            value=target,
        )
    check_count("nodes", nodes)
    batches = isinstance(workload.server, Batching)
    if batches and isinstance(target, TailTarget):
        raise WorkloadError(
            "How to split lateness between the types of a Batching(...) server is not known; give "
            "TypeTailTarget the same deadline and probability for all, which promises more.",
            parameter="target",
            value=target,
        )
    if batches and certify:
        raise WorkloadError(
            "certify is True, and promises on a Batching(...) server are not certified: the law of "
            "its time is an approximation.",
            parameter="certify",
            value=certify,
        )
    if certify and (count_delay or not isinstance(target, WaitingTarget | TypeTailTarget)):
        raise WorkloadError(
            f"certify is True with {type(target).__name__}; only the accuracy under a "
            "WaitingTarget or a TypeTailTarget can be certified.",
            parameter="certify",
            value=certify,
        )
    unit = workload.accuracy_weight if count_delay else 1.0
    usual = CONVEX_GAP if len(workload) <= MANY else MANY_GAP
    usual = (SPLIT_GAP if isinstance(target, TailTarget) else usual) * max(unit, 1e-12)
    close = usual if gap is None else one_number("gap", gap, least=0.0)
    nothing = np.zeros(len(workload))
    least = float(target.ratio(workload, nothing).max())
    if least > 1:
        raise InfeasibleTargetError(
            f"No budgets meet the target: without a single thinking token {least:.4g} times what "
            "it allows is reached. Lower the arrival rate, speed up the service, or ask for less.",
            least=least,
        )
    if isinstance(target, MeanTarget):
        return _under_mean(workload, target, count_delay)
    if count_delay:
        free = solve(workload, throw=False)
        if (target.ratio(workload, free.tokens) <= 1).all():
            found = Found(free.tokens, free.objective, free.upper_bound, free.tokens)
            return _result(workload, target, found, count_delay, convex=True)
    if batches:
        assert isinstance(target, TypeTailTarget)
        limits = target.deadlines(workload), target.probabilities(workload)
        found = under_deadlines(workload, *limits, count_delay)
        return _result(workload, target, found, count_delay, convex=False)
    if isinstance(target, TailTarget):
        splits = Splits(workload, target.deadline, target.probability, count_delay)
        found = splits.search(gap=close, nodes=nodes)
        return _result(workload, target, found, count_delay, convex=False)
    return _convex(workload, target, count_delay, close, certify)


def _convex(
    workload: Workload,
    target: WaitingTarget | TypeTailTarget,
    count_delay: bool,
    gap: float,
    certify: bool,
) -> TargetSolution:
    r"""One lost load a limit: :math:`(1-\varepsilon)L \le \varepsilon(1-\rho)`."""
    if isinstance(target, WaitingTarget):
        deadline, rare = np.array([float(target.time)]), np.array([float(target.probability)])
        own = np.array([-1])
    else:
        deadline, rare = target.deadlines(workload), target.probabilities(workload)
        own = np.arange(len(workload))
    tangents = Tangents(workload, deadline, own, count_delay, float(rare.min()))
    most = tangents.most
    if isinstance(target, TypeTailTarget):
        most = np.minimum(most, deadline - workload.base_time)
    limits = Limits(np.diag(1 - rare), rare)
    found = solve_limits(tangents, limits, most, gap=gap, rounds=MOST_ROUNDS)
    result = _result(workload, target, found, count_delay, convex=True)
    if not certify:
        return result
    value, bound = prove(tangents, limits, most, result.tokens, rare)
    return replace(result, objective=value, upper_bound=bound, gap=bound - value, proven=True)


def _under_mean(workload: Workload, target: MeanTarget, count_delay: bool) -> TargetSolution:
    """A ration where there is one, multipliers where the mean time is convex, else nothing."""
    delay = delay_of(workload.server)
    if isinstance(delay, Shared | Context) and not count_delay:
        found = under_mean(workload, delay, target.limit)
        return _result(workload, target, found, count_delay, convex=workload.curves.concave)
    if not delay.convex:
        raise WorkloadError(
            f"The mean time of {workload.server!r} is not convex in the tokens as far as is known, "
            "so that no budgets under a cap on it are known to be best.",
            parameter="server",
            value=workload.server,
        )
    return _mean(workload, target, count_delay)


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
        best = Found(found.tokens, found.objective, found.upper_bound, found.tokens)
        return _result(workload, target, best, count_delay, convex=True)
    high = np.log(top)
    if excess(high) > 0:
        cheapest = stable_state(workload, np.zeros(len(workload))).price.min()
        low = np.log(cheapest) - 60
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
    best = Found(found.tokens, np.nan, float(bound), found.tokens)
    # where the mean time is not convex, no weight need lead to the best budgets, nor bound them
    convex = delay_of(workload.server).convex and workload.curves.concave
    return _result(workload, target, best, count_delay, convex=bool(np.all(convex)))


def _result(
    workload: Workload, target: Target, found: Found, count_delay: bool, *, convex: bool
) -> TargetSolution:
    tokens, step = found.tokens, STEP
    ratio = target.ratio(workload, tokens)
    while (ratio > 1).any() and tokens.any():
        tokens, step = tokens * max(1 - step, 0.0), 2 * step
        ratio = target.ratio(workload, tokens)
    accuracy, worth = (float(f(workload, tokens)) for f in (mean_accuracy, objective))
    value = worth if count_delay else accuracy
    bound = found.upper_bound
    if not bound >= value - ROUNDING * max(1.0, abs(value)):
        raise ThinkQueueError(
            f"The bound {bound!r} lies below {value!r}, which was reached: a fault of this "
            "library; please report the workload and the target."
        )
    bound = max(bound, value)
    return TargetSolution(
        tokens=tokens,
        objective=value,
        upper_bound=bound,
        gap=bound - value,
        convex=convex,
        ratio=ratio,
        mean_accuracy=accuracy,
        mean_system_time=float(mean_system_time(workload, tokens)),
        utilization=float(utilization(workload, tokens)),
    )
