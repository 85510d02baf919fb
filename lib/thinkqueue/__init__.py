"""How many thinking tokens each type of query should get, when every extra token makes others wait.

The server is an M/G/1 queue; the model is that of E. Ozbas and M. Bastopcu, arXiv:2601.10274.
"""

from thinkqueue.accuracy import Saturating
from thinkqueue.bounds import (
    contraction_modulus,
    fixed_point_map,
    strong_concavity_modulus,
    upper_bound,
)
from thinkqueue.concavity_proof import ConvexityProof, prove_concavity
from thinkqueue.errors import NotConvergedError, ThinkQueueError, UnstableError, WorkloadError
from thinkqueue.fifo import (
    mean_system_time,
    mean_waiting_time,
    moments,
    service_time,
    utilization,
)
from thinkqueue.objective import (
    Curvature,
    accuracy,
    curvature,
    gradient,
    mean_accuracy,
    objective,
    queueing_price,
)
from thinkqueue.solution import Solution, Status, Step
from thinkqueue.solve import Solver, solve
from thinkqueue.solvers.newton import Newton
from thinkqueue.workload import TaskType, Workload

__all__ = [
    "ConvexityProof",
    "Curvature",
    "Newton",
    "NotConvergedError",
    "Saturating",
    "Solution",
    "Solver",
    "Status",
    "Step",
    "TaskType",
    "ThinkQueueError",
    "UnstableError",
    "Workload",
    "WorkloadError",
    "accuracy",
    "contraction_modulus",
    "curvature",
    "fixed_point_map",
    "gradient",
    "mean_accuracy",
    "mean_system_time",
    "mean_waiting_time",
    "moments",
    "objective",
    "prove_concavity",
    "queueing_price",
    "service_time",
    "solve",
    "strong_concavity_modulus",
    "upper_bound",
    "utilization",
]
