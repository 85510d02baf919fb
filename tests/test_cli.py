"""The command line: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import thinkqueue as tq
from thinkqueue.cli import app
from thinkqueue.workload.accuracy import Hill

FILE = "data/workloads/qwen3-8b.toml"
COMMANDS = ("solve", "calibrate", "simulate", "compare", "plan", "export")
run = CliRunner().invoke


def widest(output: str) -> int:
    return max(map(len, output.splitlines()))


def test_solve_prints_budgets_latency_and_gap() -> None:
    result = run(app, ["solve", FILE])
    assert result.exit_code == 0
    best = tq.solve(tq.Workload.from_toml(FILE))
    for name, tokens in zip(tq.Workload.from_toml(FILE).names, best.tokens, strict=True):
        assert name in result.output
        assert f"{tokens:,.1f}" in result.output
    assert f"{best.mean_accuracy:.4f}" in result.output
    assert "certified" in result.output
    assert widest(result.output) <= 80


def test_solve_prints_json_for_programs() -> None:
    result = run(app, ["solve", FILE, "--json", "--accuracy-weight", "100"])
    facts = json.loads(result.stdout)
    best = tq.solve(tq.Workload.from_toml(FILE).replace(accuracy_weight=100.0))
    assert [task["tokens"] for task in facts["tasks"]] == pytest.approx(list(best.tokens))
    assert facts["upper_bound"] - facts["objective"] == pytest.approx(facts["gap"], abs=1e-9)
    assert facts["status"] == "converged"


def test_a_gap_that_is_not_reached_is_said_and_its_advice_works() -> None:
    result = run(app, ["solve", FILE, "--gap", "0"])
    assert result.exit_code == 1
    assert "certified" in result.stdout
    advice = result.stderr.split("--gap ")[1].split()[0]
    assert run(app, ["solve", FILE, "--gap", advice]).exit_code == 0


def test_another_server_is_no_queue_in_which_all_wait_alike(tmp_path: Path) -> None:
    workload = tq.Workload.from_toml(FILE).replace(server=tq.ProcessorSharing())
    workload.to_toml(tmp_path / "shared.toml")
    result = run(app, ["solve", str(tmp_path / "shared.toml")])
    assert result.exit_code == 0
    assert f"mean system time {tq.solve(workload).mean_system_time:.2f} s, load" in result.output
    assert "mean time" not in result.output
    assert "waiting" not in result.output


def test_a_batching_server_has_a_mean_time_a_type_and_no_service_time(tmp_path: Path) -> None:
    w = tq.Workload.from_toml(FILE).replace(
        server=tq.Batching(tq.TokenTime(6.5e-3, 9.7e-5), 64), answer_tokens=200.0
    )
    w.to_toml(tmp_path / "w.toml")
    facts = json.loads(run(app, ["solve", str(tmp_path / "w.toml"), "--json"]).stdout)
    times = tq.mean_type_time(w, tq.solve(w).tokens)
    assert [task["mean_system_time"] for task in facts["tasks"]] == pytest.approx(list(times))
    assert "service_time" not in facts["tasks"][0]
    shown = run(app, ["solve", str(tmp_path / "w.toml")])
    assert shown.exit_code == 0
    assert "mean time, s" in shown.output


def test_a_local_optimum_is_called_one(tmp_path: Path) -> None:
    first, *others = tq.Workload.from_toml(FILE).tasks
    hill = Hill(gain=0.6, midpoint=1500.0, steepness=2.5, baseline=0.1)
    workload = tq.Workload(
        [replace(first, accuracy=hill), *others], arrival_rate=0.1, accuracy_weight=600.0
    )
    workload.to_toml(tmp_path / "hill.toml")
    result = run(app, ["solve", str(tmp_path / "hill.toml")])
    assert result.exit_code == 1
    assert "a local optimum, proven best to" in result.stderr


def test_an_infeasible_workload_ends_with_three() -> None:
    result = run(app, ["solve", FILE, "--arrival-rate", "20"])
    assert result.exit_code == 3
    assert "any arrival rate below 6.76" in result.stderr


def test_a_deadline_is_met_by_so_many() -> None:
    result = run(app, ["solve", FILE, "--deadline", "60", "--json"])
    facts = json.loads(result.stdout)
    tokens = [task["tokens"] for task in facts["tasks"]]
    late = float(tq.system_time_tail(tq.Workload.from_toml(FILE), tokens, 60.0))
    assert late == pytest.approx(0.05, rel=1e-4)
    assert facts["late"] == pytest.approx([late], rel=1e-6)
    assert facts["target"] == {"deadline": 60, "quantile": 0.95, "each_type": False}
    table = run(app, ["solve", FILE, "--deadline", "60", "--quantile", "0.9"])
    assert table.exit_code == 0
    assert "target: 90% of all queries answered within 60 s; 90% are" in table.output
    assert widest(table.output) <= 80


def test_a_deadline_for_each_type_shows_each(tmp_path: Path) -> None:
    table = run(app, ["solve", FILE, "--deadline", "60", "--quantile", "0.9", "--each-type"])
    assert table.exit_code == 0
    assert "late" in table.output.splitlines()[0]
    assert table.output.count("10.00%") == 4
    assert widest(table.output) <= 80


def test_a_mean_time_is_kept() -> None:
    facts = json.loads(run(app, ["solve", FILE, "--mean-time", "10", "--json"]).stdout)
    assert facts["mean_system_time"] == pytest.approx(10, rel=1e-6)
    assert facts["proven"]
    result = run(app, ["solve", FILE, "--mean-time", "0.1"])
    assert result.exit_code == 3
    assert "No budgets meet the target" in result.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--quantile", "0.9"], "need --deadline"),
        (["--each-type"], "need --deadline"),
        (["--deadline", "9", "--mean-time", "9"], "choose one"),
        (["--deadline", "9", "--quantile", "1"], "--quantile is 1"),
        (["--deadline", "9", "--quantile", "nan"], "--quantile is nan"),
        (["--deadline", "-9"], "deadline is -9"),
        (["--mean-time", "9", "--gap", "1"], "--gap is for budgets without a target"),
        (["--gap", "-1"], "gap is -1"),
        (["--arrival-rate", "nan"], "arrival_rate is nan"),
    ],
)
def test_what_makes_no_sense_ends_with_two(options: list[str], complaint: str) -> None:
    result = run(app, ["solve", FILE, *options])
    assert result.exit_code == 2
    assert complaint in result.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("arrival_rate = ", "is not a TOML file"),
        (f"arrival_rate = {'1' * 5000}", "thousands of digits"),
        ("arrival_rate = 1\naccuracy_weight = 1\n", "The file has no 'task'"),
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


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_fits_a_terminal_and_states_the_statuses(option: str) -> None:
    for command in ([], *([name] for name in COMMANDS)):
        result = run(app, [*command, option], prog_name="thinkqueue")
        assert result.exit_code == 0
        assert widest(result.output) <= 80
        listed = result.output.split("Commands:")[-1].replace("{FILE}...", "")  # one or more
        assert "..." not in listed
    assert "3 no stable allocation" in run(app, [option]).output


def test_version() -> None:
    result = run(app, ["--version"])
    assert result.exit_code == 0
    assert result.output == f"thinkqueue {version('thinkqueue')}\n"


# names ----------------------------------------------------------------------------------------

NAMES = ("gpt-5[high]", ":smile:", "[/red]", "\x1b[31mred\x1b]0;title\x07", "many words " * 12)


@pytest.fixture
def named(tmp_path: Path) -> str:
    """A workload whose names a terminal, or a table, would rather obey than show."""
    path = tmp_path / "named.toml"
    tq.Workload.from_toml(FILE).replace(names=NAMES).to_toml(path)
    return str(path)


@pytest.mark.parametrize("command", [["solve"], ["simulate", "--jobs", "2000"]])
def test_names_are_shown_letter_for_letter(named: str, command: list[str]) -> None:
    result = run(app, [command[0], named, *command[1:]])
    assert result.exit_code == 0
    for shown in ("gpt-5[high]", ":smile:", "[/red]", r"\x1b[31mred\x1b]0;title\x07"):
        assert shown in result.output
    assert result.output.count("many") == 12
    assert "\x1b" not in result.output
    assert widest(result.output) <= 80
    names = [
        task["name"] for task in json.loads(run(app, ["solve", named, "--json"]).stdout)["tasks"]
    ]
    assert names == list(NAMES)


def test_names_in_messages_are_shown_too(named: str) -> None:
    tokens = "0,0,0,1e31,0"
    result = run(app, ["simulate", named, "--tokens", tokens])
    assert result.exit_code == 2
    assert "title" in result.stderr
    assert "\x1b" not in result.stderr


# what the surroundings do ---------------------------------------------------------------------


def thinkqueue(*arguments: str, redirect: str = "", **environment: str) -> Any:
    """Run the program in a shell of its own."""
    code = "from thinkqueue.cli import app; app(prog_name='thinkqueue')"
    command = f'exec "$0" -c "{code}" "$@" {redirect}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *arguments],
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("arguments", [["solve", FILE, "--json"], ["--help"]])
def test_a_full_disk_is_told(arguments: list[str]) -> None:
    done = thinkqueue(*arguments, redirect=">/dev/full", PYTHONUNBUFFERED="")
    assert done.stderr == "thinkqueue: standard output: No space left on device.\n"
    assert done.returncode == 2


def test_nothing_is_amiss_where_nobody_listens() -> None:
    assert thinkqueue("solve", FILE, redirect=">&-").returncode == 0
    done = thinkqueue("solve", FILE, redirect="| head -n 1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_a_letter_shows_its_number(tmp_path: Path) -> None:
    path = tmp_path / "é.toml"
    tq.Workload.from_toml(FILE).replace(names=[f"é{k}" for k in range(5)]).to_toml(path)
    for file, shown in ((path, r"\xe90"), (tmp_path / "ü.toml", r"\xfc.toml: No such file")):
        done = thinkqueue("solve", str(file), PYTHONIOENCODING="ascii", LC_ALL="C")
        assert shown in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_an_interrupt_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tq, "solve", interrupt)
    assert run(app, ["solve", FILE]).exit_code == 130


def test_an_interrupted_simulation_prints_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate: Callable[..., tq.Simulation] = tq.simulate
    monkeypatch.setattr(
        tq,
        "simulate",
        lambda *args, **options: replace(simulate(*args, **options), interrupted=True),
    )
    result = run(app, ["simulate", FILE, "--jobs", "2000"])
    assert result.exit_code == 130
    assert "mean system time" in result.stdout
    assert "interrupted" in result.stderr


# anything at all ------------------------------------------------------------------------------

WILD = ("0", "-1", "1", "0.5", "2.5", "nan", "inf", "-inf", "1e308", "1e-308", "-0.0", "1e999",
        "", " ", "x", "½", "٣", "1,2", ",", "0x1p3", "1_0", "'", "[red]", "\x1b[31m", "--", "True",
        "9" * 400)  # fmt: skip
VALUES = {
    "--arrival-rate": ("0.01", "0.02", "9"), "--accuracy-weight": ("60", "1e4"),
    "--gap": ("1e-6", "0"), "--mean-time": ("10", "0.1"), "--deadline": ("60", "200"),
    "--quantile": ("0.9", "0.5"), "--tokens": ("100,200", "1,2,3,4,5", "0,0", "1e9,0"),
    "--jobs": ("100", "2000"), "--replications": ("2",), "--servers": ("2", "3"),
    "--half-width": ("5", "1e-3"), "--seed": ("7",), "--draws": ("3",), "--base-time": ("0.1",),
    "--time-per-token": ("0.01",), "--accept": ("not identified", "perfect"),
    "--output": ("w.toml", "folder", "absent/w.toml", "", "/dev/null"),
    "--today": ("100", "100,200", "1,2,3", "1e9"), "--accuracy": ("0.3", "0.99"),
    "--system": ("vllm", "openai", "anthropic", "gpt"), "--caps": ("100,200", "1"),
    "--level": ("low=100", "high=4000", "low", "low=x"), "--answer-room": ("1", "100"),
    "--task": ("easy=hard", "nobody=x", "="), "--budget": ("good.csv=5", "x=1", "good.csv"),
    "--answer-tokens": ("10",), "--server": ("fifo", "batching", "none"), "--max-batch": ("4",),
}  # fmt: skip
FLAGS = ("--json", "--plot", "--each-type", "--pool", "--no-such-option", "-h", "--version",
         "--", "-")  # fmt: skip
LIKELY = {
    "solve": ("--arrival-rate", "--accuracy-weight", "--gap", "--mean-time", "--deadline",
              "--quantile", "--each-type", "--json"),
    "calibrate": ("--arrival-rate", "--accuracy-weight", "--base-time", "--time-per-token",
                  "--output", "--draws", "--accept", "--json"),
    "compare": ("--today", "--arrival-rate", "--accuracy-weight", "--json", "--plot"),
    "plan": ("--mean-time", "--deadline", "--quantile", "--tokens", "--accuracy",
             "--arrival-rate", "--json", "--plot"),
    "export": ("--system", "--level", "--caps", "--answer-room", "--output", "--json"),
    "simulate": ("--arrival-rate", "--tokens", "--jobs", "--replications", "--servers",
                 "--half-width", "--json"),
}  # fmt: skip


def any_arguments(rng: random.Random, files: list[str]) -> list[str]:
    """Arguments as a tired user would type them, or a hostile one."""
    command = rng.choice(COMMANDS)
    arguments = [
        command,
        rng.choice(files)
        if rng.random() < 0.3
        else f"good.{'csv' if command == 'calibrate' else 'toml'}",
    ]
    for _ in range(rng.randrange(5)):
        wild = rng.random() < 0.1
        option = rng.choice([*VALUES, *FLAGS] if wild else LIKELY[command])
        values = WILD if rng.random() < 0.3 and option != "--output" else VALUES.get(option)
        arguments += [option, rng.choice(values)] if values and option in VALUES else [option]
    for needed, of in (("--today", "compare"), ("--system", "export"), ("--mean-time", "plan")):
        if command == of and needed not in arguments and rng.random() < 0.8:
            arguments += [needed, rng.choice(VALUES[needed])]
    if command == "simulate" and "--jobs" not in arguments:
        arguments += ["--jobs", rng.choice(VALUES["--jobs"])]
    if rng.random() < 0.03:
        rng.shuffle(arguments)
    return arguments


@pytest.fixture
def any_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    workload = tq.Workload.from_toml(FILE)
    monkeypatch.chdir(tmp_path)
    easy, hard = replace(workload.tasks[0], share=0.7), replace(workload.tasks[2], share=0.3)
    tq.Workload([easy, hard], arrival_rate=0.02, accuracy_weight=600.0).to_toml("good.toml")
    rows = [f"{task},{budget},{correct},100,{1 + 0.01 * budget}"
            for task, top in (("easy", 90), ("hard", 50)) for budget, correct in
            ((0, 10), (200, top // 2), (1000, top - 5), (4000, top))]  # fmt: skip
    Path("good.csv").write_text("\n".join(["task,budget,correct,total,latency", *rows]))
    workload.replace(names=NAMES).to_toml("names.toml")
    workload.replace(accuracy_weight=0.0).to_toml("zero.toml")
    Path("empty").touch()
    Path("bytes").write_bytes(bytes(range(256)))
    Path("folder").mkdir()
    Path("digits.toml").write_text(f"a = {'1' * 5000}")
    Path("header.csv").write_text("task,budget,correct,total\n")
    Path("damaged.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    return ["good.toml", "good.csv", "names.toml", "zero.toml", "empty", "bytes", "folder",
            "digits.toml", "header.csv", "damaged.parquet", "absent", "", "\x1b[31m", "é\ud800",
            "a" * 300]  # fmt: skip


@pytest.mark.slow
def test_whatever_is_typed_ends_with_a_sentence(
    any_files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated = cache(tq.calibrate)  # the same few files, over and over
    monkeypatch.setattr(
        tq, "calibrate", lambda file, *, columns, report, **rest: calibrated(file, **rest)
    )
    rng = random.Random(15)
    ended = dict.fromkeys(range(4), 0)
    for _ in range(300):
        arguments = any_arguments(rng, any_files)
        result = run(app, arguments)
        told = f"{arguments}\n{result.output}\n{result.exception!r}"
        assert isinstance(result.exception, SystemExit | None), told
        assert result.exit_code in ended, told
        ended[result.exit_code] += 1
        if result.exit_code:
            assert result.stderr.startswith(("thinkqueue: ", "Usage: ", "Error: ")), told
            assert max(map(len, result.stderr.splitlines())) < 600, told
        else:
            assert result.stdout, told
            assert not result.stderr, told
        assert "Traceback" not in result.output, told
        assert "None" not in result.output, told
        assert "nan" not in result.stdout, told
    assert min(ended.values()) > 0
