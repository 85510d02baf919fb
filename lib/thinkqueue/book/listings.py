"""Pages that are written by what they list: the modules of the library, the fields of the data."""

from __future__ import annotations

import csv
import pkgutil
from collections.abc import Iterator
from itertools import groupby

import thinkqueue
from thinkqueue.book.layout import Book


def module_sections() -> str:
    """Return a section for each public module; its text and names come from its docstrings."""
    return "\n".join(
        f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n"
        for name, options in _public_modules()
    )


def _public_modules() -> Iterator[tuple[str, str]]:
    """Yield module names; a package shows its own text, its names stand where they are defined."""
    found = pkgutil.walk_packages(thinkqueue.__path__, "thinkqueue.")
    for module in sorted(found, key=lambda info: info.name):
        parts = module.name.split(".")
        if any(part.startswith("_") for part in parts):
            continue
        if parts[1] == "book" and parts[2:] not in ([], ["values"], ["figures"], ["names"]):
            continue
        yield module.name, "   :no-members:\n" if module.ispkg or parts[-1] == "cli" else ""


def data_sections(book: Book) -> str:
    """Return a section for each data file: its fields, then where they come from.

    Parameters
    ----------
    book
        The book whose `data/dictionary.csv` is read.
    """
    path = book.root / "data" / "dictionary.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    return "\n".join(
        _data_section(file, list(fields)) for file, fields in groupby(rows, lambda row: row["file"])
    )


def _data_section(file: str, fields: list[dict[str, str]]) -> str:
    def cell(text: str) -> str:
        return text.replace("|", "\\|").replace("*", "\\*").replace("$", "\\$")

    table = "\n".join(
        f"| `{row['field']}` | {cell(row['meaning'])} | {cell(row['unit'])} |" for row in fields
    )
    origins: dict[tuple[str, str], list[str]] = {}
    for row in fields:
        origins.setdefault((row["source"], row["licence"]), []).append(f"`{row['field']}`")
    lines = []
    for (source, licence), names in origins.items():
        subject = "Source" if len(origins) == 1 else f"Source of {', '.join(names)}"
        lines.append(f"{subject}: {cell(source)}. Licence: {cell(licence)}.\n")
    head = "| field | meaning | unit |\n|:--|:--|:--|"
    return f"## `{file}`\n\n{head}\n{table}\n\n" + "\n".join(lines)
