"""Without the compiler the library still imports, and says what simulation needs."""

import subprocess
import sys

import pytest


def test_simulation_without_numba_says_what_to_install():
    program = """
import sys
sys.modules["numba"] = None
import thinkqueue as tq
workload = tq.Workload.from_arrays(
    share=[1.0], gain=[0.5], rate=[1e-3], baseline=[0.0], base_time=[1.0],
    time_per_token=[0.01], arrival_rate=0.5, accuracy_weight=1.0,
)
try:
    tq.simulate(workload, [0.0], jobs=10, seed=1)
except tq.ThinkQueueError as error:
    assert "thinkqueue[simulate]" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_plain_import_does_not_load_the_compiler():
    program = "import sys, thinkqueue; sys.exit('numba' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


CALLEE = """
from thinkqueue.simulation.compiled import compiled
@compiled
def f(x):
    return x + {}
"""

CALLER = """
from callee import f
from thinkqueue.simulation.compiled import compiled
@compiled
def g(x):
    return 10 * f(x)
"""


@pytest.mark.slow
def test_the_cache_notices_an_edited_kernel_that_another_file_takes_in(tmp_path):
    (tmp_path / "caller.py").write_text(CALLER)
    program = """
from pathlib import Path
from thinkqueue.simulation import compiled
compiled.KERNELS = compiled.fingerprint(Path("."))
import caller
print(caller.g(1), sum(caller.g.stats.cache_hits.values()))
"""

    def told():
        asked = [sys.executable, "-c", program]
        done = subprocess.run(asked, check=True, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.split()

    (tmp_path / "callee.py").write_text(CALLEE.format(1))
    assert told() == ["20", "0"]
    assert told() == ["20", "1"]
    (tmp_path / "callee.py").write_text(CALLEE.format(2))
    assert told() == ["30", "0"]
