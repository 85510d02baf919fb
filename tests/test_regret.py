"""What wrong curves cost at most: never less than it is, and not much more."""

import numpy as np
import pytest
from tests.workloads import QWEN, hard_workloads, plain_workload, rounding

import thinkqueue as tq
from thinkqueue.workload import PowerLaw

BOOK = tq.Workload.from_toml(QWEN)


def perturbed(
    workload: tq.Workload, rng: np.random.Generator, size: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Curves that might be true: gains and rates off by a random factor."""
    shape = (count, len(workload))
    gain = np.minimum(workload.gain * np.exp(size * rng.normal(size=shape)), 1 - workload.baseline)
    return gain, workload.rate * np.exp(size * rng.normal(size=shape))


@pytest.mark.parametrize("size", [0.01, 0.1, 0.5, 1.5])
@pytest.mark.parametrize("seed", range(6))
def test_never_below_the_regret(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    workload = plain_workload(rng, int(rng.integers(1, 7)))
    used = tq.solve(workload).tokens
    gain, rate = perturbed(workload, rng, size, 60)
    bound = tq.regret_bound(workload, used, gain=gain, rate=rate)
    truth = tq.solve_grid(workload, gain=gain, rate=rate)
    for i in range(60):
        kept = float(tq.objective(workload.replace(gain=gain[i], rate=rate[i]), used))
        assert bound.total[i] >= truth.objective[i] - kept - 1e-9 * (1 + abs(kept))


def test_half_of_it_would_be_too_little() -> None:
    """The negative control, and how tight it is: the median is within a factor of two."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(20):
        workload = plain_workload(rng, 5)
        used = tq.solve(workload, gap=1e-12, throw=False).tokens
        gain, rate = perturbed(workload, rng, 0.2, 20)
        bound = tq.regret_bound(workload, used, gain=gain, rate=rate).total
        truth = tq.solve_grid(workload, gain=gain, rate=rate).objective
        kept = [
            float(tq.objective(workload.replace(gain=a, rate=b), used))
            for a, b in zip(gain, rate, strict=True)
        ]
        ratios += list(bound / np.maximum(truth - kept, 1e-12))
    assert np.min(ratios) < 2
    assert 1 < np.median(ratios) < 3


def test_small_errors_cost_between_the_bound_over_the_feedback_and_the_bound() -> None:
    rng = np.random.default_rng(1)
    used = tq.solve(BOOK, gap=1e-14, throw=False).tokens
    gain, rate = perturbed(BOOK, rng, 0.005, 50)
    bound = tq.regret_bound(BOOK, used, gain=gain, rate=rate).total
    truth = tq.solve_grid(BOOK, gain=gain, rate=rate, gap=1e-12, throw=False).objective
    kept = [
        float(tq.objective(BOOK.replace(gain=a, rate=b), used))
        for a, b in zip(gain, rate, strict=True)
    ]
    ratio = bound / (truth - kept)
    assert (ratio > 1).all()
    assert (ratio < 1.05 * (1 + float(tq.price_feedback(BOOK)))).all()


def test_true_curves_leave_no_regret() -> None:
    used = tq.solve(BOOK, gap=1e-12, throw=False).tokens
    bound = tq.regret_bound(BOOK, used)
    assert bound.total == pytest.approx(0, abs=1e-9)
    assert np.abs(bound.surplus).max() < 1e-4


def test_it_is_the_gap_of_the_true_workload() -> None:
    for workload in hard_workloads(60, seed=5, types=5):
        try:
            found = tq.solve(workload)
        except tq.ThinkQueueError:
            continue
        used = found.tokens / 2
        gap = tq.upper_bound(workload, used) - tq.objective(workload, used)
        bound = tq.regret_bound(workload, used)
        assert bound.total == pytest.approx(float(gap), rel=1e-6, abs=10 * rounding(found))
        assert (bound.per_type >= 0).all()


def test_curves_of_another_kind_may_be_the_true_ones() -> None:
    """Budgets from saturating curves, judged by power laws with the same value at zero."""
    used = tq.solve(BOOK).tokens
    truth = PowerLaw(gain=BOOK.gain, rate=BOOK.rate, exponent=1.5, baseline=BOOK.baseline)
    true = tq.Workload.from_arrays(
        share=BOOK.share,
        accuracy=truth,
        base_time=BOOK.base_time,
        time_per_token=BOOK.time_per_token,
        arrival_rate=BOOK.arrival_rate,
        accuracy_weight=BOOK.accuracy_weight,
    )
    bound = float(tq.regret_bound(BOOK, used, curves=truth).total)
    regret = tq.solve(true).objective - float(tq.objective(true, used))
    assert regret > 0.1
    assert regret <= bound < 5 * regret
    assert bound == pytest.approx(float(tq.upper_bound(true, used) - tq.objective(true, used)))


def test_surplus_is_the_error_of_the_log_marginal_accuracy() -> None:
    used = tq.solve(BOOK, gap=1e-13, throw=False).tokens
    gain, rate = BOOK.gain * 1.1, BOOK.rate * 0.9
    bound = tq.regret_bound(BOOK, used, gain=gain, rate=rate)
    error = np.log(gain * rate / (BOOK.gain * BOOK.rate)) - (rate - BOOK.rate) * used
    assert bound.surplus == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gain": [0.1, 0.2]}, "gain has shape"),
        ({"gain": 0.1}, "gain has shape"),
        ({"gain": [0.1, 1.2, 0.1, 0.1, 0.1]}, "gain of task type 'GPQA-D' is 1.2"),
        ({"rate": [1e-3, 1e-3, 0.0, 1e-3, 1e-3]}, "rate of task type 'AIME 25' is 0"),
        ({"rate": [1e-3, 1e-3, np.nan, 1e-3, 1e-3]}, "rate of task type 'AIME 25' is nan"),
    ],
)
def test_curves_that_are_none_are_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(tq.WorkloadError, match=words):
        tq.regret_bound(BOOK, np.zeros(5), **change)  # type: ignore[arg-type]
