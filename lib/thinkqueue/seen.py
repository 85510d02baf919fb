r"""A type that cannot be told from another: budgets for the classes that a router sees.

A router that errs sees class :math:`c` where the type is :math:`k` with probability
:math:`Q_{kc}`. All queries of a class get one budget, whatever they are. So a class is a workload's
type again: its share is :math:`r_c = \sum_k\pi_kQ_{kc}`, and with the posterior
:math:`g_{ck} = \pi_kQ_{kc}/r_c` its accuracy and the two moments of its service time are averages,

.. math:: v_c(\ell) = \sum_kg_{ck}w_kp_k(\ell), \qquad
          s_c(\ell) = \sum_kg_{ck}s_k(\ell), \qquad q_c(\ell) = \sum_kg_{ck}q_k(\ell).

Nothing is approximated: the queue asks for two moments and no more. (Our own derivation.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import floats
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload import Batching, Curve, Generated, Moments, Service, Workload


@dataclass(frozen=True, eq=False)
class Blend(Curve):
    r"""Averages of curves, :math:`\sum_k g_{ck}p_k(\ell)`: one for each class.

    Parameters
    ----------
    parts : Curve
        The curves of N types.
    mix : ndarray, (C, N), or (N,) for one class
        g; each row adds up to 1.
    """

    parts: Curve
    mix: Array

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether every part is."""
        return self.parts.concave

    def _average(self, values: Array) -> Array:
        return np.asarray(np.sum(self.mix * values, axis=-1))

    def _spread(self, tokens: Array) -> Array:
        return np.asarray(np.asarray(tokens)[..., None] + np.zeros(self.mix.shape[-1]))

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`\sum_k g_{ck}p_k(\ell_c)`.

        Parameters
        ----------
        tokens : ndarray, (..., C)
            Thinking tokens of each class.
        """
        return self._average(self.parts.value(self._spread(tokens)))

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`\sum_k g_{ck}p_k'(\ell_c)`.

        Parameters
        ----------
        tokens : ndarray, (..., C)
            Thinking tokens of each class.
        """
        return self._average(self.parts.slope(self._spread(tokens)))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-\sum_k g_{ck}p_k''(\ell_c)`.

        Parameters
        ----------
        tokens : ndarray, (..., C)
            Thinking tokens of each class.
        """
        return self._average(self.parts.bend(self._spread(tokens)))

    def pick(self, place: int | Index | slice) -> Self:
        """Return the curve of one class, or the curves of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which classes.
        """
        return type(self)(self.parts, self.mix[place])


@dataclass(frozen=True, eq=False)
class BlendedService:
    r"""Service times of classes: with probability :math:`g_{ck}` that of type k.

    Parameters
    ----------
    parts : Service
        The service times of N types.
    mix : ndarray, (C, N)
        g; each row adds up to 1.
    """

    parts: Service
    mix: Array

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`\sum_k g_{ck}s_k(\ell_c)` in s.

        Parameters
        ----------
        tokens : ndarray, (..., C)
            Thinking tokens of each class.
        """
        return np.asarray(np.sum(self.mix * self.parts.mean(self._spread(tokens)), axis=-1))

    def moments(self, tokens: Array) -> Moments:
        """Return both moments with two derivatives.

        Parameters
        ----------
        tokens : ndarray, (..., C)
            Thinking tokens of each class.
        """
        each = self.parts.moments(self._spread(tokens))
        return Moments(*(np.sum(self.mix * moment, axis=-1) for moment in each))

    def draw(self, tokens: Array, kinds: Index, random: Generator) -> Array:
        """Draw service times of some queries, in s.

        Parameters
        ----------
        tokens : ndarray, (C,)
            Thinking tokens of each class.
        kinds : ndarray of int64, (n,)
            The class of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        below = np.cumsum(self.mix, axis=-1)[:, :-1]
        luck = random.uniform(size=len(kinds))
        types = (luck[:, None] >= below[kinds]).sum(axis=1)
        times = np.empty(len(kinds))
        for c in range(len(tokens)):  # the queries of a class share its tokens
            mine = np.flatnonzero(kinds == c)
            same = np.full(self.mix.shape[-1], tokens[c])
            if hasattr(self.parts, "draw"):
                times[mine] = self.parts.draw(same, types[mine], random)
            else:
                times[mine] = self.parts.mean(same)[types[mine]]
        return times

    def _spread(self, tokens: Array) -> Array:
        return np.asarray(np.asarray(tokens)[..., None] + np.zeros(self.mix.shape[-1]))

    def pick(self, place: Index | slice) -> BlendedService:
        """Return the service of some classes.

        Parameters
        ----------
        place : ndarray of int or slice
            Which.
        """
        return BlendedService(self.parts, self.mix[place])


def seen_classes(
    workload: Workload, confusion: ArrayLike, *, names: Sequence[str] | None = None
) -> Workload:
    r"""Return the workload as a router sees it that takes some types for others.

    Its types are the classes; budgets for them are budgets by what is *seen*. Every function of
    this library takes it as it takes any other workload. With less to see the optimum is never
    better (with concave curves): what a better router is worth is the difference of two optima.

    Parameters
    ----------
    workload : Workload
        The N types as they are.
    confusion : array_like, (N, C)
        :math:`Q_{kc}`, the probability that a query of type k is seen as class c; rows add up to 1.
        The identity for a router that never errs, one column of ones for none at all.
    names : sequence of str, optional
        Names of the classes; those of the types where there are as many, "class 1", … otherwise.

    Returns
    -------
    Workload
        A class may have as many tokens as every type that it may hold; its weight is the mean one,
        and its curve is averaged with the weights.

    Raises
    ------
    WorkloadError
        If the table does not fit, a class is never seen, curves are not concave (then the best
        reply of an average is not known), or the server batches and more than mean lengths count.
    """
    table = _confusion(workload, confusion)
    if not workload.curves.concave:
        raise WorkloadError(
            "The curves of a class are averages, and of an average of curves that are not concave "
            "no global reply is known; give concave curves.",
            parameter="accuracy",
        )
    joint = workload.share[:, None] * table
    seen = joint.sum(axis=0)
    mix = (joint / seen).T
    weighted = mix * workload.weight
    weight = weighted.sum(axis=1)
    worth = np.where(
        weight[:, None] > 0, weighted / np.where(weight > 0, weight, 1.0)[:, None], mix
    )
    caps = np.where(mix > 0, workload.max_tokens, np.inf).min(axis=1)
    classes = len(seen)
    if names is None:
        own = classes == len(workload)
        names = workload.names if own else tuple(f"class {c + 1}" for c in range(classes))
    if isinstance(workload.service, Generated):
        service = _generated(workload, workload.service, mix)
    else:
        service = {"service": BlendedService(workload.service, mix)}
    return Workload.from_arrays(
        share=seen / seen.sum(),
        accuracy=Blend(workload.curves, worth),
        max_tokens=caps,
        weight=weight,
        arrival_rate=workload.arrival_rate,
        accuracy_weight=workload.accuracy_weight,
        server=workload.server,
        names=names,
        **service,  # type: ignore[arg-type]
    )


def _generated(workload: Workload, service: Generated, mix: Array) -> dict[str, object]:
    server = workload.server
    simple = isinstance(server, Batching) and server.overflow == "share"
    if not simple or getattr(server.token_time, "per_context", 0.0) > 0:
        raise WorkloadError(
            f"At {server!r} more than the mean lengths of a class count, and no formula is known; "
            "a batching server that shares and has no per_context feels the means alone.",
            parameter="server",
            value=server,
        )
    parts = ("answer_tokens", "prompt_time", "prompt_tokens")
    return {part: mix @ getattr(service, part) for part in parts}


def _confusion(workload: Workload, confusion: ArrayLike) -> Array:
    table = floats("confusion", confusion)
    if table.ndim != 2 or len(table) != len(workload) or not table.shape[1]:
        raise WorkloadError(
            f"confusion has shape {table.shape}; it must have a row for each of the "
            f"{len(workload)} task types and a column for each class.",
            parameter="confusion",
            value=table.shape,
        )
    rows = table.sum(axis=1)
    for k, row in enumerate(table):
        if not ((row >= 0).all() and abs(rows[k] - 1) <= 1e-9):
            raise WorkloadError(
                f"The row of task type {shown(workload.name(k))} in confusion is {row}; it must "
                "hold probabilities that add up to 1.",
                parameter="confusion",
                value=row,
                task=workload.name(k),
            )
    never = np.flatnonzero(workload.share @ table == 0)
    if never.size:
        raise WorkloadError(
            f"Class {never[0] + 1} of confusion is never seen; leave its column out.",
            parameter="confusion",
            value=int(never[0]),
        )
    return table
