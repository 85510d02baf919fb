"""Budgets under latency targets: a cap on the mean, and limits on how rarely an answer is late.

And the question turned round: which arrival rate, decode speed or weight a target asks for.
"""

from thinkqueue.targets.planning import (
    largest_arrival_rate,
    least_accuracy_weight,
    slowest_decode,
)
from thinkqueue.targets.solve import TargetSolution, solve_target
from thinkqueue.targets.target import (
    InfeasibleTargetError,
    MeanTarget,
    TailTarget,
    Target,
    TypeTailTarget,
    WaitingTarget,
)

__all__ = [
    "InfeasibleTargetError",
    "MeanTarget",
    "TailTarget",
    "Target",
    "TargetSolution",
    "TypeTailTarget",
    "WaitingTarget",
    "largest_arrival_rate",
    "least_accuracy_weight",
    "slowest_decode",
    "solve_target",
]
