"""Pages that are written by what they list: the modules of the library, the fields of the data."""

from __future__ import annotations

import csv
import importlib.util
import pkgutil
import re
from collections.abc import Iterator
from itertools import groupby

import thinkqueue
from thinkqueue.book.layout import Book

#: The page of the modules that lie beside the packages.
CORE = "core"


def module_index() -> str:
    """Return a table of every public module: its page and its first sentence."""
    rows = "\n".join(
        f"| [`{name}`](#module-{name}) | {_first_sentence(name)} |" for name, _ in _public_modules()
    )
    return f"| module | what it is for |\n|:--|:--|\n{rows}\n"


def module_pages() -> list[str]:
    """Return the names of the pages that :func:`module_sections` can write."""
    return sorted({_page_of(name) for name, _ in _public_modules()})


def module_sections(page: str) -> str:
    """Return a section for each public module of a page; its text comes from its docstrings.

    That of the package itself stands under the title of the page.

    Parameters
    ----------
    page
        The name of a package in ``thinkqueue``, or ``core`` for the modules beside them.
    """
    sections = []
    for name, options in _public_modules():
        if _page_of(name) == page:
            head = "" if name == f"thinkqueue.{page}" else f"(module-{name})=\n## `{name}`\n\n"
            sections.append(f"{head}```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n")
    return "\n".join(sections)


def _page_of(module: str) -> str:
    parts = module.split(".")
    spec = importlib.util.find_spec(".".join(parts[:2]))
    assert spec is not None
    return parts[1] if spec.submodule_search_locations else CORE


def _first_sentence(module: str) -> str:
    text = importlib.import_module(module).__doc__ or ""
    line = " ".join(text.split("\n\n")[0].split())
    line = re.sub(r":math:`([^`]*)`", r"$\1$", line)
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", line).replace("|", "\\|")


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
