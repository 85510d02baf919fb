"""What a chapter may state, and how near is near enough."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

from thinkqueue.book import glue, reference
from thinkqueue.book.layout import Book
from thinkqueue.book.values import Stated, stated_values


def notebook_with(monkeypatch: pytest.MonkeyPatch, *calls: dict[str, Any]) -> Any:
    """Return a notebook whose cell made these calls of glue."""
    outputs = []

    def keep(data: dict[str, str], *, raw: bool, metadata: dict[str, Any]) -> None:
        assert raw
        outputs.append(nbformat.v4.new_output("display_data", data=data, metadata=metadata))

    monkeypatch.setattr("IPython.display.display", keep)
    for call in calls:
        glue(**call)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=outputs)])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([2.5]), 2.5),
        (np.bool_(True), True),
        (7, 7),
        ("stable", "stable"),
        (1e-300, 1e-300),
    ],
)
def test_glue_keeps_plain_python_values(
    given: Any, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = stated_values(notebook_with(monkeypatch, {"name": "x", "value": given}))
    assert values["x"].value == kept
    assert type(values["x"].value) is type(kept)


@pytest.mark.parametrize("value", [float("nan"), np.inf, -np.inf, np.array([1.0, 2.0])])
def test_glue_refuses_what_a_sentence_cannot_state(value: Any) -> None:
    with pytest.raises(ValueError, match="glue\\('x'\\)"):
        glue("x", value)


def test_glue_refuses_objects() -> None:
    with pytest.raises(TypeError, match="not dict"):
        glue("x", {})


def test_a_name_may_be_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"name": "x", "value": 1.0}
    notebook = notebook_with(monkeypatch, call, call)
    with pytest.raises(ValueError, match="glued twice"):
        stated_values(notebook)
    once = notebook_with(monkeypatch, call)
    with pytest.raises(ValueError, match="both one and two"):
        reference.collect({"one": once, "two": once})


def test_tolerances() -> None:
    number = Stated(2.0, rtol=1e-3, atol=0.0)
    assert number.accepts(Stated(2.0019, 1e-3, 0.0))
    assert not number.accepts(Stated(2.0021, 1e-3, 0.0))
    assert not number.accepts(Stated("2.0", 1e-3, 0.0))
    assert Stated(0.0, rtol=1e-3, atol=0.1).accepts(Stated(0.09, 1e-3, 0.1))
    assert not Stated(True, rtol=1.0, atol=1.0).accepts(Stated(False, 1.0, 1.0))


def test_renewal_writes_compares_and_keeps_old_digits(tmp_path: Path) -> None:
    book = Book(tmp_path)
    first = {"chapters/a": {"x": Stated(1.0, 1e-6, 0.0), "y": Stated("word", 1e-6, 0.0)}}
    assert {str(d) for d in reference.compare(book, first)} == {
        "a: x = 1.0 is new",
        "a: y = 'word' is new",
    }
    reference.renew(book, first)
    assert reference.compare(book, first) == []

    near = {"chapters/a": {"x": Stated(1.0 + 1e-9, 1e-6, 0.0), "y": Stated("word", 1e-6, 0.0)}}
    assert reference.renew(book, near) == []
    assert json.loads((book.reference / "a.json").read_text())["x"]["value"] == 1.0

    far = {"chapters/a": {"x": Stated(1.5, 1e-6, 0.0)}}
    assert [str(d) for d in reference.compare(book, far)] == [
        "a: x was 1.0, is 1.5 (off by 0.5, which is 5e+05 times its tolerance of 1e-06)",
        "a: y = 'word' is no longer stated",
    ]
    loose = {"chapters/a": {**first["chapters/a"], "x": Stated(1.0, 1e-2, 0.0)}}
    assert "tolerance changed" in str(reference.compare(book, loose)[0])


def test_measured_values_are_held_against_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    call = {"name": "seconds", "value": 0.123, "measured": True}
    assert reference.collect({"a": notebook_with(monkeypatch, call)}) == {"a": {}}
