"""What a solution says, as facts for programs and as tables for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import thinkqueue as tq
from thinkqueue.printing import print_lines, print_table


def facts(workload: tq.Workload, solution: tq.Solution | tq.TargetSolution) -> dict[str, Any]:
    """Return what budgets do, type by type and for all together.

    Parameters
    ----------
    workload : Workload
        The workload.
    solution : Solution or TargetSolution
        The budgets.
    """
    correct = tq.accuracy(workload, solution.tokens)
    if isinstance(workload.server, tq.Batching):
        kind, times = "mean_system_time", tq.mean_type_time(workload, solution.tokens)
    else:
        kind, times = "service_time", tq.service_time(workload, solution.tokens)
    tasks: list[dict[str, Any]] = [
        {
            "name": name,
            "share": float(workload.share[k]),
            "tokens": float(solution.tokens[k]),
            "accuracy": float(correct[k]),
            kind: float(times[k]),
        }
        for k, name in enumerate(workload.names)
    ]
    found: dict[str, Any] = {
        "arrival_rate": workload.arrival_rate,
        "accuracy_weight": workload.accuracy_weight,
        "tasks": tasks,
        "mean_accuracy": solution.mean_accuracy,
        "mean_system_time": solution.mean_system_time,
        "utilization": solution.utilization,
        "objective": solution.objective,
        "upper_bound": solution.upper_bound,
        "gap": solution.gap,
    }
    if workload.server == tq.Fifo():  # who comes first is served first, so that all wait alike
        waiting = float(tq.mean_waiting_time(workload, solution.tokens))
        found["mean_waiting_time"] = waiting
        for task in tasks:
            task["mean_system_time"] = task["service_time"] + waiting
    return found | ({"steps": solution.steps} if isinstance(solution, tq.Solution) else {})


def target_facts(target: tq.Target, found: tq.TargetSolution) -> dict[str, Any]:
    """Return what was asked and reached; upper_bound and gap are those of the mean accuracy.

    Parameters
    ----------
    target : Target
        What was asked.
    found : TargetSolution
        The budgets.
    """
    if isinstance(target, tq.MeanTarget):
        return {"target": {"mean_system_time": target.limit}, "proven": found.convex}
    assert isinstance(target, tq.TailTarget | tq.TypeTailTarget)
    probability = np.asarray(target.probability, dtype=float)
    return {
        "target": {
            "deadline": target.deadline,
            "quantile": float(1 - probability),
            "each_type": isinstance(target, tq.TypeTailTarget),
        },
        "late": (found.ratio * probability).tolist(),
        "proven": found.convex,
    }


def print_types(found: dict[str, Any], late: Sequence[float] = ()) -> None:
    """Print a row for each type, and what holds for all together.

    Parameters
    ----------
    found : dict
        What :func:`facts` returned.
    late : sequence of float, optional
        The share of each type that is late.
    """
    columns = {
        "share": ("share", ".3g"),
        "tokens": ("tokens", ",.1f"),
        "accuracy": ("accuracy", ".3f"),
        "service_time": ("service, s", ",.2f"),
        "mean_system_time": ("mean time, s", ",.2f"),
        "late": ("late", ".2%"),
    }
    tasks = found["tasks"]
    if len(late) == len(tasks):
        tasks = [task | {"late": part} for task, part in zip(tasks, late, strict=True)]
    shown = [key for key in columns if key in tasks[0]]
    print_table(
        ["type", *(columns[key][0] for key in shown)],
        [[task["name"], *(f"{task[key]:{columns[key][1]}}" for key in shown)] for task in tasks],
    )
    waiting = found.get("mean_waiting_time")
    print_lines(
        "",
        f"mean accuracy {found['mean_accuracy']:.4f}, "
        f"mean system time {found['mean_system_time']:,.2f} s"
        + (f" (waiting {waiting:,.2f} s)" if waiting is not None else "")
        + f", load {found['utilization']:.3f}",
    )


def print_solution(workload: tq.Workload, solution: tq.Solution) -> None:
    """Print budgets without a target, and how near to the best they are.

    Parameters
    ----------
    workload : Workload
        The workload.
    solution : Solution
        Its budgets.
    """
    found = facts(workload, solution)
    print_types(found)
    proof = (
        f"no allocation is better by more than {found['gap']:.1e} s (certified, "
        if math.isfinite(found["gap"])
        else "no bound is known (a local optimum, "
    )
    print_lines(f"objective {found['objective']:,.6g} s; {proof}{found['steps']} Newton steps)")


def print_target_solution(
    workload: tq.Workload, target: tq.Target, found: tq.TargetSolution
) -> None:
    """Print budgets under a target, and how it is met.

    Parameters
    ----------
    workload : Workload
        The workload.
    target : Target
        What was asked.
    found : TargetSolution
        The budgets.
    """
    said = target_facts(target, found)
    late = said.get("late")
    print_types(facts(workload, found), late or ())
    asked = said["target"]
    if late is None:
        met = f"target: a mean time of at most {asked['mean_system_time']:,.6g} s"
    else:
        whom = "each type" if asked["each_type"] else "all queries"
        met = (
            f"target: {100 * asked['quantile']:.6g}% of {whom} answered within "
            f"{asked['deadline']:,.6g} s; {100 * (1 - max(late)):.5g}% are"
        )
    print_lines(
        met,
        f"no budgets that meet it are more accurate by more than {found.gap:.1e}"
        + ("" if found.convex else " (branch and bound)"),
    )
