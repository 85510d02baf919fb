"""Numbers as they are set on a page: a true minus, and powers of ten instead of an ``e``."""

from __future__ import annotations

import re

_POWER = re.compile(r"(?<![\w.])([-+−]?)(\d[\d,.]*)e([-+]\d+)\b")
_MINUS = re.compile(r"(?<![\w)\]])-(?=[\d.∞])")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def typeset(text: str) -> str:
    """Set the numbers in a text as a book does: ``-2.5`` as −2.5 and ``8e-10`` as 8·10⁻¹⁰.

    Hyphens within words, names and dates stay.

    Parameters
    ----------
    text
        What :func:`format` made of numbers.
    """
    return _MINUS.sub("−", _POWER.sub(_powers, text))


def _powers(match: re.Match[str]) -> str:
    sign, digits, power = match.groups()
    if not digits.strip("0.,"):
        return "0"
    exponent = int(power)
    if exponent == 0:
        return sign + digits
    factor = "" if digits == "1" else f"{digits}·"
    return f"{sign}{factor}10{str(exponent).translate(_RAISED)}"
