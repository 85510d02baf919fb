"""A promise about the mean time of a batching server is a budget of tokens."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from thinkqueue.arrays import first, total
from thinkqueue.batching.present import batching_delay
from thinkqueue.checks import SMALLEST, one_number
from thinkqueue.delay.batching import Shared, mix_of
from thinkqueue.delay.number_present import Straight
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import Workload


def token_budget(workload: Workload, latency: float) -> float:
    r"""Return how many tokens a query may generate in the mean, if the mean time is to be kept.

    The mean time depends on the tokens through their mean alone, so that

    .. math:: \mathbb{E}[T] \le d \iff \sum_k\pi_k(a_k + \ell_k) \le m(d), \qquad
              m(d) = \frac{d\,(1-\lambda\bar p) - \bar p}{\tau(1) + \lambda bd}

    where the last is for :math:`\tau(n) = a + bn` without a cap, and a root else: a linear
    constraint, the same for accuracy curves of any kind.

    Parameters
    ----------
    workload : Workload
        With a :class:`~thinkqueue.Batching` server on which the overflow, if any, shares.
    latency : float
        d, in s.

    Returns
    -------
    float
        Tokens a query, those of the answer included.

    Raises
    ------
    WorkloadError
        If not even the answers alone keep the promise, or the mean time depends on more than the
        mean number of tokens (queries that wait, context).
    """
    latency = one_number("latency", latency, least=SMALLEST)
    delay = batching_delay(workload, "The budget of tokens")
    if not isinstance(delay, Shared):
        raise WorkloadError(
            "Where queries wait for a place, or time grows with the context, the mean time depends "
            "on more than the mean number of tokens; solve_target keeps a mean time on Fifo().",
            parameter="server",
            value=workload.server,
        )
    rate, law = workload.arrival_rate, delay.law
    nothing = np.zeros(len(workload))
    answers = total(workload.share, workload.service.mean(nothing))
    least, prompt, u, _ = mix_of(workload, answers, law.pace)
    at_least = first(delay.at(workload, nothing).time)
    if not at_least <= latency:
        raise WorkloadError(
            f"latency is {latency:g} s; without any thinking the mean time is {at_least:.6g} s.",
            parameter="latency",
            value=latency,
        )
    if isinstance(law, Straight):
        one, b = law.line.intercept + law.line.slope, law.line.slope
        return float((latency * u - prompt) / (one + rate * b * latency))

    def excess(m: float) -> float:
        y = u - rate * m * law.pace
        found = law.present(rate * m / u)
        return float(m * found.mean / u + prompt / y) - latency

    most = u / (rate * law.pace) if law.pace else latency / float(law.present(0.0).mean)
    # even alone, a token takes τ(1)
    high = min(most * (1 - 1e-15), latency * u / float(law.present(0.0).mean))
    return float(brentq(excess, first(least), high, xtol=1e-12, rtol=1e-14))
