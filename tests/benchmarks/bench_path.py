"""The path from logs to a router, timed on three formats, and a sweep on two workers of a cluster.

One traffic is written as three tools would log it, and the commands of the last chapter are run on
each: reading and calibrating, solving, writing a router. The cluster is on loopback; in one run a
worker is killed when a quarter of the pieces is done.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import machine, record, significant
from rich.console import Console

import thinkqueue as tq
from thinkqueue.book.console import command
from thinkqueue.book.stand_in import stand_in
from thinkqueue.executors import cluster

sys.path.append(str(Path(__file__).parents[1]))
from clusters import ROOT, Cluster, same_bits

BATCHING = ROOT / "data" / "workloads" / "qwen3-8b-batching.toml"
BUDGETS = (0, 512, 1024, 2048, 4096, 8192, 16384, 32768)
QUERIES, QUESTIONS = 3_000, 250
WORKLOADS = 1_000_000


def traffic(folder: Path) -> None:
    """Write evaluations, and one traffic in three formats."""
    truth = tq.Workload.from_toml(BATCHING)
    with stand_in(truth, 15) as server:
        server.traffic(
            lambda request, task: request | {"thinking_token_budget": 8192},
            queries=QUERIES, seed=15, log=folder / "spans.json",
        )  # fmt: skip
    with stand_in(truth, 16) as server:
        for k, name in enumerate(truth.names):
            for budget in BUDGETS:
                log = folder / f"eval-{k}-{budget:05d}.json"
                server.evaluate(name, budget, questions=QUESTIONS, log=log)
    spans = json.loads((folder / "spans.json").read_text())
    (folder / "spend.json").write_text(json.dumps([_spend(span) for span in spans]))
    for k, name in enumerate(truth.names):
        own = [span for span in spans if span["attributes"]["task"] == name]
        (folder / f"bench-{k}.json").write_text(json.dumps(_bench(own)))


def _spend(span: dict[str, Any]) -> dict[str, Any]:
    attributes, sent = span["attributes"], span["start_time"]
    thoughts = attributes["gen_ai.usage.reasoning.output_tokens"]
    usage = {"completion_tokens_details": {"reasoning_tokens": thoughts}}
    return {
        "startTime": sent,
        "completionStartTime": sent + attributes["gen_ai.latency.time_to_first_token"],
        "endTime": span["end_time"],
        "completion_tokens": attributes["gen_ai.usage.output_tokens"],
        "request_tags": [attributes["task"]],
        "metadata": {"usage_object": usage},
    }


def _bench(spans: list[dict[str, Any]]) -> dict[str, Any]:
    """A run of `vllm bench serve` for one type: it counts tokens, and no thoughts."""
    every = [span["attributes"] for span in spans]
    return {
        "request_rate": 0.2,
        "input_lens": [100] * len(spans),
        "output_lens": [a["gen_ai.usage.output_tokens"] for a in every],
        "ttfts": [a["gen_ai.latency.time_to_first_token"] for a in every],
        "itls": [None] * len(spans),
        "latencies": [span["end_time"] - span["start_time"] for span in spans],
        "start_times": [span["start_time"] for span in spans],
    }


def path(folder: Path) -> list[dict[str, Any]]:
    """Time the commands on each format."""
    names = tq.Workload.from_toml(BATCHING).names
    renamed = " ".join(f'--task "bench-{k}={name}"' for k, name in enumerate(names))
    ways = [
        ("OpenTelemetry spans", "spans.json", "", "nothing, once spans carry a type"),
        ("LiteLLM spend log", "spend.json", "", "the mix is that of the first tag of a request"),
        (
            "vLLM bench serve, a file a type",
            "bench-*.json",
            f" {renamed} --answer-tokens 12",
            "files name no type (--task), thoughts are not counted (--answer-tokens)",
        ),
    ]
    found = []
    for name, files, more, stop in ways:
        lines = [
            f"thinkqueue calibrate {files} eval-*.json{more} --server batching -w 600 "
            '--accept "not identified" --accept S-shaped -o workload.toml',
            "thinkqueue compare workload.toml --today 8192",
            "thinkqueue export workload.toml --system vllm --output router.py",
        ]
        began = time.perf_counter()
        said = [command(line, folder) for line in lines]
        seconds = time.perf_counter() - began
        assert not any("[ended with status" in text for text in said), said
        requests = sum(len(tq.read_log(log)) for log in folder.glob(files))
        found.append(
            {
                "format": name, "requests": requests, "seconds": significant(seconds), "stop": stop,
            }
        )  # fmt: skip
    return found


def sweep() -> dict[str, Any]:
    """Time a sweep here, on two workers, and on two of which one is killed."""
    workload = tq.Workload.from_toml(BATCHING.with_name("qwen3-8b.toml"))
    rates = np.linspace(0.001, 0.12, WORKLOADS)

    def timed(**where: Any) -> tuple[tq.GridSolution, float]:
        began = time.perf_counter()
        return tq.solve_grid(workload, arrival_rate=rates, **where), time.perf_counter() - began

    alone, alone_seconds = timed()
    running = Cluster()
    try:
        with cluster(running.address) as pool:
            list(pool.map(abs, range(8)))  # both workers have started
            two, two_seconds = timed(executor=pool)
            pieces: list[int] = []
            victim = running.workers[1]

            def tell(done: int) -> None:
                pieces.append(done)
                if sum(pieces) > WORKLOADS / 4 and victim.poll() is None:
                    victim.send_signal(signal.SIGKILL)

            killed, killed_seconds = timed(executor=pool, report=tell)
            assert victim.poll() is not None
    finally:
        running.stop()
    return {
        "workloads": WORKLOADS,
        "pieces": len(pieces),
        "alone_seconds": significant(alone_seconds),
        "two_workers_seconds": significant(two_seconds),
        "one_killed_seconds": significant(killed_seconds),
        "same_bits": same_bits(alone, two) and same_bits(alone, killed),
    }


def main() -> None:
    """Measure everything and write it down."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        traffic(folder)
        found = {
            "machine": machine("numpy", "scipy", "dask", "distributed"),
            "formats": path(folder),
            "cluster": sweep(),
        }
    record("path", found)
    Console().print_json(json.dumps(found))


if __name__ == "__main__":
    main()
