r"""Convex programs over budgets, solved by tangents of the load that a limited buffer loses.

The limits have the form

.. math:: \sum_j B_{ij} L_j(\ell) \le A_i\,(1 - \rho(\ell)), \qquad
          L_j(\ell) = L(d_j - s_{k_j}(\ell),\, s(\ell)) = (1-\rho)\frac{P(W>t)}{P(W\le t)},

with B and A not negative: :math:`P(W > t) \le \varepsilon` and :math:`P(T_k > d_k) \le
\varepsilon` are one term each, :math:`(1-\varepsilon)L \le \varepsilon(1-\rho)`. L is convex
(:mod:`thinkqueue.waiting_time.limited_buffer`), so each tangent ever computed stays below it,
whatever the limits are. Replace each :math:`L_j` by a number above its tangents: what remains is
maximised by :mod:`thinkqueue.targets.master`, its dual value bounds every budget that keeps the
limits, and a new tangent where the answer touches raises the model where it was too low.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.delay import mean_system_time
from thinkqueue.objective import mean_accuracy, queueing_price
from thinkqueue.targets.master import Gains, Optimum, dual_value, maximise
from thinkqueue.waiting_time.limited_buffer import limited_buffer, lost_load
from thinkqueue.workload import Workload

FULLEST = 1e-3
"""The slack, in parts of that of the idle server, below which no allocation is looked at."""

COARSEST = 1e-7
SHARPEST = 3e-14
"""The largest and the smallest error asked of the probabilities."""

BLIND = 10
"""Excesses below so many errors of evaluation are not told from nothing."""

PART = 0.1
"""How much of the gap asked for the errors of evaluation may make up."""

NEAR = 0.1
"""A limit this close to broken, in parts of the smallest probability promised, gets tangents."""

MANY = 12
"""Tangents kept, for each type and each lost load."""

EDGE = 1e-15
"""By what part of a deadline a service may seem longer that is as long."""

UNUSED = 1e-9
"""A tangent whose multiplier is below this part of the largest was not needed."""


@dataclass(frozen=True)
class Limits:
    r"""What the lost loads must keep.

    Attributes
    ----------
    matrix : ndarray, (I, J)
        B; a column of zeros where :math:`L_j` plays no part.
    room : ndarray, (I,)
        A.
    """

    matrix: Array
    room: Array

    @property
    def used(self) -> NDArray[np.bool_]:
        """Whether :math:`L_j` plays a part, (J,)."""
        return np.asarray(self.matrix.any(axis=0), dtype=np.bool_)


@dataclass(frozen=True)
class Found:
    """What a few rounds of tangents say about a program.

    Attributes
    ----------
    tokens : ndarray, (N,)
        The best budgets found that keep the limits.
    value : float
        What they are worth; minus infinity if none were found.
    upper_bound : float
        No budgets that keep the limits are worth more.
    outer : ndarray, (N,)
        Where the last model had its maximum: budgets that keep the limits nearly.
    """

    tokens: Array
    value: float
    upper_bound: float
    outer: Array


@dataclass(frozen=True)
class Proof:
    """The multipliers of the last model: what its bound rests on.

    Attributes
    ----------
    tangents : ndarray of int, (C,)
        Numbers of tangents.
    weight : ndarray, (C,)
        Their multipliers.
    limits : ndarray, (I,)
        The multipliers of the limits.
    """

    tangents: NDArray[np.intp]
    weight: Array
    limits: Array


class Tangents:
    r"""The tangents of some lost loads, and of the mean delay, over one workload.

    Parameters
    ----------
    workload : Workload
        The workload.
    deadline : ndarray, (J,)
        :math:`d_j` in s.
    own : ndarray of int, (J,)
        :math:`k_j`, the type whose service is taken off the deadline; -1 for none.
    count_delay : bool
        Whether the mean system time is paid for, so that J is maximised.
    rarest : float
        The smallest probability promised, which sets how exact the evaluation has to be.
    """

    def __init__(
        self,
        workload: Workload,
        deadline: Array,
        own: NDArray[np.intp],
        count_delay: bool,
        rarest: float,
    ):
        self.workload, self.deadline, self.own = workload, deadline, own
        self.count_delay = count_delay
        self.rarest = rarest
        self.error = max(COARSEST * min(1.0, 100 * rarest), SHARPEST)
        w = workload
        self.drift = w.arrival_rate * w.share
        self.idle_slack = 1 - float(self.drift @ w.base_time)
        with np.errstate(divide="ignore", over="ignore"):
            room = np.where(self.drift > 0, self.idle_slack / self.drift, np.inf)
        self.most = np.minimum(w.max_tokens * w.time_per_token, room)
        unit = w.accuracy_weight if count_delay else 1.0
        stake = unit * w.weight * w.share
        self.constant = float(stake @ w.baseline)
        self.gain, self.rate = stake * w.gain, w.rate / w.time_per_token
        count = len(deadline)
        self.which = np.zeros(0, dtype=np.intp)
        self.height, self.slope = np.zeros(0), np.zeros((0, len(w)))
        self.needed = np.zeros(0, dtype=np.intp)
        self.spread = np.zeros(0)
        self.points = np.zeros((0, len(w)))
        self.sensitivity = 0.0
        self.models = 0
        self.most_tangents = MANY * (count + len(w))
        self.delay_height, self.delay_slope = np.zeros(0), np.zeros((0, len(w)))

    def tokens(self, seconds: Array) -> Array:
        """The tokens that are thought in so many seconds, within the caps."""
        w = self.workload
        return np.minimum(np.maximum(seconds, 0.0) / w.time_per_token, w.max_tokens)

    def value(self, tokens: Array) -> float:
        """What is maximised."""
        w = self.workload
        accuracy = float(mean_accuracy(w, tokens))
        if not self.count_delay:
            return accuracy
        return w.accuracy_weight * accuracy - float(mean_system_time(w, tokens))

    def slack(self, tokens: Array) -> float:
        r""":math:`1 - \rho`."""
        return self.idle_slack - float(self.drift @ (self.workload.time_per_token * tokens))

    def touch(self, tokens: Array, limits: Limits) -> Array:
        r"""Evaluate, keep the tangents, and return :math:`L_j`, infinite past the deadline, (J,).

        Tangents are kept of what enters a limit that is broken or nearly so.

        Parameters
        ----------
        tokens : ndarray, (N,)
            The budgets.
        limits : Limits
            The limits.
        """
        w = self.workload
        service = w.base_time + w.time_per_token * tokens
        buffer = self.deadline - np.where(self.own >= 0, service[self.own], 0.0)
        # who thinks up to the deadline misses it by rounding only
        buffer[(buffer < 0) & (buffer > -EDGE * self.deadline)] = 0.0
        fits = limits.used & (buffer >= 0)
        lost = np.full(len(buffer), np.inf)
        lost[fits] = lost_load(w, tokens, buffer[fits], error=self.error)
        near = excess(self, limits, tokens, lost) > -NEAR * self.rarest * self.slack(tokens)
        wanted = np.flatnonzero(fits & limits.matrix[near].any(axis=0))
        if len(wanted):
            self._add(tokens, buffer, wanted)
        if self.count_delay:
            price = w.share * queueing_price(w, tokens)
            top = float(mean_system_time(w, tokens)) - float(price @ (service - w.base_time))
            self.delay_height = np.append(self.delay_height, top)
            self.delay_slope = np.concatenate([self.delay_slope, price[None]])
        return lost

    def _add(self, tokens: Array, buffer: Array, wanted: NDArray[np.intp]) -> None:
        """Add tangents, each lowered by what the error of evaluation can amount to in the box."""
        w = self.workload
        look = limited_buffer(w, tokens, buffer[wanted], error=self.error)
        slope = look.by_service.copy()
        timed = np.flatnonzero(self.own[wanted] >= 0)
        slope[timed, self.own[wanted][timed]] -= look.by_buffer[timed]
        # δ in P moves L by (1-ρ)/P(W ≤ t)² δ, the slopes by 3λπ/P² δ and 2λ(1-ρ)/P² δ
        kept = 1 - look.late
        reach = np.minimum(self.most, self.deadline.max())
        spread = self.slack(tokens) / kept**2 * (1 + 2 * w.arrival_rate * reach.max())
        spread += 3 * float(self.drift @ reach) / kept**2
        height = look.lost - slope @ (w.time_per_token * tokens) - spread * look.error
        self.which = np.concatenate([self.which, wanted])
        self.height = np.concatenate([self.height, height])
        self.slope = np.concatenate([self.slope, slope])
        self.spread = np.concatenate([self.spread, spread])
        self.points = np.concatenate([self.points, np.tile(tokens, (len(wanted), 1))])
        self.needed = np.concatenate([self.needed, np.full(len(wanted), self.models)])
        if len(self.which) > self.most_tangents:
            recent = np.argsort(-self.needed, kind="stable")[: self.most_tangents // 2]
            self.which, self.height = self.which[recent], self.height[recent]
            self.slope, self.needed = self.slope[recent], self.needed[recent]
            self.spread, self.points = self.spread[recent], self.points[recent]

    def model(self, limits: Limits, most: Array) -> Optimum:
        """Maximise over the budgets that keep the limits as far as the tangents know.

        Parameters
        ----------
        limits : Limits
            The limits.
        most : ndarray, (N,)
            The longest that each type may think, in s.
        """
        # a lost load without tangents is 0 in the best case
        touched = np.bincount(self.which, minlength=len(self.deadline)) > 0
        types, used = len(self.workload), np.flatnonzero(limits.used & touched)
        column = np.full(len(self.deadline), -1)
        column[used] = types + np.arange(len(used))
        delay = self.count_delay
        width = types + len(used) + delay
        kept = np.flatnonzero(column[self.which] >= 0)
        rows = np.zeros((len(limits.room) + len(kept) + len(self.delay_height), width))
        right = np.empty(len(rows))
        count = len(limits.room)
        rows[:count, :types] = limits.room[:, None] * self.drift
        rows[:count, types : types + len(used)] = limits.matrix[:, used]
        right[:count] = limits.room * self.idle_slack
        cuts = slice(count, count + len(kept))
        rows[cuts, :types] = self.slope[kept]
        rows[np.arange(cuts.start, cuts.stop), column[self.which[kept]]] = -1
        right[cuts] = -self.height[kept]
        zeros = np.zeros(len(used))
        gain, rate = np.append(self.gain, zeros), np.append(self.rate, zeros)
        with np.errstate(divide="ignore"):
            largest = (limits.room[:, None] / limits.matrix[:, used]).min(axis=0)
        linear, top = np.zeros(width), np.append(most, largest * self.idle_slack)
        if delay:
            rows[cuts.stop :, :types] = self.delay_slope
            rows[cuts.stop :, -1] = -1
            right[cuts.stop :] = -self.delay_height
            gain, rate = np.append(gain, 0.0), np.append(rate, 0.0)
            linear[-1] = -1
            # what delay a better allocation than that of no tokens can have at most
            idle = float(mean_system_time(self.workload, np.zeros(types)))
            top = np.append(top, idle + self.gain.sum())
        gains = Gains(gain, rate, linear, top)
        found = maximise(gains, rows, right)
        self.models += 1
        weight = found.multipliers[cuts] * np.abs(self.slope[kept]).max(axis=1, initial=0.0)
        self.needed[kept[weight > UNUSED * weight.max(initial=0.0)]] = self.models
        # with the multipliers of the tangents in the sums that they must have, the bound is sharper
        exact = found.multipliers.copy()
        asked = exact[:count] @ limits.matrix[:, used]
        place = column[self.which[kept]] - types
        given = np.bincount(place, weights=exact[cuts], minlength=len(used))
        exact[cuts] *= (asked / np.where(given > 0, given, 1.0))[place]
        if delay:
            exact[cuts.stop :] /= exact[cuts.stop :].sum()
        # what an error of one in all probabilities would take from the bound
        self.sensitivity = float(exact[cuts] @ self.spread[kept])
        bound = min(found.upper_bound, dual_value(gains, rows, right, exact))
        self.proof = Proof(kept, exact[cuts], exact[:count])
        return Optimum(found.point, exact, bound + self.constant)


def excess(tangents: Tangents, limits: Limits, tokens: Array, lost: Array) -> Array:
    r"""Return :math:`\sum_j B_{ij}L_j - A_i(1-\rho)`, positive where a limit is broken, (I,).

    Parameters
    ----------
    tangents : Tangents
        Where the workload is.
    limits : Limits
        The limits.
    tokens, lost : ndarray, (N,) and (J,)
        The budgets and :math:`L_j` there.
    """
    counted = np.where(limits.matrix > 0, lost, 0.0)  # what no limit counts may be infinite
    return np.asarray((limits.matrix * counted).sum(axis=1) - limits.room * tangents.slack(tokens))


def solve_limits(
    tangents: Tangents,
    limits: Limits,
    most: Array,
    *,
    gap: float,
    rounds: int,
    hopeless: float = -np.inf,
) -> Found:
    """Add tangents until the bound meets what is reached.

    Parameters
    ----------
    tangents : Tangents
        The tangents so far; new ones are added.
    limits : Limits
        The limits.
    most : ndarray, (N,)
        The longest that each type may think, in s.
    gap : float
        When to stop.
    rounds : int
        How many evaluations to spend.
    hopeless : float, optional
        Stop once the bound is below this.
    """
    nothing = np.zeros(len(most))
    # a limit that no tokens keep exactly leaves no way inwards; then it stays at no tokens
    inside = excess(tangents, limits, nothing, tangents.touch(nothing, limits))
    best = Found(nothing, tangents.value(nothing), np.inf, nothing)
    for _ in range(rounds):
        model = tangents.model(limits, most)
        bound = min(best.upper_bound, model.upper_bound)
        outer = tangents.tokens(model.point[: len(most)])
        best = replace(best, upper_bound=bound, outer=outer)
        if bound <= hopeless:
            break
        at = outer
        while tangents.slack(at) < FULLEST * tangents.idle_slack:
            at = 0.9 * at
        broken = excess(tangents, limits, at, tangents.touch(at, limits))
        broken += tangents.error * limits.matrix.sum(axis=1)
        over = broken > 0
        # h is convex: on the way to no tokens it falls below the line between both ends
        if (inside[over] < 0).all():
            part = float((1 / (1 - inside[over] / broken[over])).max(initial=0.0))
            kept = (1 - part) * at
            value = tangents.value(kept)
            if value > best.value:
                best = replace(best, tokens=kept, value=value)
        left = best.upper_bound - best.value
        finest = max(PART * gap / max(tangents.sensitivity, 1e-300), SHARPEST)
        if left <= gap and tangents.error <= finest:
            break
        # a broken limit is judged by probabilities a hundred times as exact, and where nothing is
        # broken that this evaluation could see, a finer one has to look
        worst = float(broken.max() / tangents.slack(at))
        asked = max(0.01 * worst, finest)
        if worst <= BLIND * tangents.error:
            if tangents.error <= SHARPEST:
                break
            asked = min(asked, tangents.error / BLIND)
        tangents.error = max(min(asked, tangents.error), SHARPEST)
    return best
