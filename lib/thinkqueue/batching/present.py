r"""How many queries are at a batching server, and how long each type stays in the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first, total
from thinkqueue.checks import floats
from thinkqueue.delay.batching import Context, Shared, Waiting, load_of, mix_of
from thinkqueue.delay.number_present import Law
from thinkqueue.delay.time import delay_of, stable_state
from thinkqueue.delay.type_times import type_times
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import Batching, Workload, tokens_array


def batching_delay(workload: Workload, what: str) -> Shared | Waiting | Context:
    """Return the formulas of a workload's batching server.

    Parameters
    ----------
    workload : Workload
        The workload.
    what : str
        What holds for such a server only, as the beginning of a sentence.

    Raises
    ------
    WorkloadError
        If it has another server.
    """
    delay = delay_of(workload.server)
    if not isinstance(workload.server, Batching) or not isinstance(
        delay, Shared | Waiting | Context
    ):
        raise WorkloadError(
            f"{what} holds for a Batching(...) server only; this workload is served by "
            f"{workload.server!r}.",
            parameter="server",
            value=workload.server,
        )
    return delay


@dataclass(frozen=True)
class QueriesPresent:
    r"""The stationary number N of queries at a batching server, those that decode.

    Exact, whatever the lengths are distributed like, where prompts take no time and an overflow
    shares; where it waits, for lengths that are exponential.

    Attributes
    ----------
    mean, variance, third_cumulant : float
        :math:`\kappa_1, \kappa_2, \kappa_3` of N.
    waiting : float
        :math:`\mathbb{E}[(N-B)^+]`; 0 without a cap.
    tokens_per_second : float
        :math:`\theta`, what is asked for, in the time that prompts leave.
    most_tokens_per_second : float
        :math:`\max\varphi`, at which the server is full; infinite where nobody slows the others.
    """

    mean: float
    variance: float
    third_cumulant: float
    waiting: float
    tokens_per_second: float
    most_tokens_per_second: float
    _law: Law

    def probability(self, n: ArrayLike) -> Array:
        """Return P(N = n).

        Parameters
        ----------
        n : array_like
            Whole numbers.
        """
        many = floats("n", n)
        bad = ~((many >= 0) & (many == np.floor(many)))
        if bad.any():
            raise WorkloadError(
                f"n is {many[bad].flat[0]:g}; it must be a whole number of at least 0.",
                parameter="n",
                value=float(many[bad].flat[0]),
            )
        return np.exp(self._law.log_probability(many, self.tokens_per_second))


def queries_present(workload: Workload, tokens: ArrayLike) -> QueriesPresent:
    r"""Return the law of the number of queries present, :math:`P(n) \propto \prod_{i\le n}
    \theta/\varphi(i)`.

    Parameters
    ----------
    workload : Workload
        With a :class:`~thinkqueue.Batching` server.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If it is asked for more than it can do.
    WorkloadError
        If the server does not batch, or time grows with the context, for which no law is known.
    """
    delay = batching_delay(workload, "The law of the number present")
    if isinstance(delay, Context):
        raise WorkloadError(
            "No law of the number present is known where time grows with the context; set "
            "per_context to 0, with per_query measured at a typical length.",
            parameter="per_context",
        )
    ell = tokens_array(workload, tokens, single=True)
    stable_state(workload, ell)
    mix = mix_of(workload, total(workload.share, workload.service.mean(ell)), delay.law.pace)
    theta = max(first(load_of(mix, workload.arrival_rate)), 1e-120)
    found, pace = delay.law.present(theta), delay.law.pace
    return QueriesPresent(
        mean=float(found.mean * theta),
        variance=float(found.variance * theta),
        third_cumulant=float(found.variance * theta + found.excess * theta**2),
        waiting=float(found.waiting * theta),
        tokens_per_second=theta,
        most_tokens_per_second=1 / pace if pace else np.inf,
        _law=delay.law,
    )


def mean_type_time(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the mean time from arrival to answer of each type, in s.

    At a batching server

    .. math:: \mathbb{E}[T_k] = \frac{x_k}{\theta}\,\mathbb{E}[N]
              \quad\text{and for } \tau(n) = a + bn \quad
              \mathbb{E}[T_k] = \frac{\tau(1)\,x_k}{1-\lambda bm};

    with prompts, context or a line as :mod:`thinkqueue.delay.batching` says; for the disciplines
    of a server that takes one at a time see their modules in :mod:`thinkqueue.delay`.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If it is asked for more than it can do.
    WorkloadError
        If the server is one of which only the mean time of all is known.
    """
    if not isinstance(workload.server, Batching):
        return type_times(workload, tokens)
    delay = batching_delay(workload, "The mean time of a type")
    ell = tokens_array(workload, tokens, single=True)
    y = first(stable_state(workload, ell).slack)
    x, rate = workload.service.mean(ell), workload.arrival_rate
    if isinstance(delay, Context):
        return np.asarray((delay.step.base * x + delay.work(workload, ell)[1]) / y)
    mix = mix_of(workload, total(workload.share, x), delay.law.pace)
    found = delay.law.present(load_of(mix, rate))
    u = first(mix.free)
    if isinstance(delay, Waiting):
        spread = float(workload.share @ x**2) / first(mix.tokens) ** 2
        return np.asarray(
            found.waiting * mix.tokens * spread / 2 + x * (found.mean - found.waiting)
        )
    return np.asarray(x * found.mean / u + getattr(workload.service, "prompt_time", 0.0) / y)
