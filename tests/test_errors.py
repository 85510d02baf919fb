"""The errors keep what they know, also on the way between processes."""

import pickle

import numpy as np
import pytest

import thinkqueue as tq
from workloads import QWEN


@pytest.mark.parametrize(
    ("fails", "attributes"),
    [
        (lambda w: w.replace(gain=2.0), ("parameter", "value", "task")),
        (lambda w: tq.solve(w.replace(arrival_rate=1e9)), ("utilization", "max_arrival_rate")),
    ],
)
def test_an_error_is_the_same_after_pickling(fails, attributes):
    with pytest.raises(tq.ThinkQueueError) as caught:
        fails(tq.Workload.from_toml(QWEN))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert type(copy) is type(caught.value)
    assert str(copy) == str(caught.value)
    for name in attributes:
        assert getattr(copy, name) == getattr(caught.value, name)


def test_the_best_allocation_travels_with_its_error():
    with pytest.raises(tq.NotConvergedError) as caught:
        tq.solve(tq.Workload.from_toml(QWEN), max_steps=1)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert np.array_equal(copy.solution.tokens, caught.value.solution.tokens)
    assert copy.solution.status is tq.Status.OUT_OF_STEPS
