"""What is recorded of the two traces: read back exactly, and derived again where they are found."""

import sys
from pathlib import Path

import numpy as np
import pytest

from thinkqueue import Workload
from thinkqueue.arrivals import arrival_statistics, read_records, study, write_records
from workloads import DATA, QWEN

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from bench_traces import read_traces, traces_folder

RECORDED = read_records(DATA / "arrivals")


def test_records_survive_writing_and_reading(tmp_path):
    write_records(tmp_path, list(RECORDED.values()))
    assert read_records(tmp_path) == RECORDED
    for file in (DATA / "arrivals").glob("*.csv"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", RECORDED)
def test_the_recorded_models_reproduce_the_recorded_statistics(name):
    one = RECORDED[name]
    assert one.model.rate == pytest.approx(1.0, rel=1e-8)
    assert one.model.cv == pytest.approx(one.statistics.cv, rel=1e-4)
    np.testing.assert_allclose(
        one.model.dispersion(one.statistics.windows), one.statistics.dispersion, rtol=0.08
    )
    # negative control: the model of one trace is no model of the other
    (other,) = (two.model for key, two in RECORDED.items() if key != name)
    assert abs(other.cv / one.statistics.cv - 1) > 0.5


@pytest.mark.parametrize("name", RECORDED)
def test_hindsight_is_never_beaten(name):
    outcomes = RECORDED[name].outcomes
    for rate in {one.arrival_rate for one in outcomes}:
        here = [one for one in outcomes if one.arrival_rate == rate]
        best = next(one for one in here if one.budgets == "arrivals")
        assert all(one.objective <= best.objective + best.gap + 1e-6 for one in here)


def test_statistics_and_outcomes_are_those_of_the_traces_where_they_are_found():
    folder = traces_folder()
    traces = read_traces(folder) if folder is not None else []
    for trace in traces:
        recorded = RECORDED[trace.name]
        found = arrival_statistics(trace)
        assert found.count == recorded.statistics.count
        for field in ("duration", "rate", "cv", "correlation", "windows", "dispersion"):
            np.testing.assert_allclose(
                getattr(found, field), getattr(recorded.statistics, field), rtol=1e-7
            )
        workload = Workload.from_toml(QWEN).replace(arrival_rate=0.02)
        again = study(workload, trace, recorded.statistics, recorded.model, jobs=trace.times.size)
        kept = [one for one in recorded.outcomes if one.arrival_rate == 0.02]
        for new, old in zip(again, kept, strict=True):
            assert new.budgets == old.budgets
            assert new.objective == pytest.approx(old.objective, rel=1e-3)
            assert new.mean_waiting_time == pytest.approx(old.mean_waiting_time, rel=1e-2)
    assert len(traces) in (0, len(RECORDED))


def test_records_are_written_all_or_none(tmp_path):
    write_records(tmp_path, list(RECORDED.values())[:1])
    (tmp_path / "outcomes.csv").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "outcomes.csv").mkdir()  # nothing can be written here
    with pytest.raises(OSError, match=r"outcomes\.csv"):
        write_records(tmp_path, list(RECORDED.values()))
    (tmp_path / "outcomes.csv").rmdir()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
