"""What is asked of the server: task types, what thinking buys them, how often they come."""

from thinkqueue.workload.accuracy import (
    Curve,
    Hill,
    Interpolated,
    Logistic,
    Mixed,
    PowerLaw,
    Reply,
    Saturating,
)
from thinkqueue.workload.capped import Capped, CappedCurve, Finished, capped
from thinkqueue.workload.lengths import Empirical, Exponential, Lengths, Lognormal
from thinkqueue.workload.parameters import (
    CURVE,
    FIELDS,
    GENERATED,
    SERVICE,
    VARYING,
    Grid,
    Parameters,
    check_ranges,
)
from thinkqueue.workload.servers import (
    Batching,
    Discipline,
    Fifo,
    NonPreemptivePriority,
    PreemptivePriority,
    PreemptiveShortestFirst,
    ProcessorSharing,
    ShortestFirst,
    ShortestRemaining,
)
from thinkqueue.workload.service import Affine, Generated, Moments, RandomService, Service
from thinkqueue.workload.task_type import TaskType
from thinkqueue.workload.token_time import TokenTime, TokenTimeTable
from thinkqueue.workload.varying import Varying
from thinkqueue.workload.workload import Workload, tokens_array

__all__ = [
    "CURVE",
    "FIELDS",
    "GENERATED",
    "SERVICE",
    "VARYING",
    "Affine",
    "Batching",
    "Capped",
    "CappedCurve",
    "Curve",
    "Discipline",
    "Empirical",
    "Exponential",
    "Fifo",
    "Finished",
    "Generated",
    "Grid",
    "Hill",
    "Interpolated",
    "Lengths",
    "Logistic",
    "Lognormal",
    "Mixed",
    "Moments",
    "NonPreemptivePriority",
    "Parameters",
    "PowerLaw",
    "PreemptivePriority",
    "PreemptiveShortestFirst",
    "ProcessorSharing",
    "RandomService",
    "Reply",
    "Saturating",
    "Service",
    "ShortestFirst",
    "ShortestRemaining",
    "TaskType",
    "TokenTime",
    "TokenTimeTable",
    "Varying",
    "Workload",
    "capped",
    "check_ranges",
    "tokens_array",
]
