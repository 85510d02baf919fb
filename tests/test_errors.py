"""The errors keep what they know, also on the way between processes."""

import pickle
import sys

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.book.figures import use_book_style
from thinkqueue.calibration.figures import draw_series
from thinkqueue.errors import MissingExtraError, needing, sentence
from workloads import QWEN


@pytest.mark.parametrize(
    ("fails", "attributes"),
    [
        (lambda w: w.replace(gain=2.0), ("parameter", "value", "task")),
        (lambda w: tq.solve(w.replace(arrival_rate=1e9)), ("utilization", "max_arrival_rate")),
    ],
)
def test_an_error_is_the_same_after_pickling(fails, attributes):
    with pytest.raises(tq.ThinkQueueError) as caught:
        fails(tq.Workload.from_toml(QWEN))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert str(copy) == str(caught.value)
    for name in attributes:
        assert getattr(copy, name) == getattr(caught.value, name)


def test_the_best_allocation_travels_with_its_error():
    with pytest.raises(tq.NotConvergedError) as caught:
        tq.solve(tq.Workload.from_toml(QWEN), max_steps=1)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert np.array_equal(copy.solution.tokens, caught.value.solution.tokens)
    assert copy.solution.status is tq.Status.OUT_OF_STEPS


def test_what_only_an_extra_brings_is_named(monkeypatch):
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    for draw in (use_book_style, lambda: draw_series({})):
        with pytest.raises(MissingExtraError, match=r"needs matplotlib.*'thinkqueue\[book\]'\.$"):
            draw()
    with (
        pytest.raises(ImportError, match="Juggling needs no_such_package"),
        needing("x", "Juggling"),
    ):
        import no_such_package  # noqa: F401
    assert issubclass(MissingExtraError, tq.ThinkQueueError)


def test_an_error_of_the_system_names_its_file_if_it_has_one():
    assert sentence(OSError(28, "No space left", "a.toml")) == "a.toml: No space left."
    assert sentence(OSError(28, "No space left")) == "No space left."
    assert sentence(OSError("what pyarrow says")) == "what pyarrow says"


def test_whatever_a_message_quotes_it_can_be_read():
    message = str(tq.ThinkQueueError(f"a\x1b[31m\u202e\n{'x' * 10_000} is too long."))
    first, second = message.split("\n")
    assert first == r"a\x1b[31m\u202e"
    assert len(second) == 500
    assert second.endswith(" is too long.")
