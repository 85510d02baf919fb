import json

import pandas as pd
import pytest
from typer.testing import CliRunner

import thinkqueue as tq
from calibration.designs import rows
from thinkqueue.cli import app


@pytest.fixture
def measured(tmp_path):
    table = rows({"arithmetic": (0.6, 2.5e-3, 0.3), "olympiad": (0.6, 7e-4, 0.05)}, seed=2)
    path = tmp_path / "measured.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_verdicts_are_printed_and_a_workload_is_written(measured, tmp_path):
    target = tmp_path / "workload.toml"
    result = run(measured, "--arrival-rate", 0.02, "--accuracy-weight", 600, "--output", target)
    assert result.exit_code == 0
    assert "arithmetic: adequate" in result.output
    assert tq.Workload.from_toml(target).names == ("arithmetic", "olympiad")


def test_json_is_for_programs(measured):
    result = run(measured, "--json")
    assert result.exit_code == 0
    assert [task["name"] for task in json.loads(result.output)["tasks"]] == [
        "arithmetic",
        "olympiad",
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--output", "w.toml"], "--arrival-rate"),
        (["--output", "w.toml", "--arrival-rate", 1], "--accuracy-weight"),
    ],
)
def test_what_no_file_can_tell_is_asked_for(measured, options, words):
    result = run(measured, *options)
    assert result.exit_code == 2
    assert words in result.output


def test_bad_input_is_one_sentence_and_status_2(measured, tmp_path):
    assert run(tmp_path / "absent.csv").exit_code == 2
    broken = tmp_path / "broken.csv"
    broken.write_text("task,budget,correct\nm,zero,1\n", encoding="utf-8")
    result = run(broken)
    assert result.exit_code == 2
    assert "line 2, column 'budget'" in result.output
    result = run(
        measured, "--arrival-rate", 1, "--accuracy-weight", 1, "--output", tmp_path / "w.toml",
        "--accept", "perfect",
    )  # fmt: skip
    assert result.exit_code == 2
    assert "no verdict" in result.output
