"""From a workload's best budgets to the request parameters of a serving system."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count, floats
from thinkqueue.delay import utilization
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.export.anthropic import ANTHROPIC, ANTHROPIC_EFFORT
from thinkqueue.export.gemini import GEMINI, GEMINI_LEVEL
from thinkqueue.export.litellm import LITELLM, LITELLM_EFFORT
from thinkqueue.export.llama_cpp import LLAMA_CPP
from thinkqueue.export.nim import NIM
from thinkqueue.export.openai import OPENAI, OPENAI_RESPONSES
from thinkqueue.export.openrouter import OPENROUTER, OPENROUTER_EFFORT
from thinkqueue.export.qwen import QWEN
from thinkqueue.export.sglang import SGLANG
from thinkqueue.export.system import Body, Budget, Enforcement, System
from thinkqueue.export.vllm import VLLM
from thinkqueue.names import listed, shown
from thinkqueue.objective import objective
from thinkqueue.solve import solve
from thinkqueue.whole_tokens import round_tokens, solve_integer
from thinkqueue.workload import Workload

SYSTEMS: dict[str, System] = {
    system.key: system
    for system in (
        VLLM, SGLANG, LLAMA_CPP, NIM, QWEN, ANTHROPIC, ANTHROPIC_EFFORT, GEMINI, GEMINI_LEVEL,
        OPENROUTER, OPENROUTER_EFFORT, OPENAI, OPENAI_RESPONSES, LITELLM, LITELLM_EFFORT,
    )
}  # fmt: skip
"""Every system that is known, by the name that the command line has for it."""

ANSWER_ROOM = 4096
"""Tokens kept for the answer where nothing else is said."""

NODES = 1_000_000
"""How long the search for whole tokens may go on."""

LONGEST = {Enforcement.HARD_CAP: 1.0, Enforcement.SOFT_TARGET: 1.5, Enforcement.LEVEL: 4.0}
"""How many times the thoughts of a budget, or of a level in the mean, there is room for: an answer
that is cut off is worth nothing, and room that is not used costs nothing."""

Levels = Mapping[str, float] | Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class RequestParameters:
    """What to put into the requests of each type.

    Attributes
    ----------
    system : System
        Who understands it.
    budgets : dict of int or str
        What each type is given: whole tokens, or a level.
    requests : dict of dict
        The part of the body that says so, by type, with room for the answer.
    tokens : ndarray, (N,)
        The tokens that these budgets stand for in the workload.
    objective, upper_bound : float
        J with these tokens, and a value that no budgets exceed; infinite where none is known.
    rounded : float
        J with every optimal budget moved to the nearest one that the system has, minus infinity
        where that is unstable: what the menu's own optimum is worth beside it.
    notes : tuple of str
        How the system holds to a budget, and what that means.
    """

    system: System
    budgets: dict[str, Budget]
    requests: dict[str, Body]
    tokens: Array
    objective: float
    upper_bound: float
    rounded: float
    notes: tuple[str, ...]

    @property
    def gap(self) -> float:
        """How much better any other budgets might be, in s."""
        return self.upper_bound - self.objective

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        return {
            "system": self.system.key,
            "enforcement": str(self.system.enforcement),
            "budgets": self.budgets,
            "requests": self.requests,
            "objective": self.objective,
            "gap": self.gap,
            "notes": list(self.notes),
        }

    def router(self) -> str:
        """Return a Python module that puts the parameters of its type into each request."""
        rows = [f"    {name!r}: {body!r}," for name, body in self.requests.items()]
        table = "\n".join(["{", *rows, "}"])
        return _ROUTER.format(name=self.system.name, kind=self.system.enforcement, table=table)


_ROUTER = '''"""Thinking budgets by task type for {name}: a {kind}."""

PARAMETERS = {table}


def route(request, task):
    """Return the request with the budget of its type, if that is known."""
    return merge(request, PARAMETERS.get(task, {{}}))


def merge(request, parameters):
    """Return both; where they disagree, the parameters count, object by object."""
    merged = dict(request)
    for name, value in parameters.items():
        inner = merged.get(name)
        nested = isinstance(value, dict) and isinstance(inner, dict)
        merged[name] = merge(inner, value) if nested else value
    return merged
'''


def request_parameters(
    workload: Workload,
    system: str | System,
    *,
    tokens: ArrayLike | None = None,
    levels: Levels | None = None,
    answer_room: int = ANSWER_ROOM,
) -> RequestParameters:
    """Return what to put into the requests of each type so that a system keeps the best budgets.

    Parameters
    ----------
    workload : Workload
        The workload.
    system : str or System
        Whose parameters: a key of ``thinkqueue.export.SYSTEMS``, or a system of one's own.
    tokens : array_like, (N,), optional
        Budgets to write, such as the caps of :meth:`Calibration.caps
        <thinkqueue.Calibration.caps>`; the best ones in whole tokens if not given.
    levels : mapping, optional
        The mean tokens that each level of the system uses, by level, or by type and level. Needed
        for systems that know levels only, unless they say it themselves.
    answer_room : int, optional
        Tokens that the answer may take beyond the thoughts.

    Returns
    -------
    RequestParameters
        Bodies by type, how they are enforced, and what is certain about them.

    Raises
    ------
    ThinkQueueError
        If the system is not known, or the tokens of its levels are not.
    UnstableError
        If no budgets that the system has are stable.
    """
    found = _system(system)
    check_count("answer_room", answer_room)
    if found.enforcement is Enforcement.LEVEL:
        if tokens is not None:
            raise ThinkQueueError(
                f"{found.name} knows levels and no budgets: leave tokens out, and the best level "
                "of each type is found."
            )
        return _by_level(workload, found, levels, answer_room)
    if levels is not None:
        raise ThinkQueueError(f"{found.name} knows budgets and no levels: leave levels out.")
    best = solve(workload, throw=False)
    if tokens is None:
        whole, value, upper = _whole(workload, found.least, best.tokens)
    else:
        caps = np.broadcast_to(floats("tokens", tokens), (len(workload),))
        if not np.all((caps >= 0) & np.isfinite(caps)):
            raise ThinkQueueError("A budget is a number of tokens of at least 0.")
        whole = np.rint(caps)
        whole = np.where((whole > 0) & (whole < found.least), found.least, whole)
        value, upper = math.nan, math.nan
    budgets: dict[str, Budget] = {
        name: int(cap) for name, cap in zip(workload.names, whole.tolist(), strict=True)
    }
    rounded = _nearest(workload, best.tokens, [0, found.least]) if found.least else value
    return _parameters(found, budgets, whole, value, upper, rounded, answer_room)


def _system(system: str | System) -> System:
    if isinstance(system, System):
        return system
    if system not in SYSTEMS:
        raise ThinkQueueError(f"{shown(system)} is no system; there are {', '.join(SYSTEMS)}.")
    return SYSTEMS[system]


def _by_level(
    workload: Workload, system: System, levels: Levels | None, answer_room: int
) -> RequestParameters:
    given: Levels = levels if levels is not None else system.level_tokens
    if not given:
        raise ThinkQueueError(
            f"{system.name} does not say how many tokens a level stands for: run an evaluation at "
            f"each of {', '.join(system.levels)} and give the mean tokens used, "
            "levels={'low': …}, or --level low=COUNT on the command line."
        )
    each = [_levels_of(name, system, given) for name in workload.names]
    menu = [sorted({round(used) for used in row.values()}) for row in each]
    for name, row, cap in zip(workload.names, menu, workload.max_tokens, strict=True):
        if row[0] > cap:
            raise ThinkQueueError(
                f"Even the least level uses {row[0]:,} tokens of {name}, and at most {cap:,.0f} "
                "are allowed or were measured."
            )
    found = solve_integer(workload, menu=menu, node_limit=NODES)
    budgets: dict[str, Budget] = {}
    for name, own, used in zip(workload.names, each, found.tokens.tolist(), strict=True):
        budgets[name] = next(level for level, count in own.items() if round(count) == used)
    best = solve(workload, throw=False)
    rounded = _nearest(workload, best.tokens, menu)
    whole = found.tokens.astype(float)
    return _parameters(
        system, budgets, whole, found.objective, found.upper_bound, rounded, answer_room
    )


def _levels_of(name: str, system: System, levels: Levels) -> dict[str, float]:
    """Return the tokens of each level for a type, the least first."""
    own = levels.get(name, levels)
    row = own if isinstance(own, Mapping) else levels
    unknown = [level for level in row if level not in system.levels]
    if unknown or not row:
        raise ThinkQueueError(
            f"{listed(map(shown, unknown)) or 'Nothing'} is no level of {system.name}; it has "
            f"{', '.join(system.levels)}."
        )
    found = {level: float(row[level]) for level in system.levels if level in row}  # type: ignore[arg-type]
    if not all(0 <= used < 1e12 for used in found.values()):
        raise ThinkQueueError(f"The levels of {name} stand for {found}; tokens are 0 or more.")
    return found


def _whole(workload: Workload, least: int, ideal: Array) -> tuple[Array, float, float]:
    """Return the best whole tokens of which none lies between 0 and the least."""
    try:
        found = solve_integer(workload, node_limit=NODES)
        if least and np.any((found.tokens > 0) & (found.tokens < least)):
            top = int(min(2 * max(float(ideal.max()), least), float(workload.max_tokens.max())))
            menu = [0, *range(least, max(top, least) + 1)]
            found = solve_integer(workload, menu=menu, node_limit=NODES)
        return found.tokens.astype(float), found.objective, found.upper_bound
    except WorkloadError:  # no tangent bounds this workload
        tokens = round_tokens(workload, ideal).astype(float)
        tokens = np.where((tokens > 0) & (tokens < least), 0.0, tokens)
        return tokens, float(objective(workload, tokens)), math.inf


def _nearest(
    workload: Workload, ideal: Array, menu: Sequence[int] | Sequence[Sequence[int]]
) -> float:
    """Return J with each budget moved to the nearest allowed one, as one would do by hand."""
    rows = menu if isinstance(menu[0], Sequence) else [menu] * len(workload)
    tokens = []
    for row, best, cap in zip(rows, ideal.tolist(), workload.max_tokens.tolist(), strict=True):
        assert isinstance(row, Sequence)
        plain = row == [0, row[-1]] and best >= row[-1]  # above the least every number is allowed
        allowed = [entry for entry in row if entry <= cap] or [0]
        tokens.append(
            float(round(best)) if plain else min(allowed, key=lambda entry: abs(entry - best))
        )
    if utilization(workload, tokens) >= 1:
        return -math.inf
    return float(objective(workload, tokens))


def _parameters(
    system: System,
    budgets: dict[str, Budget],
    whole: Array,
    value: float,
    upper: float,
    rounded: float,
    answer_room: int,
) -> RequestParameters:
    longest = LONGEST[system.enforcement] + system.over
    requests = {
        name: system.write(budget, math.ceil(longest * thoughts) + answer_room)
        for (name, budget), thoughts in zip(budgets.items(), whole.tolist(), strict=True)
    }
    return RequestParameters(
        system, budgets, requests, whole, value, upper, rounded, tuple(_notes(system, answer_room))
    )


def _notes(system: System, answer_room: int) -> list[str]:
    notes = {
        Enforcement.HARD_CAP: (
            "A hard cap: no thought is longer. Tokens of the workload are means of tokens used; "
            "where thoughts end by themselves, set the caps under which so many are used."
        ),
        Enforcement.SOFT_TARGET: (
            "A soft target: thoughts may be longer. Log the tokens used, and calibrate again with "
            "means of tokens used beside budgets."
        ),
        Enforcement.LEVEL: (
            "A level: the best choice from the menu of its mean tokens, all types together; the "
            "nearest level for each need not be it."
        ),
    }
    found = [notes[system.enforcement]]
    if system.over:
        found.append(
            f"A budget may be exceeded by {system.over:.0%}, to the end of a line; max_tokens "
            "leaves room for that."
        )
    longest = LONGEST[system.enforcement]
    found.append(
        f"Room for {answer_room:,} tokens of answer beyond "
        + ("the thoughts." if longest == 1 else f"thoughts {longest:g} times as long.")
    )
    if system.needs:
        found.append(f"Needs: {system.needs}.")
    found.append(f"Source: {system.source}.")
    return found
