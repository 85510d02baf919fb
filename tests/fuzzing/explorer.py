"""The doors of the explorer, tried in Node: the field for TOML, and the fragment."""

from __future__ import annotations

import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from node import NODE

from .rule import LONGEST
from .seeds import ROOT, WORKLOADS

SCRIPT = ROOT / "chapters" / "_static" / "explorer.js"


def tried(cases: Sequence[tuple[str, bytes]], script: Path = SCRIPT) -> list[str]:
    """Return how each case ended in a script, in one process of Node with a limit of time.

    Where that process dies of a signal, its halves are tried in processes of their own, until one
    case is left that does it. Node has also died by itself now and then, of no case.
    """
    told = {
        "script": str(script),
        "presets": {path.stem: path.read_text(encoding="utf-8") for path in WORKLOADS[:2]},
        "longest": LONGEST,
        "cases": [(door, text.decode("utf-8", "replace")) for door, text in cases],
    }
    done = subprocess.run(
        [NODE, str(Path(__file__).with_name("ended.js"))], input=json.dumps(told),
        capture_output=True, text=True, check=False, timeout=30 + len(cases) / 20,
    )  # fmt: skip
    if done.returncode < 0 and len(cases) == 1:
        return [f"Node died of {signal.Signals(-done.returncode).name}"]
    if done.returncode < 0:
        middle = len(cases) // 2
        return tried(cases[:middle], script) + tried(cases[middle:], script)
    done.check_returncode()
    answer: list[str] = json.loads(done.stdout)
    return answer


def findings(cases: Sequence[tuple[str, bytes]], ends: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what was found, once each way, with a case that shows it."""
    seen: Counter[str] = Counter()
    for (door, text), end in zip(cases, ends, strict=True):
        key = end.split("\n")[0][:60]
        if end not in ("result", "refusal") and not seen[key]:
            seen[key] += 1
            yield {"door": door, "found": end, "case": text[:400].decode("utf-8", "replace")}
