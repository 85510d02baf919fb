"""Readers for what serving benchmarks, proxies, tracers and evaluations write.

One small file a format; :func:`read_log` recognises a file by what it holds, :func:`read_logs`
joins several by task. A format of one's own is a :class:`Format`: whether a document is of it, and
its requests.
"""

from thinkqueue.readers.arrival_rate import ArrivalRate
from thinkqueue.readers.evidence import Evidence
from thinkqueue.readers.formats import Format
from thinkqueue.readers.log import Log, Request
from thinkqueue.readers.missing import Missing, MissingError
from thinkqueue.readers.reading import FORMATS, read_log, read_logs

__all__ = [
    "FORMATS",
    "ArrivalRate",
    "Evidence",
    "Format",
    "Log",
    "Missing",
    "MissingError",
    "Request",
    "read_log",
    "read_logs",
]
