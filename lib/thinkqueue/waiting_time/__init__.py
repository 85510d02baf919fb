"""How long a query waits: the whole distribution, not only its mean.

``exact`` solves the renewal equation of the tail to rounding, ``inversion`` inverts the transform
with a bound on its error, ``series`` proves single values in ball arithmetic, and ``bounds`` holds
the exponential bound and the asymptote that the tail is squeezed onto.
"""

from thinkqueue.waiting_time.bounds import TailBound, tail_bound
from thinkqueue.waiting_time.exact import (
    WaitingTime,
    system_time_quantile,
    system_time_tail,
    waiting_time_distribution,
    waiting_time_tail,
)
from thinkqueue.waiting_time.inversion import Inversion, invert_waiting_time_tail
from thinkqueue.waiting_time.limited_buffer import idle_probability
from thinkqueue.waiting_time.price import waiting_time_tail_price
from thinkqueue.waiting_time.series import enclose_waiting_time_tail

__all__ = [
    "Inversion",
    "TailBound",
    "WaitingTime",
    "enclose_waiting_time_tail",
    "idle_probability",
    "invert_waiting_time_tail",
    "system_time_quantile",
    "system_time_tail",
    "tail_bound",
    "waiting_time_distribution",
    "waiting_time_tail",
    "waiting_time_tail_price",
]
