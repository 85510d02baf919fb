r"""The stopping rule of a batching server: what a token costs while n are present.

Everybody present gets a token in :math:`\tau(n) = a + bn` seconds. Where lengths are exponential
with mean m, the fixed budgets have the relative value v(n) with

.. math:: v(n) - v(n-1) = -\frac{m\,\tau(n)}{1-\rho}, \qquad \rho = \lambda bm ,

linear in n, and a query that goes on for one token more, with n present, costs

.. math:: q(n) = \tau(n) + (n-1)\,\frac{b}{1-\rho} :

its own time, and from each of the others the b seconds by which the step is longer, with all whom
they make wait. Those who generate a token see :math:`n - 1` others with the law of the number
present, so that in the mean q is the price of fixed budgets, :math:`\tau(1)/(1-\rho)^2`. For other
lengths the same price is used; simulation judges it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.control.lookup import type_index, whole
from thinkqueue.delay import utilization
from thinkqueue.errors import WorkloadError
from thinkqueue.solve import solve
from thinkqueue.workload import Batching, TokenTime, Workload


@dataclass(frozen=True)
class BatchStoppingRule:
    r"""When to stop a thought, by how many are in the batch.

    Attributes
    ----------
    workload : Workload
        Whose types it is for.
    load : float
        :math:`\rho` of the best fixed budgets.
    crowd_price : float
        What each of the others adds to the price of a token, in s: :math:`b + b/(1-\rho)`.
    """

    workload: Workload
    load: float
    crowd_price: float

    def price(self, present: ArrayLike) -> Array:
        r"""Return :math:`q(n) = \tau(1) + (n-1)(b + b/(1-\rho))`, in s a token.

        Parameters
        ----------
        present : int or array_like of int
            n, how many are in the batch, this query among them.

        Raises
        ------
        WorkloadError
            If a number is none of queries, or 0.
        """
        number = whole("present", present)
        if (number < 1).any():
            raise WorkloadError(
                f"present is {present!r}; it must be at least 1, the query itself.",
                parameter="present",
                value=present,
            )
        return np.asarray(_line(self.workload).seconds_at(1) + (number - 1) * self.crowd_price)

    def tokens(self, type: str | int, present: ArrayLike) -> Array:
        """Return the budget of one type, in tokens.

        Parameters
        ----------
        type : str or int
            Its name or its index.
        present : int or array_like of int
            How many are in the batch, this query among them.

        Raises
        ------
        WorkloadError
            If there is no such type, or a number is none of queries.
        """
        w, k = self.workload, type_index(self.workload, type)
        price, worth = self.price(present), w.accuracy_weight * w.weight[k]
        if not worth:
            return np.zeros_like(price)
        asked, low = price / worth, np.zeros_like(price)
        return w.curves.pick(k).reply(asked, low, np.full_like(price, w.max_tokens[k]))


def batch_stopping_rule(workload: Workload) -> BatchStoppingRule:
    r"""Return the rule that reads the batch: think while :math:`\alpha w_kp_k'(\ell) > q(n)`.

    Parameters
    ----------
    workload : Workload
        At a ``Batching`` server whose steps take :math:`a + bn` seconds, without a cap, without
        time for prompts or context, and with concave accuracy curves.

    Raises
    ------
    UnstableError
        If no budgets are stable.
    WorkloadError
        If the workload is another one.

    Notes
    -----
    Our own derivation.
    """
    _line(workload)
    if not workload.curves.concave:
        raise WorkloadError(
            "Whether to stop now can be told from the next token alone only where accuracy curves "
            "are concave, and some of these are not; fit Saturating or PowerLaw curves.",
            parameter="accuracy",
            value=workload.curves,
        )
    load = float(utilization(workload, solve(workload).tokens))
    b = _line(workload).per_query
    return BatchStoppingRule(workload, load, b + b / (1 - load))


def _line(workload: Workload) -> TokenTime:
    """Return the line of a batching server, or refuse it if it has more to it than that."""
    server = workload.server
    if (
        isinstance(server, Batching)
        and isinstance(server.token_time, TokenTime)
        and not server.token_time.per_context
        and server.max_batch is None
        and not np.any(getattr(workload.service, "prompt_time", 0.0))
    ):
        return server.token_time
    raise WorkloadError(
        "The rule by the number in the batch holds for Batching(TokenTime(base, per_query)) "
        f"without a cap and without prompt_time; this workload is served by {server!r}. "
        "stopping_rule is for Fifo().",
        parameter="server",
        value=server,
    )
