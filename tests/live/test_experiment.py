"""An experiment goes on where it was stopped, and is the same for all who are compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from thinkqueue.errors import ThinkQueueError
from thinkqueue.live.__main__ import app
from thinkqueue.live.client import EngineError
from thinkqueue.live.experiment import FULL, Experiment, Run, Scale
from thinkqueue.live.record import read_log

TINY = Scale(
    runs=(Run(0.5, "best", 5), Run(0.5, "twice", 5), Run(0.5, "best", 5, places=2)),
    repeats=2, questions=1, thoughts=1, tokens=40, rounds=1,
)  # fmt: skip
TABLES = ["service", "accuracy", "context", "steps"]


def test_runs_of_one_load_see_the_same_queries() -> None:
    experiment = Experiment(Path("nowhere"))
    long, short = (experiment.queries(Run(0.6, "best", n), 4.0) for n in (1500, 600))
    assert long[:600] == short
    quick = experiment.queries(Run(0.6, "best", 600), 8.0)
    np.testing.assert_allclose([q.at for q in quick], [q.at / 2 for q in short])
    assert [q.question for q in quick] == [q.question for q in short]
    other = replace(experiment, seed=1).queries(Run(0.6, "best", 600), 4.0)
    assert [q.at for q in other] != [q.at for q in short]


def test_arrivals_are_as_random_as_they_should_be() -> None:
    experiment = Experiment(Path("nowhere"))
    for bursts, squared in ((False, 1.0), (True, 9.0)):
        queries = experiment.queries(Run(0.6, "best", 1500, bursts=bursts), 4.0)
        gaps = np.diff([q.at for q in queries])
        assert gaps.mean() == pytest.approx(0.25, rel=0.3)
        assert (gaps.std() / gaps.mean()) ** 2 == pytest.approx(squared, rel=0.4)


def test_names_of_runs_are_names_of_files() -> None:
    names = [run.name for run in FULL.runs]
    assert len(set(names)) == len(names)
    assert "best-60-4-places" in names


def test_what_was_stopped_goes_on_where_it_was(tmp_path: Path, talking: Any) -> None:
    folder = tmp_path / "live"
    whole = talking(pace=0.0005)
    stopped = Experiment(folder, TINY, url=talking(pace=0.0005, last=180).url, quiet=True)
    with pytest.raises(EngineError):
        stopped.run()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert "service.csv" in kept
    assert "run-best-50-2-places.csv" not in kept

    replace(stopped, url=whole.url).run()
    again = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert all(again[name] == moment for name, moment in kept.items() if name != "seed.json")
    assert set(again) == {"seed.json"} | {f"{name}.csv" for name in TABLES} | {
        f"run-{run.name}.csv" for run in TINY.runs
    }
    asked = len(whole.asked)
    summary_file = folder.with_suffix(".json")
    earlier = summary_file.read_text(encoding="utf-8").replace('"date": "20', '"date": "19')
    summary_file.write_text(earlier, encoding="utf-8")
    replace(stopped, url=whole.url).run()
    assert summary_file.read_text(encoding="utf-8") == earlier, "it keeps the day it was measured"
    assert len(whole.asked) == asked, "what is whole is not measured again"

    summary = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(summary["runs"]) == len(TINY.runs)
    for planned, run in zip(summary["runs"], TINY.runs, strict=True):
        log = read_log(folder / f"run-{planned['name']}.csv")
        (budgets,) = planned["budgets"]
        given = dict(zip(summary["types"], budgets, strict=True))
        assert [row.query for row in log] == list(range(5))
        assert all(row.thought == row.budget == given[row.type] for row in log)
        assert all(row.place < run.places for row in log)


def test_two_experiments_do_not_share_a_folder(tmp_path: Path, talking: Any) -> None:
    experiment = Experiment(tmp_path / "live", TINY, url=talking(last=0).url, quiet=True)
    with pytest.raises(EngineError):
        experiment.run()
    with pytest.raises(ThinkQueueError, match="another experiment"):
        replace(experiment, seed=1).run()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "http://10.1.2.3:8000"], "say --elsewhere"),
        (["--url", "nonsense"], "is no address"),
        (["--model", "nowhere.gguf"], "There is no model nowhere.gguf"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path: Path, words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["--small", "--folder", str(tmp_path / "live"), *words])
    assert done.exit_code == 1
    assert sum(told in line for line in done.output.splitlines()) == 1
    assert list((tmp_path / "live").glob("*.csv")) == []
