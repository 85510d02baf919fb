"""How many thinking tokens each type of query should get, when every extra token makes others wait.

The server is an M/G/1 queue; the model is that of E. Ozbas and M. Bastopcu, arXiv:2601.10274.

Workloads, objectives and solvers are there at once; what else a workload can be asked is imported
when it is first named, so that a small program starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thinkqueue.bounds import (
    contraction_modulus,
    fixed_point_map,
    strong_concavity_modulus,
    upper_bound,
)
from thinkqueue.delay import (
    mean_system_time,
    mean_waiting_time,
    service_moments,
    service_time,
    utilization,
)
from thinkqueue.errors import ThinkQueueError, UnstableError, WorkloadError
from thinkqueue.grid import solve_grid
from thinkqueue.objective import (
    NegativeHessian,
    accuracy,
    gradient,
    mean_accuracy,
    negative_hessian,
    objective,
    queueing_price,
)
from thinkqueue.regimes import Regime, fixed_point_regimes
from thinkqueue.sensitivity import Sensitivity, sensitivity
from thinkqueue.smoothness import CurvatureBound, curvature_bound, relative_modulus
from thinkqueue.solution import GridSolution, NotConvergedError, Solution, Status, Step
from thinkqueue.solve import Solver, solve
from thinkqueue.solvers.conditional_gradient import ConditionalGradient
from thinkqueue.solvers.fixed_point import FixedPoint
from thinkqueue.solvers.newton import Newton
from thinkqueue.solvers.projected_gradient import ProjectedGradient
from thinkqueue.solvers.quasi_newton import QuasiNewton
from thinkqueue.workload import (
    Batching,
    Curve,
    Fifo,
    Generated,
    Hill,
    Interpolated,
    Logistic,
    NonPreemptivePriority,
    PowerLaw,
    ProcessorSharing,
    Saturating,
    ShortestFirst,
    TaskType,
    TokenTime,
    TokenTimeTable,
    Workload,
)

if TYPE_CHECKING:
    from thinkqueue.batching import (
        ClosedForm,
        QueriesPresent,
        TypeTime,
        WaitingConvexity,
        mean_type_time,
        queries_present,
        solve_globally,
        token_budget,
        type_time,
        waiting_convexity,
    )
    from thinkqueue.calibration import (
        Calibration,
        CalibrationError,
        MeasurementError,
        TokenTimeFit,
        calibrate,
        fit_token_time,
        propagate,
        read_measurements,
    )
    from thinkqueue.damping import line_search_factor, price_feedback
    from thinkqueue.export import RequestParameters, request_parameters
    from thinkqueue.laws import CapacityLaw, capacity_law, light_traffic_tokens
    from thinkqueue.movement import budget_range
    from thinkqueue.proofs.certificate import Certificate, certify
    from thinkqueue.proofs.concavity import ConvexityProof, prove_concavity
    from thinkqueue.readers import Evidence, Log, MissingError, read_log, read_logs
    from thinkqueue.regret import RegretBound, regret_bound
    from thinkqueue.simulation import (
        Difference,
        Estimate,
        Estimates,
        PerType,
        Simulation,
        simulate,
        simulate_difference,
    )
    from thinkqueue.targets import (
        InfeasibleTargetError,
        MeanTarget,
        TailTarget,
        Target,
        TargetSolution,
        TypeTailTarget,
        WaitingTarget,
        largest_arrival_rate,
        least_accuracy_weight,
        slowest_decode,
        solve_target,
    )
    from thinkqueue.waiting_time import (
        Inversion,
        TailBound,
        WaitingTime,
        enclose_waiting_time_tail,
        idle_probability,
        invert_waiting_time_tail,
        system_time_quantile,
        system_time_tail,
        tail_bound,
        waiting_time_distribution,
        waiting_time_tail,
        waiting_time_tail_price,
    )
    from thinkqueue.whole_tokens import (
        IntegerSolution,
        round_tokens,
        rounding_loss_bound,
        solve_integer,
    )

_LATER = {
    "ClosedForm": "thinkqueue.batching",
    "QueriesPresent": "thinkqueue.batching",
    "TypeTime": "thinkqueue.batching",
    "WaitingConvexity": "thinkqueue.batching",
    "mean_type_time": "thinkqueue.batching",
    "queries_present": "thinkqueue.batching",
    "solve_globally": "thinkqueue.batching",
    "token_budget": "thinkqueue.batching",
    "type_time": "thinkqueue.batching",
    "waiting_convexity": "thinkqueue.batching",
    "Calibration": "thinkqueue.calibration",
    "CalibrationError": "thinkqueue.calibration",
    "MeasurementError": "thinkqueue.calibration",
    "TokenTimeFit": "thinkqueue.calibration",
    "calibrate": "thinkqueue.calibration",
    "fit_token_time": "thinkqueue.calibration",
    "propagate": "thinkqueue.calibration",
    "read_measurements": "thinkqueue.calibration",
    "line_search_factor": "thinkqueue.damping",
    "price_feedback": "thinkqueue.damping",
    "RequestParameters": "thinkqueue.export",
    "request_parameters": "thinkqueue.export",
    "CapacityLaw": "thinkqueue.laws",
    "capacity_law": "thinkqueue.laws",
    "light_traffic_tokens": "thinkqueue.laws",
    "budget_range": "thinkqueue.movement",
    "Certificate": "thinkqueue.proofs.certificate",
    "certify": "thinkqueue.proofs.certificate",
    "ConvexityProof": "thinkqueue.proofs.concavity",
    "prove_concavity": "thinkqueue.proofs.concavity",
    "Evidence": "thinkqueue.readers",
    "Log": "thinkqueue.readers",
    "MissingError": "thinkqueue.readers",
    "read_log": "thinkqueue.readers",
    "read_logs": "thinkqueue.readers",
    "RegretBound": "thinkqueue.regret",
    "regret_bound": "thinkqueue.regret",
    "Difference": "thinkqueue.simulation",
    "Estimate": "thinkqueue.simulation",
    "Estimates": "thinkqueue.simulation",
    "PerType": "thinkqueue.simulation",
    "Simulation": "thinkqueue.simulation",
    "simulate": "thinkqueue.simulation",
    "simulate_difference": "thinkqueue.simulation",
    "InfeasibleTargetError": "thinkqueue.targets",
    "MeanTarget": "thinkqueue.targets",
    "TailTarget": "thinkqueue.targets",
    "Target": "thinkqueue.targets",
    "TargetSolution": "thinkqueue.targets",
    "TypeTailTarget": "thinkqueue.targets",
    "WaitingTarget": "thinkqueue.targets",
    "largest_arrival_rate": "thinkqueue.targets",
    "least_accuracy_weight": "thinkqueue.targets",
    "slowest_decode": "thinkqueue.targets",
    "solve_target": "thinkqueue.targets",
    "Inversion": "thinkqueue.waiting_time",
    "TailBound": "thinkqueue.waiting_time",
    "WaitingTime": "thinkqueue.waiting_time",
    "enclose_waiting_time_tail": "thinkqueue.waiting_time",
    "idle_probability": "thinkqueue.waiting_time",
    "invert_waiting_time_tail": "thinkqueue.waiting_time",
    "system_time_quantile": "thinkqueue.waiting_time",
    "system_time_tail": "thinkqueue.waiting_time",
    "tail_bound": "thinkqueue.waiting_time",
    "waiting_time_distribution": "thinkqueue.waiting_time",
    "waiting_time_tail": "thinkqueue.waiting_time",
    "waiting_time_tail_price": "thinkqueue.waiting_time",
    "IntegerSolution": "thinkqueue.whole_tokens",
    "round_tokens": "thinkqueue.whole_tokens",
    "rounding_loss_bound": "thinkqueue.whole_tokens",
    "solve_integer": "thinkqueue.whole_tokens",
}

__all__ = [
    "Batching",
    "Calibration",
    "CalibrationError",
    "CapacityLaw",
    "Certificate",
    "ClosedForm",
    "ConditionalGradient",
    "ConvexityProof",
    "CurvatureBound",
    "Curve",
    "Difference",
    "Estimate",
    "Estimates",
    "Evidence",
    "Fifo",
    "FixedPoint",
    "Generated",
    "GridSolution",
    "Hill",
    "InfeasibleTargetError",
    "IntegerSolution",
    "Interpolated",
    "Inversion",
    "Log",
    "Logistic",
    "MeanTarget",
    "MeasurementError",
    "MissingError",
    "NegativeHessian",
    "Newton",
    "NonPreemptivePriority",
    "NotConvergedError",
    "PerType",
    "PowerLaw",
    "ProcessorSharing",
    "ProjectedGradient",
    "QuasiNewton",
    "QueriesPresent",
    "Regime",
    "RegretBound",
    "RequestParameters",
    "Saturating",
    "Sensitivity",
    "ShortestFirst",
    "Simulation",
    "Solution",
    "Solver",
    "Status",
    "Step",
    "TailBound",
    "TailTarget",
    "Target",
    "TargetSolution",
    "TaskType",
    "ThinkQueueError",
    "TokenTime",
    "TokenTimeFit",
    "TokenTimeTable",
    "TypeTailTarget",
    "TypeTime",
    "UnstableError",
    "WaitingConvexity",
    "WaitingTarget",
    "WaitingTime",
    "Workload",
    "WorkloadError",
    "accuracy",
    "budget_range",
    "calibrate",
    "capacity_law",
    "certify",
    "contraction_modulus",
    "curvature_bound",
    "enclose_waiting_time_tail",
    "fit_token_time",
    "fixed_point_map",
    "fixed_point_regimes",
    "gradient",
    "idle_probability",
    "invert_waiting_time_tail",
    "largest_arrival_rate",
    "least_accuracy_weight",
    "light_traffic_tokens",
    "line_search_factor",
    "mean_accuracy",
    "mean_system_time",
    "mean_type_time",
    "mean_waiting_time",
    "negative_hessian",
    "objective",
    "price_feedback",
    "propagate",
    "prove_concavity",
    "queries_present",
    "queueing_price",
    "read_log",
    "read_logs",
    "read_measurements",
    "regret_bound",
    "relative_modulus",
    "request_parameters",
    "round_tokens",
    "rounding_loss_bound",
    "sensitivity",
    "service_moments",
    "service_time",
    "simulate",
    "simulate_difference",
    "slowest_decode",
    "solve",
    "solve_globally",
    "solve_grid",
    "solve_integer",
    "solve_target",
    "strong_concavity_modulus",
    "system_time_quantile",
    "system_time_tail",
    "tail_bound",
    "token_budget",
    "type_time",
    "upper_bound",
    "utilization",
    "waiting_convexity",
    "waiting_time_distribution",
    "waiting_time_tail",
    "waiting_time_tail_price",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


if not TYPE_CHECKING:  # who checks types sees the imports above, and no name that is not there

    def __getattr__(name: str) -> Any:
        """Import what is named for the first time, from where it lives."""
        if name in _LATER:
            globals()[name] = getattr(import_module(_LATER[name]), name)
            return globals()[name]
        if name in {home.split(".")[1] for home in _LATER.values()}:
            return import_module(f"thinkqueue.{name}")
        message = f"module 'thinkqueue' has no attribute {name!r}"
        raise AttributeError(message)
