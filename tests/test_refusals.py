"""What the core refuses, in a sentence that says what would do; and where nobody waits at all."""

import sys

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.delay import delay_of
from thinkqueue.delay.several import SeveralServers, first_to_end, line_of_equal_times
from thinkqueue.delay.two_moments import MeanOnly, TwoMoments
from thinkqueue.objective import saturating
from thinkqueue.proofs.balls import import_flint
from thinkqueue.targets.rations import under_mean
from thinkqueue.waiting_time.bounds import tail_bound
from workloads import QWEN

BATCHING = QWEN.with_name("qwen3-8b-batching.toml")
HILL = tq.Hill(0.5, 4000.0, 3.0)


def qwen(**changes):
    return tq.Workload.from_toml(QWEN).replace(**changes)


def varying(**changes):
    w = qwen()
    return w.replace(service=tq.Varying(w.base_time, w.time_per_token, np.ones(5)), **changes)


def growing():
    """Batching where a token takes longer the more context there is, and curves with a bend."""
    w = tq.Workload.from_toml(BATCHING)
    step = w.server.token_time
    server = tq.Batching(tq.TokenTime(step.base, step.per_query, 5e-8))
    return w.replace(server=server, accuracy=HILL)


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        (lambda: tq.mean_system_time(varying(server=tq.ShortestFirst()), np.ones(5)), "by rank"),
        (
            lambda: tq.mean_system_time(
                varying(server=SeveralServers(2, "boxma-cohen-huffels")), np.ones(5)
            ),
            "lee-longton",
        ),
        (lambda: tq.service_moments(tq.Workload.from_toml(BATCHING), np.ones(5)), "mean_type_time"),
        (lambda: tq.mean_type_time(qwen(server=SeveralServers(2)), np.ones(5)), "per_type"),
        (lambda: saturating(qwen(accuracy=HILL)), "saturating curves only"),
        (lambda: under_mean(growing(), delay_of(growing().server), 60.0), "concave"),
        (lambda: tq.curvature_bound(varying(), np.zeros(5)), "certain service times"),
        (lambda: tq.least_accuracy_weight(qwen(), "none"), "No task type"),
        (lambda: tq.least_accuracy_weight(qwen(), 9), "no task type 9"),
        (lambda: tq.least_accuracy_weight(qwen(max_tokens=[0, 1, 1, 1, 1]), 0), "at all"),
        (
            lambda: tq.enclose_waiting_time_tail(qwen(), np.zeros(5), 1.0, width=0),
            "cannot be summed to a width",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(asks, says):
    with pytest.raises(tq.ThinkQueueError, match=says) as caught:
        asks()
    assert "\n" not in str(caught.value)


def test_balls_without_flint_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(tq.ThinkQueueError, match="pip install 'thinkqueue"):
        import_flint()


@pytest.mark.parametrize("kind", [TwoMoments, MeanOnly])
def test_a_server_of_ones_own_without_its_formula_is_told_so(kind):
    class Mine(kind):
        """Nothing of its own."""

    with pytest.raises(TypeError, match="Mine has no formula; define it"):
        Mine().formula(1.0, 1.0)


def nobody_served():
    """Services that take no time: nobody ever waits."""
    return qwen(base_time=0.0)


def test_where_services_take_no_time_nobody_waits():
    w, nothing = nobody_served(), np.zeros(5)
    bound = tail_bound(w, nothing)
    assert bound.decay_rate == np.inf
    assert bound.lower([-1.0, 0.0, 3.0]).tolist() == [1.0, 0.0, 0.0]
    assert tq.enclose_waiting_time_tail(w, nothing, 0.0) == (0.0, 0.0)
    assert tq.system_time_quantile(w, nothing, [0.5, 0.99]).tolist() == [0.0, 0.0]


def test_several_servers_without_work():
    assert line_of_equal_times(3, 0.0) == (0.0, 0.0)
    mean, slope = first_to_end(np.array([0.4, 0.6]), np.zeros(2), 3)
    assert (mean, slope.tolist()) == (0.0, [0.0, 0.0])
    server = SeveralServers(2, "kimura")
    idle = qwen(server=server, arrival_rate=1e-12)
    time = float(tq.mean_system_time(idle, np.zeros(5)))
    assert time == pytest.approx(float(idle.share @ idle.base_time), rel=1e-15)
