import numpy as np
import pytest

from thinkqueue.calibration.latency import (
    LatencyVerdict,
    _small_sandwich,
    batched_rows,
    fit_latency,
)

BASE, SLOPE = 0.3, 0.012


def log(seed, rows=120, outliers=0.0, spread=(0.02, 5e-4), decimals=4):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(50, 4000, rows).astype(float)
    noise = rng.normal(size=rows) * (spread[0] + spread[1] * tokens)
    noise[rng.uniform(size=rows) < outliers] += 25
    return tokens, np.round(np.maximum(BASE + SLOPE * tokens + noise, 0), decimals)


def test_a_line_without_noise_comes_back():
    tokens = np.linspace(10, 4000, 20)
    found = fit_latency(tokens, BASE + SLOPE * tokens)
    assert found.base_time == pytest.approx(BASE, rel=1e-9)
    assert found.time_per_token == pytest.approx(SLOPE, rel=1e-12)
    assert found.verdict is LatencyVerdict.AFFINE


def test_outliers_do_not_move_the_line():
    tokens, seconds = log(1, outliers=0.08)
    found = fit_latency(tokens, seconds)
    least_squares = np.polyfit(tokens, seconds, 1)
    assert abs(found.base_time - BASE) < 0.15 < abs(least_squares[1] - BASE)
    assert found.time_per_token == pytest.approx(SLOPE, rel=0.02)
    assert found.outliers > 0


def test_weights_make_the_intercept_sharper_than_least_squares():
    ours, plain = [], []
    for seed in range(60):
        tokens, seconds = log(seed)
        ours.append(fit_latency(tokens, seconds).base_time)
        plain.append(np.polyfit(tokens, seconds, 1)[1])
    assert np.std(ours) < 0.6 * np.std(plain)


@pytest.mark.slow
def test_intervals_cover_under_outliers_and_uneven_spread():
    held = []
    for seed in range(400):
        tokens, seconds = log(1000 + seed, rows=80, outliers=0.03)
        interval = fit_latency(tokens, seconds).intervals()["time_per_token"]
        held.append(interval.low <= SLOPE <= interval.high)
    # 400 intervals at 0.95: standard error 0.011
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def skewed(rng, rows):
    """Lengths as logs have them, with a spread that grows with the length."""
    tokens = np.ceil(rng.exponential(800, rows)) + 50
    return tokens, BASE + SLOPE * tokens + rng.normal(size=rows) * 5e-4 * tokens


@pytest.mark.slow
def test_intervals_cover_where_long_answers_weigh_and_vary_most_and_usual_ones_do_not():
    rng = np.random.default_rng(8)
    ours, usual = [], []
    for _ in range(150):
        tokens, seconds = skewed(rng, 400)
        interval = fit_latency(tokens, seconds).intervals()["time_per_token"]
        ours.append(interval.low <= SLOPE <= interval.high)
        (slope, _), matrix = np.polyfit(tokens, seconds, 1, cov=True)
        usual.append(abs(slope - SLOPE) < 1.966 * np.sqrt(matrix[0, 0]))
    # 150 intervals at 0.95: standard error 0.018
    assert np.mean(ours) == pytest.approx(0.95, abs=0.06)
    # negative control: least squares with its usual errors
    assert np.mean(usual) < 0.85


@pytest.mark.parametrize("rows", [3, 4, 8])
def test_intervals_from_few_rows_cover(rows):
    rng = np.random.default_rng(rows)
    held, normal = {"time_per_token": [], "base_time": []}, []
    for _ in range(150):
        tokens = rng.choice(4000, rows, replace=False) + 50.0
        found = fit_latency(tokens, BASE + SLOPE * tokens + 0.5 * rng.normal(size=rows))
        for name, truth in (("time_per_token", SLOPE), ("base_time", BASE)):
            interval = found.intervals()[name]
            held[name].append(interval.low <= truth <= interval.high)
        normal.append(abs(found.line[1] - SLOPE) < 1.96 * np.sqrt(found.covariance[1, 1]))
    # 150 intervals at 0.95 or a little more: standard error 0.018
    assert np.mean(held["time_per_token"]) >= 0.88
    assert np.mean(held["base_time"]) >= 0.88
    # negative control: the same errors with the normal law's 1.96 fall short, the more so the fewer
    assert np.mean(normal) < {3: 0.8, 4: 0.88, 8: 0.93}[rows]


def test_the_variance_from_few_rows_is_unbiased_for_even_spread():
    # the leverage of each residual must be made good for: without it the mean falls short
    tokens = np.array([50.0, 100, 200, 400, 600])
    design = np.stack([np.ones(5), tokens], axis=1)
    noise = np.random.default_rng(3).normal(size=(4000, 5))
    residuals = noise - noise @ np.linalg.pinv(design).T @ design.T
    slopes = [_small_sandwich(design, residual)[0][1, 1] for residual in residuals]
    expected = np.linalg.inv(design.T @ design)[1, 1]
    assert np.mean(slopes) == pytest.approx(expected, rel=0.1)


def test_the_sandwich_of_many_rows_makes_good_for_their_leverage():
    # one long query in a log of short ones: its residual is small because the line follows it
    rng = np.random.default_rng(4)
    tokens = np.append(np.linspace(50, 300, 24), 600.0)
    fits = [fit_latency(tokens, 5 + SLOPE * tokens + 0.5 * rng.normal(size=25)) for _ in range(80)]
    slopes = np.array([found.line[1] for found in fits])
    errors = np.array([np.sqrt(found.covariance[1, 1]) for found in fits])
    assert 0.9 * slopes.std() < errors.mean() < 1.6 * slopes.std()


