r"""How long a query stays at a batching server: its variance exactly, its percentiles nearly.

In the clock that counts steps, a query of x tokens lives for exactly x, and those that are there
beget those that come while a step lasts: :math:`\lambda a` immigrants and :math:`\lambda b`
children of each living query, a branching process. The query itself is one more root that begets
in the same way, and the whole is the :math:`(1+r)`-th power, :math:`r = a/b`, of what it is for
a = 0, which is processor sharing:

.. math:: \mathbb{E}\,e^{-sT(x)} = \bigl(\mathbb{E}\,e^{-sT_{\mathrm{PS}}(x)}\bigr)^{1+r}.

Hence, with W the wait first come, first served of the M/G/1 queue whose service times are
:math:`bx_k`, and Yashkov's variance of processor sharing,

.. math:: \operatorname{Var}T(x) = \frac{2(1+r)}{(1-\rho)^2}\int_0^{bx}(bx-t)\,P(W>t)\,dt
          \qquad\text{(our own derivation).}
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import ArrayLike
from scipy.special import gammaincc, gammainccinv

from thinkqueue.arrays import Array, first
from thinkqueue.batching.present import batching_delay, mean_type_time
from thinkqueue.delay.batching import Shared
from thinkqueue.delay.number_present import Straight
from thinkqueue.delay.time import stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.waiting_time.bounds import times_array
from thinkqueue.waiting_time.exact import levels_array, waiting_time_distribution
from thinkqueue.workload import Fifo, Workload, tokens_array

PIECES: Final = 64
"""Into how many intervals the longest service is cut, besides at every other one."""

NODES, WEIGHTS = leggauss(10)


@dataclass(frozen=True, eq=False)
class TypeTime:
    r"""The time T of a query of each type at a batching server.

    The variance is exact. Percentiles and tail are those of a gamma law, shifted to
    :math:`\tau(1)x`, the time alone, with this mean and this variance: an approximation.

    Attributes
    ----------
    least : ndarray, (N,)
        :math:`\tau(1)x_k` in s, the time alone.
    mean : ndarray, (N,)
        In s.
    variance : ndarray, (N,)
        In s².
    """

    least: Array
    mean: Array
    variance: Array

    def tail(self, t: ArrayLike) -> Array:
        r"""Return :math:`P(T_k > t)`, the shape of t followed by (N,).

        Parameters
        ----------
        t : array_like
            Times in s.
        """
        shape, scale = self._gamma
        late = times_array(t)[..., None] - self.least
        with np.errstate(invalid="ignore", divide="ignore"):
            chance = gammaincc(shape, np.maximum(late, 0) / scale)
        return np.where(late < 0, 1.0, np.where(self._certain, 0.0, chance))

    def quantile(self, p: ArrayLike) -> Array:
        r"""Return the time within which a part p of the answers of each type comes, in s.

        Parameters
        ----------
        p : array_like
            Levels in [0, 1); the result has their shape followed by (N,).
        """
        shape, scale = self._gamma
        with np.errstate(invalid="ignore", divide="ignore"):
            late = scale * gammainccinv(shape, 1 - levels_array(p)[..., None])
        return self.least + np.where(self._certain, 0.0, late)

    def late(self, deadline: Array) -> Array:
        r"""Return :math:`P(T_k > d_k)`, (N,).

        Parameters
        ----------
        deadline : ndarray, (N,)
            One time a type, in s.
        """
        shape, scale = self._gamma
        late = deadline - self.least
        chance = gammaincc(shape, np.maximum(late, 0) / scale)
        return np.where(late < 0, 1.0, np.where(self._certain, 0.0, chance))

    def within(self, level: Array) -> Array:
        """Return the time within which a part of the answers of each type comes, (N,), in s.

        Parameters
        ----------
        level : ndarray, (N,)
            One level in [0, 1) a type.
        """
        shape, scale = self._gamma
        return np.where(
            self._certain, self.least, self.least + scale * gammainccinv(shape, 1 - level)
        )

    @property
    def _certain(self) -> Array:
        return np.asarray(~((self.variance > 0) & (self.mean > self.least)))

    @property
    def _gamma(self) -> tuple[Array, Array]:
        late = np.where(self._certain, 1.0, self.mean - self.least)
        variance = np.where(self._certain, 1.0, self.variance)
        return late**2 / variance, variance / late


def type_time(workload: Workload, tokens: ArrayLike) -> TypeTime:
    r"""Return mean, variance and, nearly, the percentiles of the time of each type.

    Parameters
    ----------
    workload : Workload
        With ``Batching(TokenTime(base, per_query))``, no cap, and prompts that take no time.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If it is asked for more than it can do.
    WorkloadError
        If the server is another one: then no variance is known.
    """
    delay = batching_delay(workload, "The variance of the time")
    known = isinstance(delay, Shared) and isinstance(delay.law, Straight)
    if not known or np.any(getattr(workload.service, "prompt_time", 0.0)):
        raise WorkloadError(
            "The variance of the time is known for Batching(TokenTime(base, per_query)) without a "
            "cap, a cost of context, or prompts that take time; simulate what you have.",
            parameter="server",
            value=workload.server,
        )
    assert isinstance(delay, Shared)
    assert isinstance(delay.law, Straight)
    ell = tokens_array(workload, tokens, single=True)
    y = first(stable_state(workload, ell).slack)
    (a, b), x = delay.law.line, workload.service.mean(ell)
    least, mean = (a + b) * x, mean_type_time(workload, ell)
    if b == 0 or not x.any():
        return TypeTime(least, mean, np.zeros_like(x))
    # the same queries one at a time, each token taking b
    alone = workload.replace(
        server=Fifo(), base_time=b * workload.service.mean(0 * ell), time_per_token=b
    )
    wait = waiting_time_distribution(alone, ell)
    edges = np.unique(np.concatenate([b * x, np.linspace(0, b * x.max(), PIECES + 1)]))
    once, twice = [0.0], [0.0]  # ∫P(W>t) and ∫∫ up to each edge
    for left, right in pairwise(edges):
        half = (right - left) / 2
        t = left + half * (1 + NODES)
        tail = half * WEIGHTS * wait.tail(t)
        twice.append(twice[-1] + once[-1] * 2 * half + float(tail @ (right - t)))
        once.append(once[-1] + float(tail.sum()))
    integral = np.asarray(twice)[np.searchsorted(edges, b * x)]
    return TypeTime(least, mean, 2 * (1 + a / b) / y**2 * integral)
