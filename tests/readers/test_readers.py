"""Every format says the same of the same six requests, and each trap is sprung once."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.readers import samples

import thinkqueue as tq
from thinkqueue.readers import FORMATS, Format, Request
from thinkqueue.readers.document import open_document

FILES = {path.name: path for path in sorted(samples.FOLDER.iterdir())}
TRUE = samples.rows()
SAYS_THOUGHTS = {"guidellm.json", "profile_export.jsonl", "per_request_lifecycle_metrics.json",
                 "litellm_spend_logs.csv", "otlp_spans.json", "inspect_chat.json",
                 "blis_trace.csv"}  # fmt: skip
SAYS_FIRST = SAYS_THOUGHTS - {"inspect_chat.json"} | {"vllm_bench.json", "sglang_bench.jsonl"}
SAYS_TYPE = {"per_request_lifecycle_metrics.json", "litellm_spend_logs.csv", "otlp_spans.json",
             "blis_trace.csv"}  # fmt: skip
ACCURACY_ALONE = "samples_chat_2026-11-01T10-00-00.000000.jsonl"


def truth(name: str) -> np.ndarray:
    return np.array([row[name] for row in TRUE])


def changed(name: str, tmp_path: Path, old: str, new: str) -> Path:
    text = FILES[name].read_text()
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new))
    return path


def test_the_samples_are_those_of_the_script() -> None:
    assert FILES.keys() == samples.SAMPLES.keys()
    for name, write in samples.SAMPLES.items():
        assert FILES[name].read_text() == write(), name


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognised_by_one_format_whatever_it_is_called(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(FILES[name].read_bytes())
    assert sum(form.recognises(open_document(path)) for form in FORMATS) == 1
    assert len(tq.read_log(path)) == len(TRUE)


def test_every_format_has_a_sample() -> None:
    assert {tq.read_log(path).format for path in FILES.values()} == {f.name for f in FORMATS}


@pytest.mark.parametrize("name", [name for name in FILES if name != ACCURACY_ALONE])
def test_times_and_tokens_are_the_true_ones(name: str) -> None:
    log = tq.read_log(FILES[name])
    np.testing.assert_array_equal(log.output_tokens, truth("output"))
    np.testing.assert_array_equal(log.prompt_tokens, truth("prompt"))
    np.testing.assert_allclose(log.latency, truth("latency"), atol=2e-6)
    if name in SAYS_FIRST:
        np.testing.assert_allclose(log.to_first, truth("to_first"), atol=2e-6)
        np.testing.assert_allclose(log.token_time, samples.TOKEN, rtol=1e-5)
    if name != "sglang_bench.jsonl":
        np.testing.assert_allclose(np.diff(log.sent), np.diff(truth("sent")), atol=2e-6)
    if name in SAYS_THOUGHTS:
        known = np.isfinite(log.thinking_tokens)
        np.testing.assert_array_equal(log.thinking_tokens[known], truth("thoughts")[known])
        assert (truth("thoughts")[~known] == 0).all()
    if name in SAYS_TYPE:
        assert log.task == tuple(truth("task"))


def test_scores_and_budgets_are_read() -> None:
    log = tq.read_log(FILES["inspect_chat.json"])
    np.testing.assert_array_equal(log.correct, truth("right"))
    assert set(log.budget) == {samples.BUDGET}
    assert log.names == ("chat",)
    other = tq.read_log(FILES[ACCURACY_ALONE], budget=2048)
    np.testing.assert_array_equal(other.correct, truth("right"))
    assert set(other.budget) == {2048}
    assert other.names == ("chat",)
    assert set(tq.read_log(FILES["litellm_spend_logs.csv"]).budget) == {samples.BUDGET}


def test_the_wait_in_a_queue_is_no_service() -> None:
    (evidence,) = [tq.read_logs([FILES["otlp_spans.json"]])]
    rows = evidence.measurements
    np.testing.assert_allclose(rows.latency, truth("latency") - truth("waited"), atol=1e-6)
    np.testing.assert_allclose(np.diff(rows.sent), np.diff(truth("sent") + truth("waited")))


ZERO_BESIDE_TEXT = {
    "inspect_chat.json": ('"reasoning_tokens": 300', '"reasoning_tokens": 0'),
    "guidellm.json": (
        '"text_tokens": 341\n',
        '"text_tokens": 341,\n "reasoning_tokens": 0\n',
    ),
    "otlp_spans.json": (
        '{"key": "gen_ai.usage.reasoning.output_tokens", "value": {"intValue": "300"}}',
        '{"key": "gen_ai.usage.reasoning.output_tokens", "value": {"intValue": "0"}},'
        '{"key": "gen_ai.output.messages", "value": {"stringValue": '
        '"[{\\"parts\\": [{\\"type\\": \\"reasoning\\", \\"content\\": \\"Hm\\"}]}]"}}',
    ),
}


@pytest.mark.parametrize("name", ZERO_BESIDE_TEXT)
def test_a_zero_beside_a_thought_is_refused_and_the_advice_works(name: str, tmp_path: Path) -> None:
    path = changed(name, tmp_path, *ZERO_BESIDE_TEXT[name])
    with pytest.raises(tq.MeasurementError, match="holds the text of a thought") as refusal:
        tq.read_log(path)
    assert "1 requests of 6" in str(refusal.value)
    assert "--answer-tokens" in str(refusal.value)
    log = tq.read_log(path, answer_tokens=41)
    assert log.thinking_tokens[0] == 300
    assert log.thinking_tokens[1] == 800


def test_a_zero_beside_a_thought_is_refused_in_a_proxy_log(tmp_path: Path) -> None:
    rows = [
        {"startTime": "2026-11-01T10:00:00Z", "endTime": "2026-11-01T10:00:09Z",
         "completionStartTime": "2026-11-01T10:00:01Z", "completion_tokens": 400,
         "metadata": {"usage_object": {"completion_tokens_details": {"reasoning_tokens": 0}}},
         "response": {"choices": [{"message": {"reasoning_content": "Hm.", "content": "4"}}]}},
    ]  # fmt: skip
    path = tmp_path / "spend.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(tq.MeasurementError, match="litellm#41849"):
        tq.read_log(path)
    rows[0]["response"] = {"choices": [{"message": {"content": "4"}}]}
    path.write_text(json.dumps(rows))
    assert "thought nothing" in tq.read_log(path).notes[0]


def test_a_first_token_of_the_answer_is_no_first_token(tmp_path: Path) -> None:
    """GuideLLM before #760: the wait for thoughts would look like a slow prompt."""
    report = json.loads(FILES["guidellm.json"].read_text())
    for row in report["benchmarks"][0]["requests"]["successful"]:
        times = row["info"]["timings"]
        times["first_token_iteration"] = times.pop("first_output_token_iteration")
    path = tmp_path / "old.json"
    path.write_text(json.dumps(report))
    log = tq.read_log(path)
    thought = truth("thoughts") > 0
    assert np.isnan(log.to_first[thought]).all()
    assert np.isfinite(log.to_first[~thought]).all()
    assert any("before #760" in note for note in log.notes)


