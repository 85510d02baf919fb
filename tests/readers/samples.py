"""The same six requests as every tool would log them; `python tests/readers/samples.py` writes all.

Made by us after the formats that the readers cite; no line is taken from anybody's log.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "samples"
START = 1_760_000_000.0
TOKEN = 0.02
#: Of each request: type, sent after the start, prompt, thoughts, answer, seconds to the first token
#: without the wait, wait in the queue, right or wrong.
REQUESTS = (
    ("chat", 0.0, 120, 300, 41, 0.25, 0.0, 1),
    ("code", 2.5, 900, 800, 161, 0.75, 0.5, 0),
    ("chat", 3.0, 80, 240, 31, 0.25, 0.125, 1),
    ("chat", 7.0, 200, 0, 51, 0.25, 0.0, 0),
    ("code", 9.25, 640, 1024, 97, 0.5, 0.25, 1),
    ("chat", 12.0, 60, 512, 21, 0.25, 0.0, 1),
)
BUDGET = 1024
THOUGHT = "Let me see."


def rows() -> list[dict[str, Any]]:
    """The requests with all that follows for them."""
    found = []
    for task, sent, prompt, thoughts, answer, prefill, waited, right in REQUESTS:
        first = waited + prefill
        found.append(
            {
                "task": task, "sent": START + sent, "prompt": prompt, "thoughts": thoughts,
                "answer": answer, "output": thoughts + answer, "waited": waited,
                "to_first": first, "latency": first + TOKEN * (thoughts + answer - 1),
                "right": right,
            }
        )  # fmt: skip
    return found


def vllm() -> str:
    """A run of `vllm bench serve`, with one request that failed."""
    every = rows()
    return _json(
        {
            "backend": "openai-chat", "model_id": "Qwen/Qwen3-8B", "num_prompts": 7,
            "request_rate": 0.5, "max_concurrency": None, "completed": 6, "failed": 1,
            "input_lens": [r["prompt"] for r in every] + [10],
            "output_lens": [r["output"] for r in every] + [0],
            "ttfts": [r["to_first"] for r in every] + [0.0],
            "itls": [[TOKEN] * 3 for r in every] + [[]],
            "latencies": [r["latency"] for r in every] + [0.0],
            "queue_times": [r["waited"] for r in every] + [0.0],
            "start_times": [r["sent"] for r in every] + [START + 13],
            "errors": [""] * 6 + ["timed out"],
        }
    )  # fmt: skip


def sglang() -> str:
    """A run of `bench_serving`, one request at a time; gaps as they are."""
    every = rows()
    run = {
        "backend": "sglang", "dataset_name": "random", "request_rate": float("inf"),
        "max_concurrency": 1, "completed": 6,
        "input_lens": [r["prompt"] for r in every],
        "output_lens": [r["output"] for r in every],
        "ttfts": [r["to_first"] for r in every],
        "itls": [[TOKEN] * (r["output"] - 1) for r in every],
        "errors": [""] * 6,
    }  # fmt: skip
    return json.dumps(run) + "\n"


def guidellm() -> str:
    """A report with all six, and one request that was not finished."""
    successful = []
    for r in rows():
        first = r["sent"] + r["to_first"]
        successful.append(
            {
                "request_id": f"r{len(successful)}",
                "output": "The answer.",
                "reasoning_output": THOUGHT if r["thoughts"] else None,
                "input_metrics": {"text_tokens": r["prompt"]},
                "output_metrics": {"text_tokens": r["output"]},
                "info": {
                    "status": "completed",
                    "timings": {
                        "request_start": r["sent"],
                        "first_token_iteration": first,
                        "first_output_token_iteration": first + TOKEN * r["thoughts"],
                        "last_token_iteration": r["sent"] + r["latency"],
                        "request_end": r["sent"] + r["latency"],
                    },
                },
            }
        )
    requests = {"successful": successful, "incomplete": [{"request_id": "r6"}], "errored": []}
    return _json({"metadata": {"version": 2}, "benchmarks": [{"requests": requests}]})


def aiperf() -> str:
    """Records with units; one was cancelled."""
    lines = []
    for number, r in enumerate(rows()):
        start = round(r["sent"] * 1e9)
        metrics = {
            "request_latency": (1e3 * r["latency"], "ms"),
            "time_to_first_token": (1e3 * r["to_first"], "ms"),
            "input_sequence_length": (r["prompt"], "tokens"),
            "output_sequence_length": (r["output"], "tokens"),
            "output_token_count": (r["answer"], "tokens"),
            "reasoning_token_count": (r["thoughts"], "tokens"),
        }
        about = {
            "session_num": number, "benchmark_phase": "profiling", "was_cancelled": False,
            "request_start_ns": start, "request_end_ns": start + round(r["latency"] * 1e9),
        }  # fmt: skip
        measured = {name: {"value": v, "unit": u} for name, (v, u) in metrics.items()}
        lines.append({"metadata": about, "metrics": measured, "error": None})
    stopped = {"request_start_ns": round(START * 1e9), "was_cancelled": True}
    lines.append({"metadata": stopped, "metrics": {}, "error": {"type": "RequestCancelled"}})
    return "".join(json.dumps(line) + "\n" for line in lines)


def inference_perf() -> str:
    """Two chunks a token: half of the tool's own time per token is true."""
    found = []
    for r in rows():
        chunks = 2 * r["output"] - 1
        first, last = r["sent"] + r["to_first"], r["sent"] + r["latency"]
        times = [first + (last - first) * n / (chunks - 1) for n in (0, 1, 2, 3)]
        usage = {
            "prompt_tokens": r["prompt"],
            "completion_tokens": r["output"],
            "completion_tokens_details": {"reasoning_tokens": r["thoughts"]},
        }
        found.append(
            {
                "start_time": r["sent"],
                "end_time": last,
                "request": json.dumps({"model": "m", "metadata": {"task": r["task"]}}),
                "info": {
                    "input_tokens": r["prompt"],
                    "response_metrics": {
                        "output_tokens": r["output"],
                        "output_token_times": times,
                        "server_usage": usage,
                    },
                },
                "error": None,
            }
        )
    return _json(found)


