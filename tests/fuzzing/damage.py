"""Well-formed input, spoilt: cut, doubled, swapped, and with values that no one expects."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import tomli_w

#: Words, numbers and signs that have broken programs.
ODD = (
    b"", b"0", b"-1", b"-0.0", b"nan", b"inf", b"-inf", b"1e308", b"1e-323", b"1e400", b"1e-400",
    b"9" * 5000, b"0.1", b"true", b"null", b"None", b"[]", b"{}", b"[[]]", b"{\"kind\": {}}",
    b"[" * 3000, b"{\"a\":" * 3000, b"\"\"", b"''", b"\"x", b"'", b"a" * 10_000, b"\0", b"\xff\xfe",
    b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\x1b[31m", "é\u202e\u2028\U0001f600".encode(),
    b"<img src=x onerror=alert(1)>", b"$x_{$", b"\\input{x}", b"__proto__", b"constructor",
    b"0x10", b"1_000", "１２".encode(), b"2024-02-30", b"2024-01-01T00:00:00Z", b"%", b"%zz", b"--",
    b",", b";", b"\t", b"=", b"#", b"]]", b"--json", b"1/0",
)  # fmt: skip

#: Values that stand in no such place of a document; some know of a place in which they do harm.
VALUES: tuple[Any, ...] = (
    None, True, "", " ", 0, 1, -1, 2, 0.5, -0.0, 1e-30, 5e-324, 1e30, 1e308, -1e308, 2**53, 2**63,
    10**400, float("nan"), float("inf"), "nan", "inf", "1e400", "1,5", "1_0", "٣", [], {}, [[]],
    [1e308] * 3, [None], ["a"], {"kind": []}, {"": 0}, "a\nb\x1b[31m\0", "\u202e\u2028", "\ufeff",
    "a" * 10_000, "[" * 100_000, "2024-02-30T25:00:00", "9999-12-31T23:59:59.99999999Z",
    {"a" * 10_000: 1}, list(range(300)),
)  # fmt: skip
KEYS = ("", "a" * 10_000, "a\nb", "__proto__", "kind", "name", "accuracy")

_VALUE = re.compile(rb"-?\d[\d.eE+-]*|\"[^\"]*\"|[A-Za-z_]\w*")


def spoilt(text: bytes, choose: random.Random, times: int = 4) -> bytes:
    """Return a text with one to so many faults."""
    for _ in range(choose.randint(1, times)):
        text = choose.choice(_WAYS)(text, choose)
    return text


def _tree(text: bytes, choose: random.Random) -> bytes:
    """Drop, double, retype or rename something in JSON, lines of JSON or TOML, which stays so."""
    for read, write in _TREES:
        try:
            tree = read(text.decode())
            places = list(_places(tree))
            _edit(*choose.choice(places), choose, places)
            return write(tree).encode()
        except (ValueError, TypeError, AttributeError, IndexError, RecursionError):
            continue
    return _value(text, choose)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


_TREES: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (json.loads, json.dumps),
    (_lines, lambda rows: "\n".join(map(json.dumps, rows))),
    (tomllib.loads, tomli_w.dumps),
)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in a tree, as its owner and its key or index."""
    keys = range(len(tree)) if isinstance(tree, list) else tree if isinstance(tree, dict) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _edit(owner: Any, key: Any, choose: random.Random, places: list[tuple[Any, Any]]) -> None:
    how = choose.randrange(7)
    if how == 0:
        del owner[key]
    elif how == 1 and isinstance(owner, list):
        owner.append(copy.deepcopy(owner[key]))
    elif how == 1:
        owner[choose.choice(KEYS)] = owner.pop(key)
    elif how == 2:
        other, place = choose.choice(places)
        owner[key] = copy.deepcopy(other[place])
    else:
        owner[key] = copy.deepcopy(choose.choice(VALUES))


def _cell(text: bytes, choose: random.Random) -> bytes:
    """Change a cell, a whole column or the width of a row in a table, which stays one."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text.decode(), newline="")) if row]
        row = choose.choice(rows)
    except (UnicodeDecodeError, csv.Error, IndexError):
        return _value(text, choose)
    at, how = choose.randrange(len(row)), choose.randrange(4)
    cells = [str(value) for value in VALUES if not isinstance(value, int) or value < 10**30]
    if how == 0:
        del row[at]
    elif how == 1:
        row.insert(at, choose.choice(cells))
    elif how == 2:
        row[at] = choose.choice(cells)
    else:
        for other in rows[1:]:
            other[at:] = [choose.choice(cells), *other[at + 1 :]]
    told = io.StringIO(newline="")
    csv.writer(told, lineterminator="\n").writerows(rows)
    return told.getvalue().encode()


def _value(text: bytes, choose: random.Random) -> bytes:
    """Put something odd in the place of a number, a word or a string."""
    places = list(_VALUE.finditer(text))
    if not places:
        return text + choose.choice(ODD)
    place = choose.choice(places)
    return text[: place.start()] + choose.choice(ODD) + text[place.end() :]


def _swap(text: bytes, choose: random.Random) -> bytes:
    """Put one value of the text in the place of another."""
    places = list(_VALUE.finditer(text))
    if len(places) < 2:
        return text
    one, other = choose.choice(places), choose.choice(places)
    return text[: one.start()] + other.group() + text[one.end() :]


def _line(text: bytes, choose: random.Random) -> bytes:
    """Drop a line, double it, or put it elsewhere."""
    lines = text.split(b"\n")
    line = lines.pop(choose.randrange(len(lines)))
    for _ in range(choose.choice((0, 1, 2))):
        lines.insert(choose.randint(0, len(lines)), line)
    return b"\n".join(lines)


def _piece(text: bytes, choose: random.Random) -> bytes:
    """Drop a piece or double it."""
    start, end = sorted(choose.randint(0, len(text)) for _ in range(2))
    return text[:start] + text[start:end] * choose.choice((0, 2)) + text[end:]


def _letters(text: bytes, choose: random.Random) -> bytes:
    """Change some bytes to any others."""
    spoilt_text = bytearray(text)
    for _ in range(choose.randint(1, 5)):
        if spoilt_text:
            spoilt_text[choose.randrange(len(spoilt_text))] = choose.randrange(256)
    return bytes(spoilt_text)


def _cut(text: bytes, choose: random.Random) -> bytes:
    """Keep only the beginning, as after a full disk."""
    return text[: choose.randint(0, len(text))]


_WAYS = (_tree, _tree, _tree, _cell, _value, _value, _value, _swap, _line, _piece, _letters, _cut)
