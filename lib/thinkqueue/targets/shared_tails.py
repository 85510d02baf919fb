r"""Promises to each type of a batching server, on the shifted gamma law of its time.

With :math:`\ell_k` at its best reply to one price :math:`\mu`, or as large as the deadline of its
type allows where that is less, all conditions of optimality hold but for what the *mix* of lengths
does to the law of the wait inside :func:`~thinkqueue.type_time`; one search over :math:`\mu` finds
the best of these.

*The bound.* The law is :math:`\tau(1)x` plus a gamma law of mean
:math:`\mu_k = \tau(1)x\rho/(1-\rho)` and shape
:math:`\kappa_k = (1+r)(bx)^2\rho^2/2I`, :math:`I = \int_0^{bx}(bx-t)P(W>t)\,dt`. As
:math:`P(W>t)` is at most :math:`\rho` and, whatever the mix is, at least
:math:`(\rho-\lambda t)_+` (a service in progress), the shape lies between :math:`(1+r)\rho` and a
number that is known. The quantile of a gamma law of mean 1 rises and then falls with its shape
(seen and not proved), so it is least at one of these two ends. Hence for all loads between
:math:`\rho_1` and :math:`\rho_2` a deadline caps x, the load caps m, and the best under both is a
ration. The largest of these values over all loads bounds every allocation (our own derivation).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammainccinv

from thinkqueue.arrays import Array, first
from thinkqueue.batching.type_time import type_time
from thinkqueue.delay.batching import Shared
from thinkqueue.delay.number_present import Straight
from thinkqueue.delay.time import delay_of
from thinkqueue.replies import best_replies
from thinkqueue.targets.rations import Ration, most_accurate
from thinkqueue.targets.tangents import Found
from thinkqueue.workload import Workload

ROUNDS = 12
"""Steps towards the longest that deadlines allow, at one price."""

CLOSE = 1e-9
"""Where they stop, relatively."""

FINE = 0.01
"""How finely the logarithm of the price is searched; the top is flat there."""

CELLS = 200
"""Into how many intervals of the load the bound is cut."""

DECADES = 12.0
"""Over how many powers of e below the dearest token prices are looked at."""


class _Promise:
    r"""Deadlines of a workload, and how long types may think at one price of a token.

    With :math:`y = 1 - \rho`, what a type needs in time is :math:`\eta_kx_k/y`, where
    :math:`\eta_k` hardly moves: at given :math:`\eta` the load is the root of one equation, and
    a few rounds of both suffice.
    """

    def __init__(self, workload: Workload, deadline: Array, rare: Array, count_delay: bool) -> None:
        self.w, self.deadline, self.rare, self.count_delay = workload, deadline, rare, count_delay
        self.delay = delay_of(workload.server)
        self.value = workload.weight * (workload.accuracy_weight if count_delay else 1.0)
        self.answer = workload.service.mean(np.zeros(len(workload)))
        self.stretch = self.stretch_at(np.zeros(len(workload)))

    def stretch_at(self, tokens: Array) -> Array:
        r"""Return :math:`\eta`, infinite where nothing is asked for."""
        law, x = type_time(self.w, tokens), self.w.service.mean(tokens)
        y: float = first(self.delay.at(self.w, tokens).slack)
        with np.errstate(divide="ignore", invalid="ignore"):
            stretch = law.within(1 - self.rare) * y / x
        alone = self.w.server.token_time.base + self.w.server.token_time.per_query
        return np.asarray(np.where(x > 0, stretch, alone))

    def kept(self, log_price: float) -> Array:
        """Return the budgets at a price that the deadlines allow."""
        w, price = self.w, np.full(len(self.w), np.exp(log_price))
        wish = best_replies(w.curves, self.value, price, 0.0, w.max_tokens)
        pace = w.arrival_rate * w.server.token_time.per_query
        tokens = np.zeros(len(w))
        for _ in range(ROUNDS):

            def at(y: float) -> Array:
                return np.clip(self.deadline * y / self.stretch - self.answer, 0, wish)

            def over(y: float) -> float:
                asked = float(w.share @ (self.answer + at(y)))
                return float(y + pace * asked - 1)

            moved = at(float(brentq(over, 0.0, 1.0, xtol=1e-15)))
            near = np.abs(moved - tokens).max() <= CLOSE * (1 + tokens.max())
            tokens = moved
            if near:
                break
            self.stretch = self.stretch_at(tokens)
        return tokens

    def held(self, tokens: Array) -> bool:
        """Whether the deadlines are met, those too that the answers alone take up."""
        late = type_time(self.w, tokens).within(1 - self.rare)
        return bool((late <= self.deadline * (1 + 100 * CLOSE)).all())

    def lowest(self, low: float, high: float) -> float:
        """Return the lowest price, between two, at which the budgets meet the deadlines."""
        if self.held(self.kept(low)):
            return low
        while high - low > FINE / 10:
            middle = (low + high) / 2
            low, high = (low, middle) if self.held(self.kept(middle)) else (middle, high)
        return high

    def reached(self, tokens: Array) -> float:
        """Return what budgets are worth."""
        time: float = first(self.delay.at(self.w, tokens).time) if self.count_delay else 0.0
        return float(self.value * self.w.share @ self.w.curves.value(tokens)) - time


def under_deadlines(workload: Workload, deadline: Array, rare: Array, count_delay: bool) -> Found:
    r"""Return good budgets with :math:`P(T_k > d_k) \le \varepsilon_k`, and a bound on all.

    Parameters
    ----------
    workload : Workload
        With a batching server whose law of the time is known.
    deadline, rare : ndarray, (N,)
        d in s and :math:`\varepsilon`.
    count_delay : bool
        Whether J counts, or the accuracy alone.
    """
    promise, nothing = _Promise(workload, deadline, rare, count_delay), np.zeros(len(workload))
    dearest = float(np.max(promise.value * workload.curves.slope(nothing)))
    tokens = nothing
    if dearest > 0:
        high = float(np.log(dearest))
        low = promise.lowest(high - DECADES, high)
        search = minimize_scalar(
            lambda x: -promise.reached(promise.kept(x)),
            bounds=(low, high),
            method="bounded",
            options={"xatol": FINE},
        )
        tried = (promise.kept(x) for x in (float(search.x), low))
        tokens = max(tried, key=promise.reached)
    return Found(tokens, np.nan, _bound(workload, deadline, rare, count_delay), tokens)


def _bound(w: Workload, deadline: Array, rare: Array, count_delay: bool) -> float:
    """Return what no allocation exceeds that keeps the promises: the best over cells of load."""
    delay = delay_of(w.server)
    assert isinstance(delay, Shared)
    assert isinstance(delay.law, Straight)
    a, b = delay.law.line
    rate, answer = w.arrival_rate, w.service.mean(np.zeros(len(w)))
    least = float(w.share @ answer)
    unit = w.accuracy_weight if count_delay else 1.0
    if b == 0:
        longest = np.clip(deadline / a - answer, 0, w.max_tokens)
        if not count_delay:
            return float(w.weight * w.share @ w.curves.value(longest))
        return unit * float(w.weight * w.share @ w.curves.value(longest)) - a * least
    low = rate * b * least
    high = min(rate * b * (least + float(w.share @ w.max_tokens)), 1.0)
    bounds = []
    for left, right in pairwise(np.linspace(low, high, CELLS + 1)):
        longest = _longest(a, b, rate, left, right, deadline, rare)
        if np.any(longest < answer * (1 - 1e-12)):
            continue
        caps = np.minimum(longest - answer, w.max_tokens).clip(0)
        ration = Ration(np.ones(len(w)), 0.0, right / (rate * b) - least)
        here = unit * most_accurate(w, ration, caps)[1]
        if count_delay:  # the mean time of the smallest load of the cell
            here -= first(delay.formula_of(w, left / (rate * b)).g)
        bounds.append(here)
    return max(bounds)


def _longest(
    a: float, b: float, rate: float, left: float, right: float, deadline: Array, rare: Array
) -> Array:
    """Return how many tokens a deadline allows at most for loads between two."""
    one, r = a + b, a / b
    x = deadline / one
    if left == 0:
        return x
    fewest = (1 + r) * left
    for _ in range(30):  # every x that is allowed is below, so its shape is below that of x
        work = b * x
        t = np.minimum(work, left / rate)
        inside = work * left * t - (left + rate * work) * t**2 / 2 + rate * t**3 / 3
        most = np.maximum((1 + r) * (work * right) ** 2 / (2 * inside), fewest)
        least = np.minimum(*(gammainccinv(k, rare) / k for k in (fewest, most)))
        x = np.minimum(x, deadline / (one * (1 + left / (1 - left) * least)))
    return x