def litellm() -> str:
    """Rows of the spend log as CSV; one call failed."""
    names = (
        "request_id", "startTime", "completionStartTime", "endTime", "request_duration_ms",
        "prompt_tokens", "completion_tokens", "model_group", "request_tags", "status", "metadata",
        "proxy_server_request",
    )  # fmt: skip
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for number, r in enumerate(rows()):
        usage = {"completion_tokens_details": {"reasoning_tokens": r["thoughts"]}}
        writer.writerow(
            {
                "request_id": f"chatcmpl-{number}",
                "startTime": _iso(r["sent"]),
                "completionStartTime": _iso(r["sent"] + r["to_first"]),
                "endTime": _iso(r["sent"] + r["latency"]),
                "request_duration_ms": round(1e3 * r["latency"]),
                "prompt_tokens": r["prompt"],
                "completion_tokens": r["output"],
                "model_group": "qwen3-8b",
                "request_tags": json.dumps([r["task"], "team-a"]),
                "status": "success",
                "metadata": json.dumps({"usage_object": usage}),
                "proxy_server_request": json.dumps({"thinking_token_budget": BUDGET}),
            }
        )
    writer.writerow(
        dict.fromkeys(names, "")
        | {"request_id": "x", "startTime": _iso(START), "status": "failure"}
    )
    return stream.getvalue()


