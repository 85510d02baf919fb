"""Without the compiler the library still imports, and says what simulation needs."""

import subprocess
import sys


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
