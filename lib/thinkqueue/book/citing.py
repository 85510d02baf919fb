"""How the book is cited, in other tongues than that of ``CITATION.cff``, from which all follow."""

from __future__ import annotations

import json
from typing import Any

from thinkqueue.book.layout import Book


def citation(book: Book) -> dict[str, Any]:
    """Return what ``CITATION.cff`` says.

    Parameters
    ----------
    book
        The book.
    """
    import yaml

    text = (book.root / "CITATION.cff").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def bibtex(book: Book) -> str:
    """Return the entry for a bibliography.

    Parameters
    ----------
    book
        The book.
    """
    said = citation(book)
    fields = {
        "author": " and ".join(_name(author) for author in said["authors"]),
        "title": "{" + said["title"] + "}",
        "note": f"Executable book and library, version {said['version']}",
        "url": said.get("repository-code", ""),
        "year": str(said.get("date-released", ""))[:4],
    }
    lines = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items() if text)
    return f"@misc{{thinkqueue,\n{lines},\n}}\n"


def zenodo(book: Book) -> str:
    """Return the text of ``.zenodo.json``, by which Zenodo describes a deposit.

    Parameters
    ----------
    book
        The book.
    """
    said = citation(book)
    papers = [
        {
            "identifier": identifier["value"],
            "relation": "isDerivedFrom",
            "resource_type": "publication-article",
        }
        for reference in said.get("references", [])
        for identifier in reference.get("identifiers", [])
    ]
    content = {
        "title": said["title"],
        "description": " ".join(said["abstract"].split()),
        "upload_type": "software",
        "version": said["version"],
        "creators": [{"name": _name(author).strip("{}")} for author in said["authors"]],
        "license": said["license"][0],
        "keywords": said["keywords"],
        "related_identifiers": papers,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _name(author: dict[str, str]) -> str:
    if "name" in author:  # one that has no family is kept in one piece
        return "{" + author["name"] + "}"
    return f"{author['family-names']}, {author['given-names']}"
