"""What a wrong parameter costs: against J itself, the bound on it, and the safe side."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import WorkloadError
from workloads import QWEN, plain_workload

FACTORS = [0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0]


@pytest.mark.parametrize("parameter", ["arrival_rate", "accuracy_weight", "time_per_token", "rate"])
def test_the_loss_is_what_it_says_and_below_its_bound(parameter):
    for seed in range(5):
        w = plain_workload(seed)
        best = tq.solve(w)
        told = tq.misjudged(w, parameter, FACTORS)
        assert told.regret[3] <= 1e-9 * (1 + abs(best.objective))
        for r, factor in enumerate(FACTORS):
            if not np.isfinite(told.tokens[r]).all():
                continue
            believed = w.replace(**{parameter: factor * getattr(w, parameter)})
            ell = tq.solve(believed).tokens
            if tq.utilization(w, ell) >= 1:
                assert told.regret[r] == np.inf
                continue
            lost = best.objective - float(tq.objective(w, ell))
            assert told.regret[r] == pytest.approx(lost, abs=1e-7 * (1 + abs(lost)))
            assert told.regret[r] <= told.bound[r] + 1e-9 * (1 + abs(best.objective))
        off = np.abs(np.log(FACTORS))
        for side in (told.regret[3::-1], told.regret[3:]):
            assert (np.diff(side[np.isfinite(side)]) >= -1e-9).all()
        assert off[3] == 0


@pytest.mark.parametrize("parameter", ["arrival_rate", "time_per_token"])
def test_believed_too_high_never_costs_more_than_thinking_is_worth(parameter):
    for seed in range(20):
        w = plain_workload(seed)
        best = tq.solve(w)
        idle = np.zeros(len(w))
        worth = w.accuracy_weight * (best.mean_accuracy - float(tq.mean_accuracy(w, idle)))
        told = tq.misjudged(w, parameter, [1.5, 5.0, 50.0])
        lost = told.regret[np.isfinite(told.tokens).all(axis=1)]
        assert (lost <= worth + 1e-9).all()
        assert (
            told.utilization[np.isfinite(told.tokens).all(axis=1)] <= best.utilization + 1e-9
        ).all()


def test_believed_too_low_overloads():
    # negative control: the same claim about the other side is false on the book's own server
    w = tq.Workload.from_toml(QWEN)
    told = tq.misjudged(w, "time_per_token", [0.25, 0.5, 2.0])
    assert told.regret[0] == np.inf
    assert told.utilization[0] > 1
    assert told.regret[1] > 10 * told.regret[2]


def test_what_is_no_parameter_is_refused():
    w = plain_workload(0)
    with pytest.raises(WorkloadError, match="must be one of"):
        tq.misjudged(w, "share", 2.0)
    with pytest.raises(WorkloadError, match="positive"):
        tq.misjudged(w, "rate", [1.0, -1.0])
