"""Whole tokens and menus of effort levels: rounding, its price, and the exact optimum."""

from thinkqueue.whole_tokens.integer import IntegerSolution, solve_integer
from thinkqueue.whole_tokens.load_search import load_bound
from thinkqueue.whole_tokens.rounding import round_tokens, rounding_loss_bound

__all__ = ["IntegerSolution", "load_bound", "round_tokens", "rounding_loss_bound", "solve_integer"]
