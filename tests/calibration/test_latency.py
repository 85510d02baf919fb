import numpy as np
import pytest

from thinkqueue.calibration.latency import LatencyVerdict, batched_rows, fit_latency

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


def test_homoscedastic_standard_errors_would_not_cover():
    # negative control: least squares with its usual errors, on the intercept of the same data
    held = []
    for seed in range(200):
        tokens, seconds = log(2000 + seed, rows=80, outliers=0.03)
        (slope, _), matrix = np.polyfit(tokens, seconds, 1, cov=True)
        held.append(abs(slope - SLOPE) < 0.2 * np.sqrt(matrix[0, 0]))
    assert np.mean(held) < 0.5


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
    assert found.covariance[0, 0] == 0
    assert "held at 0" in found.words


def test_a_speed_that_no_stream_has_is_remarked():
    tokens, seconds = log(7)
    assert "no single stream" in fit_latency(tokens, seconds / 20).words
    assert "no single stream" not in fit_latency(tokens, seconds).words


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
