"""What the library reference makes of docstrings, where Sphinx would misread or print too much."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

#: Letters of a value or a default that are shown; a longer one is in the source.
LONGEST = 60

#: What a first colon in the docstring of a value would be taken for: the end of a type.
_VALUES = ("attribute", "data", "property")
_SEVERAL = re.compile(r"^(:(?:ivar|vartype) )(\w+(?:, \w+)+):")
_LETTER = re.compile(r"^ +(?=\w\.( |$))")
_BREAK = re.compile(r"(?<=[./_])(?=\w)")


def connect(app: Sphinx) -> None:
    """Have docstrings read as they are meant.

    Parameters
    ----------
    app
        The application; its extension napoleon must be loaded already.
    """
    written: dict[str, list[str]] = {}

    def keep(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        if what in _VALUES:
            written[name] = list(lines)

    def mend(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
        lines[:] = mended(written.pop(name, lines))

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", mend, priority=600)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-read", shorten)
    app.connect("doctree-resolved", let_break)


def mended(lines: list[str]) -> list[str]:
    """Return lines in which several names are one field and a letter is not a list.

    Parameters
    ----------
    lines
        reStructuredText, as napoleon writes it.
    """
    lines = [_SEVERAL.sub(lambda m: m[1] + m[2].replace(" ", "") + ":", line) for line in lines]
    return [_LETTER.sub(r"\g<0>\\", line) for line in lines]


def skip(app: Sphinx, what: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out what a named tuple says of its fields: each is an alias for its number.

    Parameters
    ----------
    app, what, name, thing, skipped, options
        As Sphinx gives them.
    """
    return True if type(thing).__name__ == "_tuplegetter" else None


def shorten(app: Sphinx, doctree: nodes.document) -> None:
    """Leave out long values and defaults, and part names that share a description.

    Parameters
    ----------
    app, doctree
        As Sphinx gives them.
    """
    for value in list(doctree.findall(addnodes.desc_annotation)):
        if value.astext().lstrip().startswith("=") and len(value.astext()) > LONGEST:
            value.parent.remove(value)
    for default in doctree.findall(nodes.inline):
        if "default_value" in default["classes"] and len(default.astext()) > LONGEST:
            default[:] = [nodes.Text("…")]
    for comma in doctree.findall(addnodes.literal_strong):
        if comma.astext() == ",":
            comma[:] = [nodes.Text(", ")]


def let_break(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Let a long name break after a dot, a stroke or a line, and so nowhere else.

    Parameters
    ----------
    app, doctree, page
        As Sphinx gives them.
    """
    if app.builder.format != "html":
        return
    kinds = (nodes.title, addnodes.desc_addname, addnodes.desc_name)
    for name in list(doctree.findall(lambda node: isinstance(node, kinds))):
        assert isinstance(name, nodes.Element)
        for text in list(name.findall(nodes.Text)):
            if isinstance(name, nodes.title) and not isinstance(text.parent, nodes.literal):
                continue
            parts = _BREAK.split(text.astext())
            apart = [nodes.raw("", "<wbr>", format="html") for _ in parts]
            pieces = [piece for pair in zip(apart, map(nodes.Text, parts)) for piece in pair]
            place = text.parent.index(text)
            text.parent[place : place + 1] = pieces[1:]
