"""Arrivals as they come: traces, how far they are from Poisson, models, budgets for them."""

from thinkqueue.arrivals.markov import MarkovModulated, fit_markov_modulated
from thinkqueue.arrivals.queue import (
    Corrected,
    OnRecord,
    Records,
    corrected_waiting_time,
    fitted_variability,
    solve_corrected,
)
from thinkqueue.arrivals.statistics import (
    ArrivalStatistics,
    arrival_statistics,
    index_of_dispersion,
)
from thinkqueue.arrivals.study import (
    Outcome,
    Recorded,
    read_records,
    record,
    study,
    write_records,
)
from thinkqueue.arrivals.trace import Trace

__all__ = [
    "ArrivalStatistics",
    "Corrected",
    "MarkovModulated",
    "OnRecord",
    "Outcome",
    "Recorded",
    "Records",
    "Trace",
    "arrival_statistics",
    "corrected_waiting_time",
    "fit_markov_modulated",
    "fitted_variability",
    "index_of_dispersion",
    "read_records",
    "record",
    "solve_corrected",
    "study",
    "write_records",
]
