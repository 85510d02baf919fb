"""The mean time of each type at servers that take one query at a time, or share themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first
from thinkqueue.delay.ranked import Ranked
from thinkqueue.delay.time import delay_of, stable_state
from thinkqueue.errors import WorkloadError
from thinkqueue.workload import Fifo, ProcessorSharing, Workload, tokens_array


def type_times(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the mean time of each type from arrival to answer, in s.

    First come, first served :math:`s_k + \mathbb{E}[W]`, shared :math:`s_k/(1-\rho)`, by rank as
    the module of the discipline says.

    Parameters
    ----------
    workload : Workload
        With ``Fifo()``, ``ProcessorSharing()`` or a server that serves by rank.
    tokens : array_like, (N,)
        Thinking tokens of each type.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    WorkloadError
        If the server is another one.
    """
    ell = tokens_array(workload, tokens, single=True)
    delay, state = delay_of(workload.server), stable_state(workload, ell)
    if isinstance(delay, Ranked):
        return delay.type_times(workload, ell)
    s = workload.service.mean(ell)
    if isinstance(workload.server, ProcessorSharing):
        return np.asarray(s / first(state.slack))
    if isinstance(workload.server, Fifo):
        if state.detail is None:
            return np.asarray(s + (first(state.time) - float(workload.share @ s)))
        # the wait itself, where the difference would lose one that is short
        return np.asarray(s + first(state.detail.formula.f * state.detail.M))
    raise WorkloadError(
        f"The mean time of each type is not known for {workload.server!r}; simulate() gives "
        "per_type.",
        parameter="server",
        value=workload.server,
    )
