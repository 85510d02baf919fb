"""The public door of the simulation: one call, one result with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first
from thinkqueue.checks import check_count, floats, one_number
from thinkqueue.delay import refuse_unstable, service_moments, stable_state
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.simulation.estimates import Estimate, Method, PerType
from thinkqueue.simulation.work import Demand
from thinkqueue.workload import (
    Affine,
    Batching,
    Discipline,
    Generated,
    Service,
    TokenTime,
    Workload,
    tokens_array,
)

if TYPE_CHECKING:
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
    server: Discipline
    seconds: float
    reached: bool
    interrupted: bool


def simulate(
    workload: Workload,
    tokens: ArrayLike,
    *,
    jobs: int,
    seed: int,
    discipline: Discipline | None = None,
    servers: int | None = None,
    arrivals: Arrivals | None = None,
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
        ``Fifo()``, ``NonPreemptivePriority(order)``, ``ShortestFirst()`` or ``ProcessorSharing()``,
        instead of the workload's server. One seed sends the same queries through all of them.
    servers : int, optional
        How many servers share the stream, instead of the server's own number.
    arrivals : Trace or MarkovModulated, optional
        When queries come, brought to the arrival rate of the workload; a Poisson stream by
        default. A trace is the same in every replication, and only the types differ; of a model
        each replication gets arrivals of its own. A replication starts with an empty system and
        ends when all have been served.
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
        server = replace(server, servers=servers)
    check_count("seed", seed, least=0)
    if half_width is not None:
        half_width = one_number("half_width", half_width, least=0)
    check_levels(level, probabilities)
    if isinstance(server, Batching) or isinstance(workload.service, Generated):
        demand, places = _alone(workload, tokens, server)
    else:
        demand, places = one_allocation(workload, tokens, server.servers), server.servers
    deadline = _deadlines(deadlines, demand.tokens)
    chosen = _method(method, _crowd(server), replications, poisson=arrivals is None)
    from thinkqueue.simulation.measures import Measures
    from thinkqueue.simulation.rows import CYCLES

    began = time.perf_counter()
    asked = _Asked(server, arrivals, chosen, jobs)
    runs = asked.runs(workload, demand, deadline, seed, replications)
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
        per_type=found.per_type(demand.mean),
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
    )


@dataclass(frozen=True)
class _Asked:
    """What makes one replication another than one of the plain queue."""

    server: Discipline
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
        self, workload: Workload, demand: Demand, deadline: Array, seed: int, replications: int
    ) -> list[Replication[Tally]]:
        """Return replications that have not begun."""
        from thinkqueue.simulation.alias import alias_table
        from thinkqueue.simulation.engine import engine_for
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
                engine_for(self.server, demand.mean),
                cut,
                empty_tally(deadline, cut.least, cut is Cut.BATCHES),
            )
            for child in np.random.SeedSequence(seed).spawn(replications)
        ]


def _check_kinds(discipline: object, arrivals: object) -> None:
    """Refuse what is no discipline and what are no arrivals."""
    if discipline is not None and not isinstance(discipline, Discipline):
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
    workload: Workload, tokens: ArrayLike, server: Discipline | Batching
) -> tuple[Demand, float]:
    r"""Return what one allocation asks of the server, alone, and how many such make it full.

    Raises
    ------
    UnstableError
        If the server is asked for more than it can do.
    WorkloadError
        If prompts take time or context costs, which is not simulated, or the server is not the
        workload's own.
    """
    time = server.token_time if isinstance(server, Batching) else None
    if server != workload.server or time is None:
        raise WorkloadError(
            f"A workload of tokens is simulated on its own Batching(...) server, and not on "
            f"{server!r}.",
            parameter="discipline",
            value=server,
        )
    context = isinstance(time, TokenTime) and time.per_context > 0
    if context or np.any(getattr(workload.service, "prompt_time", 0.0)):
        raise WorkloadError(
            "Batching is simulated without prompts that take time and without a cost of context; "
            "set prompt_time and per_context to 0.",
            parameter="prompt_time",
        )
    ell = tokens_array(workload, tokens, single=True)
    load = 1 - first(stable_state(workload, ell).slack)
    demand = Demand(_known(workload), ell, float(time.seconds_at(1.0)))
    busy = workload.arrival_rate * float(workload.share @ demand.mean)
    return demand, busy / load if load > 0 else np.inf


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
