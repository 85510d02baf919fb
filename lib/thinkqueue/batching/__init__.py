"""What holds for a server that answers many at once: who is there, how long, what is best."""

from thinkqueue.batching.branching import BranchingTime, branching_time
from thinkqueue.batching.budget import token_budget
from thinkqueue.batching.closed_form import ClosedForm
from thinkqueue.batching.convexity import WaitingConvexity, waiting_convexity
from thinkqueue.batching.global_search import solve_globally
from thinkqueue.batching.memory import MemoryLimit, memory_limit
from thinkqueue.batching.present import QueriesPresent, mean_type_time, queries_present
from thinkqueue.batching.type_time import TypeTime, type_time

__all__ = [
    "BranchingTime",
    "ClosedForm",
    "MemoryLimit",
    "QueriesPresent",
    "TypeTime",
    "WaitingConvexity",
    "branching_time",
    "mean_type_time",
    "memory_limit",
    "queries_present",
    "solve_globally",
    "token_budget",
    "type_time",
    "waiting_convexity",
]
