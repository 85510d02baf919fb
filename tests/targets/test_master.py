"""The small problem: its bound bounds, and meets what a conic solver finds."""

from __future__ import annotations

import numpy as np
import pytest

from thinkqueue.targets import master
from thinkqueue.targets.master import Gains, dual_value, maximise


def problem(seed: int) -> tuple[Gains, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    types, limits = 6, 9
    gains = Gains(
        gain=np.append(generator.uniform(0, 1, types), 0.0),
        rate=np.append(10 ** generator.uniform(-3, 2, types), 0.0),
        linear=np.append(np.zeros(types), -0.1),
        most=10 ** generator.uniform(-1, 2, types + 1),
    )
    matrix = generator.uniform(0, 1, (limits, types + 1))
    matrix[:, -1] = -generator.uniform(0, 1, limits)
    return gains, matrix, matrix @ (gains.most * generator.uniform(0.05, 0.4, types + 1)) + 0.1


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_a_conic_solver(seed: int) -> None:
    import cvxpy as cp

    gains, matrix, limit = problem(seed)
    v = cp.Variable(len(gains.gain))
    lost = gains.gain[:-1] @ cp.exp(-cp.multiply(gains.rate[:-1], v[:-1]))
    worth = gains.gain.sum() - lost + gains.linear @ v
    other = cp.Problem(cp.Maximize(worth), [matrix @ v <= limit, v >= 0, v <= gains.most])
    other.solve(solver=cp.CLARABEL)
    found = maximise(gains, matrix, limit)
    assert found.upper_bound == pytest.approx(float(other.value), abs=1e-6)
    at = found.point
    reached = float(gains.gain @ -np.expm1(-gains.rate * at) + gains.linear @ at)
    assert found.upper_bound - reached == pytest.approx(0, abs=1e-9)
    assert (matrix @ at <= limit + 1e-9).all()
    assert (found.multipliers >= 0).all()


def test_any_multipliers_bound_every_point() -> None:
    generator = np.random.default_rng(1)
    for seed in range(8):
        gains, matrix, limit = problem(seed)
        for _ in range(20):
            bound = dual_value(gains, matrix, limit, generator.exponential(0.1, len(limit)))
            inside = gains.most * generator.uniform(0, 1, (200, len(gains.most))) ** 4
            inside = inside[(inside @ matrix.T <= limit).all(axis=1)]
            worth = -np.expm1(-gains.rate * inside) @ gains.gain + inside @ gains.linear
            assert len(inside)
            assert (worth <= bound + 1e-12).all()


def test_it_takes_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only makes it slow is a fault too: 40 problems took 570 steps, none more than 25."""
    step, steps = master._Interior._step, [0]

    def counted(inner: master._Interior) -> bool:
        steps[-1] += 1
        return step(inner)

    monkeypatch.setattr(master._Interior, "_step", counted)
    for seed in range(40):
        maximise(*problem(seed))
        steps.append(0)
    assert max(steps) <= 29
    assert sum(steps) <= 640
