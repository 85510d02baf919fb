"""The door: what comes in is a workload, or a sentence that says what is wrong with it."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import tomllib
from collections.abc import Callable

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

import thinkqueue as tq
from thinkqueue import Saturating, TaskType, ThinkQueueError, Workload, WorkloadError
from thinkqueue.checks import LARGEST, SMALLEST
from thinkqueue.workload import FIELDS, tokens_array
from workloads import DATA, QWEN, hard_workloads, plain_workload

GOOD = {
    "share": [0.5, 0.3, 0.2],
    "gain": [0.6, 0.5, 0.0],
    "rate": [1e-3, 1e-4, 1.0],
    "baseline": [0.1, 0.0, 0.9],
    "base_time": [0.1, 0.2, 0.0],
    "time_per_token": [0.01, 0.02, 0.01],
    "max_tokens": [1000, 2000, 0],
    "weight": [1.0, 2.0, 0.0],
    "arrival_rate": 0.1,
    "accuracy_weight": 100.0,
    "names": ["sums", "proofs", "poems"],
}


def good(**changes) -> Workload:
    return Workload.from_arrays(**(GOOD | changes))


def task(name="sums", share=1.0, **changes) -> TaskType:
    values = {"accuracy": Saturating(0.5, 1e-3), "base_time": 0.1, "time_per_token": 0.01}
    return TaskType(name, share, **(values | changes))


# what comes in


def test_objects_and_arrays_make_the_same_workload():
    w = good()
    again = Workload(w.tasks, arrival_rate=0.1, accuracy_weight=100.0)
    assert again == w
    assert hash(again) == hash(w)
    assert again.names == w.names == ("sums", "proofs", "poems")
    assert len(w) == 3


def test_every_array_is_a_read_only_float64_of_its_own():
    share = np.array([0.5, 0.5])
    w = Workload.from_arrays(
        **(GOOD | dict.fromkeys(FIELDS, 0.5) | {"share": share, "names": None})
    )
    share[0] = 7
    for field in FIELDS:
        values = getattr(w, field)
        assert values.dtype == np.float64
        assert values.shape == (2,)
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1
    np.testing.assert_array_equal(w.share, 0.5)


def test_a_number_stands_for_every_type_and_names_are_numbered():
    w = good(rate=1e-3, weight=None, names=None)
    np.testing.assert_array_equal(w.rate, 1e-3)
    np.testing.assert_array_equal(w.weight, 1)
    assert w.names == ("type 1", "type 2", "type 3")
    assert w.name(2) == "type 3"


def test_defaults_of_a_task_type():
    w = Workload([task()], arrival_rate=0.1, accuracy_weight=1)
    assert (w.max_tokens[0], w.weight[0], w.baseline[0]) == (32768, 1, 0)


def test_a_type_that_nobody_asks_for_is_allowed():
    assert good(share=[0.5, 0.5, 0.0]).share[2] == 0


def test_a_million_types_make_no_object_each():
    w = plain_workload(0, 10**6)
    assert len(w) == 10**6
    assert w.name(999_999) == "type 1000000"
    assert w.replace(arrival_rate=w.arrival_rate / 2).arrival_rate == w.arrival_rate / 2
    assert not any(isinstance(value, list | tuple) for value in vars(w).values())


def test_repr_is_one_short_line():
    assert repr(good()) == "Workload(3 types, arrival_rate=0.1/s, accuracy_weight=100 s)"


# what stays as it is


def test_is_frozen():
    w = good()
    with pytest.raises(AttributeError, match=r"replace\(arrival_rate"):
        w.arrival_rate = 1.0
    with pytest.raises(AttributeError, match="frozen"):
        del w.share
    with pytest.raises(dataclasses.FrozenInstanceError):
        task().share = 0.5


def test_replace_makes_a_changed_copy_and_checks_it():
    w = good()
    changed = w.replace(arrival_rate=0.2, gain=0.1)
    assert (changed.arrival_rate, w.arrival_rate) == (0.2, 0.1)
    np.testing.assert_array_equal(changed.gain, 0.1)
    assert changed != w
    assert changed.names == w.names
    with pytest.raises(WorkloadError, match="no parameter 'lambda'"):
        w.replace(**{"lambda": 1})
    with pytest.raises(WorkloadError, match="arrival_rate is -1"):
        w.replace(arrival_rate=-1)


def through_pickle(w: Workload) -> Workload:
    return pickle.loads(pickle.dumps(w))


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
def test_copies_and_pickles_are_equal_and_frozen(again):
    w = good()
    twin = again(w)
    assert twin == w
    assert twin.names == w.names
    assert not twin.share.flags.writeable


def test_differs_from_other_things():
    assert good() != "a workload"
    assert good() != good(names=["a", "b", "c"])


# files


def test_toml_round_trip_is_exact(tmp_path):
    for k, w in enumerate([good(), *hard_workloads(30, seed=5)]):
        w.to_toml(tmp_path / "w.toml")
        assert Workload.from_toml(tmp_path / "w.toml") == w, k
    assert [p.name for p in tmp_path.iterdir()] == ["w.toml"]


def test_a_comment_at_the_head_of_a_file_says_anything(tmp_path):
    path = tmp_path / "w.toml"
    good().to_toml(path, comment="of \x1b[31mred\x00\nand green")
    assert path.read_text(encoding="utf-8").startswith("# of \\x1b[31mred\\x00\n# and green\n")
    assert Workload.from_toml(path) == good()


def test_toml_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "w.toml"
    good().to_toml(path)
    before = path.read_bytes()
    with pytest.raises(UnicodeEncodeError):
        good(names=["a", "b", "\ud800"]).to_toml(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["w.toml"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    nowhere, folder = tmp_path / "none" / "w.toml", tmp_path / "folder"
    folder.mkdir()
    for path, kind in ((nowhere, FileNotFoundError), (folder, IsADirectoryError)):
        with pytest.raises(kind) as caught:
            good().to_toml(path)
        assert caught.value.filename == str(path)
        assert caught.value.filename2 is None
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("path", sorted((DATA / "workloads").glob("*.toml")), ids=lambda p: p.stem)
def test_the_workloads_of_the_book_can_be_read(path):
    w = Workload.from_toml(path)
    assert len(w) >= 2
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    assert w.names == tuple(table["name"] for table in document["task"])
    assert w.share[0] == document["task"][0]["share"]


TOML = QWEN.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("arrival_rate =", "arival_rate =", "has no 'arrival_rate'"),
        ("accuracy_weight =", "extra = 1\naccuracy_weight =", "unknown key 'extra'"),
        ("gain = 0.677\n", "", "task type 'GSM8K' has no 'gain'"),
        ("gain = 0.677\n", "gian = 1\ngain = 0.677\n", "unknown key 'gian'"),
        ("gain = 0.677\n", "gain = 'much'\n", "gain.*much.*number"),
        ("gain = 0.677\n", "gain = nan\n", "gain of task type 'GSM8K' is nan"),
        ("arrival_rate = 0.02", "arrival_rate = true", "arrival_rate is True.*number"),
        ("share = 0.5\n", "share = 0.6\n", "add up to 1.1"),
        ('name = "GSM8K"', 'name = ""', "name of task type 1"),
        ('name = "GSM8K"', "name = 3", "name of task type 1 is 3"),
        ('name = "GSM8K"', 'name = "GPQA-D"', "Two task types are called 'GPQA-D'"),
        ("[[task]]", "[task", "not a TOML file"),
        ("arrival_rate = 0.02", f"arrival_rate = {'1' * 5000}", "thousands of digits"),
        ("arrival_rate = 0.02", f"arrival_rate = {'[' * 5000}", "nest too deep"),
        ("arrival_rate = 0.02", "arrival_rate = [0.02]", "arrival_rate has shape"),
        ("arrival_rate = 0.02", "arrival_rate = '2024'", "arrival_rate.*number"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path, old, new, says):
    path = tmp_path / "faulty.toml"
    path.write_text(TOML.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(WorkloadError, match=says) as caught:
        Workload.from_toml(path)
    assert "faulty.toml" in str(caught.value)


def test_tasks_must_be_tables(tmp_path):
    path = tmp_path / "faulty.toml"
    path.write_text("arrival_rate = 1\naccuracy_weight = 1\ntask = [1]\n", encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"\[\[task\]\]"):
        Workload.from_toml(path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "faulty.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WorkloadError, match="not a TOML file"):
        Workload.from_toml(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Workload.from_toml(tmp_path / "absent.toml")


# what is refused, and in which words

FAULTS = [
    ({"gain": [0.6, -0.1, 0]}, "gain", -0.1, "proofs", "at least 0"),
    ({"gain": [0.6, 1.1, 0]}, "gain", 1.1, "proofs", "at most 1"),
    ({"gain": [0.6, 0.5, 0.2]}, "gain + baseline", 1.1, "poems", "at most 1"),
    ({"rate": [0, 1, 1]}, "rate", 0, "sums", "positive"),
    ({"rate": [1, 1, math.inf]}, "rate", math.inf, "poems", "positive"),
    ({"rate": [1, SMALLEST / 10, 1]}, "rate", SMALLEST / 10, "proofs", "positive"),
    ({"baseline": [-1, 0, 0]}, "baseline", -1, "sums", "at least 0"),
    ({"base_time": [0, 0, -1e-9]}, "base_time", -1e-9, "poems", "at least 0"),
    ({"time_per_token": [0, 1, 1]}, "time_per_token", 0, "sums", "positive"),
    ({"max_tokens": [1, -1, 1]}, "max_tokens", -1, "proofs", "at least 0"),
    ({"max_tokens": [1, 2 * LARGEST, 1]}, "max_tokens", 2 * LARGEST, "proofs", "at most"),
    ({"weight": [1, 1, -2]}, "weight", -2, "poems", "at least 0"),
    ({"share": [0.5, -0.1, 0.6]}, "share", -0.1, "proofs", "at least 0"),
    ({"share": [0.5, 0.3, 0.3]}, "share", 1.1, None, "divide each by 1.1"),
    ({"share": [0, 0, 0]}, "share", 0, None, "give some type a share"),
    ({"arrival_rate": 0}, "arrival_rate", 0, None, "positive"),
    ({"arrival_rate": -3}, "arrival_rate", -3, None, "positive"),
    ({"accuracy_weight": -1}, "accuracy_weight", -1, None, "at least 0"),
    ({"accuracy_weight": math.inf}, "accuracy_weight", math.inf, None, "at most"),
]


@pytest.mark.parametrize(("changes", "parameter", "value", "called", "demand"), FAULTS)
def test_an_error_names_parameter_value_and_task(changes, parameter, value, called, demand):
    with pytest.raises(WorkloadError) as caught:
        good(**changes)
    error, text = caught.value, str(caught.value)
    assert error.parameter == parameter
    assert error.value == pytest.approx(value, rel=1e-12)
    assert error.task == called
    assert demand in text
    assert text.endswith(".")
    assert parameter.split(" ")[0] in text
    if called:
        assert repr(called) in text
    with pytest.raises(ValueError, match=r"\w"):
        good(**changes)


@pytest.mark.parametrize("field", FIELDS)
def test_nan_is_refused_everywhere(field):
    values = list(GOOD[field])
    values[1] = math.nan
    with pytest.raises(WorkloadError, match=f"{field} of task type 'proofs' is nan"):
        good(**{field: values})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"share": []}, "at least one task type"),
        ({"gain": [0.1, 0.2]}, r"gain has shape \(2,\).*each of the 3"),
        ({"gain": np.zeros((3, 3))}, r"gain has shape \(3, 3\)"),
        ({"share": np.full((1, 3), 1 / 3)}, r"share has shape \(1, 3\)"),
        ({"gain": "much"}, "gain is 'much'.*number"),
        ({"gain": [[1], [2, 3]]}, "gain is .*number"),
        ({"gain": {"a": 1}}, "gain is .*number"),
        ({"gain": [True, False, True]}, "gain is .*number"),
        ({"gain": 1j}, "gain is .*number"),
        ({"gain": [None, 1, 1]}, "gain is .*number"),
        ({"gain": ["0.1", "0.2", "0.3"]}, "gain is .*number"),
        ({"arrival_rate": "fast"}, "arrival_rate is 'fast'"),
        ({"arrival_rate": None}, "arrival_rate is None"),
        ({"arrival_rate": [1, 2]}, "arrival_rate has shape.*solve_grid"),
        ({"names": ["a", "b"]}, "2 names for 3 task types"),
        ({"names": ["a", "b", "a"]}, "called 'a'"),
        ({"names": ["a", " ", "c"]}, "name of task type 2"),
        ({"names": ["a", 5, "c"]}, "name of task type 2 is 5"),
        ({"names": "abc"}, "names is .abc."),
        ({"names": 5}, "names is 5"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(changes, says):
    with pytest.raises(WorkloadError, match=says):
        good(**changes)


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([], "at least one task type"),
        ([{"name": "sums"}], r"tasks\[0\].*TaskType"),
        (5, "tasks is 5"),
        ([task(accuracy=0.5)], "accuracy of task type 'sums' is 0.5"),
        ([task(share=[0.5, 0.5])], "share"),
        ([task(base_time="long")], "base_time"),
        ([task(share=0.5), task(share=0.5)], "called 'sums'"),
        ([task(name=None)], "name of task type 1"),
    ],
)
def test_what_is_no_task_type_is_refused(tasks, says):
    with pytest.raises(WorkloadError, match=says):
        Workload(tasks, arrival_rate=0.1, accuracy_weight=1)


GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.floats(), max_size=4),
    st.lists(st.one_of(st.floats(0, 1), st.none(), st.text(max_size=3)), max_size=4),
    st.dictionaries(st.text(max_size=2), st.floats(), max_size=2),
    st.just(np.datetime64("2026-01-01")),
    st.just(object()),
)


def refusal(build: Callable[[], Workload]) -> WorkloadError | None:
    """The error that building a workload raises, if it raises one; any other error goes through."""
    try:
        w = build()
    except WorkloadError as error:
        return error
    assert all(np.isfinite(getattr(w, field)).all() for field in FIELDS)
    assert abs(w.share.sum() - 1) <= 1e-9
    return None


def is_sentence(error: WorkloadError | None) -> bool:
    """Whether a refusal is a sentence of readable length that names a parameter."""
    if error is None:
        return True
    text = str(error)
    return bool(text.strip() and error.parameter) and text.endswith(".") and len(text) < 1000


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*GOOD]), GARBAGE)
def test_garbage_in_one_argument_is_a_workload_or_a_sentence(parameter, value):
    assert is_sentence(refusal(lambda: good(**{parameter: value})))


@settings(max_examples=100, deadline=None)
@given(
    st.fixed_dictionaries(
        dict.fromkeys(("name", "share", "accuracy", "base_time", "time_per_token"), GARBAGE)
    ),
    GARBAGE,
)
def test_garbage_in_a_task_type_is_a_workload_or_a_sentence(values, rate):
    def build() -> Workload:
        return Workload([TaskType(**values)], arrival_rate=rate, accuracy_weight=1)

    assert is_sentence(refusal(build))


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["arrival_rate", "accuracy_weight", "task", "other"]),
        st.one_of(
            st.integers(-5, 5),
            st.floats(),
            st.text("abc", max_size=3),
            st.lists(st.dictionaries(st.sampled_from(["name", *FIELDS]), st.integers(0, 2))),
        ),
    )
)
def test_garbage_in_a_file_is_a_sentence_that_names_the_file(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("garbage") / "w.toml"
    path.write_text(tomli_w.dumps(document), encoding="utf-8")
    error = refusal(lambda: Workload.from_toml(path))
    assert is_sentence(error)
    assert error is None or "w.toml" in str(error)


POSITIVE = st.floats(1e-12, 1e3)
UNIT = st.floats(0, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(UNIT, UNIT, POSITIVE, UNIT, POSITIVE), min_size=1, max_size=8), POSITIVE)
def test_what_is_in_range_comes_in_and_comes_out(rows, arrival_rate):
    weights, gain, rate, base_time, per_token = np.array(rows).T
    share = (weights + 0.01) / (weights + 0.01).sum()
    w = Workload.from_arrays(
        share=share,
        gain=gain,
        rate=rate,
        baseline=1 - gain,
        base_time=base_time,
        time_per_token=per_token,
        arrival_rate=arrival_rate,
        accuracy_weight=1,
    )
    np.testing.assert_array_equal(w.share, share)
    np.testing.assert_array_equal(w.time_per_token, per_token)
    assert Workload(w.tasks, arrival_rate=arrival_rate, accuracy_weight=1) == w


# allocations at the door


def test_tokens_may_be_any_array_like_with_leading_axes():
    w = good()
    assert tokens_array(w, [1, 2, 0]).dtype == np.float64
    assert tokens_array(w, np.zeros((4, 2, 3))).shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        (5, r"shape \(\)"),
        ([1, 2], r"shape \(2,\).*3 task types"),
        ([1, -2, 0], "tokens of task type 'proofs' is -2"),
        ([1, 2, math.nan], "tokens of task type 'poems' is nan"),
        ([math.inf, 2, 0], "tokens of task type 'sums' is inf"),
        (["a", 2, 0], "tokens is .*number"),
        (None, "tokens is None"),
    ],
)
def test_faulty_tokens_are_refused(tokens, says):
    with pytest.raises(WorkloadError, match=says):
        tokens_array(good(), tokens)


def test_tokens_above_the_caps_are_refused_where_caps_count():
    assert tokens_array(good(), [5000, 0, 0])[0] == 5000
    with pytest.raises(WorkloadError, match=r"'sums' is 5000.*1000, its max_tokens"):
        tokens_array(good(), [5000, 0, 0], capped=True)


def test_every_error_is_a_value_error_of_this_library():
    assert issubclass(WorkloadError, ThinkQueueError)
    assert issubclass(ThinkQueueError, ValueError)


@pytest.mark.parametrize(
    "function",
    [
        tq.certify,
        tq.negative_hessian,
        tq.curvature_bound,
        tq.round_tokens,
        tq.rounding_loss_bound,
        tq.tail_bound,
        lambda w, tokens: tq.contraction_modulus(w, np.zeros(3), tokens),
        lambda w, tokens: tq.solve(w, start=tokens),
    ],
)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_many_allocations_are_refused_where_one_is_meant(function, rows):
    with pytest.raises(WorkloadError, match=rf"\({rows}, 3\).*one allocation"):
        function(good(), np.zeros((rows, 3)))


@pytest.mark.parametrize("off", [1e-3, 1e-5, 1e-8])
def test_shares_that_miss_one_by_little_are_refused_too(off):
    share = np.array([0.5, 0.3, 0.2 + off])
    with pytest.raises(WorkloadError, match="add up to"):
        good(share=share)
    assert good(share=share / share.sum()).share.sum() == pytest.approx(1, abs=1e-15)
