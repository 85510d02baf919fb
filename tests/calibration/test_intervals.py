import numpy as np
import pytest

from calibration.designs import RATE, TOKENS, TOTAL, saturating, series, simulated
from thinkqueue.calibration.curves import SATURATING
from thinkqueue.calibration.fit import Series, fit, fit_many
from thinkqueue.calibration.intervals import bootstrap_intervals, profile_intervals, profile_of_rate
from thinkqueue.calibration.mixture import log_likelihood, maximise_mixture

CHI_SQUARE_95 = 3.841458820694124


def covered(counts, total):
    """How often the 95 % profile interval of the rate holds the true rate."""
    _, _, best = fit_many(SATURATING, TOKENS, counts, total)
    at_truth = maximise_mixture(
        SATURATING.vertices(np.log([RATE]), TOKENS), counts, total
    ).log_likelihood
    return np.mean(2 * (best - at_truth) <= CHI_SQUARE_95)


@pytest.mark.slow
def test_profile_intervals_cover_at_their_level():
    counts = simulated(31, size=3000)
    # 3,000 intervals at 0.95: standard error 0.004
    assert covered(counts, TOTAL) == pytest.approx(0.95, abs=0.016)


@pytest.mark.slow
def test_bootstrap_intervals_cover_nearly_at_their_level():
    held = []
    for k in simulated(33, size=50):
        fitted = fit(SATURATING, Series(TOKENS, k, TOTAL))
        interval = bootstrap_intervals(fitted, draws=200)["rate"]
        held.append(interval.low <= RATE <= interval.high)
    # 50 intervals at 0.95: fewer than 42 once in a thousand
    assert np.sum(held) >= 42


def test_coverage_fails_if_every_answer_is_counted_four_times():
    # negative control: an analyst who takes four samples a question for independent questions
    assert covered(4 * simulated(32, size=1000), 4 * TOTAL) < 0.75


def test_ends_lie_where_the_likelihood_ratio_says():
    fitted = fit(SATURATING, series(5))
    intervals = profile_intervals(fitted)
    ends = np.array([intervals["rate"].low, intervals["rate"].high])
    drop = 2 * (fitted.log_likelihood - profile_of_rate(fitted, ends))
    np.testing.assert_allclose(drop, CHI_SQUARE_95, rtol=5e-3)


@pytest.mark.parametrize("name", ["gain", "baseline", "ceiling"])
def test_ends_of_the_weights_agree_with_a_brute_search(name):
    data = series(6)
    fitted = fit(SATURATING, data)
    interval = profile_intervals(fitted)[name]
    rates = np.geomspace(1e-4, 1e-2, 400)[:, None, None]
    free = np.linspace(0, 1, 801)[None, :, None]
    for value in (interval.low, interval.high):
        gain, baseline = {
            "gain": (value + 0 * free, free),
            "baseline": (free, value + 0 * free),
            "ceiling": (value - free, free),
        }[name]
        allowed = (gain >= 0) & (gain + baseline <= 1)
        p = saturating(data.tokens, gain, rates, baseline)
        best = np.where(allowed[..., 0], log_likelihood(p, data.correct, data.total), -np.inf).max()
        assert 2 * (fitted.log_likelihood - best) == pytest.approx(CHI_SQUARE_95, abs=0.06)


def test_intervals_hold_the_estimate_and_grow_with_the_level():
    fitted = fit(SATURATING, series(8))
    narrow, wide = profile_intervals(fitted, 0.5), profile_intervals(fitted, 0.99)
    for name, value in fitted.parameters.items():
        assert wide[name].low < narrow[name].low < value < narrow[name].high < wide[name].high


def test_an_end_that_the_data_leave_open_is_called_open():
    tokens = np.array([0.0, 3000.0, 4000.0, 5000.0])
    data = Series(tokens, np.array([30.0, 80.0, 81.0, 79.0]), np.full(4, 100.0))
    interval = profile_intervals(fit(SATURATING, data))["rate"]
    assert interval.high_open
    assert not interval.low_open
    assert interval.open
