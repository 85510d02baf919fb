"""The public door of the simulation: one call, one result with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.batching.memory import check_memory, held, time_taken
from thinkqueue.checks import check_count, floats, one_number
from thinkqueue.delay import refuse_unstable, service_moments
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.simulation.estimates import Estimate, Method, PerType
from thinkqueue.simulation.work import Demand
from thinkqueue.workload import (
    Affine,
    Batching,
    Discipline,
    Generated,
    Service,
    Workload,
    tokens_array,
)

if TYPE_CHECKING:
    from thinkqueue.simulation.batching import Prompts
    from thinkqueue.simulation.engine import Engine
    from thinkqueue.simulation.queries import Arrivals
    from thinkqueue.simulation.replication import Replication
    from thinkqueue.simulation.tally import Tally

PROBABILITIES = (0.5, 0.9, 0.95, 0.99)

FIRST_LOOK = 2048

MOST_JOBS, MOST_REPLICATIONS = 10**15, 10**5
"""More would take most of a year, or more memory than there is."""


@dataclass(frozen=True)
class Simulation:
    """What a simulation found, each number with its interval.

    Attributes
    ----------
    mean_system_time, mean_waiting_time : Estimate
        In seconds.
    utilization : Estimate
        The busy fraction of the servers.
    mean_squared_system_time, mean_squared_waiting_time : Estimate
        In s².
    quantiles, waiting_quantiles : dict of Estimate
        Quantiles of system and of waiting time by their probability (see ``tails.py``).
    per_type : PerType
        The same for each type.
    method : str
        How the intervals came about: ``"regenerative cycles"``, ``"batch means"`` or
        ``"replications"``.
    cross_check : Estimate or None
        The mean system time by the other of the first two methods, where one server and Poisson
        arrivals allow both.
    queries, cycles : int
        How many queries came and how many busy cycles ended.
    seed, replications : int
        What was asked for.
    server : Discipline
        Who was served next, and by how many.
    seconds : float
        The time that the simulation took.
    reached : bool
        Whether ``half_width`` was reached; also true where none was asked for.
    interrupted : bool
        Whether it was stopped from the keyboard: then this is what had been gathered.
    found : ndarray or None
        At a batching server, the part of the queries that found 0, 1, 2, … others there, (n,): of
        Poisson arrivals, the law of the number present.
    """

    mean_system_time: Estimate
    mean_waiting_time: Estimate
    utilization: Estimate
    mean_squared_system_time: Estimate
    mean_squared_waiting_time: Estimate
    quantiles: dict[float, Estimate]
    waiting_quantiles: dict[float, Estimate]
    per_type: PerType
    method: Method
    cross_check: Estimate | None
    queries: int
    cycles: int
    seed: int
    replications: int
    server: Discipline | Batching
    seconds: float
    reached: bool
    interrupted: bool
    found: Array | None = None


def simulate(
    workload: Workload,
    tokens: ArrayLike,
    *,
    jobs: int,
    seed: int,
    discipline: Discipline | Batching | None = None,
    servers: int | None = None,
    arrivals: Arrivals | None = None,
    memory: float | None = None,
    whole_steps: bool = False,
    replications: int = 1,
    executor: Executor | None = None,
    level: float = 0.95,
    half_width: float | None = None,
    method: Method | None = None,
    probabilities: Sequence[float] = PROBABILITIES,
    deadlines: ArrayLike | None = None,
    progress: bool = False,
) -> Simulation:
    r"""Simulate the queue of a workload at an allocation of thinking tokens.

    Queries arrive as a Poisson stream, each is of a type drawn by the shares, and its service
    takes :math:`s_k = t_{0,k} + c_k\ell_k`, or a time drawn from the law of the workload's service
    (:class:`~thinkqueue.workload.RandomService`). Estimates whatever the theory says about
    :math:`\mathbb{E}[T]`, :math:`\mathbb{E}[W]` and :math:`\rho`, without using it.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    jobs : int
        How many queries each replication serves, or as many as a trace has; a run by regenerative
        cycles goes on to the end of the one in progress, a few queries more, because stopping in
        the middle would bias the estimates. With Poisson arrivals memory does not depend on it.
    seed : int
        Of a ``numpy.random.SeedSequence`` of which each replication gets its own child.
    discipline : Discipline, optional
        ``Fifo()``, ``NonPreemptivePriority(order)``, ``ShortestFirst()``, their preemptive kin,
        ``ShortestRemaining()`` or ``ProcessorSharing()``, instead of the workload's server; for a
        workload of tokens another ``Batching(...)``, also
        one for which no formula is known. One seed sends the same queries through all of them.
    servers : int, optional
        How many servers share the stream, instead of the server's own number.
    arrivals : Trace or MarkovModulated, optional
        When queries come, brought to the arrival rate of the workload; a Poisson stream by
        default. A trace is the same in every replication, and only the types differ; of a model
        each replication gets arrivals of its own. A replication starts with an empty system and
        ends when all have been served.
    memory : float, optional
        For how many tokens a batching server has room, prompts included. A query enters the batch
        when all that it will have fits; the others wait, first come, first served.
    whole_steps : bool, optional
        Whether a batching server works in whole steps, so that a query that comes during one has to
        wait for its end. By default tokens flow, as in the formulas.
    replications : int, optional
        How many independent runs are pooled.
    executor : concurrent.futures.Executor, optional
        Where the replications run: a process pool, or ``Client.get_executor()`` of Dask. The
        result is the same, bit for bit, with any executor and with none.
    level : float, optional
        The level of all intervals.
    half_width : float, optional
        In s. Stop as soon as the interval of the mean system time is no wider than this to either
        side and the run is not too short to trust it; ``jobs`` is then the most that each
        replication may serve, and ``reached`` says whether it was enough. It is looked at whenever
        the run has doubled, from 2,048 queries on; stopping when an interval happens to be narrow
        costs a little of its coverage.
    method : {"regenerative cycles", "batch means", "replications"}, optional
        How all intervals are made. By default regenerative cycles with one server; batch means
        with several, where the system may never be empty, and the first batch is left out as
        warm-up; replications, each of which counts as one observation, where arrivals are given
        and there is more than one. Cycles are independent with Poisson arrivals only.
    probabilities : sequence of float, optional
        Which quantiles to report.
    deadlines : array_like, (N,), optional
        In s: the share of the queries of each type answered later than this is reported.
    progress : bool, optional
        Show a progress bar.

    Returns
    -------
    Simulation
        On Ctrl-C: what has been gathered so far, marked as interrupted.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` for the given number of servers.
    WorkloadError
        If a parameter is out of its range.
    """
    _check_kinds(discipline, arrivals)
    check_count("jobs", jobs, most=MOST_JOBS)
    check_count("replications", replications, most=MOST_REPLICATIONS)
    server = workload.server if discipline is None else discipline
    if servers is not None:
        check_count("servers", servers, most=MOST_JOBS)
        if isinstance(server, Batching):
            raise WorkloadError(
                "One batching server is simulated; send each of several its part of the arrivals.",
                parameter="servers",
                value=servers,
            )
        if "servers" not in (field.name for field in fields(server)):
            raise WorkloadError(
                f"{server!r} is simulated with one server only; several that share one line are "
                "known for Fifo(), NonPreemptivePriority(order), ShortestFirst() and "
                "ProcessorSharing().",
                parameter="servers",
                value=servers,
            )
        server = replace(server, servers=servers)
    check_count("seed", seed, least=0)
    if half_width is not None:
        half_width = one_number("half_width", half_width, least=0)
    check_levels(level, probabilities)
    if isinstance(server, Batching) or isinstance(workload.server, Batching):
        demand, places, alone = _alone(workload, tokens, server, memory, whole_steps)
    else:
        _only_batching(memory, whole_steps, server)
        demand, places = one_allocation(workload, tokens, server.servers), server.servers
        alone = demand.mean
    deadline = _deadlines(deadlines, demand.tokens)
    chosen = _method(method, _crowd(server), replications, poisson=arrivals is None)
    from thinkqueue.simulation.measures import Measures
    from thinkqueue.simulation.rows import CYCLES

    began = time.perf_counter()
    asked = _Asked(server, arrivals, chosen, jobs)

    def engine() -> Engine[Tally]:
        from thinkqueue.simulation.batching import Batch
        from thinkqueue.simulation.engine import engine_for

        if isinstance(server, Batching):
            room = np.inf if memory is None else memory
            return Batch(_prompts(workload), server, room, whole_steps)
        return engine_for(server, demand.mean)

    runs = asked.runs(workload, demand, engine, deadline, seed, replications)
    goals = [jobs] if half_width is None else _doubled(FIRST_LOOK, jobs)
    reached = half_width is None
    interrupted = False
    with progress_bar(progress, jobs * replications) as report:
        try:
            for goal in goals:
                _advance(runs, goal, executor, report)
                if half_width is not None:
                    known = Measures(runs, chosen, places, level).mean_system_time
                    reached = known.half_width <= half_width and not known.too_short
                    if reached:
                        break
            for run in runs:
                run.finish()
        except KeyboardInterrupt:
            interrupted = True
            if not any(run.rows for run in runs):
                raise
    found = Measures(runs, chosen, places, level)
    other = asked.other_method
    check = Measures(runs, other, places, level).mean_system_time if other else None
    return Simulation(
        mean_system_time=found.mean_system_time,
        mean_waiting_time=found.mean_waiting_time,
        utilization=found.utilization,
        mean_squared_system_time=found.mean_squared_system_time,
        mean_squared_waiting_time=found.mean_squared_waiting_time,
        quantiles=found.quantiles(probabilities),
        waiting_quantiles=found.waiting_quantiles(probabilities),
        per_type=found.per_type(alone),
        method=chosen,
        cross_check=check,
        queries=sum(run.served for run in runs),
        cycles=sum(int(run.tally.state[CYCLES]) for run in runs),
        seed=seed,
        replications=replications,
        server=server,
        seconds=time.perf_counter() - began,
        reached=reached,
        interrupted=interrupted,
        found=_found(runs) if isinstance(server, Batching) else None,
    )


@dataclass(frozen=True)
class _Asked:
    """What makes one replication another than one of the plain queue."""

    server: Discipline | Batching
    arrivals: Arrivals | None
    method: Method
    jobs: int

    @property
    def in_cycles(self) -> bool:
        """Whether cycles are independent and end for certain."""
        return _crowd(self.server) == 1 and self.arrivals is None

    @property
    def other_method(self) -> Method | None:
        """The other method of making intervals."""
        if self.method == "replications" or not self.in_cycles:
            return None
        return "regenerative cycles" if self.method == "batch means" else "batch means"

    def runs(
        self,
        workload: Workload,
        demand: Demand,
        engine: Callable[[], Engine[Tally]],
        deadline: Array,
        seed: int,
        replications: int,
    ) -> list[Replication[Tally]]:
        """Return replications that have not begun."""
        from thinkqueue.simulation.alias import alias_table
        from thinkqueue.simulation.queries import queries_of
        from thinkqueue.simulation.replication import Cut, Replication
        from thinkqueue.simulation.tally import empty_tally

        if self.method == "replications":
            cut = Cut.NOWHERE
        elif self.method == "batch means" and not self.in_cycles:
            cut = Cut.BATCHES
        else:
            cut = Cut.CYCLES
        table = alias_table(np.ascontiguousarray(workload.share))
        return [
            Replication(
                queries_of(
                    table, workload.arrival_rate, self.arrivals, self.jobs, demand.work, child
                ),
                engine(),
                cut,
                empty_tally(deadline, cut.least, cut is Cut.BATCHES),
            )
            for child in np.random.SeedSequence(seed).spawn(replications)
        ]


def _check_kinds(discipline: object, arrivals: object) -> None:
    """Refuse what is no discipline and what are no arrivals."""
    if discipline is not None and not isinstance(discipline, Discipline | Batching):
        raise WorkloadError(
            f"discipline is {discipline!r}; it must be a discipline such as Fifo().",
            parameter="discipline",
            value=discipline,
        )
    if arrivals is not None and not hasattr(arrivals, "gaps_at"):
        raise WorkloadError(
            f"arrivals is {arrivals!r}; it must be a Trace or a model such as MarkovModulated.",
            parameter="arrivals",
            value=arrivals,
        )


def _method(asked: Method | None, servers: int, replications: int, *, poisson: bool) -> Method:
    """Return the method asked for, or the one that suits."""
    if asked not in (None, "regenerative cycles", "batch means", "replications"):
        raise WorkloadError(
            f'method is {asked!r}; it must be "regenerative cycles", "batch means" or '
            '"replications".',
            parameter="method",
            value=asked,
        )
    if asked == "regenerative cycles" and not poisson:
        raise WorkloadError(
            'method is "regenerative cycles", but busy cycles are not independent unless arrivals '
            'are Poisson; use "replications".',
            parameter="method",
            value=asked,
        )
    if asked is not None:
        return asked
    if not poisson and replications > 1:
        return "replications"
    return "regenerative cycles" if poisson and servers == 1 else "batch means"


def _doubled(first: int, last: int) -> list[int]:
    """Return first, 2 first, 4 first, ... and last."""
    goals = []
    while first < last:
        goals.append(first)
        first *= 2
    return [*goals, last]


def _advance(
    runs: list[Replication[Tally]],
    goal: int,
    executor: Executor | None,
    report: Callable[[int], object] | None,
) -> None:
    """Take every replication to the goal; the list holds what is done if this is interrupted."""
    if executor is None:
        for run in runs:
            run.advance(goal, report)
        return
    from thinkqueue.simulation.replication import Replication

    before = [run.served for run in runs]
    futures = [executor.submit(Replication.advance, run, goal) for run in runs]
    try:
        for place, future in enumerate(futures):
            runs[place] = future.result()
            if report is not None:
                report(runs[place].served - before[place])
    finally:
        for future in futures:
            future.cancel()


def progress_bar(show: bool, total: int) -> AbstractContextManager[Callable[[int], object] | None]:
    """Return a context that yields where to report progress, or nothing.

    Parameters
    ----------
    show : bool
        Whether there is to be a bar.
    total : int
        How many queries make it full.
    """
    if not show:
        return nullcontext(None)
    try:
        from tqdm.auto import tqdm
    except ImportError as missing:
        message = "a progress bar needs tqdm: pip install 'thinkqueue[simulate]'"
        raise ThinkQueueError(message) from missing
    return _Bar(tqdm(total=total, unit=" queries", unit_scale=True))


class _Bar(AbstractContextManager["Callable[[int], object] | None"]):
    """A progress bar that yields its update method and is closed at the end."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def __enter__(self) -> Callable[[int], object]:
        return self._update

    def _update(self, done: int) -> object:
        return self._bar.update(done)

    def __exit__(self, *error: object) -> None:
        self._bar.close()


def _crowd(server: Discipline | Batching) -> int:
    """Return how many servers there are; a batching one may never be empty, as if it were two."""
    return 2 if isinstance(server, Batching) else server.servers


def _alone(
    workload: Workload,
    tokens: ArrayLike,
    server: Discipline | Batching,
    memory: float | None,
    whole_steps: bool,
) -> tuple[Demand, float, Array]:
    r"""Return what one allocation asks of the server, how many such make it full, and times alone.

    Raises
    ------
    UnstableError
        If the server is asked for more than it can do.
    WorkloadError
        If the server does not batch, or the workload asks for seconds and not for tokens.
    """
    of_tokens = isinstance(workload.server, Batching)
    if not (isinstance(server, Batching) and of_tokens):
        raise WorkloadError(
            "A workload of tokens is simulated on a Batching(...) server, and only such a workload "
            f"is; this one has {workload.server!r}, and the server asked for is {server!r}.",
            parameter="discipline",
            value=server,
        )
    if whole_steps and not isinstance(workload.service, Generated):
        raise WorkloadError(
            "Whole steps are simulated for lengths that the type tells; those of "
            f"{workload.service!r} are drawn.",
            parameter="whole_steps",
            value=whole_steps,
        )
    if whole_steps and server.max_batch is not None and server.overflow == "share":
        raise WorkloadError(
            f"max_batch is {server.max_batch} and those beyond it share its places, which is no "
            'matter of whole steps; use overflow="wait", or let tokens flow.',
            parameter="whole_steps",
            value=whole_steps,
        )
    ell = tokens_array(workload, tokens, single=True)
    places = np.inf
    if memory is not None:
        places = held(workload, ell).places(check_memory(workload, ell, memory))
    load = workload.arrival_rate * time_taken(workload, ell, server, places)
    if load >= 1:
        refuse_unstable(workload, load, "at these tokens")
    time, of, prompts = server.token_time, workload.service.moments(ell), _prompts(workload)
    x, square = (np.ceil(of.mean), np.ceil(of.mean) ** 2) if whole_steps else (of.mean, of.square)
    behind = prompts.tokens * x + (square - whole_steps * x) / 2
    alone = prompts.time + float(time.seconds_at(1.0)) * x
    alone = np.ascontiguousarray(alone + getattr(time, "per_context", 0.0) * behind)
    busy = workload.arrival_rate * float(workload.share @ alone)
    return Demand(_known(workload), ell), busy / load if load > 0 else np.inf, alone


def _prompts(workload: Workload) -> Prompts:
    """Return the prompts of a workload of tokens."""
    from thinkqueue.simulation.batching import Prompts

    nothing: Array = np.zeros(len(workload))
    return Prompts(
        nothing + getattr(workload.service, "prompt_time", 0.0),
        nothing + getattr(workload.service, "prompt_tokens", 0.0),
    )


def _only_batching(memory: float | None, whole_steps: bool, server: Discipline) -> None:
    """Refuse what only a batching server has."""
    if memory is not None or whole_steps:
        name = "whole_steps" if memory is None else "memory"
        raise WorkloadError(
            f"{name} is for a Batching(...) server; this one is {server!r}.",
            parameter=name,
            value=whole_steps if memory is None else memory,
        )


def _found(runs: Sequence[Replication[Tally]]) -> Array:
    """Return what part of all arrivals found so many queries there."""
    counts: list[Index] = [run.engine.found for run in runs]  # type: ignore[attr-defined]
    total: Array = np.zeros(max(count.size for count in counts))
    for count in counts:
        total[: count.size] += count
    return np.asarray(total / max(float(total.sum()), 1.0))


def one_allocation(workload: Workload, tokens: ArrayLike, servers: int = 1) -> Demand:
    r"""Return what one allocation asks of the server, after checking that it is stable.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    servers : int, optional
        How many servers share the load.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    WorkloadError
        If ``tokens`` is not one allocation, or of the service only the moments are known.
    """
    service = _known(workload)
    ell = tokens_array(workload, tokens, single=True)
    mean = float(service_moments(workload, ell)[0]) / servers
    if workload.arrival_rate * mean >= 1:
        refuse_unstable(
            workload, workload.arrival_rate * mean, f"at these tokens with {servers} server(s)"
        )
    return Demand(service, ell)


def _known(workload: Workload) -> Service:
    """Return the service of a workload, or refuse it where its law is not known."""
    service = workload.service
    if isinstance(service, Affine | Generated) or hasattr(service, "draw"):
        return service
    raise WorkloadError(
        f"Of the service of this workload, {service!r}, only the moments are known; give it a "
        "method draw(tokens, kinds, random), or affine service times.",
        parameter="service",
        value=service,
    )


def check_levels(level: float, probabilities: Sequence[float] = ()) -> None:
    """Refuse levels and probabilities that do not lie between 0 and 1.

    Parameters
    ----------
    level : float
        Of the intervals.
    probabilities : sequence of float, optional
        Of the quantiles.

    Raises
    ------
    WorkloadError
        If one of them does not.
    """
    for name, value in (("level", level), *(("probabilities", p) for p in probabilities)):
        if not 0 < one_number(name, value, least=-np.inf) < 1:
            raise WorkloadError(
                f"{name} must lie between 0 and 1, both excluded; it is {value!r}.",
                parameter=name,
                value=value,
            )


def _deadlines(deadlines: ArrayLike | None, tokens: Array) -> Array:
    values = floats("deadlines", np.inf if deadlines is None else deadlines)
    if values.ndim > 1 or values.size not in (1, tokens.size) or not (values >= 0).all():
        raise WorkloadError(
            f"deadlines must be {tokens.size} times in seconds, none negative.",
            parameter="deadlines",
            value=values,
        )
    return np.array(np.broadcast_to(values, tokens.shape))
