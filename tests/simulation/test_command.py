"""``thinkqueue simulate``: tables for people, JSON for programs, and the exit status."""

import json

import pytest
from typer.testing import CliRunner

import thinkqueue as tq
from thinkqueue.cli import app
from workloads import QWEN

run = CliRunner().invoke


def test_the_command_prints_what_the_function_finds():
    result = run(app, ["simulate", str(QWEN), "--jobs", "20000", "--seed", "3", "--json"])
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    workload = tq.Workload.from_toml(QWEN)
    found = tq.simulate(workload, tq.solve(workload).tokens, jobs=20000, seed=3)
    assert facts["mean_system_time"]["value"] == found.mean_system_time.value
    assert facts["quantiles"]["0.99"]["high"] == found.quantiles[0.99].high
    assert [task["name"] for task in facts["tasks"]] == list(workload.names)


def test_a_table_names_every_type_and_the_method():
    result = run(app, ["simulate", str(QWEN), "--jobs", "2000", "--tokens", "0,0,0,0,0"])
    assert result.exit_code == 0
    for word in (*tq.Workload.from_toml(QWEN).names, "load", "regenerative"):
        assert word in result.output


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--tokens", "1,2"], 2),
        (["--tokens", "1,2,x,4,5"], 2),
        (["--jobs", "0"], 2),
        (["--arrival-rate", "1", "--tokens", "9000,9000,9000,9000,9000"], 3),
    ],
)
def test_bad_input_ends_with_two_and_an_unstable_queue_with_three(options, status):
    assert run(app, ["simulate", str(QWEN), *options]).exit_code == status


def test_an_interval_that_stays_too_wide_is_told():
    options = ["simulate", str(QWEN), "--jobs", "3000", "--half-width"]
    result = run(app, [*options, "0.01"])
    assert result.exit_code == 1
    assert "mean system time" in result.stdout
    assert "allow more --jobs" in result.stderr
    assert run(app, [*options, "5"]).exit_code == 0
