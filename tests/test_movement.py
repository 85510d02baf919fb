"""Budgets fall with the arrival rate, for any concave curves; little else is monotone."""

import itertools

import numpy as np
import pytest
from tests.workloads import QWEN, plain_workload

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.workload import Curve, Hill, PowerLaw

BOOK = tq.Workload.from_toml(QWEN)


def random_grid(types: int, count: int, seed: int) -> tuple[tq.Workload, dict[str, Array]]:
    """Parameters of many random servers, as solve_grid takes them."""
    g = np.random.default_rng(seed)
    size = (count, types)
    share = g.dirichlet(np.ones(types), count)
    base = 10 ** g.uniform(-3, 0.5, size)
    idle = (share * base).sum(axis=-1)
    return plain_workload(seed, types), {
        "share": share,
        "gain": g.uniform(0, 0.9, size),
        "rate": 10 ** g.uniform(-5, -2, size),
        "baseline": np.zeros(size),
        "base_time": base,
        "time_per_token": 10 ** g.uniform(-3, -1, size),
        "max_tokens": 10 ** g.uniform(2, 6, size),
        "arrival_rate": 10 ** g.uniform(-4, -0.1, count) / idle,
        "accuracy_weight": 10 ** g.uniform(1, 5, count),
    }


def both(types: int, more: float, of: str) -> tuple[tq.GridSolution, tq.GridSolution, Array]:
    """Optima of many servers before and after one parameter has grown."""
    workload, grid = random_grid(types, 2500, types)
    before = tq.solve_grid(workload, **grid)
    after = tq.solve_grid(workload, **(grid | {of: grid[of] * more}))
    # what a gap of 1e-9 s may do to a budget: J is at least this strongly concave near the optimum
    return before, after, 1e-3 * (1 + before.tokens)


@pytest.mark.parametrize("types", [1, 2, 4])
@pytest.mark.parametrize("more", [1.05, 1.2])
def test_budgets_fall_as_traffic_grows(types: int, more: float) -> None:
    before, after, blur = both(types, more, "arrival_rate")
    assert (after.tokens <= before.tokens + blur).all()
    assert (after.tokens < before.tokens - blur).any(axis=1).mean() > 0.3


def test_load_does_not_always_rise_with_traffic_nor_budgets_with_worth() -> None:
    """The negative controls: two statements that look as plausible, and are false."""
    before, after, _ = both(4, 1.2, "arrival_rate")
    assert (after.utilization < before.utilization - 1e-6).any()
    before, after, blur = both(4, 1.2, "accuracy_weight")
    assert (after.tokens < before.tokens - blur).any()


def test_accuracy_and_latency_rise_with_the_worth_of_accuracy() -> None:
    before, after, _ = both(4, 1.2, "accuracy_weight")
    assert (after.mean_accuracy >= before.mean_accuracy - 1e-7).all()
    assert (after.mean_system_time >= before.mean_system_time * (1 - 1e-6) - 1e-6).all()


def kinked_optimum(slack: float, server: dict[str, Array]) -> tuple[float, Array]:
    """Optimal service times under concave piecewise linear curves, and the rate they belong to.

    With μ₂ = 1/z given, μ₁ = 1 + M/2z² is the fixed point of a decreasing function; then
    λ = 1/(z + m), whatever it may be.
    """
    share, base, lengths, slopes = (server[k] for k in ("share", "base", "lengths", "slopes"))
    knots = base[:, None] + np.concatenate(
        [np.zeros((len(base), 1)), np.cumsum(lengths, axis=1)], axis=1
    )

    def reply(mu: float) -> Array:
        # on each piece the maximiser of slope·s − μ₁s − s²/2z; the first one inside or at its end
        best = base.copy()
        for piece in range(slopes.shape[1]):
            top = np.clip(slack * (slopes[:, piece] - mu), knots[:, piece], knots[:, piece + 1])
            best = np.where(best >= knots[:, piece], np.maximum(best, top), best)
        return best

    low, high = 1.0, 1 + float(share @ knots[:, -1] ** 2) / (2 * slack**2)
    for _ in range(90):
        middle = (low + high) / 2
        excess = 1 + float(share @ reply(middle) ** 2) / (2 * slack**2) - middle
        low, high = (middle, high) if excess > 0 else (low, middle)
    s = reply(high)
    return 1 / (slack + float(share @ s)), s


@pytest.mark.parametrize("seed", range(12))
def test_budgets_fall_for_curves_with_kinks(seed: int) -> None:
    g = np.random.default_rng(seed)
    types, pieces = 4, 5
    server = {
        "share": g.dirichlet(np.ones(types)),
        "base": g.uniform(0, 1, types),
        "lengths": g.exponential(2, (types, pieces)),
        "slopes": np.sort(10 ** g.uniform(0, 2, (types, pieces)), axis=1)[:, ::-1],
    }
    path = [kinked_optimum(z, server) for z in np.geomspace(0.05, 100, 40)]
    rates, times = np.array([p[0] for p in path]), np.array([p[1] for p in path])
    assert (np.diff(rates) < 0).all()
    assert (np.diff(times, axis=0) >= -1e-9).all()


