"""The whole book on paper: the one long page laid out in chapters, and printed by Chromium.

A title page, the contents, each chapter on a new page with its name at the head and the page's
number at the foot, bookmarks. Answers are open; the code of figures and the library reference
stay on the pages of the book.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from thinkqueue.book.building import alone, built_aside
from thinkqueue.book.layout import Book, BookError

#: Not printed, with all that hangs on it: 160 pages of generated text.
LEFT_OUT = ("library-reference",)

#: When a PDF was made, and what stands there instead: the same book is the same file.
_DATE, _EPOCH = re.compile(rb"\(D:\d{14}"), b"(D:19700101000000"

_PAPER = """\
@page {{ size: A4; margin: 24mm 22mm 22mm; }}
@page title {{ margin: 0; }}
{heads}
"""
_HEAD = """\
@page p{number} {{
  @top-left {{ content: "{title}"; font: 8pt sans-serif; color: #555; }}
  @bottom-right {{ content: counter(page); font: 8pt sans-serif; color: #555; }}
}}
"""


def print_pdf(book: Book, browser: str) -> Path:
    """Print the whole book, which is built already, into one PDF.

    Parameters
    ----------
    book
        The book.
    browser
        The path of a Chromium.

    Raises
    ------
    BookError
        If it prints nothing; a PDF that was there stays as it was.
    """
    target = book.build / "thinking-while-others-wait.pdf"
    with alone(book), built_aside(book, "singlehtml") as built:
        # its links start from the top folder
        page, printed = built / "printed.html", built / "printed.pdf"
        long = (built / f"{book.pages[0]}.html").read_text(encoding="utf-8")
        page.write_text(laid_out(long, book), encoding="utf-8")
        # fmt: off
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer",
            "--generate-pdf-document-outline", "--virtual-time-budget=120000",
            f"--print-to-pdf={printed}", page.as_uri(),
        ]
        # fmt: on
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not printed.is_file():
            raise BookError(done.stderr.strip() or "Chromium printed nothing")
        undated = _DATE.sub(_EPOCH, printed.read_bytes())
        printed.write_bytes(undated)
        printed.replace(target)
    return target


def laid_out(page: str, book: Book) -> str:
    """Return the one long page as it goes on paper.

    Parameters
    ----------
    page
        The page with the whole book, in HTML.
    book
        The book.
    """
    soup = BeautifulSoup(page, "html.parser")
    _open_folds(soup)
    chapters = _chapters(soup)
    head = _one(soup, "head")
    for script in head.find_all("script"):  # formulas are set, nothing else moves on paper
        if "mathjax" not in str(script).lower():
            script.decompose()
    paper = BeautifulSoup("", "html.parser")
    body = paper.new_tag("body", attrs={"class": "printed"})
    body.append(_title_page(paper, book))
    body.append(_contents(paper, chapters))
    for number, chapter in enumerate(chapters):
        chapter["class"] = "bd-article printed-chapter tex2jax_ignore mathjax_ignore"
        chapter["style"] = f"page: p{number}"
        body.append(chapter)
    _lead_within(body)
    style = paper.new_tag("style")
    heads = "".join(
        _HEAD.format(number=number, title=_in_css(_title(chapter)))
        for number, chapter in enumerate(chapters)
    )
    style.string = _PAPER.format(heads=heads)
    head.append(style)
    root = paper.new_tag("html", attrs={"lang": "en", "data-theme": "light", "data-mode": "light"})
    root.extend([head.extract(), body])
    return f"<!DOCTYPE html>\n{root}"


def _one(within: BeautifulSoup | Tag, selector: str) -> Tag:
    found = within.select_one(selector)
    if found is None:
        raise BookError(f"the one long page has no {selector!r}")
    return found


def _chapters(soup: BeautifulSoup) -> list[Tag]:
    """Take the chapters out of the first one, in which they are nested, in their order."""
    first = _one(soup, "article.bd-article > section")
    return [first, *_nested(first)]


def _nested(chapter: Tag) -> Iterator[Tag]:
    """Take out what is nested in a chapter: each part, then at once what is nested in that."""
    for wrapper in chapter.select("div.toctree-wrapper"):
        if wrapper.decomposed or wrapper.find_parent("div", class_="toctree-wrapper"):
            continue
        for part in wrapper.find_all("section", recursive=False):
            if part["id"] in LEFT_OUT:
                part.decompose()  # with the pages that hang on it
                continue
            part.extract()
            for level in range(2, 7):  # it stands a level below the chapter
                for heading in part.find_all(f"h{level}"):
                    heading.name = f"h{level - 1}"
            yield part
            yield from _nested(part)
        wrapper.decompose()


def _open_folds(soup: BeautifulSoup) -> None:
    """Leave the code of figures and of pages out, and everything else that is folded open."""
    for link in soup.select("a.headerlink"):
        link.decompose()
    for fold in soup.select("details.page-code"):
        fold.decompose()
    for fold in soup.select("details.hide"):
        cell = fold.find_parent("div", class_="cell")
        if cell is not None and "tag_hide-input" in cell["class"]:
            fold.decompose()
            if not cell.find(class_="cell_output"):
                cell.decompose()
            continue
        _one(fold, "summary").decompose()
        fold.unwrap()


def _title_page(paper: BeautifulSoup, book: Book) -> Tag:
    title = paper.new_tag("section", attrs={"class": "printed-title"})
    for name, text in (
        ("div", str(book.config["title"])),
        ("p", "How many thinking tokens should each query get, when each makes others wait?"),
        ("p", str(book.config["author"])),
        ("p", f"Version {version('thinkqueue')}"),
        (
            "p",
            "Printed from the executable book. The code of the figures and the library reference "
            "are in its notebooks and pages. The model is that of arXiv:2601.10274.",
        ),
    ):
        part = paper.new_tag(name)
        part.string = text
        title.append(part)
    return title


def _contents(paper: BeautifulSoup, chapters: list[Tag]) -> Tag:
    contents = paper.new_tag("nav", attrs={"class": "printed-contents"})
    head = paper.new_tag("h1")
    head.string = "Contents"
    rows = paper.new_tag("ul")
    for chapter in chapters:
        link = paper.new_tag("a", attrs={"href": f"#{chapter['id']}"})
        link.string = _title(chapter)
        row = paper.new_tag("li")
        row.append(link)
        rows.append(row)
    contents.extend([head, rows])
    return contents


def _lead_within(body: Tag) -> None:
    """Let links to pages of the book lead to their places on paper, or be plain text."""
    here = {tag["id"] for tag in body.find_all(id=True)}
    for link in body.find_all("a", href=True):
        address = str(link["href"])
        if re.match(r"[a-z]+:", address):
            continue
        place = address.partition("#")[2]
        if place in here:
            link["href"] = f"#{place}"
        else:
            link.unwrap()


def _title(chapter: Tag) -> str:
    return " ".join(_one(chapter, "h1").get_text().split())


def _in_css(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
