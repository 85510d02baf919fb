"""Two laws by hand: their errors shrink at the stated order, with other constants they do not."""

import numpy as np
import pytest
from tests.workloads import QWEN, plain_workload

import thinkqueue as tq

BOOK = tq.Workload.from_toml(QWEN)


def order(errors: np.ndarray, scale: float) -> float:
    """By which power of the parameter the error falls over the last step."""
    return float(np.log(errors[-1] / errors[-2]) / np.log(scale))


def free_workload(seed: int) -> tq.Workload:
    """A server on whose idle optimum every type thinks, below its cap."""
    workload = plain_workload(seed, 4).replace(max_tokens=1e6)
    first = workload.time_per_token / (workload.gain * workload.rate)
    return workload.replace(accuracy_weight=float(3 * first.max()))


@pytest.mark.parametrize("seed", range(10))
def test_light_traffic_errs_in_the_second_order(seed: int) -> None:
    workload = free_workload(seed)
    rates = 1e-5 * np.array([1, 0.3])
    law = np.array([tq.light_traffic_tokens(workload.replace(arrival_rate=x)) for x in rates])
    found = tq.solve_grid(workload, arrival_rate=rates, gap=1e-14, throw=False)
    idle = tq.light_traffic_tokens(workload.replace(arrival_rate=1e-30))
    scale = workload.rate
    errors = np.abs(scale * (found.tokens - law)).max(axis=1)
    assert order(errors, 0.3) == pytest.approx(2, abs=0.15)
    # the negative control: without its first-order term it errs in the first order
    errors = np.abs(scale * (found.tokens - idle)).max(axis=1)
    assert order(errors, 0.3) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("seed", range(20))
def test_idle_budgets_and_their_reply_enclose_the_optimum(seed: int) -> None:
    workload = plain_workload(seed, 4)
    idle = tq.light_traffic_tokens(workload.replace(arrival_rate=1e-30))
    best = tq.solve(workload, gap=1e-12, throw=False).tokens
    assert (best <= idle + 1e-3).all()
    if tq.utilization(workload, idle) < 1:
        assert (tq.fixed_point_map(workload, idle) <= best + 1e-3).all()


def test_types_that_do_not_think_stay_at_zero() -> None:
    workload = BOOK.replace(accuracy_weight=20.0, arrival_rate=1e-4)
    tokens = tq.light_traffic_tokens(workload)
    assert (tokens[1:] == 0).all()
    assert tokens == pytest.approx(tq.solve(workload).tokens, abs=0.1)
    assert (tq.light_traffic_tokens(workload.replace(accuracy_weight=0.0)) == 0).all()


def test_types_at_their_cap_stay_there() -> None:
    workload = BOOK.replace(max_tokens=500, arrival_rate=1e-4)
    assert (tq.light_traffic_tokens(workload) == 500).all()


@pytest.mark.parametrize("seed", range(10))
def test_square_root_law(seed: int) -> None:
    workload = plain_workload(seed, 4)
    # a rate at which the caps ask for far more than the server has
    busy = float(workload.share @ (workload.base_time + workload.time_per_token * 32768))
    workload = workload.replace(arrival_rate=10 / busy)
    law = tq.capacity_law(workload)
    assert tq.utilization(workload, law.tokens) == pytest.approx(1, abs=1e-9)
    slack = np.array([0.1, 0.01, 0.001])
    alpha = law.second_moment / (2 * law.price) * (workload.arrival_rate / slack) ** 2
    found = tq.solve_grid(workload, accuracy_weight=alpha, gap=1e-7)
    ratio = (1 - found.utilization) / law.slack(alpha)
    assert law.slack(alpha) == pytest.approx(slack, rel=1e-9)
    assert ratio[-1] == pytest.approx(1, abs=0.01)
    errors = np.abs(found.objective - law.objective(alpha))
    assert errors[-1] < 10 * errors[0] + 1  # bounded, while α grows ten thousandfold
    # the negative control: half the square root leaves an error that grows like it
    root = np.sqrt(2 * alpha * law.price * law.second_moment)
    wrong = np.abs(found.objective - (alpha * law.accuracy - root / 2))
    assert wrong[-1] > 50 * wrong[0]


def test_the_price_of_capacity_is_a_derivative() -> None:
    workload = BOOK.replace(arrival_rate=0.05)
    law = tq.capacity_law(workload)
    rate = workload.arrival_rate
    step = 1e-4
    near = tq.capacity_law(workload.replace(arrival_rate=rate * (1 - step)))
    seconds = 1 / (rate * (1 - step)) - 1 / rate
    assert (near.accuracy - law.accuracy) / seconds == pytest.approx(law.price, rel=1e-2)


def test_caps_that_leave_room_are_refused() -> None:
    with pytest.raises(tq.WorkloadError, match=r"fill the server to 0\.0"):
        tq.capacity_law(BOOK.replace(arrival_rate=1e-4))
    with pytest.raises(tq.WorkloadError, match="fill the server"):
        tq.capacity_law(BOOK.replace(gain=0.0))
    with pytest.raises(tq.UnstableError, match="even with no thinking"):
        tq.capacity_law(BOOK.replace(arrival_rate=100.0))


def test_caps_out_of_reach_change_no_law() -> None:
    workload = plain_workload(np.random.default_rng(3), 5)
    near, far = (tq.capacity_law(workload.replace(max_tokens=caps)) for caps in (1e9, 1e30))
    assert far.price == pytest.approx(near.price, rel=1e-12)
    assert far.tokens == pytest.approx(near.tokens, rel=1e-9)
