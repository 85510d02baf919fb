r"""Which measurement would shrink the regret most?

Near the plug-in budgets :math:`\hat\ell` the regret is a quadratic form in the errors of the
parameters. With :math:`H = -\nabla^2 J` and :math:`\kappa_k = \partial^2 J/\partial\ell_k
\partial\theta_k`, an error :math:`\delta\theta` moves the optimum by
:math:`H^{-1}(\kappa_k\cdot\delta\theta_k)_k`, and as tasks are measured independently

.. math:: \mathbb{E}[\text{regret}] \approx \tfrac12 \sum_k (H^{-1})_{kk}\;
          \kappa_k^\top \Sigma_k\, \kappa_k .

Asking :math:`m` more questions of task :math:`k` at :math:`x` tokens adds :math:`m\,g
g^\top/(p(1-p))`, :math:`g = \nabla_\theta p_k(x)`, to its information, and by Sherman and Morrison
takes away

.. math:: \tfrac12 (H^{-1})_{kk}\,
          \frac{m\,(\kappa_k^\top\Sigma_k g)^2}{p(1-p) + m\,g^\top\Sigma_k g}

(our own derivation). Service times are taken as known here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.objective import negative_hessian
from thinkqueue.solve import solve
from thinkqueue.workload import Workload


@dataclass(frozen=True, eq=False)
class MeasurementValue:
    """What more questions at each budget would be worth.

    Attributes
    ----------
    names : tuple of str
        The tasks.
    tokens : ndarray, (X,)
        The budgets that were considered.
    regret : ndarray, (N,)
        Expected regret that the uncertainty of each task's curve causes, in s.
    saved : ndarray, (N, X)
        Expected regret that the questions would take away, in s.
    questions : int
        How many questions at one budget.
    """

    names: tuple[str, ...]
    tokens: Array
    regret: Array
    saved: Array
    questions: int

    @property
    def best(self) -> tuple[str, float, float]:
        """The task and the tokens where the questions save most, and the seconds they save."""
        k, x = np.unravel_index(int(np.argmax(self.saved)), self.saved.shape)
        return self.names[int(k)], float(self.tokens[x]), float(self.saved[k, x])


def measurement_value(
    workload: Workload, covariances: ArrayLike, tokens: ArrayLike, *, questions: int = 100
) -> MeasurementValue:
    """Return the expected regret of the plug-in budgets and what more questions would take from it.

    Parameters
    ----------
    workload : Workload
        The estimate.
    covariances : array_like, (N, 3, 3)
        Of gain, rate and baseline of each task.
    tokens : array_like, (X,)
        Budgets at which one might measure.
    questions : int, optional
        How many questions at one budget.
    """
    sigma = np.asarray(covariances, dtype=float)
    x = np.asarray(tokens, dtype=float)
    best = solve(workload).tokens
    response = _response(workload, best)
    kappa = _sensitivity(workload, best)
    left = np.exp(-workload.rate[:, None] * x)
    gain = workload.gain[:, None]
    slopes = np.stack([1 - left, gain * x * left, np.ones_like(left)], axis=-1)
    accuracy = np.clip(workload.baseline[:, None] + gain * (1 - left), 1e-3, 1 - 1e-3)
    along = np.einsum("kp,kpq,kxq->kx", kappa, sigma, slopes)
    spread = np.einsum("kxp,kpq,kxq->kx", slopes, sigma, slopes)
    saved = questions * along**2 / (accuracy * (1 - accuracy) + questions * spread)
    return MeasurementValue(
        names=workload.names,
        tokens=x,
        regret=response * np.einsum("kp,kpq,kq->k", kappa, sigma, kappa) / 2,
        saved=response[:, None] * saved / 2,
        questions=questions,
    )


def _response(workload: Workload, tokens: Array) -> Array:
    """Return the diagonal of the inverse curvature on the budgets that are not at a bound."""
    free = np.flatnonzero((tokens > 0) & (tokens < workload.max_tokens))
    response = np.zeros(len(workload))
    if free.size:
        # one type for each measured task: small enough to be written out
        matrix = negative_hessian(workload, tokens).dense()[np.ix_(free, free)]
        unit = 1 / np.sqrt(np.diag(matrix))
        response[free] = unit**2 * np.diag(np.linalg.inv(matrix * np.outer(unit, unit)))
    return response


def _sensitivity(workload: Workload, tokens: Array) -> Array:
    """Return the derivatives of each marginal worth in gain, rate and baseline, (N, 3)."""
    worth = workload.accuracy_weight * workload.weight * workload.share
    left = np.exp(-workload.rate * tokens)
    by_rate = workload.gain * left * (1 - workload.rate * tokens)
    return np.stack([worth * workload.rate * left, worth * by_rate, np.zeros_like(worth)], axis=-1)