def test_an_s_shaped_curve_breaks_it() -> None:
    """The negative control: where one type gives up, the other gets its time."""
    grid = np.linspace(0, 20, 201)
    curves = 60 * grid**4 / (8**4 + grid**4), 60 * (1 - np.exp(-grid / 4))
    share = np.array([0.5, 0.5])

    def best(rate: float) -> tuple[float, float]:
        first, second = grid[:, None], grid[None, :]
        m = share[0] * first + share[1] * second
        square = share[0] * first**2 + share[1] * second**2
        y = 1 - rate * m
        time = np.where(y > 0, m + rate * square / (2 * np.where(y > 0, y, 1)), np.inf)
        height = share[0] * curves[0][:, None] + share[1] * curves[1][None, :] - time
        i, j = np.unravel_index(int(np.argmax(height)), height.shape)
        return float(grid[i]), float(grid[j])

    budgets = [best(rate) for rate in np.linspace(0.1, 0.14, 9)]
    assert any(later[1] > earlier[1] + 0.5 for earlier, later in itertools.pairwise(budgets))


PARADOX_OF_LOAD = tq.Workload.from_arrays(
    share=[0.99, 0.01],
    gain=[0.5, 0.14],
    rate=[1e-4, 2e-4],
    baseline=0.0,
    base_time=[0.02, 2.8],
    time_per_token=[0.057, 0.004],
    arrival_rate=2.0,
    accuracy_weight=48_000.0,
)
PARADOX_OF_WORTH = tq.Workload.from_arrays(
    share=[0.73, 0.20, 0.07],
    gain=[0.85, 0.11, 0.28],
    rate=[0.00013, 0.0015, 0.0019],
    baseline=0.0,
    base_time=[0.01, 0.24, 0.57],
    time_per_token=[0.006, 0.009, 0.030],
    arrival_rate=0.6,
    accuracy_weight=8000.0,
)


def test_more_traffic_can_lower_the_load() -> None:
    loads = tq.solve_grid(PARADOX_OF_LOAD, arrival_rate=[2.0, 2.05, 2.1]).utilization
    assert loads == pytest.approx([0.5258, 0.5147, 0.5035], abs=1e-4)


def test_more_worth_can_take_tokens_from_two_types_of_three() -> None:
    alpha = PARADOX_OF_WORTH.accuracy_weight
    ends = tq.solve_grid(PARADOX_OF_WORTH, accuracy_weight=[alpha, 1.01 * alpha], gap=1e-13)
    change = np.diff(ends.tokens, axis=0)[0]
    assert change[0] > 0.1
    assert (change[1:] < -0.01).all()


@pytest.mark.parametrize("seed", range(10))
def test_range_holds_between_its_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, 4)
    low, high = 0.5 * workload.arrival_rate, workload.arrival_rate
    fewest, most = tq.budget_range(workload, lowest=low, highest=high)
    inside = tq.solve_grid(workload, arrival_rate=rng.uniform(low, high, 20)).tokens
    blur = 1e-4 * (1 + most)
    assert (fewest - blur <= inside).all()
    assert (inside <= most + blur).all()
    assert (fewest < most).any()


def test_range_refuses_what_is_none() -> None:
    with pytest.raises(tq.WorkloadError, match=r"highest is 0\.01/s, .* below lowest, 0\.02/s"):
        tq.budget_range(BOOK, lowest=0.02, highest=0.01)
    with pytest.raises(tq.WorkloadError, match="lowest"):
        tq.budget_range(BOOK, lowest=float("nan"), highest=0.01)
    with pytest.raises(tq.WorkloadError, match="arrival_rate"):
        tq.budget_range(BOOK, lowest=0.0, highest=0.01)
    with pytest.raises(tq.UnstableError):
        tq.budget_range(BOOK, lowest=0.01, highest=100.0)
    late = one_type(Hill(gain=0.8, midpoint=3000.0, steepness=4.0))
    with pytest.raises(tq.WorkloadError, match="not concave"):
        tq.budget_range(late, lowest=0.001, highest=0.002)
    other = BOOK.replace(server=tq.ProcessorSharing())
    with pytest.raises(tq.WorkloadError, match="budgets fall as traffic grows holds for Fifo"):
        tq.budget_range(other, lowest=0.01, highest=0.02)


def one_type(accuracy: Curve) -> tq.Workload:
    return tq.Workload.from_arrays(
        share=[1.0],
        accuracy=[accuracy],
        base_time=0.1,
        time_per_token=0.012,
        arrival_rate=0.002,
        accuracy_weight=600.0,
    )


def test_range_of_a_power_law() -> None:
    workload = one_type(PowerLaw(gain=0.6, rate=1e-3, exponent=0.6))
    fewest, most = tq.budget_range(workload, lowest=0.001, highest=0.05)
    inside = tq.solve(workload.replace(arrival_rate=0.01)).tokens
    assert fewest < inside < most
