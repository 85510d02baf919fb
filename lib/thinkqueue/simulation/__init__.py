"""The queue, simulated: every estimate with an interval, every run repeatable bit for bit."""

from thinkqueue.simulation.difference import Difference, simulate_difference
from thinkqueue.simulation.estimates import Estimate, Estimates, PerType
from thinkqueue.simulation.simulate import Simulation, simulate

__all__ = [
    "Difference",
    "Estimate",
    "Estimates",
    "PerType",
    "Simulation",
    "simulate",
    "simulate_difference",
]
