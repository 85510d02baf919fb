"""Ctrl-C in the middle of the compiled pass: what was gathered comes back."""

import signal
import subprocess
import sys
import time

import pytest

from workloads import QWEN

PROGRAM = f"""
import signal, sys, thinkqueue as tq
# a shell starts its background jobs deaf to Ctrl-C, and they would pass that on
signal.signal(signal.SIGINT, signal.default_int_handler)
workload = tq.Workload.from_toml({str(QWEN)!r})
tokens = tq.solve(workload).tokens
tq.simulate(workload, tokens, jobs=100, seed=1)
print("ready", flush=True)
run = tq.simulate(workload, tokens, jobs=10**11, seed=1)
assert run.interrupted
assert 0 < run.queries < 10**11
assert run.mean_system_time.half_width < 5
print("gathered", flush=True)
"""


@pytest.mark.slow
def test_a_signal_ends_the_run_and_keeps_what_it_found():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True
    ) as run:
        try:
            assert run.stdout.readline() == "ready\n"
            time.sleep(1.0)
            run.send_signal(signal.SIGINT)
            told, _ = run.communicate(timeout=60)
        finally:
            run.kill()
    assert told == "gathered\n"
    assert run.returncode == 0
