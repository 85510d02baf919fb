"""From measurements to a workload: what a token buys, what it costs, and how sure that is.

Rows of (task, budget, tokens, correct, total, latency) go in; curves with intervals and verdicts,
service times, a workload and draws of whole workloads come out.
"""

from thinkqueue.calibration.calibrate import (
    Calibration,
    CalibrationError,
    TaskCalibration,
    calibrate,
)
from thinkqueue.calibration.design import MeasurementValue, measurement_value
from thinkqueue.calibration.fit import CurveFit, Series
from thinkqueue.calibration.intervals import Interval
from thinkqueue.calibration.latency import LatencyFit, LatencyVerdict, fit_latency
from thinkqueue.calibration.measurements import (
    MeasurementError,
    Measurements,
    read_measurements,
)
from thinkqueue.calibration.pooling import Pooled
from thinkqueue.calibration.uncertainty import Draws, Propagation, best_on_average, propagate
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
    "Verdict",
    "best_on_average",
    "calibrate",
    "fit_latency",
    "measurement_value",
    "propagate",
    "read_measurements",
]
