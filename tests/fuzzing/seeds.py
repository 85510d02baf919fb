"""What is well formed, for each door: where all damage starts."""

from __future__ import annotations

from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
WORKLOADS = sorted((DATA / "workloads").glob("*.toml"))
QWEN = str(DATA / "workloads" / "qwen3-8b.toml")

#: Servers and curves that no file of data/workloads has.
_MORE = """\
arrival_rate = 0.1
accuracy_weight = 30.0

[server]
kind = "priority"
order = ["b", "a"]

[[task]]
name = "a"
share = 0.5
base_time = 0.1
time_per_token = 0.01
variation = 0.5
max_tokens = 4096
weight = 2
accuracy = { kind = "hill", gain = 0.5, midpoint = 300.0, steepness = 1.5, baseline = 0.1 }

[[task]]
name = "b"
share = 0.5
base_time = 0.1
time_per_token = 0.01
accuracy = { kind = "interpolated", tokens = [0, 100, 1000], accuracy = [0.1, 0.5, 0.6] }
"""
_MIXED = """\
arrival_rate = 0.1
accuracy_weight = 30.0

[[task]]
name = "a"
share = 0.5
gain = 0.5
rate = 1e-3
baseline = 0.1
base_time = 0.1
time_per_token = 0.01

[[task]]
name = "b"
share = 0.5
base_time = 0.1
time_per_token = 0.01
accuracy = { kind = "logistic", intercept = -9.0, steepness = 1.4 }
"""
_TABLE = """\
arrival_rate = 0.1
accuracy_weight = 30.0

[server]
kind = "batching"
token_time = { queries = [1, 2, 8], seconds = [0.01, 0.012, 0.02] }
max_batch = 8

[[task]]
name = "a"
share = 1.0
gain = 0.5
rate = 1e-3
baseline = 0.1
answer_tokens = 20
prompt_time = 0.1
prompt_tokens = 300
"""

_TIMES = (
    "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03.9799600,4808\n2023-11-16 18:17:04.0319469,3180\n"
    "2023-11-16 18:17:04.0778490+01:00,110\n",
    "time\n0\n1.5\n2\n7e3\n",
    "arrival_time,x\n1700000000000,a\n1700000000123,b\n1700000009999,c\n",
    "timestamp\n1700000000123456789\n1700000000123456799\n1700000001123456789\n",
)

_MEASUREMENTS = (
    "task,budget,correct,total\nA,0,10,100\nA,100,30,100\nA,1000,50,100\nA,4000,55,100\n",
    "task;tokens;accuracy;total;latency\nA;0;0,1;100;1,5\nA;500;0,5;100;2,5\nA;900;0,6;100;3\n",
    "task\tbudget\tcorrect\ttokens\nA\t0\t1\t5\nA\t100\t0\t90\n\nB\t0\t0\t0\nB\t10\t1\t9\n",
)

_FRAGMENTS = (
    "lambda=0.3&tokens=best",
    "preset=qwen3-8b&server=batching&token_time=0.02,0.001&tokens=100,200,0,50,1000",
    "name=a,b%2Cc&share=0.5,0.5&gain=0.4,0.3&rate=0.001,0.002&baseline=0,0.1&base_time=0.1,0.1&time_per_token=0.01,0.02&max_tokens=4096,9e9&tokens=12",
    "alpha=1e30&lambda=1e-30",
)

_COMMANDS = (
    f"solve\n{QWEN}",
    f"solve\n{QWEN}\n--arrival-rate\n0.05\n--plot",
    f"solve\n{QWEN}\n--mean-time\n30\n--json",
    f"compare\n{QWEN}\n--today\n2048\n--json",
    f"compare\n{QWEN}\n--today\n1024,2048,8192,8192,4096",
    f"export\n{QWEN}\n--system\nvllm\n--json",
    f"export\n{QWEN}\n--system\nopenai\n--level\nlow=500\n--level\nhigh=4000",
    f"export\n{QWEN}\n--system\nsglang\n--output\nrouter.py",
    f"plan\n{QWEN}\n--mean-time\n30\n--accuracy\n0.5",
    "calibrate\nmissing.csv\n--accuracy-weight\n600",
    "--version",
)


def _texts(*texts: str) -> list[bytes]:
    return [text.encode() for text in texts]


@cache
def seeds(door: str) -> tuple[bytes, ...]:
    """Return what is well formed at a door."""
    if door == "workload":
        return (*(path.read_bytes() for path in WORKLOADS), *_texts(_MORE, _MIXED, _TABLE))
    if door in ("measurements", "parquet"):
        own = [path.read_bytes() for path in sorted((DATA / "measurements").glob("qwen3-8b*.csv"))]
        return tuple(_texts(*_MEASUREMENTS)) + (tuple(own) if door == "measurements" else ())
    if door == "log":
        samples = sorted((ROOT / "tests" / "readers" / "samples").iterdir())
        return tuple(path.read_bytes() for path in samples)
    if door == "trace":
        return tuple(_texts(*_TIMES))
    if door == "records":
        names = ("statistics.csv", "dispersion.csv", "models.csv", "outcomes.csv")
        parts = [(DATA / "arrivals" / name).read_bytes() for name in names]
        return (b"\0".join(parts),)
    if door == "reference":
        files = sorted((DATA / "reference").glob("*.json"), key=lambda path: path.stat().st_size)
        return tuple(path.read_bytes() for path in files[:3])
    if door == "command":
        return tuple(_texts(*_COMMANDS))
    if door == "paste":
        return tuple(path.read_bytes() for path in WORKLOADS)
    assert door == "fragment", door
    return tuple(_texts(*_FRAGMENTS))
