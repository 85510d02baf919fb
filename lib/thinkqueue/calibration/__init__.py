"""From measurements to a workload: what a token buys, what it costs, and how sure that is.

Rows of (task, budget, tokens, correct, total, latency) go in; curves with intervals and verdicts,
service times, a workload and draws of whole workloads come out. How long a step of a batching
server takes comes from rows of its own (:func:`fit_token_time`).
"""

from thinkqueue.calibration.calibrate import (
    Calibration,
    CalibrationError,
    TaskCalibration,
    calibrate,
)
from thinkqueue.calibration.design import MeasurementValue, measurement_value
from thinkqueue.calibration.fit import CurveFit, Series
from thinkqueue.calibration.intervals import Interval, bootstrap_intervals, profile_intervals
from thinkqueue.calibration.latency import LatencyFit, LatencyVerdict, fit_latency
from thinkqueue.calibration.measurements import Measurements, read_measurements
from thinkqueue.calibration.pooling import Pooled, pool_rates
from thinkqueue.calibration.tables import MeasurementError
from thinkqueue.calibration.token_time import TokenTimeFit, fit_token_time
from thinkqueue.calibration.uncertainty import Draws, Propagation, best_on_average, propagate
from thinkqueue.calibration.variation import Variation, VariationVerdict, measure_variation
from thinkqueue.calibration.verdicts import AccuracyFit, Verdict

__all__ = [
    "AccuracyFit",
    "Calibration",
    "CalibrationError",
    "CurveFit",
    "Draws",
    "Interval",
    "LatencyFit",
    "LatencyVerdict",
    "MeasurementError",
    "MeasurementValue",
    "Measurements",
    "Pooled",
    "Propagation",
    "Series",
    "TaskCalibration",
    "TokenTimeFit",
    "Variation",
    "VariationVerdict",
    "Verdict",
    "best_on_average",
    "bootstrap_intervals",
    "calibrate",
    "fit_latency",
    "fit_token_time",
    "measure_variation",
    "measurement_value",
    "pool_rates",
    "profile_intervals",
    "propagate",
    "read_measurements",
]
