"""The command line: what it prints, and with which status it ends."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import thinkqueue as tq
from thinkqueue.cli import app

FILE = "data/workloads/qwen3-8b.toml"
run = CliRunner().invoke


def test_solve_prints_budgets_latency_and_gap() -> None:
    result = run(app, ["solve", FILE])
    assert result.exit_code == 0
    best = tq.solve(tq.Workload.from_toml(FILE))
    for name, tokens in zip(tq.Workload.from_toml(FILE).names, best.tokens, strict=True):
        assert name in result.output
        assert f"{tokens:,.1f}" in result.output
    assert f"{best.mean_accuracy:.4f}" in result.output
    assert "certified" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_solve_prints_json_for_programs() -> None:
    result = run(app, ["solve", FILE, "--json", "--accuracy-weight", "100"])
    facts = json.loads(result.stdout)
    best = tq.solve(tq.Workload.from_toml(FILE).replace(accuracy_weight=100.0))
    assert [task["tokens"] for task in facts["tasks"]] == pytest.approx(list(best.tokens))
    assert facts["upper_bound"] - facts["objective"] == pytest.approx(facts["gap"], abs=1e-9)
    assert facts["status"] == "converged"


def test_an_infeasible_workload_ends_with_three() -> None:
    result = run(app, ["solve", FILE, "--arrival-rate", "20"])
    assert result.exit_code == 3
    assert "any arrival rate below 6.76" in result.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arrival_rate = ", "is not a TOML file"),
        ("arrival_rate = 1\naccuracy_weight = 1\n", "'task' is missing"),
        ("arrival_rate = -1\naccuracy_weight = 1\n[[task]]\n", "has no"),
    ],
)
def test_a_bad_file_ends_with_two(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    result = run(app, ["solve", str(file)])
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_a_missing_file_ends_with_two(tmp_path: Path) -> None:
    result = run(app, ["solve", str(tmp_path / "nothing.toml")])
    assert result.exit_code == 2
    assert "nothing.toml: No such file" in result.stderr
