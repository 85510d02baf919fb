"""How long a step along F may be: the threshold is exact, and the promised rates are kept."""

import numpy as np
import pytest
from tests.workloads import QWEN, plain_workload

import thinkqueue as tq
from thinkqueue.arrays import Array
from thinkqueue.workload import PowerLaw

BOOK = tq.Workload.from_toml(QWEN)


def feedback(workload: tq.Workload) -> float:
    """Λ by a dense eigenvalue problem, from the definition."""
    best = tq.solve(workload, gap=1e-13, throw=False).tokens
    free = (best > 0) & (best < workload.max_tokens) & (workload.share > 0)
    if not free.any():
        return 0.0
    hessian = tq.negative_hessian(workload.replace(accuracy_weight=0.0), best).dense()
    bend = workload.gain * workload.rate**2 * np.exp(-workload.rate * best)
    bend *= workload.accuracy_weight * workload.weight * workload.share
    scaled = (hessian / np.sqrt(np.outer(bend, bend)))[np.ix_(free, free)]
    return float(np.linalg.eigvalsh(scaled)[-1])


def distance_after(workload: tq.Workload, damping: float, steps: int) -> float:
    """How far from the optimum damped steps are that start near it, over the first distance."""
    best = tq.solve(workload, gap=1e-15, throw=False).tokens
    for _ in range(40):  # the fixed point itself, to the last digits
        best = best + (tq.fixed_point_map(workload, best) - best) / (3 + feedback_of_book)
    start = best * (1 + 1e-5)
    tokens = start
    for _ in range(steps):
        tokens = tokens + damping * (tq.fixed_point_map(workload, tokens) - tokens)
    scale = workload.rate
    return float(np.abs(scale * (tokens - best)).max() / np.abs(scale * (start - best)).max())


feedback_of_book = float(tq.price_feedback(BOOK))


@pytest.mark.parametrize("seed", range(40))
def test_feedback_is_the_largest_eigenvalue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(1, 9)))
    assert float(tq.price_feedback(workload)) == pytest.approx(feedback(workload), rel=1e-4)


def test_feedback_of_a_grid_is_that_of_its_servers() -> None:
    rates, worths = np.array([0.001, 0.01, 0.1]), np.array([[10.0], [600.0]])
    table = tq.price_feedback(BOOK, arrival_rate=rates, accuracy_weight=worths)
    assert table.shape == (2, 3)
    for (i, j), value in np.ndenumerate(table):
        server = BOOK.replace(arrival_rate=rates[j], accuracy_weight=float(worths[i, 0]))
        assert value == pytest.approx(float(tq.price_feedback(server)), rel=1e-6)


def power_law(arrival_rate: float = 0.02) -> tq.Workload:
    """A server whose accuracy curves do not saturate exponentially."""
    return tq.Workload.from_arrays(
        share=[0.6, 0.4],
        accuracy=PowerLaw(
            gain=np.array([0.5, 0.6]), rate=np.array([1e-2, 1e-3]), exponent=np.array([0.8, 0.6])
        ),
        base_time=0.1,
        time_per_token=0.012,
        arrival_rate=arrival_rate,
        accuracy_weight=600.0,
    )


def test_feedback_of_other_curves_is_the_slope_of_their_map() -> None:
    workload = power_law()
    best = tq.solve(workload, gap=1e-14, throw=False).tokens
    step = 1e-3 * best
    slopes = [
        (tq.fixed_point_map(workload, best + d) - tq.fixed_point_map(workload, best - d)) / d.sum()
        for d in np.diag(step)
    ]
    strongest = np.abs(np.linalg.eigvals(np.array(slopes) / 2)).max()
    assert float(tq.price_feedback(workload)) == pytest.approx(strongest, rel=1e-3)


def test_other_servers_are_refused() -> None:
    with pytest.raises(tq.WorkloadError, match="The threshold of damping holds for Fifo"):
        tq.price_feedback(BOOK.replace(server=tq.ProcessorSharing()))


def test_nobody_thinks_and_nothing_feeds_back() -> None:
    assert tq.price_feedback(BOOK.replace(gain=0.0)) == 0
    assert tq.line_search_factor(BOOK.replace(gain=0.0)) == 0


def test_a_type_without_queries_is_the_limit_of_a_rare_one() -> None:
    """Its budget is iterated like any other, though nobody feels it."""
    share = np.array([0.5, 0.3, 0.2, 0.0, 0.0])
    rare = np.array([0.5, 0.3, 0.2 - 1e-9, 0.0, 1e-9])
    none, few = (BOOK.replace(share=x, gain=[0.05, 0.05, 0.05, 0, 0.9]) for x in (share, rare))
    assert float(tq.price_feedback(none)) == pytest.approx(float(tq.price_feedback(few)), rel=1e-6)
    quiet = none.replace(gain=[0.05, 0.05, 0.05, 0, 0])
    assert float(tq.price_feedback(none)) > 1.1 * float(tq.price_feedback(quiet))


