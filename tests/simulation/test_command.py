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
    assert json.loads(run(app, [*options, "0.01", "--json"]).stdout)["half_width_reached"] is False
    assert run(app, [*options, "5"]).exit_code == 0


def test_a_run_too_short_for_a_quantile_says_so_beside_the_exact_value():
    asked = ["simulate", str(QWEN), "--jobs", "2000"]
    result = run(app, asked)
    line = next(line for line in result.output.splitlines() if line.startswith("99% answered"))
    workload = tq.Workload.from_toml(QWEN)
    exact = float(tq.system_time_quantile(workload, tq.solve(workload).tokens, 0.99))
    assert "run too short" in result.output
    assert line.split()[-2:] == [f"{exact:,.4g}", "yes"]
    facts = json.loads(run(app, [*asked, "--json"]).stdout)["quantiles"]
    assert facts["0.99"]["too_short"]
    assert facts["0.99"]["exact"] == exact
    assert not facts["0.5"]["too_short"]
    # with two servers theory does not know
    result = run(app, [*asked, "--servers", "2"])
    assert "exact" not in result.output
    assert "run too short" not in run(app, ["simulate", str(QWEN), "--jobs", "50000"]).output


def test_servers_beyond_all_reason():
    asked = ["simulate", str(QWEN), "--jobs", "200", "--servers"]
    assert run(app, [*asked, "99999999999"]).exit_code == 0
    result = run(app, [*asked, "9" * 30])
    assert result.exit_code == 2
    assert "servers must be a whole number from 1 to" in result.output


def test_the_server_is_that_of_the_file(tmp_path):
    file = tmp_path / "two.toml"
    workload = tq.Workload.from_toml(QWEN).replace(server=tq.ShortestFirst(servers=2))
    workload.to_toml(file)
    tokens = [500.0] * len(workload)
    asked = ["--tokens", ",".join(map(str, tokens)), "--jobs", "3000", "--json"]
    facts = json.loads(run(app, ["simulate", str(file), *asked]).stdout)
    found = tq.simulate(workload, tokens, jobs=3000, seed=0)
    assert found.server == tq.ShortestFirst(servers=2)
    assert facts["mean_system_time"]["value"] == found.mean_system_time.value
    one = json.loads(run(app, ["simulate", str(file), *asked, "--servers", "1"]).stdout)
    assert one["mean_system_time"]["value"] > facts["mean_system_time"]["value"]