def opentelemetry() -> str:
    """OTLP as the file exporter writes it, with a span of a tool between."""
    spans = []
    for r in rows():
        spans.append(
            {
                "name": "chat",
                "startTimeUnixNano": str(round(r["sent"] * 1e9)),
                "endTimeUnixNano": str(round((r["sent"] + r["latency"]) * 1e9)),
                "attributes": [
                    {"key": "task", "value": {"stringValue": r["task"]}},
                    {"key": "gen_ai.usage.input_tokens", "value": {"intValue": str(r["prompt"])}},
                    {"key": "gen_ai.usage.output_tokens", "value": {"intValue": str(r["output"])}},
                    {
                        "key": "gen_ai.usage.reasoning.output_tokens",
                        "value": {"intValue": str(r["thoughts"])},
                    },
                    {"key": "gen_ai.latency.e2e", "value": {"doubleValue": r["latency"]}},
                    {
                        "key": "gen_ai.latency.time_to_first_token",
                        "value": {"doubleValue": r["to_first"]},
                    },
                    {"key": "gen_ai.latency.time_in_queue", "value": {"doubleValue": r["waited"]}},
                ],
            }
        )
    spans.insert(2, {"name": "tool", "startTimeUnixNano": "1", "endTimeUnixNano": "2"})
    scope = {"scopeSpans": [{"scope": {"name": "vllm"}, "spans": spans}]}
    return json.dumps({"resourceSpans": [scope]}) + "\n"


def inspect_ai() -> str:
    """An evaluation of one task at one budget."""
    samples = []
    for number, r in enumerate(rows()):
        content = [{"type": "text", "text": "4"}]
        if r["thoughts"]:
            content.insert(0, {"type": "reasoning", "reasoning": THOUGHT})
        usage = {
            "input_tokens": r["prompt"],
            "output_tokens": r["output"],
            "reasoning_tokens": r["thoughts"],
        }
        samples.append(
            {
                "id": number, "epoch": 1,
                "scores": {"match": {"value": "C" if r["right"] else "I"}},
                "output": {"choices": [{"message": {"role": "assistant", "content": content}}]},
                "model_usage": {"vllm/Qwen3-8B": usage},
                "started_at": _iso(r["sent"]),
                "working_time": r["latency"], "total_time": r["latency"],
            }
        )  # fmt: skip
    about = {
        "task": "inspect_evals/chat", "model": "vllm/Qwen3-8B",
        "model_generate_config": {"reasoning_tokens": BUDGET},
    }  # fmt: skip
    return _json({"version": 2, "status": "success", "eval": about, "samples": samples})


def lm_eval() -> str:
    """Samples with two filters a question."""
    lines = []
    for number, r in enumerate(rows()):
        for name, right in (("strict-match", r["right"]), ("flexible-extract", r["right"])):
            lines.append(
                {
                    "doc_id": number, "filter": name, "resps": [["4"]], "filtered_resps": ["4"],
                    "metrics": ["exact_match"], "exact_match": float(right),
                }
            )  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines)


def blis() -> str:
    """A trace with a request that timed out."""
    names = (
        "request_id", "slo_class", "input_tokens", "output_tokens", "reason_ratio",
        "arrival_time_us", "send_time_us", "first_chunk_time_us", "last_chunk_time_us",
        "num_chunks", "status", "error_message",
    )  # fmt: skip
    lines = [",".join(names)]
    for number, r in enumerate(rows()):
        sent = round((r["sent"] - START) * 1e6)
        first = sent + round(r["to_first"] * 1e6)
        last = sent + round(r["latency"] * 1e6)
        ratio = r["thoughts"] / r["output"]
        cells = (
            number, r["task"], r["prompt"], r["output"], f"{ratio:.6f}", sent, sent, first, last,
            r["output"], "ok", "",
        )  # fmt: skip
        lines.append(",".join(map(str, cells)))
    lines.append("6,chat,5,0,0,14000000,14000000,0,0,0,timeout,too slow")
    return "\n".join(lines) + "\n"


SAMPLES = {
    "vllm_bench.json": vllm,
    "sglang_bench.jsonl": sglang,
    "guidellm.json": guidellm,
    "profile_export.jsonl": aiperf,
    "per_request_lifecycle_metrics.json": inference_perf,
    "litellm_spend_logs.csv": litellm,
    "otlp_spans.json": opentelemetry,
    "inspect_chat.json": inspect_ai,
    "samples_chat_2026-11-01T10-00-00.000000.jsonl": lm_eval,
    "blis_trace.csv": blis,
}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, write in SAMPLES.items():
        (FOLDER / name).write_text(write(), encoding="utf-8")
