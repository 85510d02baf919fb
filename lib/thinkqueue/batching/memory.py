r"""What a limit on the memory for keys and values does to a batching server.

Each query in the batch holds its prompt of :math:`c` tokens and what it has generated. Let a query
in only when there is room for all that it will have, :math:`c + x`: then nobody is ever thrown out.
When the server is full, a query of type k holds :math:`c_k + x_k` of the M tokens of memory for
:math:`x_k` steps, so that one meets there

.. math:: \bar B = \frac{M\,m}{\mathbb{E}[x\,(c+x)]} \quad\text{queries, and the server is stable
          only if}\quad \lambda < \frac{M}{\tau(\bar B)\,\mathbb{E}[x\,(c+x)]},

a cap on the batch that depends on the lengths, through their second moment. This is the rate
:math:`M/(\bar b\,\mathbb{E}[g])` of C. Nie, N. Si and Z. Zhou (arXiv 2605.04595), where g is the
memory that a query holds, summed over its steps; without a reservation, where memory is taken as
tokens come, it is :math:`x\,(c+x/2)`, and up to twice as many fit.

In a line nobody overtakes, so that some memory stays empty while the first of it does not fit. Fill
a long shelf with pieces of independent lengths until the next does not fit: what is left over is
the age of a renewal process, :math:`\mathbb{E}[s^2]/(2\,\mathbb{E}[s])` in the mean,
:math:`s = c + x`. That much is taken off M here (our own approximation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.batching.present import batching_delay
from thinkqueue.checks import SMALLEST, one_number
from thinkqueue.delay.number_present import law_of
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload import Batching, TokenTime, Workload, tokens_array

MOST_PLACES = 10**6
"""Memory for more queries than this is as good as any."""


class Held(NamedTuple):
    r"""Moments of what the queries hold.

    Attributes
    ----------
    tokens : float
        :math:`m`.
    reserved : float
        :math:`\mathbb{E}[x(c+x)]`, memory times steps, reserved for the whole of a stay.
    growing : float
        :math:`\mathbb{E}[x(c+x/2)]`, the same as tokens come.
    wasted : float
        :math:`\mathbb{E}[s^2]/(2\,\mathbb{E}[s])`, what the first of the line leaves empty.
    """

    tokens: float
    reserved: float
    growing: float
    wasted: float

    def places(self, memory: float) -> float:
        r"""Return :math:`\bar B`.

        Parameters
        ----------
        memory : float
            M, in tokens.
        """
        return max(memory - self.wasted, 0.0) * self.tokens / max(self.reserved, SMALLEST)


def held(workload: Workload, tokens: Array) -> Held:
    """Return what the queries of an allocation hold in the mean.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    """
    of, c = workload.service.moments(tokens), getattr(workload.service, "prompt_tokens", 0.0)
    areas = of.mean, c * of.mean + of.square, c * of.mean + of.square / 2
    size, square = c + of.mean, c * c + 2 * c * of.mean + of.square
    mean, reserved, growing, one, two = (
        float(workload.share @ part) for part in (*areas, size, square)
    )
    return Held(mean, reserved, growing, two / (2 * one) if one > 0 else 0.0)


def time_taken(
    workload: Workload, tokens: Array, server: Batching, places: float = np.inf
) -> float:
    r"""Return the seconds that a query takes of a full server, :math:`1/\lambda^*`.

    .. math:: \bar p + \frac{m}{\max\varphi} + g\,\mathbb{E}[x(c+x/2)]

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    server : Batching
        The server, which need not be the workload's own.
    places : float, optional
        How many its memory has room for.
    """
    time, of = server.token_time, held(workload, tokens)
    if places == 0:
        return np.inf
    line = TokenTime(time.base, time.per_query) if isinstance(time, TokenTime) else time
    cap = np.inf if server.max_batch is None else server.max_batch
    if places < cap:
        pace = float(line.seconds_at(places)) / places
    else:
        pace = law_of(line, server.max_batch).pace
    prompt = float(workload.share @ _prompt_time(workload))
    return prompt + of.tokens * pace + getattr(time, "per_context", 0.0) * of.growing


@dataclass(frozen=True)
class MemoryLimit:
    r"""What a memory for so many tokens means at an allocation.

    Attributes
    ----------
    places : float
        :math:`\bar B`, how many queries a full server holds in the mean.
    max_arrival_rate : float
        In 1/s: nearly the rate at which the server becomes unstable.
    max_arrival_rate_growing : float
        The same, if memory is taken only as tokens come and nobody had to be thrown out.
    mean_system_time : float
        In s, nearly: that of a cap of :math:`\bar B` queries whose excess waits, with the
        variability of :math:`x(c+x)`; infinite where it is unstable, NaN where prompts take time
        or time grows with the context, for which no formula is known.
    """

    places: float
    max_arrival_rate: float
    max_arrival_rate_growing: float
    mean_system_time: float


def memory_limit(workload: Workload, tokens: ArrayLike, memory: float) -> MemoryLimit:
    """Return how many queries a memory has room for, and what that means.

    Parameters
    ----------
    workload : Workload
        With a :class:`~thinkqueue.Batching` server.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    memory : float
        M, for how many tokens there is room, prompts included.

    Raises
    ------
    WorkloadError
        If the server does not batch, or the memory does not hold the longest query.
    """
    batching_delay(workload, "The limit of memory")
    server: Any = workload.server
    ell = tokens_array(workload, tokens, single=True)
    room = check_memory(workload, ell, memory)
    of = held(workload, ell)
    some, more = of.places(room), room * of.tokens / max(of.growing, SMALLEST)
    rate, growing = (1 / max(time_taken(workload, ell, server, b), SMALLEST) for b in (some, more))
    places = min(some, np.inf if server.max_batch is None else server.max_batch)
    return MemoryLimit(places, rate, growing, _mean_time(workload, ell, places))


def check_memory(workload: Workload, tokens: Array, memory: float) -> float:
    """Return the memory, or refuse one into which not every query fits.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : ndarray, (N,)
        Thinking tokens of each type.
    memory : float
        M, in tokens.

    Raises
    ------
    WorkloadError
        With the type that does not fit.
    """
    room = one_number("memory", memory, least=SMALLEST)
    asked = workload.service.mean(tokens) + getattr(workload.service, "prompt_tokens", 0.0)
    k = int(np.argmax(asked))
    if asked[k] > room:
        raise WorkloadError(
            f"memory is {room:g} tokens, and a query of task type {shown(workload.name(k))} "
            f"comes to {asked[k]:g}: it would wait for ever. Give it fewer tokens, or more memory.",
            parameter="memory",
            value=memory,
            task=k,
        )
    return room


def _mean_time(workload: Workload, ell: Array, places: float) -> float:
    """Return the mean time with so many places, as :class:`MemoryLimit` says."""
    server: Any = workload.server
    time = server.token_time
    if places == 0:
        return np.inf
    if getattr(time, "per_context", 0.0) or np.any(_prompt_time(workload)):
        return np.nan
    x = workload.service.mean(ell)
    area = x * (x + getattr(workload.service, "prompt_tokens", 0.0))
    mean = float(workload.share @ area)
    spread = float(workload.share @ area**2) / mean**2 if mean > 0 else 1.0
    rate = workload.arrival_rate
    theta = rate * float(workload.share @ x)
    n = np.arange(1.0, np.floor(min(places, MOST_PLACES)) + 1)
    busy = theta * float(time.seconds_at(places)) / places if places < MOST_PLACES else 0.0
    if busy >= 1:
        return np.inf
    logs = np.concatenate([[0.0], np.cumsum(np.log(theta * time.seconds_at(n) / n))])
    weights = np.exp(logs - logs.max())
    beyond = weights[-1] * busy / (1 - busy)
    waiting = beyond * (1 / (1 - busy) - (places - n.size if places < MOST_PLACES else 0.0))
    served = float(weights[1:] @ n) + beyond * min(places, MOST_PLACES)
    return float((served + spread / 2 * waiting) / (weights.sum() + beyond) / rate)


def _prompt_time(workload: Workload) -> Array:
    time: Array = np.zeros(len(workload)) + getattr(workload.service, "prompt_time", 0.0)
    return time
