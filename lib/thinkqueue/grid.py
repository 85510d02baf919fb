"""Many workloads at once: the phase diagrams of the book, and clouds of uncertain parameters."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import fields, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thinkqueue.arrays import column, first, total
from thinkqueue.checks import floats, one_number
from thinkqueue.delay.time import delay_of, refuse_unstable
from thinkqueue.errors import WorkloadError
from thinkqueue.executors import gather
from thinkqueue.rows import pick
from thinkqueue.solution import GridSolution, NotConvergedError, Status
from thinkqueue.solvers.newton import Newton
from thinkqueue.workload import (
    Affine,
    Generated,
    Grid,
    Saturating,
    Varying,
    Workload,
    check_ranges,
)
from thinkqueue.workload.parameters import CURVE, GENERATED, OWN, SCALARS, SERVICE, VARYING

BLOCK = 1 << 15
"""How many numbers an array of a block may have: what stays in a core's cache."""
PIECE = 8
"""How many blocks a worker gets at a time: some tenths of a second."""
MAX_STEPS = 200
WORTHWHILE = 0.85
"""Workloads that are done are dropped when no more than this part of a block is left to do."""


def solve_grid(
    workload: Workload,
    *,
    gap: float = 1e-9,
    throw: bool = True,
    executor: Executor | None = None,
    report: Callable[[int], object] | None = None,
    **parameters: ArrayLike,
) -> GridSolution:
    r"""Find the best allocation of every workload of a grid, side by side.

    Parameters
    ----------
    workload : Workload
        Gives every parameter that is not varied.
    gap : float, optional
        As in :func:`~thinkqueue.solve`.
    throw : bool, optional
        Whether to raise where some workload has no stable allocation or did not converge.
    executor : concurrent.futures.Executor, optional
        Where pieces of the grid are solved: a process pool, or ``Client.get_executor()`` of Dask.
        The result is the same, bit for bit, with any executor and with none.
    report : callable, optional
        Told how many more workloads are done, piece by piece.
    **parameters : array_like
        What varies: ``arrival_rate`` and ``accuracy_weight`` with the shape of the grid, parameters
        of the types (``share``, ``gain``, …) with that shape and a last axis for the types. All
        shapes broadcast: ``arrival_rate=x[:, None], accuracy_weight=y`` makes a table.

    Returns
    -------
    GridSolution

    Raises
    ------
    WorkloadError
        If a parameter is unknown or out of its range.
    UnstableError
        If ``throw`` is set and some workload has :math:`\rho(0) \ge 1`.
    NotConvergedError
        If ``throw`` is set and some gap was not reached; the whole result is attached.

    Notes
    -----
    The same :class:`~thinkqueue.Newton` as for one workload, on arrays with one axis more.
    """
    gap = one_number("gap", gap, least=0)
    grid, shape = rows_of(workload, parameters)
    size, types = int(np.prod(shape)), len(workload)
    height = max(1, BLOCK // types)
    if executor is None:
        result = _solve_rows(grid, size, types, gap, report)
    else:
        starts = range(0, size, PIECE * height)
        pieces = [np.arange(start, min(start + PIECE * height, size)) for start in starts]
        say = None if report is None else _in_rows(report, PIECE * height)
        parts = gather(
            executor,
            _solve_rows,
            [(pick(grid, rows), len(rows), types, gap) for rows in pieces],
            say,
        )
        result = (
            GridSolution(
                *(
                    np.concatenate([getattr(part, f.name) for part in parts])
                    for f in fields(parts[0])
                )
            )
            if parts
            else _empty(0, types)
        )
    if throw and not result.stable.all():
        worst = int(np.argmax(result.utilization))
        rate = first(pick(grid.arrival_rate, np.array([worst])))
        refuse_unstable(
            workload.replace(arrival_rate=rate),
            float(result.utilization[worst]),
            "in part of the grid even with no thinking tokens at all",
        )
    solution = GridSolution(
        *(
            getattr(result, f.name).reshape(shape + getattr(result, f.name).shape[1:])
            for f in fields(result)
        )
    )
    open_ = result.stable & ~(result.gap <= gap * np.maximum(1, np.abs(result.objective)))
    if throw and open_.any():
        raise NotConvergedError(
            f"{int(open_.sum())} of {size} workloads did not reach a certified gap of {gap:.3g} s; "
            f"the largest is {result.gap[open_].max():.3g} s. {Status.STALLED.value}",
            solution=solution,
        )
    return solution


def _solve_rows(
    grid: Grid,
    size: int,
    types: int,
    gap: float,
    report: Callable[[int], object] | None = None,
) -> GridSolution:
    """Solve so many rows, block by block."""
    result = _empty(size, types)
    height = max(1, BLOCK // types)
    for start in range(0, size, height):
        rows = np.arange(start, min(start + height, size))
        _solve_block(grid, rows, gap, result)
        if report is not None:
            report(len(rows))
    return result


def _in_rows(report: Callable[[int], object], height: int) -> Callable[[int], object]:
    """Return a report on pieces that tells of their workloads; the last piece may be smaller."""
    return lambda pieces: report(pieces * height)


def _empty(size: int, types: int) -> GridSolution:
    return GridSolution(
        tokens=np.zeros((size, types)),
        objective=np.zeros(size),
        upper_bound=np.zeros(size),
        gap=np.zeros(size),
        utilization=np.zeros(size),
        mean_system_time=np.zeros(size),
        mean_accuracy=np.zeros(size),
        stable=np.ones(size, dtype=np.bool_),
    )


def rows_of(workload: Workload, parameters: dict[str, ArrayLike]) -> tuple[Grid, tuple[int, ...]]:
    """Return the parameters with the grid's axes made one, and the shape of the grid.

    Parameters
    ----------
    workload : Workload
        Gives what is not varied; it keeps a first axis of length 1.
    parameters : dict
        What varies.

    Raises
    ------
    WorkloadError
        If a parameter is unknown or out of its range, or shapes do not broadcast.
    """
    own = [*OWN]
    own += CURVE if isinstance(workload.curves, Saturating) else ()
    kinds = {Affine: SERVICE, Varying: VARYING, Generated: GENERATED}
    times = kinds.get(type(workload.service), ())
    own += times
    for name in parameters:
        if name not in (*own, *SCALARS):
            raise WorkloadError(
                f"A workload has no parameter {name!r}; it has {', '.join((*own, *SCALARS))}.",
                parameter=name,
                value=parameters[name],
            )

    def current(name: str) -> ArrayLike:
        return getattr(workload.service if name in times else workload, name)  # type: ignore[no-any-return]

    values = {name: floats(name, parameters.get(name, current(name))) for name in (*own, *SCALARS)}
    values |= {name: values[name][..., None] for name in SCALARS}
    for field in own:
        if field in parameters and values[field].shape[-1:] != (len(workload),):
            raise WorkloadError(
                f"{field} has shape {values[field].shape}; its last axis must have one entry for "
                f"each of the {len(workload)} task types.",
                parameter=field,
                value=values[field].shape,
            )
    try:
        shape = np.broadcast_shapes(*(value.shape[:-1] for value in values.values()))
    except ValueError:
        varied = ", ".join(f"{name} {values[name].shape[:-1]}" for name in parameters)
        raise WorkloadError(
            f"These shapes do not broadcast: {varied}.", parameter=next(iter(parameters))
        ) from None
    check_ranges(values, workload.name)
    rows = {
        name: value.reshape(1, -1)
        if value.size == value.shape[-1]
        else np.broadcast_to(value, (*shape, value.shape[-1])).reshape(-1, value.shape[-1])
        for name, value in values.items()
    }
    curves, service = workload.curves, workload.service
    grid = Grid(
        **{name: rows[name] for name in (*OWN, *SCALARS)},
        curves=Saturating(*(rows[f] for f in CURVE)) if "gain" in own else curves,
        service=type(service)(*(rows[f] for f in times)) if times else service,
        server=workload.server,
    )
    return grid, shape


def select(grid: Grid, rows: NDArray[np.intp]) -> Grid:
    """Return some rows of a grid.

    Parameters
    ----------
    grid : Grid
        What :func:`rows_of` returned.
    rows : ndarray of int
        Which ones.
    """
    chosen = pick(grid, rows)
    # one parameter of full size, column by column: arrays made from it have a row for each
    # workload, and the workloads and not the few types are the inner loop of every operation
    full = np.empty((len(rows), grid.weight.shape[-1]), order="F")
    full[:] = chosen.weight
    return replace(chosen, weight=full)


def _solve_block(grid: Grid, rows: NDArray[np.intp], gap: float, result: GridSolution) -> None:
    """Solve some rows, dropping those that are done when they are many."""
    block = select(grid, rows)
    with np.errstate(all="ignore"):
        idle = delay_of(grid.server).at(block, np.zeros(block.weight.shape))
    stable = column(idle.slack) > 0
    dead = rows[~stable]
    result.stable[dead] = False
    result.utilization[dead] = 1 - column(idle.slack)[~stable]
    result.objective[dead] = result.upper_bound[dead] = -np.inf
    result.mean_system_time[dead] = np.inf
    answers = total(block.weight * block.share, block.curves.value(np.zeros(block.weight.shape)))
    result.mean_accuracy[dead] = column(answers)[~stable]
    rows = rows[stable]
    result.gap[rows] = np.inf
    if not rows.size:
        return
    block, everybody = select(grid, rows), rows
    steps = Newton().iterates(block)
    look = next(steps)
    for _ in range(MAX_STEPS):
        better = column(look.gap) < result.gap[rows]
        chosen = rows[better]
        result.tokens[chosen] = look.tokens[better]
        result.objective[chosen] = column(look.objective)[better]
        result.gap[chosen] = column(look.gap)[better]
        result.utilization[chosen] = 1 - column(look.state.slack)[better]
        result.mean_system_time[chosen] = column(look.state.time)[better]
        undone = result.gap[rows] > gap
        if not undone.any():
            break
        drop = undone.sum() <= WORTHWHILE * rows.size
        rows = rows[undone] if drop else rows
        try:
            look = steps.send(undone if drop else None)
        except StopIteration:
            break
    _finish(grid, everybody, result)


def _finish(grid: Grid, rows: NDArray[np.intp], result: GridSolution) -> None:
    block = select(grid, rows)
    correct = block.curves.value(result.tokens[rows])
    result.mean_accuracy[rows] = column(total(block.weight * block.share, correct))
    result.upper_bound[rows] = result.objective[rows] + result.gap[rows]
