r"""The best budgets of a batching server without any iteration: sort, bisect, one Wright omega."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from scipy.special import wrightomega

from thinkqueue.arrays import Array, total
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.delay.batching import Shared, mix_of
from thinkqueue.delay.number_present import Straight
from thinkqueue.delay.time import delay_of
from thinkqueue.errors import WorkloadError
from thinkqueue.objective import saturating
from thinkqueue.solution import Status
from thinkqueue.workload import Parameters

LARGEST_EXPONENT = 700.0
"""The exponential of more than this is no float; a cap of 1e30 tokens has a price that low."""


@dataclass(frozen=True)
class ClosedForm:
    r"""The optimum in closed form, for :math:`\tau(n) = a + bn`, no cap, and saturating curves.

    With one price q for all types the budgets are :math:`\ell_k =
    \operatorname{clip}(\ln(V_k/q)/\beta_k, 0, \ell_{\max,k})`, :math:`V_k = \alpha w_kA_k\beta_k`,
    and the price is :math:`q = \kappa/y^2`, :math:`y = 1 - \lambda\bar p - \lambda bm`,
    :math:`\kappa = \tau(1)(1-\lambda\bar p) + \lambda b\bar p`. The prices at which some budget
    meets 0 or its cap are :math:`V_k` and :math:`V_ke^{-\beta_k\ell_{\max,k}}`: sorted and
    bisected, they leave a set S of types strictly between, and with :math:`G = \sum_S\pi/\beta`,
    :math:`K = 2\lambda bG`,

    .. math:: y + K\ln y = Y := 1 - \lambda\bar p - \lambda b\,(m_S - G\ln\kappa)
              \quad\Longrightarrow\quad y = K\,\omega(Y/K - \ln K),

    where :math:`m_S` is the mean number of tokens at price 1 with these sets. It takes
    O(N log N), and the tangent bound certifies it (our own derivation).
    """

    def iterates(
        self, problem: Parameters, tokens: Array | None = None
    ) -> Generator[Tangent, None, Status]:
        """Yield the optimum, and that is all.

        Parameters
        ----------
        problem : Parameters
            The workload.
        tokens : ndarray, (N,), optional
            Not needed.

        Raises
        ------
        WorkloadError
            If the server is another one, or the curves do not saturate.
        """
        yield tangent(problem, _optimum(problem))
        return Status.STALLED


def _optimum(p: Parameters) -> Array:
    delay = delay_of(p.server)
    if not (isinstance(delay, Shared) and isinstance(delay.law, Straight)):
        raise WorkloadError(
            "The closed form holds for Batching(TokenTime(base, per_query)) without a cap or a "
            f"cost of context only; this workload is served by {p.server!r}. Use Newton().",
            parameter="server",
            value=p.server,
        )
    curves, line, rate = saturating(p), delay.law.line, float(p.arrival_rate)
    nothing = np.zeros_like(p.share)
    least, prompt, u, slack = (
        float(part) for part in mix_of(p, total(p.share, p.service.mean(nothing)), delay.law.pace)
    )
    if slack <= 0:
        return nothing
    b = rate * line.slope
    kappa = (line.intercept + line.slope) * u + b * prompt
    beta = np.asarray(curves.rate)
    with np.errstate(divide="ignore"):
        worth = np.log(p.accuracy_weight * p.weight * curves.gain) + np.log(beta)

    def wish(log_price: float) -> Array:
        return np.asarray((worth - log_price) / beta)

    def room(log_price: float) -> float:
        """Return y as the budgets make it less y as the price says: it rises with the price."""
        ell = np.clip(wish(log_price), 0, p.max_tokens)
        y = np.exp(min((np.log(kappa) - log_price) / 2, LARGEST_EXPONENT))
        return float(u - b * (least + p.share @ ell) - y)

    edges = np.concatenate([worth, worth - beta * p.max_tokens])
    edges = np.sort(edges[np.isfinite(edges)])
    low, high = -1, len(edges)  # the price lies between these two
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if room(edges[middle]) >= 0 else (middle, high)
    above = edges[high] if high < len(edges) else np.inf
    below = edges[low] if low >= 0 else -np.inf
    inside = (worth >= above) & (worth - beta * p.max_tokens <= below)
    full = worth - beta * p.max_tokens >= above
    spread = float(p.share[inside] @ (1 / beta[inside]))
    mean = least + float(p.share[full] @ p.max_tokens[full])
    mean += float(p.share[inside] @ wish(0.0)[inside])
    k, y = 2 * b * spread, u - b * (mean - spread * np.log(kappa))
    if k > 0:
        y = k * float(wrightomega(y / k - np.log(k)))
    return np.clip(wish(np.log(kappa) - 2 * np.log(y)), 0, p.max_tokens)
