"""The machine that turns the chapters into a book, and the few words that chapters need of it.

``python -m thinkqueue.book build`` executes what changed, holds every stated value against the
reference and builds the pages; ``python -m thinkqueue.book reference`` renews that reference.
"""

from thinkqueue.book.subject import Subject, read_subject
from thinkqueue.book.tables import table
from thinkqueue.book.values import glue

__all__ = ["Subject", "glue", "read_subject", "table"]
