"""What an allocation costs in time, one kind of server a file."""

from thinkqueue.delay.delay import CurvedDelay, Delay, State, TimeCurvature
from thinkqueue.delay.fifo import mean_waiting_time
from thinkqueue.delay.time import (
    certain_service_time,
    delay_of,
    mean_system_time,
    only_affine,
    only_fifo,
    refuse_unstable,
    service_moments,
    service_time,
    stable_state,
    utilization,
)
from thinkqueue.delay.two_moments import Formula, MeanOnly, TwoMoments, room

__all__ = [
    "CurvedDelay",
    "Delay",
    "Formula",
    "MeanOnly",
    "State",
    "TimeCurvature",
    "TwoMoments",
    "certain_service_time",
    "delay_of",
    "mean_system_time",
    "mean_waiting_time",
    "only_affine",
    "only_fifo",
    "refuse_unstable",
    "room",
    "service_moments",
    "service_time",
    "stable_state",
    "utilization",
]