def test_two_rows_say_nothing_of_their_error():
    found = fit_latency(np.array([100.0, 2000.0]), np.array([1.5, 24.3]))
    interval = found.intervals()["time_per_token"]
    assert (interval.low, interval.high, interval.high_open) == (0.0, np.inf, True)
    assert "say nothing of its error" in found.words


def test_an_interval_covers_where_the_intercept_is_held_at_0():
    rng = np.random.default_rng(5)
    covered = []
    while len(covered) < 60:
        tokens = rng.uniform(50, 4000, 12)
        found = fit_latency(tokens, 0.1 + SLOPE * tokens + 0.5 * rng.normal(size=12))
        if found.base_time == 0:
            interval = found.intervals()["base_time"]
            covered.append(interval.low <= 0.1 <= interval.high)
    assert np.mean(covered) >= 0.85


def test_draws_spread_as_new_experiments_do():
    rng = np.random.default_rng(6)
    tokens = np.linspace(50, 4000, 40)
    truth = 0.1 + SLOPE * tokens
    fits = [fit_latency(tokens, truth + 0.5 * rng.normal(size=40)) for _ in range(100)]
    one = fit_latency(tokens, truth + 0.5 * np.resize([1, -1, -1, 1], 40))
    base, slope = one.draw(4000, rng).T
    assert base.min() == 0
    assert slope.std() == pytest.approx(np.std([f.time_per_token for f in fits]), rel=0.4)
    assert np.mean(base == 0) == pytest.approx(np.mean([f.base_time == 0 for f in fits]), abs=0.2)


def test_rows_of_a_batch_are_found_and_left_out():
    tokens, seconds = log(3, rows=200)
    seconds[:80] = np.repeat(seconds[:80].reshape(-1, 4).max(axis=1), 4)
    found = fit_latency(tokens, seconds)
    assert batched_rows(tokens, seconds)[:80].all()
    assert found.batched == pytest.approx(80, abs=2)
    assert found.time_per_token == pytest.approx(SLOPE, rel=0.05)
    assert "batch" in found.words


def test_rounding_is_no_batch():
    tokens, seconds = log(4, rows=400, decimals=1)
    assert not batched_rows(tokens, seconds).any()


def test_only_batches_say_so():
    tokens = np.arange(40) * 10.0 + 100
    found = fit_latency(tokens, np.repeat([5.0, 6.3, 7.1, 9.9], 10))
    assert found.verdict is LatencyVerdict.BATCHED
    assert not found.identified


def test_curvature_is_tested_at_its_level_and_found():
    p = [fit_latency(*log(3000 + seed, rows=60)).curvature_p for seed in range(200)]
    # 200 tests at level 0.1: mean 20, standard deviation 4.2
    assert 8 <= np.sum(np.array(p) < 0.1) <= 36
    tokens, seconds = log(5)
    bent = fit_latency(tokens, seconds + 6e-6 * tokens**2)
    assert bent.verdict is LatencyVerdict.CURVED
    assert bent.curvature == pytest.approx(6e-6, rel=0.2)
    assert "faster than a line" in bent.words


def test_an_intercept_below_zero_is_held_there():
    tokens, seconds = log(6)
    found = fit_latency(tokens, np.maximum(seconds - 2.0, 0))
    assert found.base_time == 0
    assert found.line[0] < 0 < found.covariance[0, 0]
    assert "held at 0" in found.words


def test_a_speed_that_no_stream_has_is_remarked():
    tokens, seconds = log(7)
    assert "no single stream" in fit_latency(tokens, seconds / 20).words
    assert "no single stream" not in fit_latency(tokens, seconds).words


def test_milliseconds_are_asked_after():
    tokens, seconds = log(7)
    assert "milliseconds?" in fit_latency(tokens, 1000 * seconds).words
    assert "milliseconds?" not in fit_latency(tokens, seconds).words


def test_waiting_inside_a_latency_is_asked_after():
    tokens, seconds = log(9, rows=300)
    assert "queue" not in fit_latency(tokens, seconds).words
    # retries are no queue
    assert "queue" not in fit_latency(*log(9, rows=300, outliers=0.08)).words
    # first come first served at a load of 0.7
    rng = np.random.default_rng(9)
    wait, waits = 0.0, []
    for gap, service in zip(rng.exponential(seconds.mean() / 0.7, 300), seconds, strict=True):
        waits.append(wait)
        wait = max(0.0, wait + service - gap)
    assert "do they hold time in a queue" in fit_latency(tokens, seconds + waits).words


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [
        ([], []),
        ([5.0], [1.0]),
        ([5.0, 5.0, 5.0], [1.0, 1.1, 0.9]),
        ([0.0, 0.0], [1.0, 1.2]),
        ([1.0, 2.0, 3.0, 4.0], [2.0, 1.9, 2.1, 1.95]),
        ([1.0, 2.0], [0.0, 0.0]),
    ],
)
def test_data_without_a_slope_are_told_in_words(tokens, seconds):
    found = fit_latency(np.array(tokens), np.array(seconds))
    assert not found.identified
    assert found.verdict in (LatencyVerdict.NOT_IDENTIFIED, LatencyVerdict.BATCHED)
    assert found.words


def test_two_points_make_a_line_and_no_test():
    found = fit_latency(np.array([0.0, 100.0]), np.array([0.5, 1.5]))
    assert (found.base_time, found.time_per_token) == pytest.approx((0.5, 0.01))
    assert found.curvature_p == 1
