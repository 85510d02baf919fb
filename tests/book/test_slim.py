"""What a style sheet loses, what it keeps, and what a font is cut to."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from thinkqueue.book.slim import cut_font, slim, used_names, without_rules

PAGE = """<html><head><link href="_static/theme.css?digest=1" rel="stylesheet"/></head>
<body class="there"><i id="icon" style="color: var(--inline)"></i>
<script>e.classList.add("by-script"); e.className = "made-" + kind;</script></body></html>"""
USED = used_names([PAGE], ["function late() { return `built-${n}`; }"])


@pytest.mark.parametrize(
    "rule",
    [
        "p{color:red}",
        ".there>p{color:red}",
        "#icon{a:b}",
        ".by-script{a:b}",
        ".made-of-wood{a:b}",
        ".built-3 .late{a:b}",
        ".there:not(.absent){a:b}",
        ':is(.absent,.there)[class*="x.y,z"]{a:b}',
        '@font-face{font-family:"F";src:url(f.woff2)}',
        '@charset "utf-8";',
        '.there{content:"}";background:url(data:a;b)}',
        "@media print{.there{a:b}}",
        "@keyframes turn{0%{a:b}to{a:c}}",
    ],
)
def test_what_a_page_may_use_stays(rule: str) -> None:
    assert without_rules(rule, USED) == rule


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (".absent{a:b}", ""),
        (".there .absent{a:b}", ""),
        ("#absent{a:b}", ""),
        (".absent,.there,a.absent{a:b}", ".there{a:b}"),
        ("@media print{.absent{a:b}}", ""),
        ("@media print{.absent{a:b}p{c:d}}", "@media print{p{c:d}}"),
        (r".sm\:there{a:b}", ""),
        ("/* words */p{a:b}/* more } */", "p{a:b}"),
    ],
)
def test_what_no_page_uses_goes(rule: str, left: str) -> None:
    assert without_rules(rule, USED) == left


def letters(font: Path) -> list[int]:
    with TTFont(font) as opened:
        return list(opened.getBestCmap())


def theme_font() -> Path:
    fonts = files("pydata_sphinx_theme") / "theme/pydata_sphinx_theme/static/vendor/fontawesome"
    return Path(str(fonts)) / "webfonts" / "fa-solid-900.woff2"


def test_a_font_is_cut_to_its_letters(tmp_path: Path) -> None:
    sizes = []
    for name in ("one.woff2", "again.woff2"):
        font = tmp_path / name
        font.write_bytes(theme_font().read_bytes())
        cut_font(font, [0xF002, 0xFFFFF])
        assert letters(font) == [0xF002]
        sizes.append(font.read_bytes())
    assert sizes[0] == sizes[1], "a build would not repeat"
    assert len(sizes[0]) < 0.02 * theme_font().stat().st_size


def test_a_site_is_slimmed(tmp_path: Path) -> None:
    static = tmp_path / "_static"
    static.mkdir()
    (tmp_path / "page.html").write_text(PAGE)
    (static / "theme.css").write_text(
        "/*! A licence */:root{--read:1;--inline:2;--only-by:3;--unread:var(--only-by)}"
        '.there{a:var(--read)}.absent{a:b}.there:before{content:"\\f002"}'
        "@font-face{src:url(f.woff2) format('woff2'),url(f.ttf) format('truetype')}"
    )
    own = static / "own.css"
    own.write_text(".absent{a:b}")
    (static / "f.ttf").touch()
    (static / "f.woff2").write_bytes(theme_font().read_bytes())
    slim(tmp_path, [own])
    assert (static / "theme.css").read_text().split() == [
        "/*!", "A", "licence", "*/:root{--read:1;--inline:2}", ".there{a:var(--read)}",
        '.there:before{content:"\uf002"}', "@font-face{src:url(f.woff2)", 'format("woff2")}',
    ]  # fmt: skip
    assert own.read_text() == ".absent{a:b}"
    assert set(letters(static / "f.woff2")) <= {0xF002, *map(ord, "woff2")}
    assert 0xF002 in letters(static / "f.woff2")
    assert not (static / "f.ttf").exists()
    first = (tmp_path / "page.html").read_text()
    assert "theme.css?digest" not in first
    (static / "theme.css").write_text(".there{a:c}")
    slim(tmp_path, [own])
    assert (tmp_path / "page.html").read_text() != first, "a browser would show the last one"
