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
from typing import NamedTuple
from thinkqueue.simulation.compiled import compiled
class {name}(NamedTuple):
    step: int
Length = {name}
@compiled
def f(x, step):
    return x + {factor} * step.step
"""

CALLER = """
from callee import Length, f
from thinkqueue.simulation.compiled import compiled
@compiled
def g(x, step):
    return 10 * f(x, step)
print(g(1, Length(1)), sum(g.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_the_cache_notices_an_edited_kernel_that_another_file_takes_in(tmp_path):
    def told(factor, name="Step"):
        (tmp_path / "callee.py").write_text(CALLEE.format(factor=factor, name=name))
        asked = [sys.executable, "caller.py"]
        done = subprocess.run(asked, check=True, cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.split()

    (tmp_path / "caller.py").write_text(CALLER)
    assert told(1) == ["20", "0"]
    assert told(1) == ["20", "1"]
    assert told(2) == ["30", "0"]
    # a kernel's index cannot even be read once a type that it names has another name
    assert told(2, "Stride") == ["30", "0"]
    assert told(2, "Stride") == ["30", "1"]
