"""Well-formed input, spoilt: cut, doubled, swapped, and with values that no one expects."""

from __future__ import annotations

import random
import re

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

_VALUE = re.compile(rb"-?\d[\d.eE+-]*|\"[^\"]*\"|[A-Za-z_]\w*")


def spoilt(text: bytes, choose: random.Random, times: int = 4) -> bytes:
    """Return a text with one to so many faults."""
    for _ in range(choose.randint(1, times)):
        text = choose.choice(_WAYS)(text, choose)
    return text


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


_WAYS = (_value, _value, _value, _swap, _line, _piece, _letters, _cut)
