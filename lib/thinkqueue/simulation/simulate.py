"""The public door of the simulation: one call, one result with intervals."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import Array
from thinkqueue.checks import check_count, floats, one_number
from thinkqueue.delay import refuse_unstable, service_moments, service_time
from thinkqueue.errors import ThinkQueueError, WorkloadError
from thinkqueue.simulation import estimates
from thinkqueue.simulation.estimates import Estimate, Estimates
from thinkqueue.workload import Discipline, Fifo, Workload, tokens_array

if TYPE_CHECKING:
    from thinkqueue.simulation.replication import Batch, Replication

Method = Literal["regenerative cycles", "batch means"]

PROBABILITIES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class PerType:
    """What each type of query saw, as arrays of shape (N,).

    Attributes
    ----------
    queries : ndarray of int64
        How many queries of the type are in the estimates.
    mean_system_time, mean_waiting_time : Estimates
        In seconds.
    late : Estimates
        The share of queries answered after the deadline of the type.
    """

    queries: NDArray[np.int64]
    mean_system_time: Estimates
    mean_waiting_time: Estimates
    late: Estimates


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
        In s², by regenerative cycles.
    quantiles, waiting_quantiles : dict of Estimate
        Quantiles of system and of waiting time by their probability; each lies within 0.4 % of the
        sample quantile (see ``sketch.py``), the interval is by batch means.
    per_type : PerType
        The same for each type, by regenerative cycles.
    method : str
        How the intervals of the three means came about: ``"regenerative cycles"`` or
        ``"batch means"``.
    cross_check : Estimate
        The mean system time by the other method.
    queries, cycles : int
        How many queries were served and how many busy cycles ended.
    seed, replications : int
        What was asked for.
    discipline : Discipline
        Who was served next.
    servers : int
        How many servers there were.
    seconds : float
        The time that the simulation took.
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
    cross_check: Estimate
    queries: int
    cycles: int
    seed: int
    replications: int
    discipline: Discipline
    servers: int
    seconds: float
    interrupted: bool


def simulate(
    workload: Workload,
    tokens: ArrayLike,
    *,
    jobs: int,
    seed: int,
    discipline: Discipline | None = None,
    servers: int = 1,
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
    takes :math:`s_k = t_{0,k} + c_k\ell_k`. Estimates whatever the theory says about
    :math:`\mathbb{E}[T]`, :math:`\mathbb{E}[W]` and :math:`\rho`, without using it.

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    jobs : int
        How many queries each replication serves; it goes on to the end of the busy cycles in
        progress, a few queries more, because stopping in the middle would bias the estimates.
        Memory does not depend on it.
    seed : int
        Of a ``numpy.random.SeedSequence`` of which each replication gets its own child.
    discipline : Discipline, optional
        ``Fifo()``, the default, ``NonPreemptivePriority(order)``, ``ShortestFirst()`` or
        ``ProcessorSharing()``. One seed sends the same queries through all of them.
    servers : int, optional
        How many servers share the stream.
    replications : int, optional
        How many independent runs are pooled.
    executor : concurrent.futures.Executor, optional
        Where the replications run: a process pool, or ``Client.get_executor()`` of Dask. The
        result is the same, bit for bit, with any executor and with none.
    level : float, optional
        The level of all intervals.
    half_width : float, optional
        In s. Stop as soon as the interval of the mean system time is no wider than this to either
        side; ``jobs`` is then the most that each replication may serve. It is looked at whenever
        the run has doubled, from 2,048 queries on; stopping when an interval happens to be narrow
        costs a little of its coverage.
    method : {"regenerative cycles", "batch means"}, optional
        How the intervals of the three means are made. By default regenerative cycles with one
        server, batch means with several, where the system may never be empty. The first batch is
        left out as warm-up.
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
    discipline = Fifo() if discipline is None else discipline
    if not isinstance(discipline, Discipline):
        raise WorkloadError(
            f"discipline is {discipline!r}; it must be a discipline such as Fifo().",
            parameter="discipline",
            value=discipline,
        )
    counts = (("jobs", jobs), ("replications", replications), ("servers", servers))
    for name, value in counts:
        check_count(name, value)
    check_count("seed", seed, least=0)
    if half_width is not None:
        half_width = one_number("half_width", half_width, least=0)
    if method not in (None, "regenerative cycles", "batch means"):
        raise WorkloadError(
            f'method is {method!r}; it must be "regenerative cycles" or "batch means".',
            parameter="method",
            value=method,
        )
    check_levels(level, probabilities)
    service = one_allocation(workload, tokens, servers)
    deadline = _deadlines(deadlines, service)
    chosen: Method = method or ("regenerative cycles" if servers == 1 else "batch means")
    from thinkqueue.simulation.replication import BATCHES, Replication, Source
    from thinkqueue.simulation.streams import spawn_states

    began = time.perf_counter()
    source = Source.of(
        workload.share, service, deadline, workload.arrival_rate, discipline, servers
    )
    size = max(1, jobs // BATCHES) if half_width is None else FIRST_BATCH
    runs = [Replication(source, state, size) for state in spawn_states(seed, replications)]
    goals = [jobs] if half_width is None else _doubled(FIRST_LOOK, jobs)
    interrupted = False
    with progress_bar(progress, jobs * replications) as report:
        try:
            for goal in goals:
                _advance(runs, goal, executor, report)
                if half_width is not None:
                    time_in_system = _means(runs, chosen, level)[0]
                    if time_in_system.half_width <= half_width:
                        break
            for run in runs:
                run.finish()
        except KeyboardInterrupt:
            interrupted = True
            if not any(run.tally.blocks[0] for run in runs):
                raise
    (system, waiting, load), (check, _, _) = (
        _means(runs, chosen, level),
        _means(runs, _other(chosen), level),
    )
    squares = _squares(runs, level)
    quantiles, waiting_quantiles = _quantiles(runs, np.array(probabilities), level)
    return Simulation(
        mean_system_time=system,
        mean_waiting_time=waiting,
        utilization=load,
        mean_squared_system_time=squares[0],
        mean_squared_waiting_time=squares[1],
        quantiles=dict(zip(probabilities, quantiles, strict=True)),
        waiting_quantiles=dict(zip(probabilities, waiting_quantiles, strict=True)),
        per_type=_per_type(runs, waiting.value, level),
        method=chosen,
        cross_check=check,
        queries=sum(run.served for run in runs),
        cycles=sum(int(run.tally.cycles[0]) for run in runs),
        seed=seed,
        replications=replications,
        discipline=discipline,
        servers=servers,
        seconds=time.perf_counter() - began,
        interrupted=interrupted,
    )


FIRST_LOOK, FIRST_BATCH = 2048, 64


def _doubled(first: int, last: int) -> list[int]:
    """Return first, 2 first, 4 first, ... and last."""
    goals = []
    while first < last:
        goals.append(first)
        first *= 2
    return [*goals, last]


def _advance(
    runs: list[Replication],
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


def _other(method: Method) -> Method:
    return "batch means" if method == "regenerative cycles" else "regenerative cycles"


def _blocks(runs: list[Replication]) -> estimates.Blocks:
    """Return the sums over the blocks of all replications."""
    tallies = [run.tally for run in runs]
    return estimates.Blocks.pooled(
        [(int(t.blocks[0]), t.sums, t.products, t.cubes) for t in tallies]
    )


def _coefficients(size: int, *places: int) -> Array:
    """Return the coefficients that add up the sums at the given places."""
    return np.isin(np.arange(size), places).astype(np.float64)


def _batches(runs: list[Replication]) -> list[Batch]:
    """Return the batches of all replications without the first of each, the warm-up."""
    return [batch for run in runs for batch in run.batches[1:]]


def _means(
    runs: list[Replication], method: Method, level: float
) -> tuple[Estimate, Estimate, Estimate]:
    """Return mean system time, mean waiting time and load of each server."""
    from thinkqueue.simulation.tally import BUSY, LENGTH, QUERIES, SUMS, WAITING

    servers = runs[0].source.servers
    if method == "batch means":
        running = np.array([batch.running for batch in _batches(runs)]).reshape(-1, 4)
        n, waiting, busy, length = running.T
        n = np.maximum(n, 1.0)  # with several servers a short batch may see no service begin
        return (
            estimates.of_batches((waiting + busy) / n, n, level),
            estimates.of_batches(waiting / n, n, level),
            estimates.of_batches(busy / (length * servers), length, level),
        )
    blocks = _blocks(runs)
    n, length = _coefficients(SUMS, QUERIES), _coefficients(SUMS, LENGTH)
    return (
        blocks.ratio(_coefficients(SUMS, WAITING, BUSY), n, level)[()],
        blocks.ratio(_coefficients(SUMS, WAITING), n, level)[()],
        blocks.ratio(_coefficients(SUMS, BUSY) / servers, length, level)[()],
    )


def _squares(runs: list[Replication], level: float) -> tuple[Estimate, Estimate]:
    """Return the means of the squares of system and of waiting time."""
    from thinkqueue.simulation.tally import QUERIES, SUMS, SYSTEM_SQUARED, WAITING_SQUARED

    blocks, n = _blocks(runs), _coefficients(SUMS, QUERIES)
    return (
        blocks.ratio(_coefficients(SUMS, SYSTEM_SQUARED), n, level)[()],
        blocks.ratio(_coefficients(SUMS, WAITING_SQUARED), n, level)[()],
    )


def _quantiles(
    runs: list[Replication], probabilities: Array, level: float
) -> tuple[list[Estimate], list[Estimate]]:
    """Return the quantiles of the whole run, with intervals from those of its batches."""
    from thinkqueue.simulation.replication import batch_quantiles
    from thinkqueue.simulation.sketch import quantiles

    batches = _batches(runs)
    weights = np.array([batch.running[0] for batch in batches])
    everything = runs[0].everything()
    for run in runs[1:]:
        everything = everything.join(run.everything())
    whole = (everything.system, everything.waiting)
    found = []
    for sketch, of_batch in zip(whole, batch_quantiles(batches, probabilities), strict=True):
        column = []
        for place, value in enumerate(quantiles(*sketch, probabilities)):
            wide = estimates.of_batches(of_batch[:, place], weights, level).half_width
            column.append(Estimate(float(value), float(value - wide), float(value + wide), level))
        found.append(column)
    return found[0], found[1]


def _per_type(runs: list[Replication], waiting: float, level: float) -> PerType:
    """Return what each type saw; a type that never came is given the mean waiting time of all."""
    from thinkqueue.simulation.tally import TYPE_LATE, TYPE_QUERIES, TYPE_SUMS, TYPE_WAITING

    tallies = [run.tally for run in runs]
    blocks = estimates.Blocks.pooled(
        [(int(t.blocks[0]), t.type_sums, t.type_products, t.type_cubes) for t in tallies]
    )
    queries, n = blocks.sums[:, TYPE_QUERIES], _coefficients(TYPE_SUMS, TYPE_QUERIES)
    wait = blocks.ratio(_coefficients(TYPE_SUMS, TYPE_WAITING), n, level)
    wait = Estimates(np.where(queries > 0, wait.value, waiting), wait.low, wait.high, level)
    service = runs[0].source.service
    return PerType(
        queries=queries.astype(np.int64),
        mean_system_time=Estimates(
            wait.value + service, wait.low + service, wait.high + service, level
        ),
        mean_waiting_time=wait,
        late=blocks.ratio(_coefficients(TYPE_SUMS, TYPE_LATE), n, level),
    )


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


def one_allocation(workload: Workload, tokens: ArrayLike, servers: int = 1) -> Array:
    r"""Return the service times of one allocation, (N,), after checking that it is stable.

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
        If ``tokens`` is not one allocation.
    """
    ell = tokens_array(workload, tokens, single=True)
    mean = float(service_moments(workload, ell)[0]) / servers
    if workload.arrival_rate * mean >= 1:
        refuse_unstable(
            workload, workload.arrival_rate * mean, f"at these tokens with {servers} server(s)"
        )
    return np.ascontiguousarray(service_time(workload, ell))


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


def _deadlines(deadlines: ArrayLike | None, service: Array) -> Array:
    values = floats("deadlines", np.inf if deadlines is None else deadlines)
    if values.ndim > 1 or values.size not in (1, service.size) or not (values >= 0).all():
        raise WorkloadError(
            f"deadlines must be {service.size} times in seconds, none negative.",
            parameter="deadlines",
            value=values,
        )
    return np.array(np.broadcast_to(values, service.shape))
