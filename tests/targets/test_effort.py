"""What only makes a search slow is a fault as well: how many models it may take."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.targets.tangents import Limits, Optimum, Tangents
from workloads import plain_workload


@pytest.mark.slow
def test_targets_take_few_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this was written they took 399 and 114."""
    model, taken = Tangents.model, []

    def counted(tangents: Tangents, limits: Limits, most: np.ndarray) -> Optimum:
        taken.append(len(limits.room))
        return model(tangents, limits, most)

    monkeypatch.setattr(Tangents, "model", counted)
    cases = []
    for seed in range(3):
        w = plain_workload(seed, types=4)
        d = 1.2 * float(tq.service_time(w, tq.solve(w).tokens).max())
        cases += [(w, d, count_delay) for count_delay in (False, True)]
    for w, d, count_delay in cases:
        for target in (tq.TypeTailTarget(d, 0.01), tq.WaitingTarget(d / 2, 0.01)):
            tq.solve_target(w, target, count_delay=count_delay)
    assert len(taken) <= 440
    taken.clear()
    for w, d, count_delay in cases:
        tq.solve_target(w, tq.TailTarget(d, 0.01), count_delay=count_delay)
    assert len(taken) <= 130
