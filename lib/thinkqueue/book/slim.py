"""Pages without what none of them uses: rules of style sheets, icons of fonts, other formats.

The theme brings a whole framework, of which the book uses a fifth. A rule stays where each class
and each id that it asks for stands on some page, or is a word of some script, or begins as a name
does that a script puts together. What a page looks like does not change, only what it weighs.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import tinycss2

#: Rules that hold rules, which may select nothing.
_NESTED = {"media", "supports", "layer", "container"}
_NOTICE = re.compile(r"/\*!.*?\*/\n?", re.DOTALL)  # a licence, which goes with what it allows
_STANDS = re.compile(r'\b(?:class|id)="([^"]*)"')
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_WORD, _BEGINNING = re.compile(r"[-\w]+"), re.compile(r"([-\w]+-)(?=[\"'`]|\$\{)")
_PROPERTY, _READ = re.compile(r"--[-\w]+"), re.compile(r"var\(\s*(--[-\w]+)")
_OTHER_FORMATS = re.compile(r",\s*url\([^)]*\.ttf\)\s*format\([^)]*\)")
_LINKED = re.compile(r'((?:href|src)="[^"]*?_static/([^"?]+\.css))(?:\?[^"]*)?"')


def slim(site: Path, own: Iterable[Path]) -> None:
    """Take out of the files beside built pages what no page uses, and name them by their content.

    Parameters
    ----------
    site
        The folder of the pages.
    own
        Style sheets of the book itself, by their names; they stay as they are.
    """
    static = site / "_static"
    pages = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    scripts = [
        path.read_text(encoding="utf-8")
        for path in static.rglob("*.js")
        if "mathjax" not in path.parts
    ]
    used = used_names(pages.values(), scripts)
    sheets = {path: path.read_text(encoding="utf-8") for path in static.rglob("*.css")}
    names = {path.name for path in own}
    kept = {path for path in sheets if path.name in names}
    notices = {path: "".join(_NOTICE.findall(text)) for path, text in sheets.items()}
    for path in sheets.keys() - kept:
        sheets[path] = _OTHER_FORMATS.sub("", without_rules(sheets[path], used))
    elsewhere = "".join([*pages.values(), *scripts, *(sheets[path] for path in kept)])
    sheets |= _without_properties({p: sheets[p] for p in sheets.keys() - kept}, elsewhere)
    for path in sheets.keys() - kept:
        path.write_text(notices[path] + sheets[path], encoding="utf-8")
    letters = {ord(letter) for text in sheets.values() for letter in _letters(text)}
    for path in static.rglob("*.woff2"):
        cut_font(path, letters)
    for path in [*static.rglob("*.ttf"), *static.rglob("*.css.map")]:
        path.unlink()
    for path, text in pages.items():
        path.write_text(_LINKED.sub(_by_content(static), text), encoding="utf-8")


def used_names(pages: Iterable[str], scripts: Iterable[str]) -> Callable[[str], bool]:
    """Return whether a class or an id may stand on one of the pages.

    Parameters
    ----------
    pages
        Their HTML.
    scripts
        What runs on them, which may put names there.
    """
    names, code = {"MathJax"}, list(scripts)
    for page in pages:
        names.update(*(text.split() for text in _STANDS.findall(page)))
        code += _INLINE.findall(page)
    beginnings: set[str] = set()
    for text in code:
        names.update(_WORD.findall(text))
        beginnings.update(_BEGINNING.findall(text))
    made = tuple(beginnings - {"-", "--"})
    return lambda name: name in names or name.startswith(made)


def without_rules(sheet: str, used: Callable[[str], bool]) -> str:
    """Return a style sheet without the rules that select nothing.

    Parameters
    ----------
    sheet
        The style sheet.
    used
        Whether a class or an id is there, from :func:`used_names`.
    """
    return _kept(_rules(sheet), partial(_selecting, used=used))


def cut_font(path: Path, letters: Iterable[int]) -> None:
    """Cut a font down to some letters, in its place.

    Parameters
    ----------
    path
        The font, as WOFF2.
    letters
        Their code points; those that it does not have are left out.
    """
    from fontTools import subset

    options = subset.Options(flavor="woff2", layout_features=[], recalc_timestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=letters)
    with subset.load_font(io.BytesIO(path.read_bytes()), options) as font:
        cutter.subset(font)
        subset.save_font(font, str(path), options)


def _rules(sheet: str) -> list[Any]:
    return list(tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True))


def _kept(rules: Iterable[Any], left: Callable[[Any], str]) -> str:
    """Write rules, each plain one as it is left, and none that is left empty."""
    parts = []
    for rule in rules:
        if rule.type == "at-rule" and rule.lower_at_keyword in _NESTED and rule.content is not None:
            inside = _kept(_rules(tinycss2.serialize(rule.content)), left)
            head = f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}"
            parts.append(f"{head}{{{inside}}}" if inside else "")
        elif rule.type == "qualified-rule":
            parts.append(left(rule))
        else:
            parts.append(rule.serialize())
    return "\n".join(filter(None, parts))


def _selecting(rule: Any, used: Callable[[str], bool]) -> str:
    """Return a rule with those of its selectors whose names are all there."""
    selectors: list[list[Any]] = [[]]
    for token in rule.prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    chosen = [tinycss2.serialize(one).strip() for one in selectors if all(map(used, _names(one)))]
    inside = tinycss2.serialize(token for token in rule.content if token.type != "comment").strip()
    return f"{','.join(chosen)}{{{inside}}}" if chosen else ""


def _names(selector: Sequence[Any]) -> Iterator[str]:
    """Yield the classes and ids that a selector asks for; what stands in () or [] may be."""
    for before, token in pairwise([None, *selector]):
        if token.type == "hash" or (token.type == "ident" and before == "."):
            yield token.value


def _without_properties(sheets: dict[Path, str], elsewhere: str) -> dict[Path, str]:
    """Take custom properties out that nobody reads, and then those that only they read."""
    while True:
        read = set(_PROPERTY.findall(elsewhere))
        read.update(*(_READ.findall(text) for text in sheets.values()))
        left = partial(_reading, read=read)
        fewer = {path: _kept(_rules(text), left) for path, text in sheets.items()}
        if fewer == sheets:
            return sheets
        sheets = fewer


def _reading(rule: Any, read: set[str]) -> str:
    """Return a rule without the custom properties that nobody reads."""
    said = tinycss2.parse_blocks_contents(rule.content, skip_comments=True, skip_whitespace=True)
    inside = ";".join(
        line.serialize().rstrip(";")
        for line in said
        if line.type != "declaration" or not line.name.startswith("--") or line.name in read
    )
    return f"{tinycss2.serialize(rule.prelude).strip()}{{{inside}}}" if inside else ""


def _letters(sheet: str) -> Iterator[str]:
    """Yield the letters of all texts in a style sheet."""
    nodes = tinycss2.parse_component_value_list(sheet)
    while nodes:
        node = nodes.pop()
        if node.type == "string":
            yield from node.value
        nodes += getattr(node, "content", None) or getattr(node, "arguments", None) or []


def _by_content(static: Path) -> Callable[[re.Match[str]], str]:
    """Return how a link names a style sheet: a browser that kept the last one asks for this one."""
    marks: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        link, name = match.groups()
        if name not in marks:
            marks[name] = hashlib.sha256((static / name).read_bytes()).hexdigest()[:8]
        return f'{link}?v={marks[name]}"'

    return named
