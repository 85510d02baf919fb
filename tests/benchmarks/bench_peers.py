"""Newton beside the solvers that a reader would try, on the same workloads in one run.

Each method answers in a child process of its own, one at a time and on one thread, so that a limit
of processor time and of memory can be kept whatever it does. Newton is timed in that same child,
on the same workload, right before: the ratio is one of processor times, each the least of several
calls where a call is short. Building the model counts, since a user waits for it too; importing
does not, and each method is warmed up on another workload first.

An answer is brought within the caps and judged by this library: its distance from the optimum is
Newton's certified upper bound minus its objective. It counts as failed if there was none within the
limits, if it is not stable, or if it is further from the optimum than a hundredth of max(1, |J*|)
seconds. A method that fails on everything at one size, or meets the limit, is not tried at the
next.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from bench_newton import grid, million
from measuring import fastest, machine, record, significant, timed
from peers import Peer, conic, general, interior
from rich.console import Console
from rich.table import Table

import thinkqueue as tq

sys.path.append(str(Path(__file__).parents[1]))
from workloads import plain_workload

INSTANCES = {5: 12, 100: 6, 1000: 4, 10**4: 2, 10**5: 2, 10**6: 1}
MEMORY = 8 * 2**30
NEWTON_TOO = 3.0
GOALS = {5: 5, 1000: 150, 10**4: 300}
"""How many times as fast as the best peer Newton was meant to be."""

Row = dict[str, Any]


PEERS = (
    Peer("L-BFGS-B", general.SciPy(general.l_bfgs_b, general.plain_tokens)),
    Peer("L-BFGS-B, rescaled", general.SciPy(general.l_bfgs_b, general.widths)),
    Peer("SLSQP, rescaled", general.SciPy(general.slsqp, general.widths), 1000),
    Peer("trust-constr, rescaled", general.SciPy(general.trust_constr, general.widths), 1000),
    Peer("CVXPY + Clarabel", conic.natural),
    Peer("CVXPY + Clarabel, rescaled", conic.rescaled),
    Peer("CasADi + IPOPT", interior.direct, 1000),
    Peer("CasADi + IPOPT, lifted", interior.lifted),
)


def loss(workload: tq.Workload, answer: np.ndarray, optimum: tq.Solution) -> float | None:
    """How far the answer may be from the optimum, in s; None where it is no allocation."""
    try:
        tokens = np.clip(answer, 0, workload.max_tokens)
        return max(0.0, optimum.upper_bound - float(tq.objective(workload, tokens)))
    except tq.ThinkQueueError:
        return None


def compare(peer: Peer, types: int, seed: int, seconds: float) -> Row:
    """Time Newton and the peer on one workload."""
    workload = plain_workload(seed, types)
    tq.solve(workload)
    optimum, newton = timed(lambda: tq.solve(workload))
    quickest = fastest(lambda: tq.solve(workload), repeats=30, budget=0.3)
    newton = min(newton, quickest, key=lambda s: s.cpu)
    answer, spent = timed(lambda: peer.answer(workload, seconds))
    if spent.wall < 0.3:
        quickest = fastest(lambda: peer.answer(workload, seconds), repeats=5, budget=0.3)
        spent = min(spent, quickest, key=lambda s: s.cpu)
    return {
        "seconds": spent.cpu,
        "wall_seconds": spent.wall,
        "newton_seconds": newton.cpu,
        "newton_gap": optimum.gap,
        "ratio": spent.cpu / newton.cpu,
        "gap": loss(workload, answer, optimum),
        "objective": optimum.objective,
        "tokens_off": float(np.abs(answer - optimum.tokens).max()),
    }


def child(pipe: Connection, peer: Peer, types: int, count: int, seconds: float) -> None:
    """Answer one workload after another, and say so after each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")  # a peer's warning shows in its distance from the optimum
    with np.errstate(all="ignore"):
        peer.answer(plain_workload(10**6, 5), seconds)
        pipe.send("ready")
        for seed in range(count):
            try:
                pipe.send(compare(peer, types, seed, seconds))
            except Exception as error:  # whatever a peer raises, it is a failure to report
                pipe.send(str(error).split(". ")[0][:60] or type(error).__name__)


