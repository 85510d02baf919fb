"""The public names and their signatures as text; run as a program, it renews the snapshot."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import thinkqueue

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def public_api() -> str:
    """Return a line for every public name, and one for each public member of a class."""
    lines = [line for name in sorted(thinkqueue.__all__) for line in lines_of(name)]
    return "\n".join(lines) + "\n"


def lines_of(name: str) -> Iterator[str]:
    thing = getattr(thinkqueue, name)
    if not inspect.isclass(thing):
        yield f"{name}{written(thing)}"
    elif issubclass(thing, enum.Enum):
        yield f"class {name}: {', '.join(thing.__members__)}"
    else:
        yield f"class {name}{own_signature(thing)}"
        for member, value in sorted(members(thing).items()):
            yield f"    {name}.{member}{signature_of(value)}"


def ours(cls: type) -> list[type]:
    """Return the bases that this library defines; what Python's own have differs by version."""
    return [base for base in reversed(cls.__mro__) if base.__module__.startswith("thinkqueue")]


def own_signature(cls: type) -> str:
    defined = any("__init__" in vars(base) for base in ours(cls))
    return written(cls) if defined else ""


def members(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in ours(cls):
        found |= dict.fromkeys(vars(base).get("__annotations__", {})) | dict(vars(base))
    return {name: value for name, value in found.items() if not name.startswith("_")}


def signature_of(value: Any) -> str:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    return written(value) if inspect.isfunction(value) else ""


class Elided:
    """Stands for a default whose text is long, or names a place in memory."""

    def __repr__(self) -> str:
        return "…"


def written(thing: Any) -> str:
    signature = inspect.signature(thing)
    parameters = [
        p.replace(default=Elided()) if len(repr(p.default)) > 60 else p
        for p in signature.parameters.values()
    ]
    return str(signature.replace(parameters=parameters))


if __name__ == "__main__":
    SNAPSHOT.write_text(public_api(), encoding="utf-8")
