"""Each package that only an extra brings is named in one sentence where it is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What needs a package, the package, and the extra that brings it.
NEEDS = {
    "tq.simulate(workload, tokens, jobs=10, seed=1)": ("Numba", "simulate"),
    "tq.certify(workload, tokens)": ("python-flint", "certify"),
    "tq.prove_concavity(workload)": ("python-flint", "certify"),
    "tq.read_measurements(parquet)": ("pyarrow", "calibrate"),
    "draw_series({})": ("matplotlib", "book"),
    "use_book_style()": ("matplotlib", "book"),
    "engine(model=Path('pyproject.toml')).__enter__()": ("xllamacpp", "live"),
    "cluster('tcp://127.0.0.1:1').__enter__()": ("distributed", "cluster"),
}
PROGRAM = """
import json, sys
from pathlib import Path
for name in ("numba", "flint", "pandas", "pyarrow", "matplotlib", "dask", "distributed", "tqdm",
             "xllamacpp"):
    sys.modules[name] = None
import thinkqueue as tq
from thinkqueue.book.figures import use_book_style
from thinkqueue.calibration.figures import draw_series
from thinkqueue.executors import cluster
from thinkqueue.live.engine import engine
workload = tq.Workload.from_toml("data/workloads/qwen3-8b.toml")
tokens = tq.solve(workload).tokens
said, parquet = {}, sys.argv[2]
for call in json.loads(sys.argv[1]):
    try:
        eval(call)
    except tq.ThinkQueueError as error:
        said[call] = str(error)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one interpreter without any of the packages says to each call."""
    parquet = tmp_path_factory.mktemp("extras") / "table.parquet"
    parquet.touch()
    calls = json.dumps(list(NEEDS))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, calls, str(parquet)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("call", NEEDS)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    said: dict[str, str], call: str
) -> None:
    package, extra = NEEDS[call]
    (line,) = said[call].splitlines()
    assert package in line
    assert f"pip install 'thinkqueue[{extra}]'" in line
