"""What was found once, by hand or by the campaign: each ended in an error of Python's own."""

from __future__ import annotations

import json

import pytest

from .explorer import tried
from .rule import Ended
from .seeds import ROOT, WORKLOADS
from .targets import DOORS

QWEN = WORKLOADS[0].with_name("qwen3-8b.toml").read_bytes()
_TASK = b"""
[[task]]
name = "a"
share = 1.0
baseline = 0.1
base_time = 0.1
time_per_token = 0.01
"""
_CURVE = b"gain = 0.5\nrate = 1e-3\n"
_TOP = b"arrival_rate = 0.1\naccuracy_weight = 30.0\n"
_HALVES = (
    _TASK.replace(b"share = 1.0", b"share = 0.5") + b"gain = %s\nrate = %s\n"
    b'[[task]]\nname = "b"\nshare = 0.5\nbase_time = 0.1\ntime_per_token = 0.01\n'
    b'accuracy = { kind = "logistic", intercept = -9.0, steepness = 1.4 }\n'
)
_STEPS = (
    _TOP + b'[server]\nkind = "batching"\n'
    b"token_time = { queries = [1, 2, 8], seconds = [%s, 0.012, 0.02] }\n"
    b'[[task]]\nname = "a"\nshare = 1.0\nbaseline = 0.1\nanswer_tokens = 9\n' + _CURVE
)
_HILL = (
    _TOP
    + _TASK.replace(b"baseline = 0.1\n", b"")
    + b'accuracy = { kind = "hill", gain = 0.5, midpoint = %s, steepness = %s }\n'
)
_VLLM = {
    "backend": "vllm", "model_id": "m", "request_rate": 1.0, "input_lens": [9], "output_lens": [4],
    "ttfts": [0.1], "generated_texts": ["x"], "errors": [""], "start_times": [0.0],
}  # fmt: skip
_SAMPLE = ROOT / "tests" / "readers" / "samples" / "per_request_lifecycle_metrics.json"
_ROWS = json.loads(_SAMPLE.read_text(encoding="utf-8"))
_REQUEST = json.dumps([_ROWS[0] | {"request": "[" * 100_000}]).encode()

CASES = {
    "a kind that is a list": ("workload", _TOP + b"[server]\nkind = []\n" + _TASK + _CURVE),
    "a curve whose kind is a table": (
        "workload",
        _TOP + _TASK.replace(b"baseline = 0.1\n", b"") + b"accuracy = { kind = {} }\n",
    ),
    "a gain that is a text, among curves of other kinds": (
        "workload",
        _TOP + _HALVES % (b'"x"', b"1e-3"),
    ),
    "a rate that is a text, among curves of other kinds": (
        "workload",
        _TOP + _HALVES % (b"0.5", b'"x"'),
    ),
    "a rate beyond all bounds, among curves of other kinds": (
        "workload",
        _TOP + _HALVES % (b"0.5", b"1e308"),
    ),
    "a midpoint of 400 digits": ("workload", _HILL % (b"9" * 400, b"1")),
    "a curve too steep for a float": ("workload", _HILL % (b"300.0", b"1e308")),
    "a batch that no memory holds": (
        "workload",
        (_STEPS % b"0.01").replace(b"token_time", b"max_batch = 9007199254740992\ntoken_time"),
    ),
    "a step that is a table": ("workload", _STEPS % b"{}"),
    "a step that is a text": ("workload", _STEPS % b'"fast"'),
    "a step of no time": ("workload", _STEPS % b"1e-323"),
    "a step without end": ("workload", _STEPS % b"1e400"),
    "a key of 10,000 letters": ("workload", _TOP + b"k" * 10_000 + b" = 1\n" + _TASK + _CURVE),
    "times that are all but equal": ("trace", b"time\n0\n5e-324\n1e-323\n"),
    "times too far apart to subtract": ("trace", b"time\n-1e308\n0\n1e308\n"),
    "a header of 10,000 letters": ("trace", b'"' + b"a\n" * 5000 + b'"\n1\n'),
    "an integer of 5,000 digits": ("log", b"[" + b"9" * 5000 + b"]"),
    "a request of brackets without end": ("log", _REQUEST),
    "gaps whose sum no float holds": (
        "log",
        json.dumps(_VLLM | {"itls": [[1e308, 1e308, 1e308]]}).encode(),
    ),
    "records that are empty": ("records", b""),
    "records without their numbers": ("records", b"name,count\na,1\0name\na\0name\na\0trace\na"),
    "a reference that was cut": ("reference", b"{"),
    "a reference that is a list": ("reference", b"[]"),
    "a reference without tolerances": ("reference", b'{"a": {"value": 1.0}}'),
    "a value that is no number": (
        "reference",
        b'{"a": {"value": NaN, "rtol": 0, "atol": 0}}',
    ),
    "a value that no float holds": (
        "reference",
        b'{"a": {"value": ' + b"9" * 400 + b', "rtol": 0, "atol": 0}}',
    ),
    "a value that is a list": ("reference", b'{"a": {"value": [], "rtol": 0, "atol": 0}}'),
    "a tolerance without end": (
        "reference",
        b'{"a": {"value": 1, "rtol": Infinity, "atol": 0}}',
    ),
    "a tolerance that is a word": (
        "reference",
        b'{"a": {"value": 1.0, "rtol": "small", "atol": 0}}',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_found_is_refused_in_a_sentence(case: str) -> None:
    door, data = CASES[case]
    assert DOORS[door](data) is Ended.REFUSAL


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"{a=" * 20_000,
        QWEN.replace(b"gain = 0.", b"gain = {} # ", 1),
        QWEN.replace(b"gain = 0.", b"gain = [{}] # ", 1),
    ],
    ids=["tables without end", "a gain that is a table", "a gain that is a list"],
)
def test_what_was_found_in_the_explorer_is_refused_in_a_sentence(text: bytes) -> None:
    assert tried([("paste", text)]) == ["refusal"]
