"""Whom to serve next, and with which budgets: both at once, with a certificate."""

from thinkqueue.scheduling.solve import OrderSolution, solve_order

__all__ = ["OrderSolution", "solve_order"]
