"""Each door some hundred times; ``make fuzz`` tries thirty thousand."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkqueue.errors import ThinkQueueError

from .damage import spoilt
from .explorer import SCRIPT, findings, tried
from .rule import Ended, Finding, held, sentence
from .seeds import seeds
from .targets import DOORS

#: How often each door is tried, by what a case takes.
EXAMPLES = {"command": 60, "parquet": 150}
CASES = 2000


@pytest.mark.parametrize("door", DOORS)
def test_what_is_well_formed_is_taken(door: str) -> None:
    ends = [DOORS[door](text) for text in seeds(door)]
    assert ends.count(Ended.RESULT) >= len(ends) - 1, ends


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_no_bad_input_ends_in_anything_but_a_sentence(door: str) -> None:
    ends = set()

    @settings(
        max_examples=EXAMPLES.get(door, 400), derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(seeds(door)), st.randoms(use_true_random=False))
    def each(text: bytes, choose: random.Random) -> None:
        ends.add(DOORS[door](spoilt(text, choose)))

    each()
    assert Ended.REFUSAL in ends


@pytest.mark.slow
@pytest.mark.parametrize("door", ["paste", "fragment"])
def test_no_bad_text_breaks_the_explorer(door: str) -> None:
    choose = random.Random(8)
    cases = [(door, text) for text in seeds(door)]
    cases += [(door, spoilt(choose.choice(seeds(door)), choose)) for _ in range(CASES)]
    ends = tried(cases)
    assert list(findings(cases, ends)) == []
    assert ends[: len(seeds(door))].count("result") >= len(seeds(door)) - 1
    assert {"result", "refusal"} == set(ends)


def test_a_case_that_kills_node_is_found_among_many(tmp_path: Path) -> None:
    deadly = tmp_path / "explorer.js"
    deadly.write_text(
        "const t = module.exports = require(" + json.dumps(str(SCRIPT)) + "), read = t.parseToml;\n"
        "t.parseToml = (text) => {\n"
        "  if (text === 'poison') { process.kill(process.pid, 'SIGSEGV'); while (true) {} }\n"
        "  return read(text);\n"
        "};\n"
    )
    cases = [("paste", text) for text in (*seeds("paste")[:4], b"poison", b"no workload")]
    ends = tried(cases, deadly)
    assert ends == ["result"] * 4 + ["Node died of SIGSEGV", "refusal"]
    (found,) = findings(cases, ends)
    assert found["case"] == "poison"


def raising(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    "case",
    [
        lambda: raising(KeyError("x")),
        lambda: raising(ThinkQueueError("")),
        lambda: sentence("a\x1b[31mb"),
        lambda: raising(ThinkQueueError("a" * 2000)),
        lambda: warnings.warn("overflow", RuntimeWarning, stacklevel=1),
        lambda: [1.0, (2.0, math.nan)],
    ],
)
def test_what_must_not_happen_is_found(case: Callable[[], Any]) -> None:
    with pytest.raises((Finding, KeyError, RuntimeWarning)):
        held(case)