def test_two_chunks_a_token_do_not_halve_its_time() -> None:
    """The gap between chunks of the sample is half a token's time, and is not what is read."""
    row = json.loads(FILES["per_request_lifecycle_metrics.json"].read_text())[0]
    chunks = row["info"]["response_metrics"]["output_token_times"]
    assert np.diff(chunks) == pytest.approx(samples.TOKEN / 2, rel=1e-4)
    log = tq.read_log(FILES["per_request_lifecycle_metrics.json"])
    np.testing.assert_allclose(log.token_time, samples.TOKEN, rtol=1e-5)


def test_a_gap_list_stands_in_for_latencies_of_an_older_vllm(tmp_path: Path) -> None:
    run = json.loads(FILES["vllm_bench.json"].read_text())
    del run["latencies"], run["queue_times"]
    path = tmp_path / "older.json"
    path.write_text(json.dumps(run))
    np.testing.assert_allclose(tq.read_log(path).latency, truth("to_first") + 3 * samples.TOKEN)


def test_what_a_benchmark_sends_at_once_is_no_traffic(tmp_path: Path) -> None:
    path = changed("vllm_bench.json", tmp_path, '"request_rate": 0.5', '"request_rate": "inf"')
    evidence = tq.read_logs([path], answer_tokens=40)
    with pytest.raises(tq.MissingError, match="arrival rate"):
        _ = evidence.arrival_rate
    with pytest.raises(tq.MissingError, match="mix"):
        _ = evidence.share
    assert tq.read_logs([FILES["vllm_bench.json"]]).arrival_rate.value == pytest.approx(5 / 12)


