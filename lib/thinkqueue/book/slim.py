"""Pages without what none of them uses: rules of style sheets, icons of fonts, other formats.

The theme brings a whole framework, of which the book uses a fifth. A rule stays where each class
and each id that it asks for stands on some page, or is a word of some script, or begins as a name
does that a script puts together. What a page looks like does not change, only what it weighs.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_TOKEN = re.compile(
    r"/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\\.|\((?:[^()\"']|\"[^\"]*\"|'[^']*')*\)"
    r"|[{};]|[^{};/\"'\\(]+|.",
    re.DOTALL,
)
_NOTICE = re.compile(r"/\*!.*?\*/\n?", re.DOTALL)  # a licence, which goes with what it allows
_STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
_ESCAPED = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)", re.DOTALL)
_NAME = re.compile(r"[.#]((?:[-\w]|\\.)+)")
_NESTED = re.compile(r"@(?:media|supports|layer|container)\b")
_STANDS = re.compile(r'\b(?:class|id)="([^"]*)"')
_INLINE = re.compile(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
_WORD, _BEGINNING = re.compile(r"[-\w]+"), re.compile(r"([-\w]+-)(?=[\"'`]|\$\{)")
_PROPERTY = re.compile(r"--[-\w]+")
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
    parts = []
    for head, block in _statements(sheet):
        if block is None:
            parts.append(f"{head};")
        elif _NESTED.match(head):
            if inside := without_rules(block, used):
                parts.append(f"{head}{{{inside}}}")
        elif head.startswith("@"):
            parts.append(f"{head}{{{block}}}")
        elif selectors := [one for one in _split(head, ",") if _selects(one, used)]:
            parts.append(f"{','.join(selectors)}{{{block.strip()}}}")
    return "\n".join(parts)


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


def _statements(sheet: str) -> Iterator[tuple[str, str | None]]:
    """Yield what stands before each outermost block, and the block; comments are left out."""
    head, inside, depth = "", "", 0
    for token in _TOKEN.findall(sheet):
        if token.startswith("/*") and len(token) > 3:
            continue
        depth -= token == "}"
        if depth == 0 and token == "}":
            yield head.strip(), inside
            head = inside = ""
        elif depth == 0 and token == ";":
            yield head.strip(), None
            head = ""
        elif depth == 0 and token == "{":
            pass
        elif depth:
            inside += token
        else:
            head += token
        depth += token == "{"


def _split(text: str, mark: str) -> list[str]:
    """Split at a mark that stands in no parentheses, brackets or strings."""
    parts, depth = [""], 0
    for letter in _STRING.sub(lambda m: m[0].replace(mark, "\0"), text):
        depth += (letter in "([") - (letter in ")]")
        if letter == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.replace("\0", mark).strip() for part in parts]


def _selects(selector: str, used: Callable[[str], bool]) -> bool:
    """Whether all names that a selector asks for are there; what stands in () or [] may be."""
    plain = _STRING.sub("", selector)
    while (inner := re.sub(r"\([^()]*\)|\[[^\[\]]*\]", "", plain)) != plain:
        plain = inner
    return all(used(_plain(name)) for name in _NAME.findall(plain))


def _without_properties(sheets: dict[Path, str], elsewhere: str) -> dict[Path, str]:
    """Take custom properties out that nobody reads, and then those that only they read."""
    while True:
        read = set(_PROPERTY.findall(elsewhere))
        read.update(*(re.findall(r"var\(\s*(--[-\w]+)", text) for text in sheets.values()))
        fewer = {path: _keeping(text, read) for path, text in sheets.items()}
        if fewer == sheets:
            return sheets
        sheets = fewer


def _keeping(sheet: str, read: set[str]) -> str:
    parts = []
    for head, block in _statements(sheet):
        if block is None:
            parts.append(f"{head};")
            continue
        if _NESTED.match(head):
            inside = _keeping(block, read)
        elif head.startswith("@"):
            inside = block
        else:
            said = (line for line in _split(block, ";") if line)
            inside = ";".join(
                line
                for line in said
                if not line.startswith("--") or line.partition(":")[0].strip() in read
            )
        if inside:
            parts.append(f"{head}{{{inside}}}")
    return "\n".join(parts)


def _letters(sheet: str) -> Iterator[str]:
    for double, single in _STRING.findall(sheet):
        yield from _plain(double or single)


def _plain(text: str) -> str:
    """Read what is escaped in a style sheet."""
    return _ESCAPED.sub(lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def _by_content(static: Path) -> Callable[[re.Match[str]], str]:
    """Return how a link names a style sheet: a browser that kept the last one asks for this one."""
    marks: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        link, name = match.groups()
        if name not in marks:
            marks[name] = hashlib.sha256((static / name).read_bytes()).hexdigest()[:8]
        return f'{link}?v={marks[name]}"'

    return named
