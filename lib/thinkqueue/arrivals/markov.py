r"""Markov-modulated Poisson arrivals: a Poisson stream whose rate jumps by chance.

The sum of independent sources, each of which switches between two rates. Source i is in its high
state for an exponential time of rate :math:`d_i` and in its low state for one of rate :math:`u_i`;
its rate there is :math:`h_i` or :math:`l_i`. With :math:`\kappa_i = u_i + d_i` and
:math:`\sigma_i^2 = \frac{u_i d_i}{\kappa_i^2}(h_i - l_i)^2` the index of dispersion is

.. math:: I(w) = 1 + \sum_i \frac{2\sigma_i^2}{\lambda\kappa_i}
          \left(1 - \frac{1 - e^{-\kappa_i w}}{\kappa_i w}\right),

and the gaps have :math:`\mathbb{E}[A^2] = 2\,\varphi\,(R - Q)^{-2}\mathbf 1` where Q is the
generator of all sources together, R the diagonal of their rates, :math:`\varphi = \pi R/\lambda`
and :math:`\pi` stationary (W. Fischer and K. Meier-Hellstern, 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from thinkqueue.arrays import Array
from thinkqueue.arrivals.statistics import ArrivalStatistics
from thinkqueue.checks import LARGEST, one_number
from thinkqueue.errors import WorkloadError


@dataclass(frozen=True)
class MarkovModulated:
    """Independent two-state sources; all times in mean gaps, so that the total rate is 1.

    Attributes
    ----------
    high, low : tuple of float
        The rate of arrivals of each source in its two states.
    up, down : tuple of float
        The rate at which it goes to the high and to the low state.
    """

    high: tuple[float, ...]
    low: tuple[float, ...]
    up: tuple[float, ...]
    down: tuple[float, ...]

    @classmethod
    def renewal(cls, cv: float) -> MarkovModulated:
        r"""Return arrivals whose gaps are independent and have the given variation.

        One source that is silent in its low state sends gaps with a hyperexponential law (A.
        Kuczura, 1973); of all such laws, that whose two parts add as much to the mean.

        Parameters
        ----------
        cv : float
            The coefficient of variation of the gaps, above 1.

        Raises
        ------
        WorkloadError
            If it is not.
        """
        square = one_number("cv", cv, least=1) ** 2
        if not 1 < square <= LARGEST:
            raise WorkloadError(
                f"cv is {cv!r}; it must be above 1, the coefficient of variation of Poisson gaps.",
                parameter="cv",
                value=cv,
            )
        p = (1 + np.sqrt((square - 1) / (square + 1))) / 2
        fast, slow = 2 * p, 2 * (1 - p)
        high = p * fast + (1 - p) * slow
        down = p * (1 - p) * (fast - slow) ** 2 / high
        return cls((float(high),), (0.0,), (float(fast * slow / high),), (float(down),))

    @property
    def _sources(self) -> Array:
        return np.array([self.high, self.low, self.up, self.down])

    @property
    def rate(self) -> float:
        """The mean rate of all sources together; 1 for a fitted model."""
        high, low, up, down = self._sources
        return float(((up * high + down * low) / (up + down)).sum())

    def dispersion(self, windows: ArrayLike) -> Array:
        """Return the index of dispersion over windows of the given lengths.

        Parameters
        ----------
        windows : array_like, (K,)
            In mean gaps.
        """
        high, low, up, down = self._sources
        speed = up + down
        x = np.asarray(windows, dtype=np.float64)[..., None] * speed
        limit = 2 * up * down / speed**3 * (high - low) ** 2 / self.rate
        return np.asarray(1 + (limit * (1 + np.expm1(-x) / x)).sum(-1))

    def generator(self) -> tuple[Array, Array]:
        """Return the generator of the joint states and the rate in each, (S, S) and (S,)."""
        joint: Array = np.zeros((1, 1))
        rates: Array = np.zeros(1)
        for high, low, up, down in zip(*self._sources, strict=True):
            one = np.array([[-up, up], [down, -down]])
            joint = np.asarray(
                np.kron(joint, np.eye(2)) + np.kron(np.eye(len(joint)), one), np.float64
            )
            rates = np.asarray(np.add.outer(rates, [low, high]).ravel())
        return joint, rates

    @property
    def cv(self) -> float:
        """The coefficient of variation of the gaps."""
        generator, rates = self.generator()
        balance = np.vstack([generator.T, np.ones(len(rates))])
        stationary = np.linalg.lstsq(balance, np.append(np.zeros(len(rates)), 1.0))[0]
        inverse = np.linalg.inv(np.diag(rates) - generator)
        second = 2 * (stationary * rates / self.rate) @ inverse @ inverse @ np.ones(len(rates))
        return float(np.sqrt(second * self.rate**2 - 1))

    def sample(self, arrivals: int, seed: int | np.random.SeedSequence) -> Array:
        """Return gaps of a stationary stream, (arrivals,), in mean gaps.

        Parameters
        ----------
        arrivals : int
            How many.
        seed : int or SeedSequence
            Of the random generator.
        """
        rng = np.random.default_rng(seed)
        is_high = [rng.random() < up / (up + down) for up, down in zip(self.up, self.down)]
        window = 1.2 * arrivals / self.rate
        parts: list[Array] = []
        while sum(part.size for part in parts) <= arrivals:
            start = window * len(parts)
            found = [self._window(i, window, high, rng) for i, high in enumerate(is_high)]
            parts.append(start + np.sort(np.concatenate([times for times, _ in found])))
            is_high = [high for _, high in found]
        return np.diff(np.concatenate(parts)[: arrivals + 1])

    def gaps_at(self, arrival_rate: float, jobs: int, seed: np.random.SeedSequence) -> Array:
        """Return the time from each arrival to the next, in s.

        Parameters
        ----------
        arrival_rate : float
            The rate to bring the stream to, in 1/s.
        jobs : int
            How many arrivals.
        seed : SeedSequence
            Of the random generator.
        """
        return self.sample(jobs, seed) / (arrival_rate * self.rate)

    def _window(
        self, i: int, window: float, starts_high: bool, rng: np.random.Generator
    ) -> tuple[Array, bool]:
        """Return the arrivals of one source in a window, and the state in which it leaves it."""
        leave = np.array([self.down[i], self.up[i]] if starts_high else [self.up[i], self.down[i]])
        visits = int(window * 2 / (1 / leave).sum() * 1.3) + 50
        ends = np.zeros(0)
        while not ends.size or ends[-1] < window:
            # an even number of visits, so that every batch begins in the state of the first one
            stay = (rng.exponential(1.0, (visits, 2)) / leave).ravel()
            ends = np.append(ends, (ends[-1] if ends.size else 0.0) + np.cumsum(stay))
        is_high = (np.arange(ends.size) % 2 == 0) == starts_high
        begins = np.concatenate([[0.0], ends[:-1]])
        stay = np.maximum(np.minimum(ends, window) - begins, 0.0)
        counts = rng.poisson(stay * np.where(is_high, self.high[i], self.low[i]))
        times = np.repeat(begins, counts) + rng.random(counts.sum()) * np.repeat(stay, counts)
        return times, bool(is_high[np.searchsorted(ends, window)])


def fit_markov_modulated(
    statistics: ArrivalStatistics, *, sources: int = 2, starts: int = 12, seed: int = 0
) -> MarkovModulated:
    r"""Fit sources to the variation of the gaps and to the dispersion over all windows.

    .. math:: \min\; K \ln^2\frac{c(\theta)}{c} + \sum_{j=1}^{K} \ln^2\frac{I_\theta(w_j)}{I(w_j)}
              \quad\text{subject to}\quad \lambda(\theta) = 1,

    by least squares from many starts. The mean is met exactly, the rest as well as it can be; look
    at ``cv`` and ``dispersion`` of the result.

    No state lasts longer on average than half the record, which knows nothing of slower changes.

    Parameters
    ----------
    statistics : ArrivalStatistics
        What to reproduce.
    sources : int, optional
        How many two-state sources.
    starts : int, optional
        From how many random points to search.
    seed : int, optional
        Of those points.
    """
    windows, target = np.array(statistics.windows), np.log(statistics.dispersion)

    def model(parameters: Array) -> MarkovModulated:
        share, ratio, up, down = parameters.reshape(4, sources)
        weight = np.exp(share - share.max())
        weight /= weight.sum()
        low_part, up, down = 1 / (1 + np.exp(-ratio)), np.exp(up), np.exp(down)
        high = weight * (up + down) / (up + down * low_part)
        return MarkovModulated(
            tuple(high.tolist()),
            tuple((high * low_part).tolist()),
            tuple(up.tolist()),
            tuple(down.tolist()),
        )

    def misfit(parameters: Array) -> Array:
        guess = model(parameters)
        gaps = np.log(guess.cv / statistics.cv) * np.sqrt(windows.size)
        return np.append(np.log(guess.dispersion(windows)) - target, gaps)

    slowest = np.log(2 / statistics.count)
    lower = np.repeat([-14.0, -14.0, slowest, slowest], sources)
    rng = np.random.default_rng(seed)
    best = None
    for _ in range(starts):
        start = np.concatenate(
            [
                rng.normal(0, 1, sources),
                rng.uniform(-8, 3, sources),
                rng.uniform(slowest, 1, sources),
                rng.uniform(slowest, 1, sources),
            ]
        )
        with np.errstate(all="ignore"):
            found = least_squares(misfit, start, bounds=(lower, 14), max_nfev=300)
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return model(best.x)
