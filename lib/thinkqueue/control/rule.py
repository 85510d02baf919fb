r"""The stopping rule: what a token costs now, from one number.

One step of policy improvement from fixed budgets, whose relative value at the start of a service
with i in the system is known,

.. math:: V(i) = iJ - \frac{m}{2y}\,i(i-1), \qquad y = 1 - \rho .

A second more of service while n wait costs :math:`q = 1 + n/y`: one second for the query itself and
:math:`1/y` for each that waits; J has cancelled. At the start of a service, to be kept to its end,
the price of its last second is :math:`1 + (n + \lambda s)/y`, since some will come meanwhile. Both
rules earn at least as much as the fixed budgets from which they come.

Who knows how many seconds of work wait and not how many queries counts them in services of the
fixed budgets, of m seconds each: :math:`q = 1 + U/(my)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import wrightomega

from thinkqueue.arrays import Array
from thinkqueue.checks import floats, one_number
from thinkqueue.control.lookup import ByWaiting, type_index, whole
from thinkqueue.control.table import MOST_ROWS, When, check_when, check_workload, refuse_long
from thinkqueue.control.value import TableValue, evaluate
from thinkqueue.delay import service_moments, utilization
from thinkqueue.errors import WorkloadError
from thinkqueue.solve import solve
from thinkqueue.workload import Saturating, Workload
from thinkqueue.workload.accuracy import bisect


@dataclass(frozen=True)
class StoppingRule(ByWaiting):
    r"""When to stop a thought, or how long to let it be, by how many wait.

    Attributes
    ----------
    workload : Workload
        Whose types it is for.
    when : {"start", "any time"}
        Whether a budget is kept from the start of a service, or the queue may stop a thought.
    slack : float
        y, the only number besides the curves and :math:`\alpha` that it needs.
    mean_service : float
        m of the fixed budgets in s, by which waiting work is counted in queries.
    thresholds : ndarray, (R, N)
        Tokens, a row for every number waiting; the last row holds for all larger numbers.
    """

    workload: Workload
    when: When
    slack: float
    mean_service: float
    thresholds: Array = field(repr=False)

    def price(self, waiting: ArrayLike) -> Array:
        r"""Return :math:`1 + n/y`, the seconds of mean system time that a second costs now.

        Parameters
        ----------
        waiting : int or array_like of int
            n, how many queries wait behind the one in service.
        """
        return np.asarray(1 + whole("waiting", waiting) / self.slack)

    def tokens(self, type: str | int, waiting: ArrayLike) -> Array:
        """Return the budget of one type, in tokens, by the formula.

        Parameters
        ----------
        type : str or int
            Its name or its index.
        waiting : int or array_like of int
            How many queries wait behind the one in service.

        Raises
        ------
        WorkloadError
            If there is no such type, or a number is no number of queries.
        """
        price = self.price(waiting)
        return self._reply(price)[..., type_index(self.workload, type)]

    def tokens_for_work(self, type: str | int, seconds: ArrayLike) -> Array:
        r"""Return the budget of one type by the work that waits, at the price :math:`1 + U/(my)`.

        Parameters
        ----------
        type : str or int
            Its name or its index.
        seconds : float or array_like
            U, the seconds that the waiting queries would take with the fixed budgets.

        Raises
        ------
        WorkloadError
            If there is no such type, or a number is negative.
        """
        work = floats("seconds", seconds)
        if not (work >= 0).all():
            raise WorkloadError(
                f"seconds is {seconds!r}; it must not be negative.",
                parameter="seconds",
                value=seconds,
            )
        price = 1 + work / (self.mean_service * self.slack)
        return self._reply(price)[..., type_index(self.workload, type)]

    @cached_property
    def value(self) -> TableValue:
        """What the rule is worth, exactly."""
        return evaluate(self.workload, self.thresholds, self.when)

    @property
    def objective(self) -> float:
        """J of the rule, in s."""
        return self.value.objective

    def document(self) -> dict[str, Any]:
        """Return what is written: the number that the rule needs, and its table."""
        return {"slack": self.slack, **super().document()}

    def _reply(self, price: Array) -> Array:
        return replies(self.workload, price[..., None], self.when, self.slack)


def stopping_rule(
    workload: Workload, *, when: When = "any time", slack: float | None = None
) -> StoppingRule:
    r"""Return the rule that reads the queue: a closed form for budgets by the number waiting.

    .. math:: \ell_k(n) = \operatorname{clip}\Bigl(\frac1{b_k}
              \ln\frac{\alpha w_kA_kb_k}{c_k(1 + n/y)},\; 0,\; \ell_{\max,k}\Bigr)

    or, where budgets are chosen at the start of a service and kept,

    .. math:: \ell_k(n) = \frac1{b_k}\ln\frac{K}{z}, \qquad
              z = \frac{\lambda c_k}{b_ky}\,\omega\Bigl(\ln\frac{b_ky}{\lambda c_k}K
              + \frac{b_k(y + n + \lambda t_{0,k})}{\lambda c_k}\Bigr), \qquad
              K = \frac{\alpha w_kA_kb_k}{c_k}

    clipped, with the Wright function :math:`\omega`. Curves of another kind are solved for.

    Parameters
    ----------
    workload : Workload
        First come, first served by one server, with concave accuracy curves.
    when : {"start", "any time"}, optional
        Whether budgets are kept, or a thought may be stopped when more queries come.
    slack : float, optional
        y; :math:`1 - \rho` of the best fixed budgets where not given. With 1 it is the naive price
        :math:`1 + n`, which forgets those who are yet to come.

    Raises
    ------
    UnstableError
        If no budgets are stable.
    WorkloadError
        If the workload has another server, other service times or other curves.

    Notes
    -----
    Our own derivation; improving a policy once by its relative values goes back to J. M. Norman
    (1972).
    """
    check_when(when)
    check_workload(workload)
    fixed = solve(workload, throw=False).tokens  # any fixed budgets will do to start from
    y = float(1 - utilization(workload, fixed))
    if slack is not None:
        y = one_number("slack", slack, least=1e-12)
    mean = float(service_moments(workload, fixed)[0])
    last = np.ceil(y * (dearest(workload) - 1))
    if not last < MOST_ROWS:
        refuse_long(last + 1)
    waiting = np.arange(max(last, 0.0) + 1)
    table = replies(workload, (1 + waiting / y)[:, None], when, y)
    return StoppingRule(workload, when, y, mean, trimmed(table))


def replies(workload: Workload, price: Array, when: When, slack: float) -> Array:
    r"""Return the budgets at the price of a second now, q, or of one later, :math:`q+\lambda s/y`.

    Parameters
    ----------
    workload : Workload
        The workload.
    price : ndarray, (..., 1)
        q.
    when : {"start", "any time"}
        Which of the two.
    slack : float
        y.
    """
    lam, pace = workload.arrival_rate, workload.time_per_token
    worth = workload.accuracy_weight * workload.weight
    with np.errstate(divide="ignore", invalid="ignore"):
        per_worth = np.where(worth > 0, pace / worth, np.inf)
    low, cap = np.zeros(len(workload)), workload.max_tokens
    if when == "any time":
        low = low + 0 * price
        return np.asarray(workload.curves.reply(price * per_worth, low, cap + 0 * low))
    rise = lam / slack  # of the price, a second of service
    start = price + rise * workload.base_time
    curves = workload.curves
    if isinstance(curves, Saturating):
        # what a second is worth at first, K; where it is nothing, nobody thinks
        first = np.asarray(curves.gain * curves.rate / per_worth)
        log_first = np.log(np.maximum(first, 1e-300))
        scale = curves.rate / (rise * pace)
        z = wrightomega(np.log(scale) + log_first + scale * start) / scale
        best = (log_first - np.log(np.maximum(z, 1e-300))) / curves.rate
        return np.asarray(np.where(first > start, np.clip(best, 0.0, cap), 0.0))
    shape = np.broadcast_shapes(start.shape, low.shape)

    def surplus(tokens: Array) -> Array:
        return np.asarray(worth * curves.slope(tokens) - pace * (start + rise * pace * tokens))

    return bisect(surplus, np.zeros(shape), np.zeros(shape), np.broadcast_to(cap, shape))


def dearest(workload: Workload) -> float:
    r"""Return :math:`\max_k \alpha w_kp_k'(0)/c_k`: at this price of a second nobody thinks.

    Parameters
    ----------
    workload : Workload
        The workload.
    """
    slope = np.asarray(workload.curves.slope(np.zeros(len(workload))))
    worth = workload.accuracy_weight * workload.weight * slope / workload.time_per_token
    return float(np.max(np.where(workload.max_tokens > 0, worth, 0.0)))


def trimmed(table: Array) -> Array:
    """Return a table that ends with its first row of nothing, read-only.

    Parameters
    ----------
    table : ndarray, (R, N)
        The rows, the last of them zero.
    """
    some = np.flatnonzero(table.any(axis=1))
    rows = int(some[-1]) + 2 if some.size else 1
    short = np.array(table[:rows]) if rows <= len(table) else np.vstack([table, 0 * table[:1]])
    short.flags.writeable = False
    return short
