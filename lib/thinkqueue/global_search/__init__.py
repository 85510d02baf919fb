"""The best of all optima, certified: for curves of any kind, and where time is not convex."""

from thinkqueue.global_search.fixed_load import envelope_bound, fixed_load_bound
from thinkqueue.global_search.solve import solve_globally

__all__ = ["envelope_bound", "fixed_load_bound", "solve_globally"]