def test_times_of_nobody_knows_whom_are_no_service_time(tmp_path: Path) -> None:
    """SGLang writes no times of sending: only one at a time says what a query alone takes."""
    alone = tq.read_logs([FILES["sglang_bench.jsonl"]], answer_tokens=40).measurements
    assert np.isfinite(alone.latency).all()
    assert not alone.crowded.any()
    path = changed(
        "sglang_bench.jsonl", tmp_path, '"max_concurrency": 1', '"max_concurrency": null'
    )
    evidence = tq.read_logs([path], answer_tokens=40)
    assert np.isnan(evidence.measurements.latency).all()
    assert any("has the server to itself" in str(lack) for lack in evidence.missing)


def test_the_arrival_rate_has_the_exact_interval_of_a_poisson_stream(tmp_path: Path) -> None:
    """Over many streams the interval holds the true rate 95 times in a hundred."""
    from thinkqueue.readers.arrival_rate import arrival_rate

    rng = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        found = arrival_rate([np.cumsum(rng.exponential(2.0, 12))])
        assert found is not None
        held += found.low <= 0.5 <= found.high
    assert 360 <= held <= 396
    even = arrival_rate([np.arange(100.0)])
    assert even is not None
    assert even.value == pytest.approx(1)
    assert not even.bursty
    halves = arrival_rate([np.arange(0, 100.0, 2), np.arange(1, 100.0, 2)])
    assert halves is not None
    assert halves.value == pytest.approx(1)
    assert arrival_rate([np.zeros(1)]) is None


def test_what_no_tool_wrote_is_told(tmp_path: Path) -> None:
    for text, words in (
        ("", "is empty"),
        ("{}", "no log of a known tool"),
        ("a,b\n1,2\n", "no log of a known tool"),
        ('{"a": 1}\n{"b": \n', "neither JSON nor JSON line by line"),
        ("PK\x03\x04", "inspect log dump"),
    ):
        path = tmp_path / "log"
        path.write_text(text)
        with pytest.raises(tq.MeasurementError, match=words):
            tq.read_log(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(tq.MeasurementError, match="UTF-8"):
        tq.read_log(path)


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("vllm_bench.json", "120,", '"many",', "is not a number"),
        ("vllm_bench.json", " 341,", " -341,", "less than nothing"),
        ("vllm_bench.json", " 341,\n", "", "and others have"),
        ("litellm_spend_logs.csv", '""reasoning_tokens"": 800', '""reasoning_tokens"": 8000',
         "were thoughts, of"),
        ("litellm_spend_logs.csv", "2025-10-09T08:53:20.000000+00:00", "9 o'clock: tea", "no time"),
        ("profile_export.jsonl", '"ms"', '"fortnights"', "no unit of time"),
        ("inspect_chat.json", '"value": "C"', '"value": 7', "no share of right"),
        ("per_request_lifecycle_metrics.json", '"end_time": 1760000007.05', '"end_time": 1',
         "before it was sent"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_told_with_its_place(
    name: str, old: str, new: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(tq.MeasurementError, match=words) as refusal:
        tq.read_log(changed(name, tmp_path, old, new))
    assert name in str(refusal.value)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_ends_with_a_sentence(seed: int, tmp_path: Path) -> None:
    """Whatever is cut out, doubled or exchanged, the only error is one of this library."""
    rng = random.Random(seed)
    for name, path in FILES.items():
        text = path.read_text()
        for _ in range(8):
            at, size = rng.randrange(len(text)), rng.randrange(1, 40)
            damage = rng.choice(("", '"x"', "null", "-1", "[]", "{}", text[at : at + size] * 2))
            target = tmp_path / name
            target.write_text(text[:at] + damage + text[at + size :])
            with suppress(tq.MeasurementError):
                log = tq.read_log(target)
                assert (log.latency[np.isfinite(log.latency)] >= 0).all()


def test_a_reader_of_ones_own() -> None:
    """The example of the documentation: a format is two functions."""

    def read(document: Any) -> Any:
        return [Request(task=r["kind"], sent=r["at"], latency=r["s"]) for r in document.content], []

    own = Format("ours", lambda d: "kind" in d.first, read, holds="types and times")
    path = Path(samples.FOLDER) / "vllm_bench.json"
    assert not own.recognises(open_document(path))
