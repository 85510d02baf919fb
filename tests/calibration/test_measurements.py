import sys
import time

import numpy as np
import pandas as pd
import pytest

from thinkqueue.calibration.measurements import Measurements, read_measurements
from thinkqueue.calibration.tables import MeasurementError
from thinkqueue.errors import ThinkQueueError

GOOD = "task,budget,correct,total,latency\nmath,0,3,10,0.2\nmath,500,7,10,6.1\nlogic,0,1,10,\n"


def write(folder, text, name="measured.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_gives_columns_series_and_latencies(tmp_path):
    found = read_measurements(write(tmp_path, GOOD))
    assert found.names == ("math", "logic")
    data = found.series("math")
    np.testing.assert_array_equal(data.tokens, [0, 500])
    np.testing.assert_array_equal(data.correct, [3, 7])
    np.testing.assert_array_equal(found.latencies("math")[1], [0.2, 6.1])
    assert found.latencies("logic")[0].size == 0
    assert read_measurements(found) is found


def test_every_kind_of_table_reads_the_same(tmp_path):
    path = write(tmp_path, GOOD)
    frame = pd.read_csv(path)
    frame.to_parquet(tmp_path / "measured.parquet")
    rows = frame.to_dict("records")
    expected = read_measurements(path)
    for source in (str(path), frame, frame.to_dict("list"), rows, tmp_path / "measured.parquet"):
        found = read_measurements(source)
        assert found.task == expected.task
        for name in ("budget", "correct", "total", "latency"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_byte_order_mark_blank_lines_and_other_columns_do_no_harm(tmp_path):
    text = "\ufefftask, budget ,correct,comment\n\nmath,0,true,a\nmath,0,False,b\n"
    found = read_measurements(write(tmp_path, text))
    assert found.series("math").total.tolist() == [2.0]
    assert found.series("math").correct.tolist() == [1.0]


def test_questions_are_grouped_by_budget_and_placed_at_the_tokens_they_used():
    rows = [
        {"task": "m", "budget": b, "tokens": t, "correct": c}
        for b, t, c in [(500, 400, 1), (500, 500, 0), (1000, 600, 1), (1000, 800, 1)]
    ]
    data = read_measurements(rows).series("m")
    np.testing.assert_array_equal(data.tokens, [450, 700])
    np.testing.assert_array_equal(data.correct, [1, 2])
    np.testing.assert_array_equal(data.total, [2, 2])


def test_duplicated_budgets_are_added_up():
    rows = [{"task": "m", "budget": 0, "correct": c, "total": 10} for c in (3, 4, 5)]
    data = read_measurements(rows).series("m")
    assert (data.tokens.size, data.correct[0], data.total[0]) == (1, 12, 30)


def test_shares_become_counts_where_they_are_counts():
    rows = [
        {"task": "m", "tokens": 0, "accuracy": 0.333, "total": 30},
        {"task": "m", "tokens": 9, "accuracy": 0.317, "total": 30},
    ]
    found = read_measurements(rows)
    assert found.correct.tolist() == [10.0, pytest.approx(9.51)]
    assert any("average over repetitions" in note for note in found.notes)


def test_what_is_missing_is_said():
    found = read_measurements([{"task": "m", "budget": 0, "correct": 1}])
    assert any("No latency" in note for note in found.notes)
    assert any("whole budget" in note for note in found.notes)
    only_times = read_measurements([{"task": "m", "tokens": 5, "latency": 1.0}])
    assert only_times.series("m") is None
    assert any("No answers" in note for note in only_times.notes)
    half = read_measurements(
        [{"task": "m", "budget": 0, "correct": 1}, {"task": "m", "budget": None, "correct": 1}]
    )
    assert any("1 rows have neither" in note for note in half.notes)


def test_tokens_of_single_questions_without_a_budget_are_warned_of():
    rows = [{"task": "m", "tokens": 100 + 7 * i, "correct": i % 2} for i in range(20)]
    assert any("no effect of a budget" in note for note in read_measurements(rows).notes)


@pytest.mark.parametrize("count", [300, 30_000])
def test_the_warning_does_not_depend_on_the_length_of_the_log(count):
    rng = np.random.default_rng(1)
    used = np.rint(rng.exponential(1500, count))
    log = {"task": ["m"] * count, "tokens": used, "correct": rng.integers(0, 2, count)}
    assert any("no effect of a budget" in note for note in read_measurements(log).notes)
    # negative control: budgets were set, and the same tokens used under them
    set_ = log | {"budget": np.ceil(used / 2000) * 2000}
    assert not any("no effect of a budget" in note for note in read_measurements(set_).notes)


def test_semicolons_tabs_decimal_commas_and_headers_in_any_case(tmp_path):
    expected = read_measurements(write(tmp_path, GOOD))
    german = GOOD.replace(",", ";").replace(".", ",").replace("task;budget", "Task;BUDGET")
    for text in (german, GOOD.replace(",", "\t"), GOOD.replace("latency", "LATENCY")):
        found = read_measurements(write(tmp_path, text))
        assert found.task == expected.task
        for name in ("budget", "correct", "total", "latency"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    with pytest.raises(MeasurementError, match="thousands or have a decimal comma"):
        read_measurements(write(tmp_path, "task;budget;correct\nm;1,000;1\n"))


def test_columns_may_have_other_names(tmp_path):
    text = GOOD.replace("task", "Benchmark").replace("latency", "secs").replace("total", "task")
    called = {"task": "benchmark", "latency": "secs", "total": "task"}
    found = read_measurements(write(tmp_path, text), columns=called)
    assert found.names == ("math", "logic")
    assert found.total.tolist() == [10, 10, 10]
    assert found.latency[1] == 6.1
    frame = pd.read_csv(write(tmp_path, text))
    assert read_measurements(frame, columns=called).task == found.task
    with pytest.raises(MeasurementError, match="no column 'secs' to take for 'latency'"):
        read_measurements(write(tmp_path, GOOD), columns={"latency": "secs"})
    with pytest.raises(MeasurementError, match="'speed' is no column to look for"):
        read_measurements(write(tmp_path, GOOD), columns={"speed": "latency"})


def test_rows_that_were_not_alone_on_the_server_are_left_out():
    rows = [
        {"task": "m", "tokens": 100 * k, "latency": 1.0 * k, "sent": sent}
        for k, sent in ((1, 0.0), (2, 5.0), (3, 6.0), (4, 20.0))
    ]
    found = read_measurements(rows)
    assert found.crowded.tolist() == [False, True, True, False]
    assert found.latencies("m")[1].tolist() == [1.0, 4.0]
    assert any("2 rows were sent before" in note for note in found.notes)
    # a long one overlaps those after its neighbour, too
    rows[0]["latency"] = 100.0
    assert read_measurements(rows).crowded.all()


def test_a_file_of_one_long_line_is_refused_in_a_moment(tmp_path):
    path = write(tmp_path, ",".join(f"c{i}" for i in range(200_000)))
    start = time.process_time()
    with pytest.raises(MeasurementError, match="no column 'task'") as caught:
        read_measurements(path)
    assert time.process_time() - start < 20
    assert len(str(caught.value)) < 500


def test_a_task_for_every_question_is_a_mistake():
    rows = {"task": [f"q{i}" for i in range(1001)], "budget": [1] * 1001, "correct": [1] * 1001}
    with pytest.raises(MeasurementError, match="1,001 different tasks"):
        read_measurements(rows)


def test_many_different_token_counts_are_joined_to_classes():
    rng = np.random.default_rng(0)
    rows = [{"task": "m", "budget": int(b), "correct": 1} for b in rng.integers(0, 5000, 600)]
    found = read_measurements(rows)
    data = found.series("m")
    assert data.tokens.size == 24
    assert data.total.sum() == 600
    assert np.average(data.tokens, weights=data.total) == pytest.approx(found.budget.mean())
    assert (np.diff(data.tokens) > 0).all()
    assert any("24 classes" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("budget,correct\n0,1\n", None, None, "no column 'task'"),
        ("task,correct\nm,1\n", None, None, "budget, tokens"),
        ("task,budget\nm,1\n", None, None, "correct, accuracy, latency"),
        ("task,budget,accuracy\nm,1,0.5\n", None, "accuracy", "number of questions"),
        ("task,budget,accuracy,correct,total\n", None, "accuracy", "not both"),
        ("task,budget,correct\nm,0,1\nm,x,1\n", 3, "budget", "'x' is not a number"),
        ("task,budget,correct\nm,-5,1\n", 2, "budget", "-5 is impossible"),
        ("task,budget,correct\nm,inf,1\n", 2, "budget", "impossible"),
        ("task,budget,correct,total\nm,0,11,10\n", 2, "correct", "more than 10"),
        ("task,budget,correct,total\nm,0,1,2.5\n", 2, "total", "2.5 is no number"),
        ("task,budget,correct,total\nm,0,1,\n", 2, "total", "nothing is no number"),
        ("task,budget,accuracy,total\nm,0,85,100\n", 2, "accuracy", "not a percentage"),
        ("task,budget,correct\n ,0,1\n", 2, "task", "no name"),
        ("task,budget,correct\nm,0\n", 2, None, "2 cells"),
        ("task,budget,correct,correct\nm,0,1,1\n", 1, "correct", "twice"),
        ("task,budget,correct\n", None, None, "no row"),
        ("", None, None, "no column 'task'"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, text, line, column, words):
    path = write(tmp_path, text)
    with pytest.raises(MeasurementError, match=words) as caught:
        read_measurements(path)
    assert isinstance(caught.value, ThinkQueueError)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    if line is not None:
        assert f"line {line}" in str(caught.value)


def test_files_that_are_something_else_are_told_apart(tmp_path):
    binary = tmp_path / "measured.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(MeasurementError, match="not a CSV"):
        read_measurements(binary)
    with pytest.raises(MeasurementError, match="not a Parquet"):
        read_measurements(write(tmp_path, "no", "measured.parquet"))
    with pytest.raises(FileNotFoundError):
        read_measurements(tmp_path / "absent.csv")
    for source, words in (
        (7, "not int"),
        ([1, 2], "mapping"),
        ({"task": ["a"], "budget": []}, "differ"),
    ):
        with pytest.raises(MeasurementError, match=words):
            read_measurements(source)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, "no", "measured.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MeasurementError, match=r"thinkqueue\[calibrate\]"):
        read_measurements(path)


def test_pandas_missing_values_are_missing():
    frame = pd.DataFrame({"task": ["m", "m"], "budget": [0, 1], "correct": [1, None]})
    frame["latency"] = pd.array([1.0, pd.NA], dtype="Float64")
    found = read_measurements(frame)
    assert np.isnan(found.correct[1])
    assert np.isnan(found.latency[1])
    assert isinstance(found, Measurements)
