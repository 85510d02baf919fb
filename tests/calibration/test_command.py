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


def test_budgets_come_with_their_uncertainty_and_what_to_measure_next(measured):
    options = ["--arrival-rate", 0.02, "--accuracy-weight", 600, "--draws", 40]
    facts = json.loads(run(measured, *options, "--json").stdout)["budgets"]
    calibration = tq.calibrate(measured, pool=False, seed=0)
    workload = calibration.workload(arrival_rate=0.02, accuracy_weight=600)
    found = tq.propagate(calibration.draws(40, arrival_rate=0.02, accuracy_weight=600))
    for k, task in enumerate(facts["tasks"]):
        assert task["tokens"] == pytest.approx(tq.solve(workload).tokens[k])
        assert [task["low"], task["high"]] == pytest.approx(
            found.interval(found.each.tokens)[:, k].tolist()
        )
        assert task["low"] <= task["tokens"] <= task["high"]
    assert 0 <= facts["loss_best_on_average"] <= facts["loss"]
    assert facts["regret"] == pytest.approx(found.regret.mean())
    after = facts["measure_next"]
    assert after["name"] in workload.names
    assert after["saved"] > 0
    table = run(measured, *options)
    assert table.exit_code == 0
    for task in facts["tasks"]:
        assert f"{task['high']:,.1f}" in table.output
    assert f"{after['questions']} questions of {after['name']} at" in " ".join(table.output.split())
    assert max(map(len, table.output.splitlines())) <= 80


@pytest.mark.parametrize(
    "options", [["--accept", "adequate"], ["--arrival-rate", 1], ["--base-time", 1]]
)
def test_an_option_that_would_do_nothing_is_refused(measured, options):
    result = run(measured, *options)
    assert result.exit_code == 2
    assert f"{options[0]} has a meaning with --output or --draws only" in result.stderr


def test_what_is_accepted_is_so_besides_adequate(measured, monkeypatch):
    accepted = []
    workload = tq.Calibration.workload
    monkeypatch.setattr(
        tq.Calibration,
        "workload",
        lambda *args, **options: accepted.extend(options["accept"]) or workload(*args, **options),
    )
    needed = ["--arrival-rate", 0.02, "--accuracy-weight", 600, "--output", "/dev/null"]
    assert run(measured, *needed, "--accept", "not identified").exit_code == 0
    assert accepted[:2] == ["adequate", "not identified"]


def test_a_name_that_a_terminal_would_obey_makes_a_workload(tmp_path):
    table = rows({"a\x1b[31mb": (0.6, 2.5e-3, 0.3), "[/red]": (0.6, 7e-4, 0.05)}, seed=2)
    pd.DataFrame(table).to_csv(tmp_path / "measured.csv", index=False)
    target = tmp_path / "workload.toml"
    options = ["--arrival-rate", 0.02, "--accuracy-weight", 600, "--output", target]
    result = run(tmp_path / "measured.csv", *options)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "[/red]: " in result.output
    assert tq.Workload.from_toml(target).names == ("a\x1b[31mb", "[/red]")


def test_caps_and_shares_go_with_a_workload(measured, tmp_path):
    needed = ["--arrival-rate", 0.02, "--accuracy-weight", 600, "--output", tmp_path / "w.toml"]
    result = run(measured, *needed)
    assert "for equal shares" in result.output
    assert "cap to set" in result.output
    shares = ["--share", "arithmetic=0.9", "--share", "olympiad=0.1"]
    best = json.loads(run(measured, *needed, *shares, "--json").stdout)["caps"]
    assert [task["share"] for task in best] == [0.9, 0.1]
    assert all(task["cap"] == task["tokens"] for task in best)
    assert run(measured, *needed, "--share", "arithmetic").exit_code == 2


def test_columns_of_other_names_are_named(measured):
    text = measured.read_text(encoding="utf-8").replace("task", "kind", 1).replace(",", ";")
    measured.write_text(text, encoding="utf-8")
    assert "--column" in run(measured).output
    result = run(measured, "--column", "task=kind")
    assert result.exit_code == 0
    assert "arithmetic: adequate" in result.output


def test_missing_and_damaged_parquet_are_sentences(tmp_path):
    absent = run(tmp_path / "absent.parquet")
    assert absent.exit_code == 2
    assert "No such file" in absent.output
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    result = run(damaged)
    assert result.exit_code == 2
    assert "not a Parquet file" in result.output


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
