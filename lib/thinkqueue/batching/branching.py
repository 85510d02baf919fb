r"""The mean time at a batching server with prompts and context, exactly, by three transforms.

Count steps instead of seconds. In this clock a query of type k lives for exactly :math:`x_k`; at
age 0 it makes the step longer by its prompt, :math:`p_k`, and at age u by
:math:`b + g(c_k + u)`. These seconds are a measure :math:`B_k` on :math:`[0, x_k]`, of mass
:math:`w_k`, and each second brings :math:`\lambda` children: a branching process with immigration,
:math:`\lambda a` immigrants a step. Let :math:`\bar B = \sum_k\pi_kB_k`,
:math:`\rho = \lambda\bar w`, and let :math:`A = \sum_{n\ge0}(\lambda\bar B)^{*n}` be the renewal
measure of births. The seconds of a query and all its descendants are

.. math:: F_k = B_k * A .

Who arrives at random in time does not see the clock's equilibrium but one biased towards long
steps. The second in which it comes is a second of the base with probability :math:`1-\rho`, and
else one of a query, whose family it meets, and so on up the line of its ancestors. Summed over
them, the families met add to the seconds at clock s from now the covariance

.. math:: R(s) = \lambda\,\Bigl(\sum_j\pi_j\,B_j\star B_j\Bigr) * A * A^-, \qquad
          \hat R = \frac{\lambda\sum_j\pi_j|\hat B_j|^2}{|1-\lambda\hat{\bar B}|^2},

which is symmetric; of its atom at 0 half is yet to come, the prompt in progress being half read in
the mean (our own derivation). Hence, with what the query itself begets,

.. math:: \mathbb{E}[T_k] = \frac{a\,x_k}{1-\rho} + F_k[0, x_k] + \tfrac12R[-x_k, x_k] .

The measures are put on a grid so that mass and mean of each cell are kept, which leaves an error of
second order; the same on a grid half as fine tells how large it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, rfft
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import brentq

from thinkqueue.arrays import Array, first
from thinkqueue.batching.present import batching_delay
from thinkqueue.delay.time import stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import Generated, TokenTime, Workload, tokens_array

CELLS: Final = 1 << 13
"""At least so many cells for the longest query."""

FEWEST, MOST = 1 << 16, 1 << 21
"""Points of the grid, whose period holds the longest query twice and the memory of the server."""

FORGOTTEN: Final = 30.0
r"""The grid ends where what a query leaves behind has fallen to :math:`e^{-30}`."""


@dataclass(frozen=True, eq=False)
class BranchingTime:
    """The mean time of each type, with its error.

    Attributes
    ----------
    mean : ndarray, (N,)
        In s.
    error : ndarray, (N,)
        How far off it may be, in s: the distance from the same on a grid half as fine, about three
        times the error of second order.
    mean_system_time, mean_system_time_error : float
        The same of all queries, in s.
    """

    mean: Array
    error: Array
    mean_system_time: float
    mean_system_time_error: float


class Seconds(NamedTuple):
    """What the queries of each type add to the steps; all (N,) but the rate and the base."""

    rate: float
    base: float
    share: Array
    tokens: Array
    atom: Array
    level: Array
    slope: float

    @property
    def work(self) -> Array:
        """The mass of each measure, w."""
        return self.atom + self.tokens * (self.level + self.slope * self.tokens / 2)


def branching_time(workload: Workload, tokens: ArrayLike) -> BranchingTime:
    r"""Return the mean time of each type at a batching server with prompts and context.

    What :func:`~thinkqueue.mean_type_time` has a simple form for, :math:`(ax_k+w_k)/(1-\rho)`, is
    here without that approximation, in seconds of computing for hundreds of types.

    Parameters
    ----------
    workload : Workload
        With ``Batching(TokenTime(base, per_query, per_context))`` and no cap.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If it is asked for more than it can do.
    WorkloadError
        If the server is another one, or the lengths within a type are random.
    """
    batching_delay(workload, "The branching of the work")
    time, server = workload.server.token_time, workload.server
    if not isinstance(time, TokenTime) or server.max_batch is not None:
        raise WorkloadError(
            "The branching of the work is known for Batching(TokenTime(base, per_query, "
            "per_context)) without a cap; simulate what you have.",
            parameter="server",
            value=server,
        )
    if not isinstance(workload.service, Generated):
        raise WorkloadError(
            f"The branching of the work needs lengths that the type tells; {workload.service!r} "
            "has random ones. Make each length a type of its own.",
            parameter="service",
            value=workload.service,
        )
    ell = tokens_array(workload, tokens, single=True)
    stable_state(workload, ell)
    x = workload.service.mean(ell)
    nothing = np.zeros_like(x)
    seconds = Seconds(
        first(workload.arrival_rate),
        time.base,
        workload.share,
        x,
        workload.prompt_time + nothing,
        time.per_query + time.per_context * workload.prompt_tokens + nothing,
        time.per_context,
    )
    if not x.max() > 0:
        return _times(_prompts_only(seconds), nothing, workload.share)
    period = 2 * float(x.max()) + FORGOTTEN / _decay(seconds)
    points = int(2 ** np.ceil(np.log2(CELLS * period / x.max())))
    points = min(max(points, FEWEST), MOST)
    fine, coarse = (_on_a_grid(seconds, period, count) for count in (points, points // 2))
    return _times(fine, np.abs(fine - coarse), workload.share)


def _times(mean: Array, error: Array, share: Array) -> BranchingTime:
    return BranchingTime(mean, error, float(share @ mean), float(share @ error))


def _decay(seconds: Seconds) -> float:
    r"""Return :math:`\Lambda` with :math:`\lambda\int e^{\Lambda u}\bar B(du) = 1`, or less."""
    x, longest = seconds.tokens, float(seconds.tokens.max())

    def births(decay: float) -> float:
        z = decay * x
        once = np.expm1(z) / decay
        twice = (x * np.exp(z) - once) / decay
        each = seconds.atom + seconds.level * once + seconds.slope * twice
        return seconds.rate * float(seconds.share @ each) - 1

    low, high = 1e-9 / longest, FORGOTTEN / longest
    if births(low) >= 0:
        return low
    return high if births(high) < 0 else float(brentq(births, low, high))


def _on_a_grid(seconds: Seconds, period: float, points: int) -> Array:
    """Return the mean times from a grid of so many points."""
    h, rate = period / points, seconds.rate
    births: Array = np.zeros(points)
    power: Array = np.zeros(points // 2 + 1)
    alike, places = np.unique(
        np.stack([seconds.tokens, seconds.atom, seconds.level]), axis=1, return_inverse=True
    )
    shares = np.bincount(places.ravel(), seconds.share)
    for share, (x, atom, level) in zip(shares, alike.T, strict=True):
        masses = _masses(float(x), float(atom), float(level), seconds.slope, h, points)
        births += share * masses
        power += share * np.abs(rfft(masses)) ** 2
    spectrum = 1 / (1 - rate * rfft(births))
    own_atom, met_atom = _atoms(seconds)
    # what is up to each node, half of the mass at the node itself; B*A = (A − 1)/λ
    births = irfft((spectrum - 1) / rate, points)
    family = np.cumsum(births) - births / 2
    family[0] = own_atom
    # on one side of 0 there is half of what is at 0
    power = irfft(rate * power * np.abs(spectrum) ** 2, points)
    met = np.cumsum(power) - power / 2 - power[0] / 2
    met[0] = met_atom
    node = h * np.arange(int(seconds.tokens.max() / h) + 3)
    family, met = family[: node.size], met[: node.size]
    once = cumulative_trapezoid(family, dx=h, initial=0)
    twice = cumulative_trapezoid(once, dx=h, initial=0)
    x = seconds.tokens
    begotten = (
        seconds.atom * np.interp(x, node, family)
        + seconds.level * np.interp(x, node, once)
        + seconds.slope * np.interp(x, node, twice)
    )
    load = rate * float(seconds.share @ seconds.work)
    own = seconds.base * x / (1 - load) + seconds.work + rate * begotten
    return np.asarray(own + np.interp(x, node, met))


def _atoms(seconds: Seconds) -> tuple[float, float]:
    """Return the atoms at 0 of F and of half of R."""
    free = 1 - seconds.rate * float(seconds.share @ seconds.atom)
    square = seconds.rate * float(seconds.share @ seconds.atom**2)
    return float(seconds.share @ seconds.atom) / free, square / (2 * free**2)


def _prompts_only(seconds: Seconds) -> Array:
    """Return the mean times if nobody gets a token: those of a queue that reads last come first."""
    free = 1 - seconds.rate * float(seconds.share @ seconds.atom)
    return np.asarray(seconds.atom / free + _atoms(seconds)[1])


def _masses(x: float, atom: float, level: float, slope: float, h: float, points: int) -> Array:
    """Put an atom at 0 and the density level + slope u on [0, x] on a grid, by hat functions."""
    masses: Array = np.zeros(points)
    last = int(x / h)
    part = x - last * h
    at = h * np.arange(last + 1)
    # whole cells give each end its moment; a linear density times a hat is what it is at the top
    masses[: last + 1] = h * (level + slope * at)
    masses[0] = h * (level / 2 + slope * h / 6)
    if last:
        masses[last] = h * ((level + slope * at[-1]) / 2 - slope * h / 6)
    else:
        masses[0] = 0.0
    here = level + slope * at[-1]
    mass = part * (here + slope * part / 2)
    right = part**2 * (here / 2 + slope * part / 3) / h
    masses[last] += mass - right
    masses[last + 1] += right
    masses[0] += atom
    return masses
