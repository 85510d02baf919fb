"""What to tell a serving system so that it keeps the best budgets: one small file a system.

:func:`request_parameters` writes the parameters of every type; a system of one's own is a
:class:`System`.
"""

from thinkqueue.export.parameters import SYSTEMS, RequestParameters, request_parameters
from thinkqueue.export.system import Enforcement, System

__all__ = ["SYSTEMS", "Enforcement", "RequestParameters", "System", "request_parameters"]
