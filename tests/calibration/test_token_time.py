import csv
import heapq
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from thinkqueue.calibration.tables import MeasurementError
from thinkqueue.calibration.token_time import fit_token_time
from thinkqueue.errors import WorkloadError

BASE, SLOPE = 7.6e-3, 0.04e-3
SIZES = np.array([1, 2, 4, 8, 16, 32, 64, 128.0])
DATA = Path(__file__).parents[2] / "data" / "batching"


def line(n):
    return BASE + SLOPE * n


def log_of_requests(seed, requests=1500, rate=60.0):
    """Requests at a server of this token time, all of which get tokens at the same speed."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / rate, requests))
    steps = rng.integers(20, 200, requests).astype(float)
    now = clock = 0.0
    leaving: list[tuple[float, int]] = []
    ends = np.empty(requests)
    i = 0
    while i < requests or leaving:
        tau = line(len(leaving)) if leaving else np.inf
        done = now + (leaving[0][0] - clock) * tau if leaving else np.inf
        if i < requests and arrivals[i] <= done:
            clock += (arrivals[i] - now) / tau
            now = arrivals[i]
            heapq.heappush(leaving, (clock + steps[i], i))
            i += 1
        else:
            clock, k = heapq.heappop(leaving)
            now = ends[k] = done
    return arrivals, ends, steps + 1


@pytest.mark.parametrize("form", ["pairs", "columns", "rows"])
def test_a_line_without_noise_comes_back(form):
    pairs = np.stack([SIZES, line(SIZES)], axis=1)
    columns = {"queries": SIZES, "seconds": line(SIZES)}
    rows = [dict(zip(columns, pair, strict=True)) for pair in pairs]
    fit = fit_token_time({"pairs": pairs[::-1], "columns": columns, "rows": rows}[form])
    assert fit.token_time.base == pytest.approx(BASE, rel=1e-12)
    assert fit.token_time.per_query == pytest.approx(SLOPE, rel=1e-10)
    assert fit.concave
    assert fit.rms_residual < 1e-14
    value, error = fit.seconds_at(100)
    assert value == pytest.approx(line(100), rel=1e-12)
    assert error < 1e-15


def test_residuals_are_relative_and_orthogonal():
    rng = np.random.default_rng(1)
    seconds = line(SIZES) * (1 + 0.05 * rng.normal(size=SIZES.size))
    fit = fit_token_time(np.stack([SIZES, seconds], axis=1))
    assert fit.residuals == pytest.approx(fit.token_time.seconds_at(SIZES) / seconds - 1)
    for row in (1 / seconds, SIZES / seconds):  # the normal equations
        assert abs(fit.residuals @ row) < 1e-12 * np.abs(row).sum()
    absolute = np.polyfit(SIZES, seconds, 1)[0]  # negative control
    assert abs(absolute / fit.token_time.per_query - 1) > 1e-3


@pytest.mark.parametrize(("factor", "covered"), [(1.0, True), (0.5, False)])
def test_standard_errors_cover(factor, covered):
    """400 intervals at 0.95: standard error 0.011; half as wide ones do not cover."""
    width = factor * stdtrit(SIZES.size - 2, 0.975)
    held = []
    for seed in range(400):
        noise = np.random.default_rng(seed).normal(size=SIZES.size)
        fit = fit_token_time(np.stack([SIZES, line(SIZES) * (1 + 0.03 * noise)], axis=1))
        held.append(abs(fit.token_time.per_query - SLOPE) <= width * fit.per_query_error)
    assert bool(abs(np.mean(held) - 0.95) < 0.04) is covered


def test_two_rows_leave_no_error_to_judge_by():
    fit = fit_token_time([(1, line(1)), (4, line(4))])
    assert fit.per_query_error == np.inf
    assert fit.seconds_at(3)[1] == np.inf


def test_a_negative_slope_is_held_at_nought():
    fit = fit_token_time([(1, 0.0100), (8, 0.0099), (32, 0.0098)])
    assert fit.token_time.per_query == 0
    assert fit.per_query_error == 0
    assert fit.token_time.base == pytest.approx(0.0099, rel=1e-3)


def test_a_sweep_is_read_by_littles_law():
    n, tokens = SIZES, 60.0
    latency = tokens * line(n)
    sweep = {"throughput": n / latency, "latency": latency, "tokens": np.full(n.size, tokens)}
    assert fit_token_time(sweep).token_time.base == pytest.approx(BASE, rel=1e-10)
    decoding = 59 * line(n)
    sweep = {
        "throughput": n / decoding,
        "latency": decoding + 0.3,
        "tokens": np.full(n.size, tokens),
        "first_token": np.full(n.size, 0.3),
        "comment": ["left alone"] * n.size,
    }
    found = fit_token_time(sweep).token_time
    assert found.per_query == pytest.approx(SLOPE, rel=1e-9)
    del sweep["first_token"]
    assert fit_token_time(sweep).token_time.base > 1.1 * BASE  # negative control


def test_a_log_is_counted_by_steps_and_not_by_seconds():
    start, end, tokens = log_of_requests(3)
    fit = fit_token_time({"start": start, "end": end, "tokens": tokens})
    assert fit.token_time.base == pytest.approx(BASE, rel=1e-7)
    assert fit.token_time.per_query == pytest.approx(SLOPE, rel=1e-6)
    # negative control: the batch averaged over the seconds of each request
    times = np.sort(np.concatenate([start, end]))
    first, last = np.searchsorted(times, start), np.searchsorted(times, end)
    sign = np.zeros(times.size)
    sign[first], sign[last] = 1, -1
    area = np.concatenate([[0], np.cumsum(np.cumsum(sign)[:-1] * np.diff(times))])
    naive = fit_token_time(
        np.stack([(area[last] - area[first]) / (end - start), (end - start) / (tokens - 1)], axis=1)
    )
    assert abs(naive.token_time.per_query / SLOPE - 1) > 1e-3


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(1, 0.01)], "two batch sizes"),
        ([(1, 0.01), (1, 0.011), (1.4, 0.01)], "one user"),
        ([(30, 0.01), (31, 0.011), (33, 0.01)], "about the same"),
        ([(1, 0.01), (4, -0.01)], "line 2, column 'seconds'"),
        ([(1, 0.01), (4, np.nan)], "column 'seconds'"),
        ([1, 2, 3], "pairs"),
        ("many", "pairs"),
        ([], "pairs"),
        ({"users": [1, 2], "seconds": [1, 2]}, "queries, seconds; or"),
        ({"queries": [1, 2, 3], "seconds": [1, 2]}, "3, 2 entries"),
        ({"queries": [1, 2], "seconds": ["a", "b"]}, "list of numbers"),
        ({"start": [0, 5], "end": [1, 4], "tokens": [9, 9]}, "line 2"),
        (
            {"throughput": [1, 2], "latency": [1, 2], "tokens": [9, 1], "first_token": [0, 0]},
            "column 'tokens'",
        ),
    ],
)
def test_what_is_refused(rows, words):
    with pytest.raises(MeasurementError, match=words):
        fit_token_time(rows)


def test_a_line_is_not_trusted_far_beyond_the_data():
    fit = fit_token_time([(1, 0.01), (4, 0.011), (8, 0.012)])
    assert fit.seconds_at([1, 16])[0].shape == (2,)
    with pytest.raises(WorkloadError, match="up to 16"):
        fit.seconds_at(17)


@pytest.mark.parametrize(
    ("step", "words", "repeats"),
    [
        (lambda n: 1 + (n > 1) + n / 1e4, "another one adds", 3),
        (lambda n: 0.01 * (1 + (n / 20) ** 2), "fewer tokens", 1),
        (lambda n: 0.01 * (1 + (n / 20) ** 2), "fewer tokens", 30),
    ],
)
def test_a_rate_that_bends_upwards_or_falls_is_named(step, words, repeats):
    rng = np.random.default_rng(5)
    n = np.repeat(SIZES, repeats)
    fit = fit_token_time(np.stack([n, step(n) * (1 + 0.01 * rng.normal(size=n.size))], axis=1))
    assert not fit.concave
    assert words in fit.objection


def test_a_long_log_is_judged_in_classes():
    start, end, tokens = log_of_requests(4, requests=4000)
    assert fit_token_time({"start": start, "end": end, "tokens": tokens}).concave


def test_noise_alone_is_seldom_an_objection():
    objections = 0
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(size=SIZES.size)
        fit = fit_token_time(np.stack([SIZES, line(SIZES) * (1 + 0.03 * noise)], axis=1))
        objections += not fit.concave
    assert objections <= 8  # 0.01 a fit at most: more than 8 of 200 has probability 2e-4


def test_the_measured_servers():
    """The figures of two servers, of which one was fitted elsewhere, independently."""
    with (DATA / "inference-perf-stages.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = [
        row
        for row in rows
        if row["config"] == "v1, chunked prefill, prefix caching"
        and float(row["mean_in_system"]) < 140
    ]
    fit = fit_token_time(
        {
            "throughput": [float(row["throughput"]) for row in chosen],
            "latency": [float(row["mean_latency_s"]) for row in chosen],
            "tokens": [float(row["mean_output_tokens"]) for row in chosen],
        }
    )
    assert fit.token_time.base == pytest.approx(7.6063e-3, abs=1e-7)
    assert fit.token_time.per_query == pytest.approx(0.037727e-3, abs=2e-9)
    assert fit.base_error == pytest.approx(0.12813e-3, rel=1e-3)
    assert fit.rms_residual == pytest.approx(0.016682, rel=1e-3)
