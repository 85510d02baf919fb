"""Budgets that read the queue: what a table of them is worth, a rule, and the best there is."""

from thinkqueue.control.batch import BatchStoppingRule, batch_stopping_rule
from thinkqueue.control.gains import ControlGains, control_gains
from thinkqueue.control.judge import Record, Served
from thinkqueue.control.optimum import Policy, optimal_control
from thinkqueue.control.recursion import Descent, descend
from thinkqueue.control.rule import StoppingRule, stopping_rule
from thinkqueue.control.value import TableValue, table_value

__all__ = [
    "BatchStoppingRule",
    "ControlGains",
    "Descent",
    "Policy",
    "Record",
    "Served",
    "StoppingRule",
    "TableValue",
    "batch_stopping_rule",
    "control_gains",
    "descend",
    "optimal_control",
    "stopping_rule",
    "table_value",
]
