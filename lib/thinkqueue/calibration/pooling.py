r"""Rates shrunk towards each other where the data of a task are thin.

The logarithms of the rates are taken for draws from one normal law, :math:`\ln b_k \sim
N(\mu, \tau^2)`, and each task's data speak through their profile likelihood :math:`L_k(\ln b)`:

.. math:: \max_{\mu,\tau}\ \ln\tau + \sum_k \ln\int L_k(\varphi)\, N(\varphi; \mu,
          \tau^2)\,d\varphi,

where :math:`\ln\tau` keeps the spread off zero, where it would deny that tasks differ (Chung,
Rabe-Hesketh, Dorie, Gelman and Liu 2013, Psychometrika 78). The integral is a sum on a grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from thinkqueue.arrays import Array
from thinkqueue.calibration.curves import SATURATING
from thinkqueue.calibration.fit import CurveFit, covariance, fit_many
from thinkqueue.calibration.intervals import Interval, profile_intervals, profile_of_rate
from thinkqueue.errors import ThinkQueueError

_GRID = 161
_SPREADS = np.geomspace(0.05, 2.0, 33)


@dataclass(frozen=True, eq=False)
class Pooled:
    """Rates of several tasks, each informed by the others.

    Attributes
    ----------
    centre, spread : float
        Mean and standard deviation of the logarithms of the rates across tasks.
    fits : dict of CurveFit
        Each task's curve with its rate shrunk.
    covariances : dict of ndarray, (3, 3)
        Of gain, rate and baseline, given centre and spread.
    intervals : dict of dict of Interval
        Of gain, rate, baseline and ceiling of each task, given centre and spread.
    """

    centre: float
    spread: float
    fits: dict[str, CurveFit]
    covariances: dict[str, Array]
    intervals: dict[str, dict[str, Interval]]

    @property
    def prior(self) -> tuple[float, float]:
        """Centre and spread, as :func:`~thinkqueue.calibration.fit.fit_many` takes them."""
        return self.centre, self.spread

    @property
    def words(self) -> str:
        """What was done, in a sentence."""
        return (
            f"Rates were pooled across {len(self.fits)} tasks: typically "
            f"{np.exp(self.centre):.2g} a "
            f"token, differing by a factor of {np.exp(self.spread):.2g}."
        )


def pool_rates(fits: Mapping[str, CurveFit], level: float = 0.95) -> Pooled:
    """Shrink the rates of several tasks towards each other.

    Parameters
    ----------
    fits : mapping of CurveFit
        Fits of the saturating curve, at least three.
    level : float, optional
        Probability of the intervals.

    Raises
    ------
    ThinkQueueError
        If there are fewer than three tasks: two say nothing of how tasks differ.
    """
    if len(fits) < 3:
        raise ThinkQueueError(
            f"Pooling needs at least three tasks and there are {len(fits)}: leave pool=False."
        )
    ends = [SATURATING.shape_bounds(fitted.series.tokens)[0] for fitted in fits.values()]
    grid = np.linspace(min(low for low, _ in ends), max(high for _, high in ends), _GRID)
    profiles = np.array([profile_of_rate(fitted, np.exp(grid)) for fitted in fits.values()])
    likelihood = np.exp(profiles - profiles.max(axis=1, keepdims=True))
    centre, spread = _hyperparameters(grid, likelihood)
    prior = (centre, spread)
    shrunk, covariances, intervals = {}, {}, {}
    for name, fitted in fits.items():
        series = fitted.series
        shape, weights, value = fit_many(
            SATURATING, series.tokens, series.correct[None], series.total, prior=prior
        )
        shrunk[name] = CurveFit(SATURATING, series, shape[0], weights[0], float(value[0]))
        covariances[name] = covariance(shrunk[name], log_rate_precision=1 / spread**2)
        intervals[name] = profile_intervals(shrunk[name], level, prior=prior)
    return Pooled(centre, spread, shrunk, covariances, intervals)


def _hyperparameters(grid: Array, likelihood: Array) -> tuple[float, float]:
    """Return the centre and spread of largest penalised marginal likelihood, on a grid."""
    standard = (grid[:, None] - grid[None, :])[None] / _SPREADS[:, None, None]
    prior = np.exp(-(standard**2) / 2)
    prior /= prior.sum(axis=-1, keepdims=True)
    marginal = np.log(np.maximum(np.einsum("smg,kg->smk", prior, likelihood), 1e-300)).sum(axis=-1)
    marginal += np.log(_SPREADS)[:, None]
    s, m = np.unravel_index(int(np.argmax(marginal)), marginal.shape)
    return float(grid[m]), float(_SPREADS[s])
