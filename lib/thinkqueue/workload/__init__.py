"""What is asked of the server: task types, what thinking buys them, how often they come."""

from thinkqueue.workload.accuracy import Saturating
from thinkqueue.workload.parameters import FIELDS, Grid, Parameters, check_ranges
from thinkqueue.workload.servers import (
    Discipline,
    Fifo,
    NonPreemptivePriority,
    ProcessorSharing,
    ShortestFirst,
)
from thinkqueue.workload.task_type import TaskType
from thinkqueue.workload.workload import Workload, tokens_array

__all__ = [
    "FIELDS",
    "Discipline",
    "Fifo",
    "Grid",
    "NonPreemptivePriority",
    "Parameters",
    "ProcessorSharing",
    "Saturating",
    "ShortestFirst",
    "TaskType",
    "Workload",
    "check_ranges",
    "tokens_array",
]
