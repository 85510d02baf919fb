"""Whose server a chapter shows: its workload, and words for it that follow the data.

A chapter's figures and tables are those of its ``workload_file``. Its sentences state the numbers
of the book's own server, and stay as they are when a reader runs the chapter on another file.
"""

from __future__ import annotations

import html
import os
from dataclasses import dataclass
from pathlib import Path

from thinkqueue.book.names import aligned, drawn, written
from thinkqueue.workload import Workload

#: The files and the name of the server that the sentences of the book are about: one at a time, and
#: many at once.
OWN_FILES, OWN_TITLE = ("qwen3-8b.toml", "qwen3-8b-batching.toml"), "Qwen3-8B"


@dataclass(frozen=True)
class Subject:
    """A server, and what figures call it.

    Parameters
    ----------
    workload
        Its workload.
    title
        Its name, for a figure.
    own
        Whether it is the one that the sentences of the book are about.
    """

    workload: Workload
    title: str
    own: bool

    @property
    def whose(self) -> str:
        """What a mark in a figure is: this book's server, or yours."""
        return "this book's server" if self.own else "your server"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its types, for the first column of printed lines."""
        return aligned(self.workload.names)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of its types, for a figure."""
        return drawn(self.workload.names)


def read_subject(path: str | os.PathLike[str]) -> Subject:
    """Read the workload that a chapter is about; if it is not the book's, say so on the page.

    Parameters
    ----------
    path
        A workload file.

    Raises
    ------
    WorkloadError
        If the file is no workload.
    OSError
        If the file cannot be read.
    """
    workload, file = Workload.from_toml(path), Path(path)
    if file.name in OWN_FILES:
        return Subject(workload, OWN_TITLE, own=True)
    (title,), (label,) = written([file.stem]), drawn([file.stem])
    _display(
        f"Figures, tables and listings of this page are of your server, "
        f"<code>{html.escape(title)}</code>, except those of recorded runs. The sentences between "
        f"them state the numbers of this book's server, {OWN_TITLE}."
    )
    return Subject(workload, label, own=False)


def _display(markup: str) -> None:
    from IPython.display import HTML, display

    display(HTML(f"<p><em>{markup}</em></p>"))
