r"""Continuous batching: all queries in the batch get a token at each step, the others wait."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled, inlined
from thinkqueue.simulation.heap import Heap, empty_heap, is_full, pop, push, with_room
from thinkqueue.simulation.tally import Tally, pass_time, record, turn
from thinkqueue.workload import Batching

LISTED = 4096
"""Up to so many queries at least the step is looked up; beyond, it goes on along a line."""

ROUNDING = 1e-9
"""By what part the memory may be overrun: sums of lengths are rounded."""


class Prompts(NamedTuple):
    """What a query of each type asks for, besides its tokens.

    Attributes
    ----------
    time : ndarray, (N,)
        The seconds for which reading its prompt stops everybody, when it comes into the batch.
    tokens : ndarray, (N,)
        The length of that prompt.
    """

    time: Array
    tokens: Array


class Steps(NamedTuple):
    r"""How the server works.

    Attributes
    ----------
    pace : ndarray
        The seconds in which each of so many queries gets a token, :math:`\tau(n)`; where more than
        B share, :math:`\tau(B)\,n/B`.
    per_context : float
        g, in s: what a token behind a query adds to that.
    places : int
        How many the batch holds.
    memory : float
        How many tokens, prompts included, those in the batch may come to have behind them.
    whole : bool
        Whether steps are whole: then who comes during one has to wait for its end.
    """

    pace: Array
    per_context: float
    places: int
    memory: float
    whole: bool


class Batch:
    r"""The engine for a batching server.

    Its clock counts tokens: a query that enters the batch at clock V leaves it at V + x, and a
    token takes :math:`\tau(n) + gC` seconds while n are in the batch with C tokens behind them.
    Reading a prompt stops the clock. The first of the line enters as soon as there is a place for
    it, and room for all the tokens that it will have.

    Tokens flow, or come in whole steps: then all that happens happens at the end of a step, and a
    length that is no whole number is rounded up.

    Parameters
    ----------
    prompts : Prompts
        Of the queries of each type.
    server : Batching
        Its steps, its places, and what happens to those that find none.
    memory : float, optional
        See :class:`Steps`.
    whole_steps : bool, optional
        See :class:`Steps`.
    """

    def __init__(
        self,
        prompts: Prompts,
        server: Batching,
        memory: float = np.inf,
        whole_steps: bool = False,
    ) -> None:
        self._prompts = prompts
        unlimited = np.iinfo(np.int64).max
        time, cap = server.token_time, server.max_batch or unlimited
        rows = getattr(time, "queries", (0.0,))[-1]
        n = np.arange(1.0, min(max(LISTED, int(np.ceil(rows))), cap) + 2)
        pace = time.seconds_at(np.minimum(n, cap)) * np.maximum(n / cap, 1.0)
        self._steps = Steps(
            np.concatenate([pace[:1], pace]),
            float(getattr(time, "per_context", 0.0)),
            cap if server.overflow == "wait" else unlimited,
            float(memory) * (1 + ROUNDING),
            whole_steps,
        )
        self._crowd = Crowd(
            np.zeros(6), np.zeros(1, np.int64), empty_heap(), empty_heap(), np.zeros(1, np.int64)
        )

    @property
    def found(self) -> Index:
        """How many arrivals found 0, 1, 2, … queries there; ends with the last that any found."""
        found = self._crowd.found
        return found[: int(np.flatnonzero(found)[-1]) + 1] if found.any() else found[:0]

    def advance(
        self, kinds: Index, gaps: Array, work: Array, tally: Tally, *, finish: bool = False
    ) -> int:
        """Serve queries, or fewer of them, to the end of a row, if asked to finish it."""
        handled = 0
        ended = False
        while handled < kinds.size and not ended:
            self._crowd = roomy(self._crowd)
            rest = kinds[handled:], gaps[handled:], work[handled:]
            more, ended = serve(*rest, finish, self._steps, self._crowd, self._prompts, tally)
            handled += more
        return handled

    def drain(self, tally: Tally) -> None:
        """Serve all that are still there."""
        self._crowd = roomy(self._crowd)
        drain(self._steps, self._crowd, self._prompts, tally)


# the time and, in whole steps, when the step in progress began; the clock; what is left of the
# prompts that are being read, in s; the tokens behind those in the batch, and those that they will
# have had. All set back to zero whenever the system empties.
NOW, BEGAN, CLOCK, READING, CONTEXT, RESERVED = range(6)


class Crowd(NamedTuple):
    """Who is there; kernels change it in place.

    Attributes
    ----------
    state : ndarray, (6,)
        See above.
    serial : ndarray of int64, (1,)
        The number of the next arrival.
    batch : Heap
        The queries in the batch, by the clock at which they leave.
    waiting : Heap
        The others, in the order of arrival.
    found : ndarray of int64
        How many arrivals have found so many queries there.
    """

    state: Array
    serial: Index
    batch: Heap
    waiting: Heap
    found: Index


def roomy(crowd: Crowd) -> Crowd:
    """Return a crowd that has room for one more query.

    Parameters
    ----------
    crowd : Crowd
        Who is there.
    """
    present = int(crowd.batch.size[0] + crowd.waiting.size[0])
    # many may enter when one leaves
    batch, waiting = with_room(crowd.batch, present), with_room(crowd.waiting)
    more = batch.key.size + waiting.key.size + 1 - crowd.found.size
    found = np.concatenate([crowd.found, np.zeros(max(more, 0), np.int64)])
    return crowd._replace(batch=batch, waiting=waiting, found=found)


@compiled
def serve(
    kinds: Index,
    gaps: Array,
    work: Array,
    finish: bool,
    steps: Steps,
    crowd: Crowd,
    prompts: Prompts,
    tally: Tally,
) -> tuple[int, bool]:
    """Serve queries until there is no room for another one.

    Parameters
    ----------
    kinds, gaps, work : ndarray, (n,)
        The type of each, the time to the next in s, and how many tokens it is to get.
    finish : bool
        Whether to stop at the end of the row in progress.
    steps : Steps
        How the server works.
    crowd : Crowd
        Who is there.
    prompts : Prompts
        Of each type.
    tally : Tally
        The statistics, changed in place.

    Returns
    -------
    handled : int
        How many queries have come.
    ended : bool
        Whether the row in progress was to be finished and has ended.
    """
    handled, ended = 0, False
    while (
        handled < kinds.size
        and not ended
        and crowd.batch.size[0] + crowd.waiting.size[0] < crowd.batch.key.size
        and not is_full(crowd.waiting)
    ):
        k, x = kinds[handled], work[handled]
        if steps.whole:
            x = np.ceil(x)
        serial, now = crowd.serial[0], crowd.state[NOW]
        crowd.found[crowd.batch.size[0] + crowd.waiting.size[0]] += 1
        # in whole steps nothing begins before the one in progress has ended
        lined_up = steps.whole or crowd.waiting.size[0] > 0
        if lined_up or not has_room(steps, crowd, prompts.tokens[k] + x):
            push(crowd.waiting, float(serial), serial, now, k, x)
        else:
            enter(crowd, prompts, serial, now, k, x)
        crowd.serial[0] += 1
        pass_time(tally, gaps[handled])
        pass_until(now + gaps[handled], steps, crowd, prompts, tally)
        handled += 1
        empty = crowd.batch.size[0] + crowd.waiting.size[0] == 0
        if empty:
            crowd.state[:] = 0.0
        ended = turn(tally, empty, finish)
    return handled, ended


@inlined
def has_room(steps: Steps, crowd: Crowd, size: float) -> bool:
    """Say whether so many tokens, prompt included, fit into the batch; too many may go alone."""
    fits = crowd.state[RESERVED] + size <= steps.memory or crowd.batch.size[0] == 0
    return bool(fits and crowd.batch.size[0] < steps.places)


@inlined
def enter(crowd: Crowd, prompts: Prompts, serial: int, arrival: float, k: int, x: float) -> None:
    """Let a query into the batch."""
    push(crowd.batch, crowd.state[CLOCK] + x, serial, arrival, k, x)
    crowd.state[READING] += prompts.time[k]
    crowd.state[CONTEXT] += prompts.tokens[k]
    crowd.state[RESERVED] += prompts.tokens[k] + x


@inlined
def admit(steps: Steps, crowd: Crowd, prompts: Prompts) -> None:
    """Let those enter the batch who have come, one after another, as long as there is room."""
    waiting = crowd.waiting
    while waiting.size[0] > 0:
        late = steps.whole and waiting.arrival[0] > crowd.state[BEGAN]
        if late or not has_room(steps, crowd, prompts.tokens[waiting.kind[0]] + waiting.work[0]):
            break
        _, serial, arrival, k, x = pop(waiting)
        enter(crowd, prompts, serial, arrival, k, x)


@inlined
def leave(now: float, steps: Steps, crowd: Crowd, prompts: Prompts, tally: Tally) -> None:
    """Let the query that is done leave the batch."""
    _, _, arrival, k, x = pop(crowd.batch)
    behind = prompts.tokens[k] + (x - 1.0 if steps.whole else x) / 2
    alone = prompts.time[k] + x * (steps.pace[1] + steps.per_context * behind)
    record(tally, k, max(now - arrival - alone, 0.0), alone)
    crowd.state[CONTEXT] -= prompts.tokens[k] + x
    crowd.state[RESERVED] -= prompts.tokens[k] + x


@inlined
def pace_of(steps: Steps, crowd: Crowd) -> float:
    """Return the seconds that a token takes now."""
    n, last = crowd.batch.size[0], steps.pace.size - 1
    beyond = max(n - last, 0) * (steps.pace[last] - steps.pace[last - 1])
    return float(steps.pace[min(n, last)] + beyond + steps.per_context * crowd.state[CONTEXT])


@inlined
def pass_until(until: float, steps: Steps, crowd: Crowd, prompts: Prompts, tally: Tally) -> None:
    """Let time pass, queries leave, and others take their places."""
    if steps.whole:
        pass_steps(until, steps, crowd, prompts, tally)
    else:
        flow(until, steps, crowd, prompts, tally)
    crowd.state[NOW] = until


@inlined
def flow(until: float, steps: Steps, crowd: Crowd, prompts: Prompts, tally: Tally) -> None:
    """Let tokens flow."""
    state = crowd.state
    now = state[NOW]
    while crowd.batch.size[0] > 0:
        n, pace = crowd.batch.size[0], pace_of(steps, crowd)
        rise = n * steps.per_context  # of the pace, with each token that they get
        ahead = crowd.batch.key[0] - state[CLOCK]
        leaves = now + state[READING] + ahead * (pace + rise * ahead / 2)
        if leaves > until:
            left = until - now - state[READING]
            state[READING] = max(-left, 0.0)
            if left > 0:
                got = 2 * left / (pace + np.sqrt(pace * pace + 2 * rise * left))
                state[CLOCK] += got
                state[CONTEXT] += n * got
            break
        now, state[READING] = leaves, 0.0
        state[CLOCK] += ahead
        state[CONTEXT] += n * ahead
        leave(now, steps, crowd, prompts, tally)
        if crowd.waiting.size[0] > 0:
            admit(steps, crowd, prompts)


@inlined
def pass_steps(until: float, steps: Steps, crowd: Crowd, prompts: Prompts, tally: Tally) -> None:
    """Let whole steps pass that have ended by then; in one step everybody gets one token."""
    state = crowd.state
    while crowd.batch.size[0] + crowd.waiting.size[0] > 0:
        if crowd.batch.size[0] == 0:
            state[BEGAN] = max(state[BEGAN], crowd.waiting.arrival[0])
            admit(steps, crowd, prompts)
        n, pace = crowd.batch.size[0], pace_of(steps, crowd)
        half = n * steps.per_context / 2
        count = np.round(crowd.batch.key[0] - state[CLOCK])
        line = crowd.waiting
        if line.size[0] > 0 and has_room(steps, crowd, prompts.tokens[line.kind[0]] + line.work[0]):
            # the first step to end when the next one has come
            left = max(line.arrival[0] - state[BEGAN] - state[READING], 0.0)
            root = np.sqrt((pace - half) ** 2 + 4 * half * left)
            many = 2 * left / (pace - half + root)
            count = min(count, max(np.ceil(many), 1.0))
        ends = state[BEGAN] + state[READING] + count * (pace + half * (count - 1))
        if ends > until:
            break
        state[BEGAN], state[READING] = ends, 0.0
        state[CLOCK] += count
        state[CONTEXT] += n * count
        while crowd.batch.size[0] > 0 and crowd.batch.key[0] < state[CLOCK] + 0.5:
            leave(ends, steps, crowd, prompts, tally)
        admit(steps, crowd, prompts)


@compiled
def drain(steps: Steps, crowd: Crowd, prompts: Prompts, tally: Tally) -> None:
    """Let all queries leave."""
    pass_until(np.inf, steps, crowd, prompts, tally)