def test_one_type_far_below_the_other_keeps_its_own_feedback() -> None:
    """The largest diagonal entry and the largest eigenvalue agree to the last digits."""
    two = tq.Workload.from_arrays(
        share=[1 - 1e-12, 1e-12],
        gain=[0.3, 0.6],
        rate=[3e-3, 1e-4],
        baseline=0.0,
        base_time=0.1,
        time_per_token=[0.001, 0.02],
        arrival_rate=0.02,
        accuracy_weight=600.0,
    )
    strength = float(tq.price_feedback(two))
    best = tq.solve(two)
    price = tq.queueing_price(two, best.tokens)[1]
    own = two.arrival_rate / (1 - best.utilization) * 0.02 / (1e-4 * price)
    assert strength == pytest.approx(own, rel=1e-6)


@pytest.mark.parametrize("rate", [0.01, 0.02, 0.05])
def test_threshold_is_exact(rate: float) -> None:
    """A hundredth below it the error dies out, a hundredth above it grows."""
    workload = BOOK.replace(arrival_rate=rate)
    limit = 2 / (1 + float(tq.price_feedback(workload)))
    assert distance_after(workload, 0.98 * limit, 300) < 0.05
    assert distance_after(workload, 1.02 * limit, 300) > 3


def test_half_steps_fail_where_the_book_says() -> None:
    """The negative control of the exercise: 1/2 is above the threshold at 0.02/s, below at 0.01."""
    limits = 2 / (1 + tq.price_feedback(BOOK, arrival_rate=[0.01, 0.02]))
    assert limits[1] < 0.5 < limits[0]
    assert distance_after(BOOK, 0.5, 300) > 3


@pytest.mark.parametrize("seed", range(25))
def test_plain_iteration_never_converges_beyond_one(seed: int) -> None:
    workload = plain_workload(np.random.default_rng(seed), 4)
    regime = tq.fixed_point_regimes(
        workload,
        arrival_rate=workload.arrival_rate,
        accuracy_weight=workload.accuracy_weight,
        steps=20_000,
    )
    if float(tq.price_feedback(workload)) > 1:
        assert int(regime) in (tq.Regime.OSCILLATES, tq.Regime.LEAVES)
    if int(regime) in (tq.Regime.CONTRACTS, tq.Regime.CONVERGES):
        assert float(tq.price_feedback(workload)) <= 1


def shortfalls(workload: tq.Workload, steps: int) -> Array:
    """J* − J at each step of the line search, as far as double precision resolves it."""
    best = tq.solve(workload, gap=1e-14, throw=False)
    run = tq.solve(workload, tq.ConditionalGradient(), max_steps=steps, throw=False)
    short = best.objective - np.array([step.objective for step in run.history])
    return short[short > 1e-9 * (1 + abs(best.objective))]


@pytest.mark.parametrize("seed", range(30))
def test_line_search_keeps_its_promise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(1, 7)))
    short = shortfalls(workload, 30)
    assert (short[1:] <= short[:-1] * tq.line_search_factor(workload) * (1 + 1e-6)).all()


def test_the_promise_is_worth_something_on_a_quiet_server() -> None:
    assert tq.line_search_factor(BOOK.replace(arrival_rate=1e-5)) < 0.01
    assert tq.line_search_factor(BOOK.replace(arrival_rate=1e-3)) < 0.5


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01, 0.02])
def test_local_rate_where_all_types_are_free(rate: float) -> None:
    workload = BOOK.replace(arrival_rate=rate)
    strength = float(tq.price_feedback(workload))
    short = shortfalls(workload, 40)[2:]
    assert (short[1:] <= short[:-1] * (strength / (strength + 2)) ** 2 * 1.02).all()


def test_local_rate_says_nothing_of_types_on_their_way_to_zero() -> None:
    """The negative control: at 0.1/s two types must give up what the first step gave them."""
    workload = BOOK.replace(arrival_rate=0.1)
    strength = float(tq.price_feedback(workload))
    short = shortfalls(workload, 40)
    assert (tq.solve(workload).tokens == 0).any()
    assert short[-1] / short[-2] > (strength / (strength + 2)) ** 2 * 1.1
    assert short[-1] / short[-2] <= tq.line_search_factor(workload)
