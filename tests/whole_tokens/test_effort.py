"""What only makes a search slow, or miscounts its work, is a fault as well."""

from __future__ import annotations

import pytest

import thinkqueue as tq
from thinkqueue.whole_tokens import load_search
from thinkqueue.whole_tokens.choices import Choices
from workloads import LINE, batching_workload, plain_workload

MENU = [0, 100, 300, 1000, 3000, 9000]


def cases() -> list[Choices]:
    plain = [plain_workload(seed, types) for types in (3, 6) for seed in range(6)]
    batching = [batching_workload(tq.Batching(LINE), arrival_rate=r) for r in (0.05, 0.3)]
    return [Choices.of(w, MENU) for w in plain + batching]


@pytest.mark.slow
def test_searches_by_load_take_as_much_work_as_they_did() -> None:
    """In nodes, one a type and sweep: as many as when this was written, a tenth aside."""
    taken = 0
    for choices in cases():
        found = load_search.search(choices, 0 * choices.count, node_limit=10**9)
        assert found.proven
        taken += found.nodes
    assert taken == pytest.approx(437_568, rel=0.1)
