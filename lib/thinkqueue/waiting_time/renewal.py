r"""The waiting time of a deterministic mixture, exact to rounding: its renewal equation in panels.

The tilted tail :math:`G(t) = e^{\theta t}P(W>t)` solves (see :mod:`thinkqueue.waiting_time.bounds`)

.. math:: G(t) = \sum_k \lambda\pi_k \int_{t-s_k}^{t} e^{\theta(t-u)} G(u)\,du, \qquad
          G'(t) = \mu\,G(t) - \sum_k a_k\,G(t - s_k),

with :math:`a_k = \lambda\pi_k e^{\theta s_k}` and :math:`\mu = \sum_k a_k = \lambda + \theta`. G
jumps at 0 and hence G' at every :math:`s_k`, G'' at every :math:`s_j + s_k`, and so on: between
these sums the function is smooth, and a polynomial a panel holds it to rounding. The equation for
G' is solved panel by panel (Gauss collocation, the method of steps). It alone would let an error
grow like :math:`e^{\theta t}`, since a constant :math:`P(W>t)` satisfies it too; so the value at
the start of each step is taken from the integral instead, in which every term is positive and which
forgets errors. Tilting makes the accuracy a relative one however rare the wait is.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.waiting_time.bounds import TailBound, bound_of
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.waiting_time.panels import INTEGRAL, INTEGRAL_AT_POINTS, NODES, POINTS, Panels

WIDEST = 2.0
r"""The widest panel, in units of 1/μ: :math:`e^{\mu t}` is a polynomial of degree 14 to 1e-15."""

SHARPNESS = 1e-14
"""Kinks whose effect on a panel is weaker than this need no edge of their own."""

SAME = 1e-12
"""Sums closer than this, in longest service times, are one."""

NEVER = 1e-30
"""Waits less likely than this are left to the asymptote, settled or not."""

MOST_SUMS = 400
MOST_PANELS = 20_000
STEP_WORK = 60
MOST_WORK = 400_000
"""Panels looked back at, over all steps, before the work is called too much: a few seconds."""


@dataclass(frozen=True)
class TiltedTail:
    r"""The function :math:`G(t) = e^{\theta t}P(W>t)`: computed until it has settled.

    Attributes
    ----------
    bound : TailBound
        The decay rate and the asymptote.
    panels : Panels
        G from 0 to the horizon.
    low, high : float
        The least and largest value of G, at the nodes, in the last window of one longest service
        before the horizon. G lies between its true extremes there ever after; between the nodes
        it may go further by about ``error``, so this is an estimate and no proof.
    error : float
        An estimate of the relative error of G up to the horizon.
    """

    bound: TailBound
    panels: Panels
    low: float
    high: float
    error: float

    @property
    def horizon(self) -> float:
        """The time up to which G was computed, in s."""
        return float(self.panels.edges[-1])

    def tail(self, t: Array) -> Array:
        """Return P(W > t), 1 for negative t."""
        theta, horizon = self.bound.decay_rate, self.horizon
        inside = np.clip(t, 0, horizon)
        constant = float(np.clip(self.bound.asymptotic_constant, self.low, self.high))
        value = np.where(t <= horizon, self.panels(inside), constant)
        with np.errstate(under="ignore"):
            return np.where(t < 0, 1.0, np.exp(-theta * np.maximum(t, 0)) * value)


def solve(mixture: ServiceMixture, *, error: float = 1e-12) -> TiltedTail | None:
    r"""Compute the tilted tail until it has settled.

    Parameters
    ----------
    mixture : ServiceMixture
        At least one service time, and a load below 1.
    error : float, optional
        Stop once G varies by less than this, relatively, over a window of one longest service.

    Returns
    -------
    TiltedTail or None
        None where the panels would be too many: with services of very different lengths.
    """
    bound = bound_of(mixture)
    build = _Build(mixture, bound)
    while not build.settled(error):
        if len(build.edges) > MOST_PANELS or build.work > MOST_WORK:
            return None
        build.step()
    low, high = build.window()
    return TiltedTail(bound, build.panels(), low, high, build.error)


class _Build:
    """The panels so far. One step adds all panels up to one shortest service ahead."""

    def __init__(self, mixture: ServiceMixture, bound: TailBound) -> None:
        self.rate = mixture.arrival_rate * mixture.share
        self.service = mixture.service
        self.theta = bound.decay_rate
        self.mu = mixture.arrival_rate + self.theta
        self.tilted = self.rate * np.exp(self.theta * self.service)
        self.constant = bound.asymptotic_constant
        self.longest = bound.longest_service
        self.width = min(WIDEST / self.mu, self.longest / min(1 + len(self.service) // 4, 100))
        self.stride = max(float(self.service[0]), self.width)
        self.kinks = _kinks(self.tilted, self.service, self.width)
        self.edges = [0.0]
        self.coefficients: list[Array] = []
        self.windows: list[Array] = []
        self.defect = 0.0
        self.work = 0
        self.slack = 1 - mixture.load
        self.extremes: list[tuple[float, float]] = []

    def panels(self) -> Panels:
        return Panels(np.array(self.edges), np.array(self.coefficients))

    def recent(self, rows: list[Array]) -> Panels:
        """The panels that reach into the last window of one longest service."""
        first = max(bisect_right(self.edges, self.edges[-1] - self.longest) - 1, 0)
        self.work += len(rows) - first + STEP_WORK
        return Panels(np.array(self.edges[first:]), np.array(rows[first:]))

    @property
    def error(self) -> float:
        # a defect enters the renewal equation once for each renewal before t
        mean = float((self.tilted * self.service).sum() - 1) / self.theta
        # and the decay rate itself is known no better than 1 - ρ
        rounding = 2e-16 * (1 + 1 / self.slack)
        return self.defect * (1 + self.edges[-1] / mean) + rounding

    def window(self) -> tuple[float, float]:
        first = bisect_right(self.edges, self.edges[-1] - self.longest) - 1
        lows, highs = zip(*self.extremes[first:])
        return min(lows), max(highs)

    def settled(self, error: float) -> bool:
        if not self.extremes or self.edges[-1] < self.longest:
            return False
        low, high = self.window()
        return high - low <= error * low or self.theta * self.edges[-1] > -np.log(NEVER)

    def step(self) -> None:
        start = self.edges[-1]
        mesh = self._mesh(start)
        value = self._integral(start) if self.coefficients else float(self.rate @ self.service)
        if self.coefficients:
            reached = float(legendre.legval(1.0, self.coefficients[-1]))
            self.defect = max(self.defect, abs(reached / value - 1))
        if mesh[-1] - start <= self.service[0] * (1 + 1e-12):
            self._explicit(mesh, value)
        else:
            self._implicit(mesh, value)

    def _mesh(self, start: float) -> Array:
        """Edges from here to one stride ahead: the kinks, and enough others between them."""
        end = start + self.stride
        near = SAME * self.longest
        inside = self.kinks[(self.kinks > start + near) & (self.kinks < end - near)]
        if self.stride > self.service[0] and len(inside):
            end, inside = float(inside[0]), inside[:0]
        corners = np.concatenate([[start], inside, [end]])
        pieces = [
            np.linspace(a, b, int(np.ceil((b - a) / self.width * (1 - 1e-12))) + 1)[1:]
            for a, b in pairwise(corners)
        ]
        return np.concatenate([[start], *pieces])

    def _past(self, t: Array, before: NDArray[np.bool_]) -> Array:
        """G at times before the start of the step; ``before`` marks those before 0."""
        old = np.exp(self.theta * np.minimum(t, 0))
        if not self.coefficients:
            return old
        return np.where(before, old, self.recent(self.coefficients)(np.maximum(t, 0)))

    def _explicit(self, mesh: Array, value: float) -> None:
        left, half = mesh[:-1], np.diff(mesh) / 2
        middle = left + half
        nodes = middle[:, None] + half[:, None] * POINTS
        late = nodes[..., None] - self.service
        before = np.broadcast_to((middle[:, None] < self.service)[:, None, :], late.shape)
        pull = self._past(late, before) @ self.tilted
        # G' = μ(value + half ∫G') − pull at the nodes; linear in value
        matrix = np.eye(NODES) - self.mu * half[:, None, None] * INTEGRAL_AT_POINTS
        sides = np.stack([-pull, np.full_like(pull, self.mu)], axis=-1)
        slopes = np.linalg.solve(matrix, sides)
        for p in range(len(left)):
            value = self._append(mesh[p + 1], value, slopes[p] @ [1.0, value])

    def _implicit(self, mesh: Array, value: float) -> None:
        """Panels longer than the shortest service: the delayed values lie in the panel itself."""
        for right in mesh[1:]:
            left = self.edges[-1]
            half = (right - left) / 2
            nodes = left + half + half * POINTS
            late = nodes[:, None] - self.service
            own = late > left
            before = np.broadcast_to(left + half < self.service, late.shape)
            known = np.where(own, 0.0, self._past(np.minimum(late, left), before))
            basis = legendre.legvander((late - left) / half - 1, NODES)
            weight = np.where(own, self.tilted, 0.0)
            inner = half * np.einsum("jk,jkn->jn", weight, basis) @ INTEGRAL
            matrix = np.eye(NODES) - self.mu * half * INTEGRAL_AT_POINTS + inner
            side = value * (self.mu - weight.sum(axis=1)) - known @ self.tilted
            value = self._append(right, value, np.linalg.solve(matrix, side))

    def _append(self, right: float, value: float, slope: Array) -> float:
        left = self.edges[-1]
        half = (right - left) / 2
        c = half * (INTEGRAL @ slope)
        c[0] += value
        at = value + half * (INTEGRAL_AT_POINTS @ slope)
        weighted = at * np.exp(self.theta * half * (1 - POINTS))
        self.edges.append(float(right))
        self.coefficients.append(c)
        self.windows.append(half * (INTEGRAL @ weighted))
        end = float(c.sum())
        self.extremes.append((min(at.min(), value, end), max(at.max(), value, end)))
        self.defect = max(self.defect, float(np.abs(c[-2:]).max() / abs(c[0])))
        return end

    def _integral(self, t: float) -> float:
        """The renewal equation at t, where all before t is known."""
        windows = self.recent(self.windows)
        edges = windows.edges
        since = np.exp(self.theta * (t - edges[1:]))
        whole = since * windows.coefficients.sum(axis=1)
        after = np.concatenate([np.cumsum(whole[::-1])[::-1], [0.0]])
        begin = t - self.service
        inside = np.maximum(begin, edges[0])
        panel = np.clip(np.searchsorted(edges, inside, side="right") - 1, 0, len(edges) - 2)
        part = windows.on(panel, inside)
        window = after[panel] - since[panel] * part
        if t < self.longest:
            window += np.exp(self.theta * t) * np.maximum(-begin, 0)
        return float(self.rate @ window)


def _kinks(tilted: Array, service: Array, width: float) -> Array:
    r"""Sums :math:`s_{k_1} + \dots + s_{k_j}` where the j-th derivative of G jumps noticeably.

    The jump is the product of the :math:`a_k` times the number of orders; a polynomial of degree n
    on a panel of width h smooths it into an error of about (h / 2n)^j times the jump.
    """
    scale = width / (2 * NODES)
    sums, strength = np.zeros(1), np.ones(1)
    found = []
    while len(sums):
        sums = (sums[:, None] + service).ravel()
        jumps: Array = (strength[:, None] * (tilted * scale)).ravel()
        keep = jumps > SHARPNESS
        first, group = _groups(sums[keep], SAME * service[-1])
        strength = np.bincount(group, weights=jumps[keep], minlength=len(first)).astype(float)
        strongest = np.argsort(-strength)[:MOST_SUMS]
        sums, strength = first[strongest], strength[strongest]
        found.append((sums, strength))
    if not found:
        return service
    sums, strength = (np.concatenate(part) for part in zip(*found))
    strongest = np.argsort(-strength, kind="stable")[:MOST_SUMS]
    return _groups(np.concatenate([service, sums[strongest]]), SAME * service[-1])[0]


def _groups(values: Array, apart: float) -> tuple[Array, NDArray[np.intp]]:
    """Merge values closer than ``apart``: the first of each group, and the group of each value."""
    order = np.argsort(values, kind="stable")
    new = np.diff(values[order], prepend=-np.inf) > apart
    group = np.empty(len(values), dtype=np.intp)
    group[order] = np.cumsum(new) - 1
    return values[order][new], group
