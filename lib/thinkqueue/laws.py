r"""What can be said of the optimum with a pocket calculator: an empty server and a full one.

On a quiet server each budget is that of an idle server less what the mean wait behind one's own
service is worth. Where accuracy is worth very much, the server fills up, and what is left of it
shrinks like one over the square root of that worth (our own derivations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from thinkqueue.arrays import Array
from thinkqueue.checks import floats
from thinkqueue.delay.time import (
    only_fifo,
    refuse_unstable,
    service_moments,
    service_time,
    utilization,
)
from thinkqueue.errors import WorkloadError
from thinkqueue.objective import mean_accuracy
from thinkqueue.workload import Workload


def light_traffic_tokens(workload: Workload) -> Array:
    r"""Return the best budgets of a quiet server, to first order in the arrival rate.

    .. math:: \ell^*_k = \ell^0_k - \frac{\lambda s^0_k}{b_k} + O(\lambda^2), \qquad
              \ell^0_k = \operatorname{clip}\Bigl(\frac1{b_k}\ln\frac{\alpha w_kA_kb_k}{c_k},\; 0,\;
              \ell_{\max,k}\Bigr), \quad s^0_k = t_{0,k} + c_k\ell^0_k .

    Parameters
    ----------
    workload : Workload
        The workload.

    Returns
    -------
    ndarray, (N,)
        In tokens, between 0 and the cap. A budget at 0 or at its cap stays there to first order.

    Raises
    ------
    WorkloadError
        If the curves do not saturate, or the server is not first come, first served.

    Notes
    -----
    :math:`\ell^0`, the best budgets on an idle server, is above :math:`\ell^*` at every arrival
    rate; where it is stable, :math:`F(\ell^0)` is below it. Close to :math:`\rho(\ell^0) = 1` the
    first order is of no use.
    """
    only_fifo(workload, "The law of a quiet server")
    value = workload.accuracy_weight * workload.weight * workload.gain * workload.rate
    idle = _reply(workload, _log(value / workload.time_per_token))
    less = workload.arrival_rate * service_time(workload, idle) / workload.rate
    return np.where(idle < workload.max_tokens, np.maximum(idle - less, 0.0), idle)


@dataclass(frozen=True, eq=False)
class CapacityLaw:
    r"""The best use of a server's whole time, and how the optimum comes near it.

    Attributes
    ----------
    arrival_rate : float
        :math:`\lambda`.
    tokens : ndarray, (N,)
        The budgets that maximise :math:`\sum_k w_k\pi_kp_k` under :math:`\lambda m = 1`.
    accuracy : float
        :math:`P_c`, that maximum.
    second_moment : float
        :math:`M_c` there, in s².
    price : float
        :math:`\nu_c`, what one more second of mean service time would add to :math:`P_c`, in 1/s.
    """

    arrival_rate: float
    tokens: Array
    accuracy: float
    second_moment: float
    price: float

    def slack(self, accuracy_weight: ArrayLike) -> Array:
        r"""Return what the optimum leaves of the server, to leading order.

        .. math:: 1 - \rho^* \approx \lambda\sqrt{\frac{M_c}{2\nu_c\alpha}}.

        Parameters
        ----------
        accuracy_weight : array_like
            :math:`\alpha` in s.
        """
        alpha = floats("accuracy_weight", accuracy_weight)
        return np.asarray(
            self.arrival_rate * np.sqrt(self.second_moment / (2 * self.price * alpha))
        )

    def objective(self, accuracy_weight: ArrayLike) -> Array:
        r"""Return :math:`\alpha P_c - \sqrt{2\alpha\nu_cM_c}`, off :math:`J^*` by O(1).

        Parameters
        ----------
        accuracy_weight : array_like
            :math:`\alpha` in s.
        """
        alpha = floats("accuracy_weight", accuracy_weight)
        return np.asarray(
            alpha * self.accuracy - np.sqrt(2 * alpha * self.price * self.second_moment)
        )


def capacity_law(workload: Workload) -> CapacityLaw:
    r"""Find the limit that the optimum tends to as accuracy becomes worth more and more.

    .. math:: \max_{0\le\ell\le\ell_{\max}} \sum_k w_k\pi_kp_k(\ell_k)
              \quad\text{subject to}\quad \lambda m(\ell) = 1,

    whose multiplier :math:`\nu_c` is the root of a decreasing function of one variable. As
    :math:`\alpha \to \infty`, :math:`(1 - \rho^*)\sqrt\alpha \to \lambda\sqrt{M_c/2\nu_c}` and
    :math:`J^* = \alpha P_c - \sqrt{2\alpha\nu_cM_c} + O(1)`.

    Parameters
    ----------
    workload : Workload
        The workload; its accuracy weight plays no part.

    Raises
    ------
    UnstableError
        If :math:`\rho(0) \ge 1`.
    WorkloadError
        If the types that gain from thinking cannot fill the server within their caps: then the
        optimum tends to those caps and not to a full server. Or if the curves do not saturate, or
        the server is not first come, first served.
    """
    only_fifo(workload, "The law of a full server")
    idle = np.zeros(len(workload))
    if (load := float(utilization(workload, idle))) >= 1:
        refuse_unstable(workload, load, "even with no thinking tokens at all")
    value = workload.weight * workload.gain * workload.rate
    most = float(utilization(workload, np.where(value > 0, workload.max_tokens, 0.0)))
    if most <= 1:
        raise WorkloadError(
            f"The types that gain from thinking fill the server to {most:.4g} at their caps; "
            "for the law of a full server their max_tokens must allow for a load above 1.",
            parameter="max_tokens",
            value=most,
        )
    log_worth = _log(value / workload.time_per_token)

    def excess(log_price: float) -> float:
        return float(utilization(workload, _reply(workload, log_worth - log_price))) - 1

    thinking = (value > 0) & (workload.share > 0)
    drift = workload.arrival_rate * workload.share * workload.time_per_token
    # where a cap is out of reach, the tokens with which the type would fill the server alone
    most_tokens = np.minimum(workload.max_tokens[thinking], 1 / drift[thinking])
    dear = float(log_worth[thinking].max()) + 1
    cheap = float((log_worth[thinking] - workload.rate[thinking] * most_tokens).min()) - 1
    log_price = float(brentq(excess, cheap, dear, xtol=1e-14, rtol=1e-14))
    tokens = _reply(workload, log_worth - log_price)
    tokens.flags.writeable = False
    return CapacityLaw(
        arrival_rate=workload.arrival_rate,
        tokens=tokens,
        accuracy=float(mean_accuracy(workload, tokens)),
        second_moment=float(service_moments(workload, tokens)[1]),
        price=float(np.exp(log_price)),
    )


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _reply(workload: Workload, log_worth_over_price: Array) -> Array:
    """Return the budgets at which a marginal token is worth its price, within 0 and the caps."""
    return np.clip(log_worth_over_price / workload.rate, 0.0, workload.max_tokens)
