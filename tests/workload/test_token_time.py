"""What a step of a batching server takes, and workloads that ask for tokens: doors and files."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, Workload, WorkloadError
from workloads import LINE, MEASURED, QWEN, SERVERS, batching_workload


def test_steps_and_rates_are_the_lines_through_the_rows():
    np.testing.assert_allclose(LINE.seconds_at([1, 10]), [6.597e-3, 7.47e-3], rtol=1e-14)
    np.testing.assert_allclose(LINE.rate_at([0, 10]), [0, 10 / 7.47e-3], rtol=1e-14)
    np.testing.assert_allclose(
        MEASURED.seconds_at([1, 4.5, 8, 40, 64, 128]),
        [0.0100, 0.0101, 0.0102, 0.0120, 0.0135, 0.0175],
        rtol=1e-12,
    )
    late = TokenTime.table([4, 8], [0.012, 0.013])
    np.testing.assert_allclose(late.seconds_at(1), 0.01125, rtol=1e-14)
    # a table of two points on a line is that line, for the law too
    line = TokenTime.table([1, 100], LINE.seconds_at([1, 100]))
    x = np.full(5, 3000.0)
    np.testing.assert_allclose(
        tq.mean_system_time(batching_workload(Batching(line), arrival_rate=1.0), x),
        tq.mean_system_time(batching_workload(Batching(LINE), arrival_rate=1.0), x),
        rtol=1e-11,
    )


def test_a_rate_that_bends_upwards_or_falls_is_refused_unless_asked_for():
    with pytest.raises(WorkloadError, match=r"not concave: the query after 2 adds 0\.5 tokens/s"):
        TokenTime.table([1, 2, 3], [1.0, 2.0, 2.0])
    with pytest.raises(WorkloadError, match=r"falls from 1 to 0\.8 tokens/s between 1 and 2"):
        TokenTime.table([1, 2], [1.0, 2.5])
    with pytest.raises(WorkloadError, match="between 2 and 3 queries"):
        TokenTime.table([1, 2, 3], [1.0, 1.2, 1.95])
    bent = TokenTime.table([1, 2, 3], [1.0, 2.0, 2.0], allow=True)
    assert not bent.concave
    assert not Batching(bent).convex
    assert LINE.concave
    assert MEASURED.concave
    # φ of a convex table that rises is concave, flat start and all
    assert TokenTime.table([1, 64, 128], [0.01, 0.01, 0.018]).concave
    with pytest.raises(WorkloadError, match="give a max_batch of at most 2"):
        Batching(TokenTime.table([1, 2], [1.0, 2.5], allow=True))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: TokenTime(-1, 2), "base is -1; it must be one number of at least 0"),
        (lambda: TokenTime(0, 0), "a step must take some time"),
        (lambda: TokenTime(1, float("nan")), "per_query is nan"),
        (lambda: TokenTime.table([1], [1]), "one batch size says nothing about others"),
        (lambda: TokenTime.table([2, 1], [1, 2]), "it must increase"),
        (lambda: TokenTime.table([1, 2], [0, 2]), "must take some time"),
        (lambda: TokenTime.table([4, 5], [1, 2], allow=True), "from one query on"),
        (lambda: TokenTime.table([1, 2], ["a", 3]), "seconds is"),
        (lambda: Batching(3), "token_time is 3"),
        (lambda: Batching(LINE, 0), "max_batch must be a whole number"),
        (lambda: Batching(LINE, overflow="drop"), "overflow is 'drop'"),
    ],
)
def test_what_is_no_step_or_no_server_is_refused_in_a_sentence(make, says):
    with pytest.raises(WorkloadError, match=says):
        make()


@pytest.mark.parametrize("server", SERVERS, ids=repr)
def test_a_batching_workload_survives_file_pickle_and_replace(server, tmp_path):
    w = batching_workload(server, prompt_tokens=300.0)
    w.to_toml(tmp_path / "w.toml")
    assert Workload.from_toml(tmp_path / "w.toml") == w
    assert pickle.loads(pickle.dumps(w)) == w
    assert w.replace(arrival_rate=w.arrival_rate) == w
    assert w.replace(answer_tokens=201.0) != w
    assert Workload(w.tasks, arrival_rate=w.arrival_rate, accuracy_weight=600.0, server=server) == w
    assert w.tasks[0].answer_tokens == 200.0
    assert w.tasks[0].base_time is None
    alone = w.replace(server=tq.Fifo(), base_time=1.3, time_per_token=6.6e-3)
    assert alone.tasks[0].answer_tokens is None
    assert alone.replace(server=server, answer_tokens=200.0, prompt_tokens=300.0,
                         prompt_time=w.prompt_time) == w  # fmt: skip


def test_seconds_and_tokens_are_not_taken_for_each_other():
    w, alone = batching_workload(SERVERS[0]), Workload.from_toml(QWEN)
    with pytest.raises(WorkloadError, match="give answer_tokens"):
        alone.replace(server=SERVERS[0])
    with pytest.raises(WorkloadError, match="needs base_time and time_per_token"):
        w.replace(server=tq.Fifo())
    with pytest.raises(WorkloadError, match="give one or the other"):
        w.replace(base_time=1.0, answer_tokens=3.0)
    with pytest.raises(WorkloadError, match="base_time belongs to affine service times"):
        _ = w.base_time
    with pytest.raises(WorkloadError, match="answer_tokens belongs to answers"):
        _ = alone.answer_tokens
    with pytest.raises(WorkloadError, match="No formula is known for prompts"):
        w.replace(server=SERVERS[2])
    with pytest.raises(WorkloadError, match="no formula is known for a cap"):
        w.replace(server=Batching(TokenTime(1, 1, 1), 4))
    with pytest.raises(WorkloadError, match="prompt_time of task type 'GSM8K' is -1"):
        w.replace(prompt_time=-1.0)
    nothing = np.zeros(5)
    for ask in (tq.service_time, tq.service_moments, tq.mean_waiting_time):
        with pytest.raises(WorkloadError, match="Batching"):
            ask(w, nothing)


def test_a_file_says_what_it_lacks(tmp_path):
    batching_workload(SERVERS[0]).to_toml(tmp_path / "w.toml")
    text = (tmp_path / "w.toml").read_text(encoding="utf-8")
    for old, new, says in [
        ("per_query", "per_user", "has no 'per_query'"),
        ("[server.token_time]", "token_time = 3\n[server.rest]", "unknown key 'rest'"),
        ('overflow = "share"', "overflow = 1", "overflow is 1"),
        ("answer_tokens", "answers", "has no 'base_time'"),
    ]:
        (tmp_path / "bad.toml").write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(WorkloadError, match=says):
            Workload.from_toml(tmp_path / "bad.toml")
