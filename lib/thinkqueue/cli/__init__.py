"""The command line: one file a command, and what all of them share in :mod:`.program`."""

from thinkqueue.cli import calibrate, compare, export, plan, simulate, solve
from thinkqueue.cli.program import app

__all__ = ["app", "calibrate", "compare", "export", "plan", "simulate", "solve"]
