"""The book on paper: what is left out, what is opened, where links lead, what Chromium prints."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from thinkqueue.book.layout import Book, BookError
from thinkqueue.book.printing import laid_out

ROOT = Path(__file__).parents[2]
RunBook = Callable[..., subprocess.CompletedProcess[str]]

FOLD = '<details class="hide"><summary><p>Show</p></summary><div class="cell_input">{}</div>'
LONG = f"""<html><head>
<script>window.MathJax = {{}}</script><script src="toggle.js"></script></head><body>
<nav>aside</nav><article class="bd-article"><section id="first"><h1>First<a class="headerlink">#</a>
</h1><a href="chapters/a.html#two">two</a> <a href="chapters/a.html#gone">gone</a>
<a href="https://example.org/#two">away</a>
<div class="cell tag_hide-input">{FOLD.format("figure code")}</details>
<div class="cell_output">a plot</div></div>
<div class="cell tag_hide-input">{FOLD.format("silent code")}</details></div>
<div class="cell tag_hide-cell">{FOLD.format("answer code")}
<div class="cell_output">the answer</div></details></div>
<div class="toctree-wrapper"><section id="one"><h2>1. Say "q" \\ now</h2>
<section id="two"><h3>1.1. Deep</h3></section>
<details class="page-code"><summary>Re-run</summary>page code</details>
<div class="toctree-wrapper"><section id="within"><h3>1.2. Within</h3></section></div></section>
<section id="after"><h2>2. After</h2></section></div>
<div class="toctree-wrapper"><section id="library-reference"><h2>Library</h2>
<div class="toctree-wrapper"><section id="modules"><h3>Modules</h3></section></div></section></div>
</section></article></body></html>"""


def test_the_long_page_is_laid_out_in_chapters() -> None:
    paper = BeautifulSoup(laid_out(LONG, Book(ROOT)), "html.parser")
    chapters = paper.select("body > section.printed-chapter")
    assert [chapter["id"] for chapter in chapters] == ["first", "one", "within", "after"]
    assert [head.get_text(strip=True) for head in paper.select("section h1")] == [
        "First",
        '1. Say "q" \\ now',
        "1.2. Within",
        "2. After",
    ]
    assert [head.get_text() for head in paper.select("h2")] == ["1.1. Deep"]
    text = paper.get_text()
    for kept in ("a plot", "answer code", "the answer", "Contents", "Thinking While Others"):
        assert kept in text
    for gone in ("figure code", "silent code", "page code", "Re-run", "aside", "Show", "Modules"):
        assert gone not in text
    assert not paper.find("details")
    assert [str(script) for script in paper("script")] == ["<script>window.MathJax = {}</script>"]
    assert r'content: "1. Say \"q\" \\ now"' in paper.get_text() + str(paper.style.string)


def test_links_stay_within_the_paper() -> None:
    paper = BeautifulSoup(laid_out(LONG, Book(ROOT)), "html.parser")
    links = {link.get_text(): link["href"] for link in paper.select("section.printed-chapter a")}
    assert links == {"two": "#two", "away": "https://example.org/#two"}
    assert "gone" in paper.get_text()


def test_a_page_of_another_make_is_refused() -> None:
    with pytest.raises(BookError, match="has no 'article"):
        laid_out("<html><head></head><body></body></html>", Book(ROOT))


@pytest.mark.slow
def test_a_book_is_printed_with_bookmarks(small_book: Book, run_book: RunBook) -> None:
    root = small_book.root
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: chapters/page\nchapters:\n  - file: chapters/more\n"
    )
    (root / "chapters" / "more.md").write_text("# Another page\n\n## A part\n\nWith words.\n")
    accepted = run_book("reference", root=root)
    assert accepted.returncode == 0, accepted.stderr
    done = run_book("pdf", root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = (small_book.build / "thinking-while-others-wait.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 4  # title, contents, two chapters
    assert b"/Outlines" in printed
