"""The commands of an operator: what they say, in 80 columns, and with which status they end."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.readers import samples
from tests.workloads import QWEN
from typer.testing import CliRunner

import thinkqueue as tq
from thinkqueue.cli import app
from thinkqueue.cli.export import KEYS
from thinkqueue.export import SYSTEMS
from thinkqueue.workload.accuracy import Hill

ROOT = Path(__file__).parents[2]
BATCHING = "data/workloads/qwen3-8b-batching.toml"


def run(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in arguments], prog_name="thinkqueue")
    assert result.exit_code == status, f"{result.output}\n{result.exception!r}"
    if "--json" not in arguments:
        assert max(map(len, result.stdout.splitlines()), default=0) <= 80
    return result


def facts(*arguments: object) -> Any:
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture(scope="module")
def server() -> tq.Workload:
    return tq.Workload.from_toml(QWEN)


# compare --------------------------------------------------------------------------------------


def test_compare_counts_what_a_change_gains(server: tq.Workload) -> None:
    found = facts("compare", QWEN, "--today", "2048")
    best = tq.solve(server)
    today = np.full(len(server), 2048.0)
    assert found["gain"] == pytest.approx(best.objective - tq.objective(server, today))
    assert found["gain_at_most"] == pytest.approx(found["gain"], abs=1e-6)
    same = found["choices"]["same time"]
    assert same["mean_system_time"] == pytest.approx(tq.mean_system_time(server, today))
    assert same["mean_accuracy"] > found["choices"]["today"]["mean_accuracy"]
    shown = run("compare", QWEN, "--today", "2048,1024,512,4096,100", "--plot").stdout
    assert "certified" in shown
    assert shown.count("thinking tokens, ") == 3


def test_compare_with_what_the_server_cannot_do() -> None:
    found = facts("compare", QWEN, "--today", "32768")
    assert found["gain"] is None
    assert "grows without bound" in run("compare", QWEN, "--today", "32768").stdout
    result = run("compare", QWEN, "--today", "1,2", status=2)
    assert "2 numbers for 5 types" in result.stderr


def test_compare_at_a_batching_server() -> None:
    workload = tq.Workload.from_toml(BATCHING)
    found = facts("compare", BATCHING, "--today", "16384")["choices"]
    assert found["same time"]["mean_system_time"] == pytest.approx(
        tq.mean_system_time(workload, [16384] * 5), rel=1e-9
    )
    assert found["same time"]["mean_accuracy"] > found["today"]["mean_accuracy"] + 0.01


# plan -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [QWEN, BATCHING])
def test_plan_finds_the_traffic_that_just_meets_the_target(file: str) -> None:
    found = facts("plan", file, "--mean-time", 60)
    workload = tq.Workload.from_toml(file)
    tokens = list(found["each"]["tokens"].values())
    full = workload.replace(arrival_rate=found["largest_arrival_rate"])
    assert tq.mean_system_time(full, tokens) == pytest.approx(60, rel=1e-6)
    assert found["servers"] == 1
    many = facts("plan", file, "--mean-time", 60, "--tokens", 500, "--arrival-rate", 100)
    rate = many["largest_arrival_rate"]
    assert 100 / many["servers"] <= rate < 100 / (many["servers"] - 1)
    assert many["each"]["mean_system_time"] <= 60


def test_plan_lets_budgets_adapt_down_to_an_accuracy() -> None:
    for file in (QWEN, BATCHING):
        found = facts("plan", file, "--mean-time", 30, "--accuracy", 0.55, "--arrival-rate", 20)
        assert found["each"]["mean_accuracy"] >= 0.55
        assert found["each"]["mean_system_time"] == pytest.approx(30, rel=1e-6)
        little = found["each"]["arrival_rate"] * 30
        assert found["each"]["mean_present"] == pytest.approx(little, rel=1e-6)


def test_plan_asks_for_a_target_and_says_what_cannot_be() -> None:
    assert "how much traffic within which time" in run("plan", QWEN, status=2).stderr
    result = run("plan", QWEN, "--mean-time", 30, "--arrival-rate", 50, status=3)
    assert "give --tokens, or --accuracy" in result.stderr
    assert run("plan", QWEN, "--mean-time", "0.001", status=3).stderr
    result = run("plan", QWEN, "--mean-time", 9, "--tokens", 5, "--accuracy", 0.5, status=2)
    assert "choose one" in result.stderr
    shown = run(
        "plan", QWEN, "--deadline", 90, "--quantile", 0.9, "--tokens", 1024, "--plot"
    ).stdout
    assert "mean time of these budgets" in shown


# export ---------------------------------------------------------------------------------------


def test_export_prints_and_writes_what_the_function_returns(
    server: tq.Workload, tmp_path: Path
) -> None:
    found = tq.request_parameters(server, "vllm")
    assert facts("export", QWEN, "--system", "vllm")["requests"] == found.requests
    for name, reads in (("router.py", compile), ("parameters.json", None)):
        shown = run("export", QWEN, "--system", "vllm", "-o", tmp_path / name)
        assert "hard cap" in shown.stdout
        text = (tmp_path / name).read_text()
        if reads:
            scope: dict[str, Any] = {}
            exec(text, scope)
            assert scope["PARAMETERS"] == found.requests
        else:
            assert json.loads(text) == found.requests
    caps = facts("export", QWEN, "--system", "sglang", "--caps", "1,2,3,4,5")
    assert list(caps["budgets"].values()) == [1, 2, 3, 4, 5]


def test_export_of_levels_says_what_the_nearest_would_lose() -> None:
    levels = ["--level", "low=700", "--level", "medium=2500", "--level", "high=9000"]
    shown = run("export", QWEN, "--system", "openai", *levels).stdout
    assert "would lose 9.58 s" in shown
    assert "a level" in shown
    result = run("export", QWEN, "--system", "openai", status=2)
    assert "--level low=COUNT" in result.stderr
    assert "no system" in run("export", QWEN, "--system", "gpt", status=2).stderr


def test_every_system_can_be_completed() -> None:
    assert set(KEYS) == set(SYSTEMS)


def test_completion_knows_the_systems() -> None:
    environment = {
        "_THINKQUEUE_COMPLETE": "complete_bash",
        "COMP_WORDS": "thinkqueue export w.toml --system an",
        "COMP_CWORD": "4",
    }
    result = CliRunner().invoke(app, [], prog_name="thinkqueue", env=environment)
    assert result.output.split() == ["anthropic", "anthropic-effort"]


# simulate -------------------------------------------------------------------------------------


def test_simulate_says_when_its_budgets_are_not_proven(server: tq.Workload, tmp_path: Path) -> None:
    first, *others = server.tasks
    steep = replace(first, accuracy=Hill(0.6, 1500.0, 2.5, 0.1))
    hill = tq.Workload([steep, *others], arrival_rate=0.1, accuracy_weight=600.0)
    hill.to_toml(tmp_path / "hill.toml")
    short = ["--jobs", 2000]
    assert "not proven best" in run("simulate", tmp_path / "hill.toml", *short).stdout
    told = facts("simulate", tmp_path / "hill.toml", *short)["budgets"]
    assert told["status"] == "local"
    assert "not proven" not in run("simulate", QWEN, *short, "--plot").stdout
    assert facts("simulate", QWEN, *short)["budgets"]["status"] == "converged"
    assert "budgets" not in facts("simulate", QWEN, *short, "--tokens", "1,1,1,1,1")


# calibrate ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from tests.readers.test_evidence import BUDGETS, evaluation, spans

    folder = tmp_path_factory.mktemp("cli-logs")
    every = [evaluation(folder, "humaneval", "code", budget, 1) for budget in BUDGETS]
    every += [evaluation(folder, "chat", "chat", budget, 0) for budget in BUDGETS]
    return [spans(folder / "spans.json"), *every]


def test_calibrate_reads_logs_and_writes_a_workload(logs: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "w.toml"
    options = ["--task", "humaneval=code", "-w", 300, "-o", target]
    shown = run("calibrate", *logs, *options, "--plot").stdout
    words = " ".join(shown.split())
    assert "400 requests by OpenTelemetry GenAI spans" in words
    assert "Not known" not in words
    assert "share of right answers over thinking tokens" in words
    workload = tq.Workload.from_toml(target)
    assert workload.names == ("chat", "code")
    np.testing.assert_allclose(workload.time_per_token, 0.015, rtol=1e-4)
    found = facts("calibrate", *logs, *options)
    assert found["traffic"]["share"]["chat"] == pytest.approx(workload.share[0])
    assert found["traffic"]["arrival_rate"]["value"] == pytest.approx(workload.arrival_rate)
    assert found["missing"] == []
    assert len(found["files"]) == len(logs)


def test_caps_that_are_more_than_their_means_are_ready_to_be_exported(tmp_path: Path) -> None:
    """Under a cap of 1,000 thoughts of 600 are used in the mean: the cap is what to write."""
    lines = ["task,budget,tokens,correct,total,latency"]
    for budget, right in ((0, 30), (500, 60), (1000, 75), (2000, 86), (4000, 88)):
        lines.append(f"chat,{budget},{0.6 * budget},{right},100,{0.5 + 0.006 * budget}")
    (tmp_path / "m.csv").write_text("\n".join(lines))
    options = ["-w", 60, "--arrival-rate", 0.01, "-o", tmp_path / "w.toml"]
    shown = " ".join(run("calibrate", tmp_path / "m.csv", *options).stdout.split())
    (caps,) = re.findall(r"--caps (\d+)", shown)
    found = facts("export", tmp_path / "w.toml", "--system", "vllm", "--caps", caps)
    used = tq.solve(tq.Workload.from_toml(tmp_path / "w.toml")).tokens[0]
    assert found["budgets"]["chat"] == pytest.approx(used / 0.6, rel=0.02)


def test_calibrate_says_what_no_file_says(logs: list[Path]) -> None:
    shown = " ".join(run("calibrate", logs[0]).stdout.split())
    assert "Not known: how often answers are right of" in shown
    result = run("calibrate", samples.FOLDER / "vllm_bench.json", status=2)
    assert "--answer-tokens" in result.stderr
    result = run("calibrate", *logs, "--server", "batching", "--draws", 9, status=2)
    assert "--draws" in result.stderr
    result = run("calibrate", *logs, "--task", "x", status=2)
    assert "--task takes NAME=VALUE" in result.stderr


def test_examples_of_every_help_are_commands(tmp_path: Path) -> None:
    """What a help text shows can be parsed: each option is one that the command has."""
    for command in ("solve", "calibrate", "simulate", "compare", "plan", "export"):
        text = run(command, "--help").stdout
        examples = re.findall(r"^ +thinkqueue (.*)$", text.split("Examples:")[1], re.MULTILINE)
        assert len(examples) >= 2
        known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text.split("Examples:")[0]))
        for line in examples:
            words = shlex.split(line.split(" | ")[0])
            assert words[0] == command
            assert {word for word in words if word.startswith("-")} <= known


def test_the_tour_of_the_readme_is_what_the_program_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tours = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert tours
    monkeypatch.chdir(ROOT)
    steps = re.split(r"^\$ ", "".join(tours), flags=re.MULTILINE)[1:]
    assert len(steps) >= 3
    for step in steps:
        command, _, printed = step.partition("\n")
        words = shlex.split(command)
        assert words[0] == "thinkqueue"
        shown = run(*words[1:]).stdout
        assert _settled(shown) == _settled(printed), command


def _settled(text: str) -> list[str]:
    """Lines without the spaces at their ends, and without what depends on the last bits."""
    lines = [re.sub(r"\d\.\de-\d\d", "TINY", line.rstrip()) for line in text.strip().splitlines()]
    return [re.sub(r"\d+ Newton steps", "STEPS", line) for line in lines]
