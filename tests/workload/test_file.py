"""Workload files: curves and servers of every kind, there and back, and sentences for the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import WorkloadError
from thinkqueue.workload import Curve, Hill, Interpolated, Logistic, PowerLaw, Saturating
from workloads import QWEN

CURVES = [
    Saturating(0.6, 1e-3, 0.1),
    PowerLaw(0.6, 1e-3, 0.7, 0.1),
    Hill(0.7, 800.0, 3.0, 0.05),
    Logistic(-9.0, 1.4),
    Interpolated((0.0, 256.0, 1024.0), (0.2, 0.5, 0.6)),
]
SERVERS = [
    tq.Fifo(),
    tq.Fifo(servers=4),
    tq.NonPreemptivePriority([2, 0, 1, 4, 3], servers=2),
    tq.ShortestFirst(),
    tq.ProcessorSharing(servers=3),
]


def workload(server: object = None) -> tq.Workload:
    types = [
        tq.TaskType(f"task {k}", 0.2, curve, base_time=0.1 * (k + 1), time_per_token=0.01)
        for k, curve in enumerate(CURVES)
    ]
    return tq.Workload(types, arrival_rate=0.01, accuracy_weight=300.0, server=server)


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_curves_and_servers_come_back_as_they_went(tmp_path: Path, server: object):
    path = tmp_path / "workload.toml"
    w = workload(server)
    w.to_toml(path)
    back = tq.Workload.from_toml(path)
    assert back == w
    assert back.server == w.server
    assert [task.accuracy for task in back.tasks] == CURVES
    assert back != workload(tq.Fifo(servers=7))


def test_first_come_first_served_is_not_written_down(tmp_path: Path):
    path = tmp_path / "workload.toml"
    tq.Workload.from_toml(QWEN).to_toml(path)
    assert "server" not in path.read_text(encoding="utf-8")


def test_a_workload_of_mixed_curves_is_solved_and_the_bound_holds():
    w = workload()
    found = tq.solve(w, throw=False)
    assert found.status in (tq.Status.LOCAL, tq.Status.CONVERGED)
    g = np.random.default_rng(0)
    for x in g.uniform(0, 4000, (4000, 5)):
        assert float(tq.objective(w, x)) <= found.upper_bound
    assert (found.tokens > 0).any()


def test_where_the_bound_cannot_close_the_optimum_is_called_local():
    g = np.random.default_rng(1)
    seen = []
    for _ in range(60):
        curve = Hill(0.8, 10 ** g.uniform(2, 4), g.uniform(1.5, 6), 0.1)
        w = tq.Workload(
            [tq.TaskType("S", 1.0, curve, base_time=0.2, time_per_token=0.01)],
            arrival_rate=10 ** g.uniform(-3, 0),
            accuracy_weight=10 ** g.uniform(1, 3),
        )
        found = tq.solve(w, throw=False)
        seen.append(found.status)
        x = np.linspace(0, min(32768.0, (1 / w.arrival_rate - 0.2) / 0.01 * (1 - 1e-9)), 20001)
        best = float(tq.objective(w, x[:, None]).max())
        assert best <= found.upper_bound + 1e-9
        assert found.objective >= best - found.gap - 1e-9
        assert not (found.converged and found.objective < best - 1e-3)
    assert tq.Status.LOCAL in seen
    assert tq.Status.CONVERGED in seen


def test_concave_curves_of_several_kinds_are_solved_with_proof():
    w = workload().replace(share=[0.5, 0.3, 0, 0, 0.2])
    concave = tq.Workload(
        [t for t in w.tasks if t.share and t.accuracy.concave],
        arrival_rate=0.01,
        accuracy_weight=300.0,
    )
    found = tq.solve(concave)
    assert found.converged
    by_steps = tq.solve(concave, tq.ConditionalGradient(), gap=1e-3, throw=False)
    assert by_steps.objective <= found.upper_bound
    assert by_steps.upper_bound >= found.objective - 1e-12


class Own(Curve):
    """A curve that no file knows."""

    def value(self, tokens):  # type: ignore[no-untyped-def]
        return tokens / (tokens + 1000)

    def slope(self, tokens):  # type: ignore[no-untyped-def]
        return 1000 / (tokens + 1000) ** 2

    def bend(self, tokens):  # type: ignore[no-untyped-def]
        return 2000 / (tokens + 1000) ** 3


def test_what_has_no_form_in_toml_says_so_and_leaves_no_file(tmp_path: Path):
    path = tmp_path / "workload.toml"
    w = workload().replace(accuracy=[Own(), *CURVES[1:]])
    with pytest.raises(WorkloadError, match=r"task 0.*no form in TOML"):
        w.to_toml(path)

    class Server:
        convex = True

        def at(self, problem, tokens):  # type: ignore[no-untyped-def]
            return None

    with pytest.raises(WorkloadError, match="no form in TOML"):
        workload(Server()).to_toml(path)
    assert not path.exists()


TABLE = '[server]\nkind = "priority"\norder = ["GSM8K"]\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[server]\n", "The server is .*kind is one of 'fifo'"),
        ('[server]\nkind = "lifo"\n', "kind is one of"),
        ('server = "fifo"\n', "must be a table"),
        ('[server]\nkind = "fifo"\nservers = 0\n', "servers must be a whole number of at least 1"),
        ('[server]\nkind = "fifo"\norder = [1]\n', "unknown key 'order'"),
        ('[server]\nkind = "priority"\n', "has no 'order'"),
        ('[server]\nkind = "priority"\norder = ["nobody"]\n', "names 'nobody'"),
        (TABLE, "order has 1 types"),
    ],
)
def test_a_faulty_server_is_named(tmp_path: Path, text: str, says: str):
    path = tmp_path / "workload.toml"
    document = QWEN.read_text(encoding="utf-8")
    first = document.index("[[task]]")
    path.write_text(document[:first] + text + document[first:], encoding="utf-8")
    with pytest.raises(WorkloadError, match=says):
        tq.Workload.from_toml(path)


@pytest.mark.parametrize(
    ("curve", "says"),
    [
        ("{}", "kind is one of 'saturating'"),
        ('{kind = "hill", gain = 0.5, midpoint = 100.0}', "has no 'steepness'"),
        ('{kind = "hill", gain = 0.5, midpoint = 1e2, steepness = 2, x = 1}', "unknown key 'x'"),
        ('{kind = "hill", gain = "big", midpoint = 1e2, steepness = 2}', "gain .*must be a number"),
        ('{kind = "logistic", intercept = nan, steepness = 2}', "intercept .*must be a number"),
        ('{kind = "hill", gain = 1.5, midpoint = 1e2, steepness = 2}', "between 0 and 1"),
        ('{kind = "interpolated", tokens = 1, accuracy = [0.1]}', "list of numbers"),
        ('{kind = "interpolated", tokens = [1, 1], accuracy = [0.1, 0.2]}', "ascend"),
        ('{kind = "interpolated", tokens = [0, 1], accuracy = [0.1]}', "as many"),
        ('{kind = "power law", gain = 0.5, rate = -1, exponent = 1}', "rate .*positive"),
    ],
)
def test_a_faulty_curve_is_named(tmp_path: Path, curve: str, says: str):
    path = tmp_path / "workload.toml"
    path.write_text(
        "arrival_rate = 0.1\naccuracy_weight = 10\n[[task]]\nname = 'a'\nshare = 1\n"
        f"base_time = 0.1\ntime_per_token = 0.01\naccuracy = {curve}\n",
        encoding="utf-8",
    )
    with pytest.raises(WorkloadError, match=says):
        tq.Workload.from_toml(path)