def used_by(process: int | None) -> float:
    """Processor time of a running process, in s; where the system does not tell, the wall time."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return time.monotonic()


def outcomes(peer: Peer, types: int, count: int, seconds: float) -> Iterator[Row | str]:
    """Run a child; yield a row or the reason of a failure for each workload until a limit."""
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, peer, types, count, seconds)
    process = multiprocessing.get_context("fork").Process(target=child, args=arguments)
    process.start()
    theirs.close()
    try:
        ours.recv()
        for _ in range(count):
            start = used_by(process.pid)
            # Newton, timed in the same child, is quick: nearly all of it is the peer's
            while not ours.poll(0.1):
                if used_by(process.pid) - start > seconds + NEWTON_TOO:
                    yield "time limit"
                    return
            yield ours.recv()
    except EOFError:
        yield "memory limit or crash"
    finally:
        process.kill()
        process.join()


def usable(row: Row) -> bool:
    gap = row["gap"]
    return gap is not None and gap <= 1e-2 * max(1, abs(row["objective"]))


def summary(method: str, types: int, results: list[Row | str]) -> Row:
    """One row of the table."""
    good = [
        r | {"relative_gap": r["gap"] / abs(r["objective"])}
        for r in results
        if not isinstance(r, str) and usable(r)
    ]
    reasons = [r for r in results if isinstance(r, str)]
    reasons += ["answer unusable" for r in results if not isinstance(r, str) and not usable(r)]

    def over(pick: Callable[[list[float]], float], key: str) -> float | None:
        return significant(pick([r[key] for r in good])) if good else None

    return {
        "method": method,
        "types": types,
        "instances": len(results),
        "failed": len(results) - len(good),
        "reason": reasons[0] if reasons else None,
        "seconds": over(statistics.median, "seconds"),
        "wall_seconds": over(statistics.median, "wall_seconds"),
        "ratio": over(statistics.median, "ratio"),
        "gap": over(statistics.median, "gap"),
        "gap_most": over(max, "gap"),
        "relative_gap": over(statistics.median, "relative_gap"),
        "tokens_off": over(statistics.median, "tokens_off"),
        "newton_seconds": over(statistics.median, "newton_seconds"),
    }


def newton(types: int, count: int) -> Row:
    """The row of Newton itself, whose distance is its own certified gap."""
    spent, gaps, relative = [], [], []
    for seed in range(count):
        workload = plain_workload(seed, types)
        optimum = tq.solve(workload)
        gaps.append(optimum.gap)
        relative.append(optimum.gap / abs(optimum.objective))
        spent.append(fastest(lambda w=workload: tq.solve(w), repeats=30, budget=0.3))
    seconds = significant(statistics.median(s.cpu for s in spent))
    return {
        "method": "Newton",
        "types": types,
        "instances": count,
        "failed": 0,
        "reason": None,
        "seconds": seconds,
        "wall_seconds": significant(statistics.median(s.wall for s in spent)),
        "ratio": 1.0,
        "gap": significant(statistics.median(gaps)),
        "gap_most": significant(max(gaps)),
        "relative_gap": significant(statistics.median(relative)),
        "tokens_off": 0.0,
        "newton_seconds": seconds,
    }


def race(seconds: float, console: Console) -> list[Row]:
    """Every method at every size that it can reach."""
    rows, running = [], list(PEERS)
    for types, count in INSTANCES.items():
        rows.append(newton(types, count))
        for peer in tuple(running):
            if types > peer.largest:
                console.print(
                    f"  {peer.name} ends at {peer.largest:,} types: its matrices are dense"
                )
                running.remove(peer)
                continue
            row = summary(peer.name, types, list(outcomes(peer, types, count, seconds)))
            rows.append(row)
            console.print(f"  {types:>9,}  {peer.name:<28}{describe(row)}")
            if row["failed"] == row["instances"] or row["reason"] == "time limit":
                running.remove(peer)
    return rows


def describe(row: Row) -> str:
    if row["ratio"] is None:
        return f"failed: {row['reason']}"
    failures = f"  {row['failed']} of {row['instances']} failed" if row["failed"] else ""
    return f"{row['ratio']:>9.3g} ×  {1e3 * row['seconds']:>9.3g} ms  {row['gap']:8.1e} s{failures}"


def goals(rows: list[Row]) -> list[Row]:
    """Newton beside the fastest peer that answered everything at that size."""
    found = []
    for types, wanted in GOALS.items():
        rivals = [
            r for r in rows if r["types"] == types and r["method"] != "Newton" and not r["failed"]
        ]
        if not rivals:
            continue
        best = min(rivals, key=lambda r: r["ratio"])
        own = next(r for r in rows if r["types"] == types and r["method"] == "Newton")
        found.append(
            {
                "types": types,
                "wanted": wanted,
                "ratio": best["ratio"],
                "method": best["method"],
                "gap": best["gap"],
                "newton_gap": own["gap"],
            }
        )
    return found


def table(rows: list[Row]) -> Table:
    """Methods down, sizes across: processor time as a multiple of Newton's."""
    shown = Table(title="Processor time, in multiples of Newton's (median distance from J*, s)")
    shown.add_column("method")
    for types in INSTANCES:
        shown.add_column(f"{types:,}", justify="right")
    for method in ("Newton", *(peer.name for peer in PEERS)):
        cells = []
        for types in INSTANCES:
            row = next((r for r in rows if (r["method"], r["types"]) == (method, types)), None)
            if row is None:
                cells.append("–")
            elif row["ratio"] is None:
                cells.append("limit" if "limit" in row["reason"] else "fails")
            elif method == "Newton":
                cells.append(f"{1e3 * row['seconds']:.3g} ms ({row['gap']:.0e})")
            else:
                lost = f", {row['failed']}/{row['instances']} fail" if row["failed"] else ""
                cells.append(f"{row['ratio']:.3g} ({row['gap']:.0e}{lost})")
        shown.add_row(method, *cells)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=15.0, help="processor time for one answer")
    limit = parser.parse_args().seconds
    console = Console(width=150)
    rows = race(limit, console)
    results = {
        "machine": machine("numpy", "scipy", "cvxpy", "clarabel", "casadi"),
        "limits": {"seconds": limit, "bytes": MEMORY},
        "rows": rows,
        "goals": goals(rows),
        "grid": grid(),
        "million": million(),
    }
    console.print(table(rows))
    for goal in results["goals"]:
        console.print(
            f"{goal['types']:,} types: {goal['ratio']:.3g} times the best peer "
            f"({goal['method']}), wanted {goal['wanted']}"
        )
    console.print(f"recorded in {record('peers', results)}")


if __name__ == "__main__":
    main()
