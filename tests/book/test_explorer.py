"""The explorer's own solver, held to the library on hundreds of servers, extreme ones included."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.node import NODE
from tests.workloads import DATA, QWEN, hard_workloads, plain_workloads, rounding

import thinkqueue as tq
from thinkqueue.batching.type_time import type_time
from thinkqueue.book.explorer import SCRIPT

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "chapters" / "_static" / SCRIPT
FIFO = ("share", "gain", "rate", "baseline", "base_time", "time_per_token", "max_tokens", "weight")
BATCHING = (*FIFO[:4], "answer_tokens", "prompt_time", "prompt_tokens", *FIFO[6:])

ANSWER = """(asked) => asked.map(([name, ...given]) => {
  try {
    const found = thinkqueue[name](...given);
    return typeof found === "number" && !Number.isFinite(found) ? { number: String(found) } : found;
  } catch (error) {
    return { refused: error.constructor.name, message: error.message, load: error.utilization };
  }
})"""
"""Calls by name, each with its arguments; refusals come back as such."""


@pytest.fixture(scope="module")
def ask() -> Any:
    """A function that asks the script, with a list of calls."""
    program = (
        f"require({json.dumps(str(SOURCE))});"
        f"const answer = {ANSWER};"
        "process.stdout.write(JSON.stringify(answer(JSON.parse("
        "require('fs').readFileSync(0, 'utf8')))))"
    )

    def in_node(calls: list[Any]) -> list[Any]:
        done = subprocess.run(
            [NODE, "-e", program],
            input=json.dumps(calls),
            capture_output=True,
            text=True,
            check=True,
        )
        return list(json.loads(done.stdout))

    return in_node


def plain(workload: tq.Workload) -> dict[str, Any]:
    """A workload in the words of the script."""
    server = workload.server
    batching = isinstance(server, tq.Batching)
    names = BATCHING if batching else FIFO
    columns = {name: getattr(workload, name) for name in names}
    return {
        "arrival_rate": workload.arrival_rate,
        "accuracy_weight": workload.accuracy_weight,
        "server": (
            {
                "kind": "batching",
                "base": server.token_time.base,
                "per_query": server.token_time.per_query,
            }
            if isinstance(server, tq.Batching) and isinstance(server.token_time, tq.TokenTime)
            else {"kind": "fifo"}
        ),
        "tasks": [
            {"name": name, **{field: float(column[k]) for field, column in columns.items()}}
            for k, name in enumerate(workload.names)
        ],
    }


def batching_servers(count: int, seed: int, prompts: bool = True) -> Iterator[tq.Workload]:
    """Batching servers from idle to a hair below what they can do, and some beyond it."""
    g = np.random.default_rng(seed)
    half = count // 2
    for w in [*plain_workloads(half, seed), *hard_workloads(count - half, seed, 5)]:
        base = 10 ** g.uniform(-3, -1.5)
        line = tq.TokenTime(base, base * 10 ** g.uniform(-4, 0))
        answer = g.uniform(0, 300, len(w))
        prompt = g.uniform(0, 0.05, len(w)) * (prompts and g.uniform() < 0.4)
        idle = float(w.share @ (line.per_query * answer + prompt))
        spare = 10 ** g.uniform(-9, -0.01)
        yield tq.Workload.from_arrays(
            **{name: getattr(w, name) for name in (*BATCHING[:4], *BATCHING[7:])},
            answer_tokens=answer,
            prompt_time=prompt,
            arrival_rate=(1 - spare) / idle * 10 ** g.uniform(-2, 0.1),
            accuracy_weight=w.accuracy_weight,
            server=tq.Batching(line),
        )


def servers() -> list[tq.Workload]:
    hard = [w for w in hard_workloads(380, 11) if len(w) <= 200]
    beyond = [
        w.replace(arrival_rate=1.2 * rate)
        for w in plain_workloads(10, 3)
        for rate in [1 / float(w.share @ w.base_time)]
    ]
    return [
        *hard,
        *plain_workloads(60, 12),
        *plain_workloads(10, 13, 200),
        *beyond,
        *batching_servers(100, 14),
    ]


def test_its_optimum_is_the_librarys(ask: Any) -> None:
    asked = servers()
    answers = ask([["solve", plain(w)] for w in asked])
    solved = refused = 0
    for workload, answer in zip(asked, answers, strict=True):
        idle = float(tq.utilization(workload, np.zeros(len(workload))))
        if idle >= 1:
            assert answer["refused"] == "UnstableError"
            assert answer["load"] == pytest.approx(idle, rel=1e-12)
            refused += 1
            continue
        found = tq.solve(workload, throw=False)
        solved += 1
        blur = 2 * rounding(found)
        assert answer["converged"]
        # each answer is certified by the other's bound
        assert answer["objective"] <= found.upper_bound + blur
        assert found.objective <= answer["upper_bound"] + blur
        assert abs(answer["objective"] - found.objective) <= found.gap + answer["gap"] + blur
        # and what the page says of its budgets is what the library says of them
        tokens = np.minimum(answer["tokens"], workload.max_tokens)
        assert answer["mean_system_time"] == pytest.approx(
            float(tq.mean_system_time(workload, tokens)), rel=1e-6
        )
        assert answer["right"] == pytest.approx(
            float(workload.share @ tq.accuracy(workload, tokens)), rel=1e-9, abs=1e-12
        )
    assert solved >= 400
    assert refused >= 10


def test_its_best_budget_for_all_is_that_of_the_chapter(ask: Any) -> None:
    file = DATA / "reference" / "00_thinking_while_others_wait.json"
    stated = {name: one["value"] for name, one in json.loads(file.read_text()).items()}
    calm = tq.Workload.from_toml(QWEN)
    busy = calm.replace(arrival_rate=0.1)
    for workload, found, tokens, lost in zip(
        (calm, busy),
        ask([["bestAlike", plain(w)] for w in (calm, busy)]),
        (stated["story-same-tokens"], stated["story-busy-same"]),
        (stated["story-same-loss"], stated["story-busy-lost"]),
        strict=True,
    ):
        assert found["tokens"] == pytest.approx(tokens, rel=1e-3)
        assert tq.solve(workload).objective - found["objective"] == pytest.approx(lost, rel=1e-5)
    capped = calm.replace(max_tokens=[1e30, 10, 0.5, 0, 3e4])
    many = np.minimum(np.geomspace(1e-2, 3500, 20_000)[:, None], capped.max_tokens)
    (found,) = ask([["bestAlike", plain(capped)]])
    assert found["objective"] >= tq.objective(capped, many).max() - 1e-6


def test_its_percentile_is_the_librarys(ask: Any) -> None:
    g = np.random.default_rng(21)
    asked = [w for w in [*plain_workloads(25, 22), *hard_workloads(35, 23, 5)] if w.arrival_rate]
    budgets = []
    for w in asked:
        most = 10 ** g.uniform(1, 4.5)
        tokens = np.minimum(g.uniform(0, most, len(w)), w.max_tokens)
        while tq.utilization(w, tokens) >= 0.9999 and tokens.any():
            tokens = np.where(tokens < 1e-9, 0, tokens / 2)
        budgets.append(tokens)
    calls = [["percentile", plain(w), list(t), 0.95] for w, t in zip(asked, budgets, strict=True)]
    worst = 0.0
    for w, tokens, found in zip(asked, budgets, ask(calls), strict=True):
        right = float(tq.system_time_quantile(w, tokens, 0.95))
        worst = max(worst, abs(found - right) / max(right, 1e-300) if right else found)
    assert worst < 2e-5  # half a part in ten thousand is less than a numeral shows


def test_its_percentile_at_a_batching_server_is_the_librarys(ask: Any) -> None:
    asked = list(batching_servers(16, 31, prompts=False))
    asked = [w for w in asked if tq.utilization(w, np.zeros(len(w))) < 0.999]
    assert len(asked) >= 10
    calls = [["percentile", plain(w), [0.0] * len(w), 0.95] for w in asked]
    for w, found in zip(asked, ask(calls), strict=True):
        law = type_time(w, np.zeros(len(w)))
        assert float(law.tail(found * (1 - 1e-6)) @ w.share) >= 0.05 * (1 - 1e-4)
        assert float(law.tail(found * (1 + 1e-6)) @ w.share) <= 0.05 * (1 + 1e-4)


def test_a_wrong_formula_is_noticed(ask: Any, tmp_path: Path) -> None:
    """The negative control: the price of the wait, off by one part in a hundred."""
    wrong = tmp_path / "wrong.js"
    source = SOURCE.read_text(encoding="utf-8")
    right = "f1 = nu * nu / 2"
    assert source.count(right) == 1
    wrong.write_text(source.replace(right, "f1 = nu * nu / 2.02"), encoding="utf-8")
    workload = tq.Workload.from_toml(QWEN)
    program = (
        f"const t = require({json.dumps(str(wrong))}); process.stdout.write(JSON.stringify("
        + (f"t.solve({json.dumps(plain(workload))})))")
    )
    done = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    best = tq.solve(workload)
    assert best.objective - tq.objective(workload, found["tokens"]) > 1e-6 > rounding(best)


# -- texts -------------------------------------------------------------------------------------


def test_it_reads_and_writes_the_librarys_files(ask: Any, tmp_path: Path) -> None:
    files = sorted((DATA / "workloads").glob("*.toml"))
    hostile = tq.Workload.from_toml(QWEN).replace(
        names=[
            "$x_{$",
            '<b a="\\">&amp;</b>',
            "[/red]\x1b[31m\x07\x7f",
            "a\nb\u202e 'q'",
            "ü 漢 😀",
        ],
        max_tokens=[1e30, 0, 1, 32768, 7.5],
    )
    workloads = [*map(tq.Workload.from_toml, files), hostile, *batching_servers(4, 41)]
    texts = ask([["toToml", plain(w)] for w in workloads])
    for k, (workload, text) in enumerate(zip(workloads, texts, strict=True)):
        path = tmp_path / f"{k}.toml"
        path.write_text(text, encoding="utf-8")
        assert tq.Workload.from_toml(path) == workload
        workload.to_toml(path)  # and as the library writes it
        (read,) = ask([["parseToml", path.read_text(encoding="utf-8")]])
        assert read == plain(workload)
    for file, read in zip(
        files, ask([["parseToml", f.read_text(encoding="utf-8")] for f in files]), strict=True
    ):
        assert read == plain(tq.Workload.from_toml(file))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("gain = 0.677", "gain = 1.677", "gain of task type .GSM8K. is 1.677"),
        ("gain = 0.677", "gain = 0.777", r"gain \+ baseline"),
        ("gain = 0.677", "", "has no .gain."),
        ("gain = 0.677", "gain = nan", "Line 2.: nan is neither a number"),
        ("gain = 0.677", 'gain = "much"', "must be a number"),
        ("gain = 0.677", "gian = 0.677", "has no .gain."),
        ("gain = 0.677", "gain = 0.677\nhue = 1", "has .hue., which this page does not know"),
        ("gain = 0.677", "gain = 0.677\ngain = 0.6", "given twice"),
        ("share = 0.5", "share = 0.6", "add up to 1.1"),
        ('name = "GSM8K"', 'name = "GPQA-D"', "Two task types are called"),
        ('name = "GSM8K"', 'name = ""', "no name"),
        ('name = "GSM8K"', 'name = """a"""', "several lines"),
        ('name = "GSM8K"', 'name = "a', "not closed"),
        ("arrival_rate = 0.02", "arrival_rate = 0", "positive"),
        ("[[task]]", "[server]\nkind = 'priority'\n[[task]]", "the library knows more"),
        ("[[task]]", "[__proto__]\npolluted = 1\n[[task]]", "__proto__"),
    ],
)
def test_it_refuses_what_it_cannot_answer_for(ask: Any, old: str, new: str, told: str) -> None:
    text = QWEN.read_text(encoding="utf-8")
    assert old in text
    (answer,) = ask([["parseToml", text.replace(old, new, 1)]])
    assert answer["refused"] == "WorkloadError"
    assert re.search(told, answer["message"]), answer["message"]


def test_it_refuses_what_is_too_large(ask: Any) -> None:
    many = '[[task]]\nname = "x"\n' * 201
    long, types, deep = ask(
        [["parseToml", "#" * 100_001], ["parseToml", many], ["parseToml", "a = " + "[" * 5000]]
    )
    assert "100001 letters" in long["message"]
    assert "200 task types" in types["message"]
    assert "nest too deep" in deep["message"]


def test_requests_are_json(ask: Any) -> None:
    w = tq.Workload.from_toml(QWEN).replace(names=["a", 'b"', "c\n", "</script>", "__proto__"])
    (text,) = ask([["toRequests", plain(w), [968.6, 0, 134.9, 0, 3.2], "vLLM"]])
    found = json.loads(text)
    assert list(found) == list(w.names)
    assert [x["thinking_token_budget"] for x in found.values()] == [969, 0, 135, 0, 3]


# -- the address -------------------------------------------------------------------------------


def state(**changes: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    presets = {
        file.stem: plain(tq.Workload.from_toml(file))
        for file in sorted((DATA / "workloads").glob("*.toml"))
    }
    opening = {
        "preset": "qwen3-8b",
        "mode": "1000",
        "workload": presets["qwen3-8b"] | {"arrival_rate": 0.1},
    }
    now = {"preset": "qwen3-8b", "mode": "1000", "tokens": [], "slowing": 0.005} | changes
    now.setdefault("workload", opening["workload"])
    return now, opening, presets


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, ""),
        ({"mode": "best"}, "tokens=best"),
        ({"mode": "own", "tokens": [900, 0, 1, 2, 3]}, "tokens=900,0,1,2,3"),
        ({"preset": "r1-distill-llama-8b"}, None),
    ],
)
def test_the_address_says_only_what_differs(ask: Any, changes: Any, text: str | None) -> None:
    now, opening, presets = state(**changes)
    if now["preset"] != "qwen3-8b":
        now["workload"] = presets[now["preset"]]
        text = "preset=r1-distill-llama-8b"
    assert ask([["toFragment", now, opening, presets]]) == [text]
    busier = now | {"workload": now["workload"] | {"arrival_rate": 0.3}}
    (told,) = ask([["toFragment", busier, opening, presets]])
    assert "lambda=0.3" in told
    (back,) = ask([["fromFragment", told, opening, presets, 0.005]])
    assert back["workload"] == busier["workload"]
    assert back["mode"] == busier["mode"]


def test_an_address_brings_back_any_workload(ask: Any) -> None:
    now, opening, presets = state()
    for w in [
        *batching_servers(3, 51),
        tq.Workload.from_toml(QWEN).replace(names=["a,b", "c&d=e", "%41", "ü", "#"]),
    ]:
        mine = now | {"workload": plain(w), "mode": "best"}
        (told,) = ask([["toFragment", mine, opening, presets]])
        assert " " not in told
        (back,) = ask([["fromFragment", told, opening, presets, 0.005]])
        assert back["workload"] == mine["workload"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the-question-exactly", None),
        ("x=1", None),
        ("lambda=abc", "arrival_rate is NaN"),
        ("lambda=-1", "positive"),
        ("preset=__proto__", "no preset"),
        ("tokens=1,2", "2 budgets for 5 types"),
        ("tokens=1,2,3,4,x", "budgets"),
        ("share=0.5,0.5", None),
        ("gain=1,2,3,4,5", "gain"),
    ],
)
def test_a_strange_address_is_refused_or_left_alone(ask: Any, text: str, told: str | None) -> None:
    _, opening, presets = state()
    (answer,) = ask([["fromFragment", text, opening, presets, 0.005]])
    if told is None and text != "share=0.5,0.5":
        assert answer is None
    else:
        assert answer["refused"] == "WorkloadError"
        assert (told or "name") in answer["message"]
