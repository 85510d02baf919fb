"""A grid of workloads is what a loop over solve would give, to the certified gaps."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import GridSolution, NotConvergedError, UnstableError, Workload, WorkloadError
from thinkqueue.workload import FIELDS
from workloads import QWEN, hard_workloads, plain_workload, plain_workloads, rounding

RECOMPUTED = ("utilization", "mean_system_time", "mean_accuracy")
SCALARS = ("objective", "upper_bound", "gap", "utilization", "mean_system_time", "mean_accuracy")


def worst_cell(grid: GridSolution, cells: list[Workload]) -> float:
    """How far cells are from what solve says of them alone, in units of what the gaps allow."""
    worst = 0.0
    for k, w in enumerate(cells):
        alone = tq.solve(w)
        blur = 2 * rounding(alone)
        index = np.unravel_index(k, grid.objective.shape)
        apart = abs(float(grid.objective[index]) - alone.objective)
        worst = max(worst, apart / (max(float(grid.gap[index]), alone.gap) + blur))
        # and the certificate is that of these tokens
        tokens = grid.tokens[index]
        assert ((tokens >= 0) & (tokens <= w.max_tokens)).all()
        assert grid.gap[index] <= 1e-9 * max(1, abs(alone.objective))
        assert abs(grid.objective[index] - tq.objective(w, tokens)) <= blur
        np.testing.assert_allclose(
            [getattr(grid, name)[index] for name in RECOMPUTED],
            [getattr(tq, name)(w, tokens) for name in RECOMPUTED],
            rtol=1e-11 + 2e-15 / (1 - alone.utilization),  # the rounding of 1 − ρ is magnified
            atol=1e-15,
        )
    return worst


def table(w: Workload, arrival_rates, accuracy_weights) -> list[Workload]:
    return [
        w.replace(arrival_rate=rate, accuracy_weight=weight)
        for rate in arrival_rates
        for weight in accuracy_weights
    ]


def test_a_table_is_a_loop():
    w = Workload.from_toml(QWEN)
    rates, weights = np.geomspace(1e-4, 1.0, 12), np.geomspace(1, 1e5, 10)
    grid = tq.solve_grid(w, arrival_rate=rates[:, None], accuracy_weight=weights)
    assert grid.tokens.shape == (12, 10, 5)
    assert all(getattr(grid, name).shape == (12, 10) for name in SCALARS)
    assert grid.stable.all()
    assert worst_cell(grid, table(w, rates, weights)) <= 1


def test_a_shifted_table_fails_that_check():
    w = Workload.from_toml(QWEN)
    rates, weights = np.geomspace(1e-3, 1e-1, 3), np.geomspace(100, 1000, 3)
    grid = tq.solve_grid(w, arrival_rate=rates[:, None], accuracy_weight=weights)
    with pytest.raises(AssertionError):
        assert worst_cell(grid, table(w, rates * 1.01, weights)) <= 1


def test_rows_that_need_very_different_numbers_of_steps():
    for w in plain_workloads(10, seed=1, types=4):
        rates = (1 - np.geomspace(1e-9, 0.999, 9)) / float(w.share @ w.base_time)
        weights = np.geomspace(1e-3, 1e7, 5)
        grid = tq.solve_grid(w, arrival_rate=rates[:, None], accuracy_weight=weights)
        assert worst_cell(grid, table(w, rates, weights)) <= 1


@pytest.mark.parametrize("types", [1, 5, 20])
def test_every_parameter_may_vary(types):
    cells = list(hard_workloads(80, seed=types, types=types))
    # from_arrays brings in each workload's own scalars too
    grid = tq.solve_grid(
        cells[0],
        arrival_rate=[w.arrival_rate for w in cells],
        accuracy_weight=[w.accuracy_weight for w in cells],
        **{field: np.array([getattr(w, field) for w in cells]) for field in FIELDS},
    )
    assert grid.tokens.shape == (80, types)
    assert worst_cell(grid, cells) <= 1


def test_more_workloads_than_a_block_and_more_types_than_a_row():
    w = plain_workload(2, 5)
    weights = np.geomspace(1, 1e4, 7000)
    grid = tq.solve_grid(w, accuracy_weight=weights)
    for k in (0, 3500, 6553, 6554, 6999):
        alone = tq.solve(w.replace(accuracy_weight=weights[k]))
        assert abs(grid.objective[k] - alone.objective) <= max(grid.gap[k], alone.gap) + 1e-9
    wide = plain_workload(3, 40_000)
    pair = tq.solve_grid(wide, accuracy_weight=[100.0, 1000.0])
    assert worst_cell(pair, [wide.replace(accuracy_weight=a) for a in (100.0, 1000.0)]) <= 1


def test_shapes_broadcast_as_numpy_has_it():
    w = plain_workload(4, 3)
    rates = w.arrival_rate * np.linspace(0.5, 1, 4)
    assert tq.solve_grid(w).objective.shape == ()
    assert tq.solve_grid(w).tokens.shape == (3,)
    assert tq.solve_grid(w, arrival_rate=rates).tokens.shape == (4, 3)
    assert tq.solve_grid(w, arrival_rate=rates[:, None, None]).gap.shape == (4, 1, 1)
    varied = tq.solve_grid(w, arrival_rate=rates, gain=np.full((2, 1, 3), 0.3))
    assert varied.tokens.shape == (2, 4, 3)
    np.testing.assert_allclose(varied.objective[0], varied.objective[1])
    assert tq.solve_grid(w, accuracy_weight=np.zeros((0, 2))).tokens.shape == (0, 2, 3)


def test_unstable_cells_are_an_error_or_marked():
    w = plain_workload(5, 3)
    limit = 1 / float(w.share @ w.base_time)
    rates = limit * np.array([0.1, 0.5, 1.0 + 1e-12, 2.0])
    with pytest.raises(UnstableError, match="part of the grid") as caught:
        tq.solve_grid(w, arrival_rate=rates)
    np.testing.assert_allclose(caught.value.utilization, 2)
    np.testing.assert_allclose(caught.value.max_arrival_rate, limit)
    grid = tq.solve_grid(w, arrival_rate=rates, throw=False)
    np.testing.assert_array_equal(grid.stable, [True, True, False, False])
    np.testing.assert_allclose(grid.utilization[2:], [1, 2], rtol=1e-9)
    assert (grid.utilization[2:] >= 1).all()
    assert np.isneginf(grid.objective[2:]).all()
    assert np.isneginf(grid.upper_bound[2:]).all()
    assert np.isposinf(grid.mean_system_time[2:]).all()
    np.testing.assert_array_equal(grid.tokens[2:], 0)
    np.testing.assert_array_equal(grid.gap[2:], 0)
    assert not any(np.isnan(getattr(grid, name)).any() for name in (*SCALARS, "tokens"))
    assert (
        worst_cell(
            GridSolution(*(getattr(grid, f)[:2] for f in grid.__dataclass_fields__)),
            [w.replace(arrival_rate=r) for r in rates[:2]],
        )
        <= 1
    )


def test_a_grid_that_is_unstable_everywhere():
    w = plain_workload(6, 3)
    grid = tq.solve_grid(w, arrival_rate=[1e6, 1e7], throw=False)
    assert not grid.stable.any()


def test_a_gap_that_cannot_be_reached_is_an_error_with_the_whole_result():
    w = Workload.from_toml(QWEN)
    weights = np.geomspace(100, 1e4, 20)
    with pytest.raises(NotConvergedError, match=r"of 20 workloads did not reach") as caught:
        tq.solve_grid(w, accuracy_weight=weights, gap=1e-300)
    grid = caught.value.solution
    assert grid.objective.shape == (20,)
    again = tq.solve_grid(w, accuracy_weight=weights, gap=1e-300, throw=False)
    np.testing.assert_array_equal(again.objective, grid.objective)
    assert (again.gap <= 1e-9 * np.maximum(1, np.abs(again.objective))).all()
    assert worst_cell(again, table(w, [w.arrival_rate], weights)) <= 1


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"lam": [1, 2]}, "no parameter 'lam'; it has share"),
        ({"names": ["a"]}, "no parameter 'names'"),
        ({"arrival_rate": [0.01, -1]}, "arrival_rate is -1"),
        ({"arrival_rate": [0.01, np.nan]}, "arrival_rate is nan"),
        ({"accuracy_weight": "high"}, "accuracy_weight is 'high'"),
        ({"arrival_rate": [True, False]}, "arrival_rate is"),
        ({"gain": [0.1, 0.2]}, r"gain has shape \(2,\).*5 task types"),
        ({"gain": 0.5}, r"gain has shape \(\)"),
        ({"gain": np.full((2, 5), 0.9)}, "gain . baseline of task type 'GSM8K' is 1.176"),
        ({"share": np.full((2, 5), 0.3)}, "add up to 1.5"),
        ({"arrival_rate": [0.01] * 3, "accuracy_weight": [1, 2]}, "do not broadcast"),
        ({"gap": float("nan")}, "gap is nan"),
    ],
)
def test_what_is_no_grid_is_refused(parameters, says):
    with pytest.raises(WorkloadError, match=says):
        tq.solve_grid(Workload.from_toml(QWEN), **parameters)
