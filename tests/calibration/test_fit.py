import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize

from calibration.designs import GAIN, RATE, TOKENS, TOTAL, saturating, series, simulated
from thinkqueue.calibration.curves import (
    CONSTANT,
    HILL,
    LOGISTIC,
    PARAMETRIC,
    POWER_LAW,
    SATURATING,
    ConcaveCurve,
)
from thinkqueue.calibration.fit import (
    Series,
    bootstrap,
    covariance,
    fit,
    fit_many,
    goodness_of_fit,
)
from thinkqueue.calibration.mixture import log_likelihood, maximise_mixture


def fitted_by_scipy(data):
    """The same maximum by SLSQP on (A, ln b, D) from several starts."""

    def negative(theta):
        gain, log_rate, baseline = theta
        p = saturating(data.tokens, gain, np.exp(log_rate), baseline)
        return -float(log_likelihood(p, data.correct, data.total))

    starts = [(0.4, np.log(rate), 0.3) for rate in (1e-4, 5e-4, 2e-3, 1e-2)]
    runs = [
        minimize(
            negative,
            start,
            method="SLSQP",
            bounds=[(0, 1), (np.log(1e-6), np.log(1.0)), (0, 1)],
            constraints=[{"type": "ineq", "fun": lambda t: 1 - t[0] - t[2]}],
            options={"ftol": 1e-13, "maxiter": 500},
        )
        for start in starts
    ]
    return min(runs, key=lambda run: run.fun)


@pytest.mark.parametrize("seed", range(8))
def test_saturating_fit_agrees_with_scipy(seed):
    data = series(seed)
    ours, other = fit(SATURATING, data), fitted_by_scipy(data)
    assert ours.log_likelihood >= -other.fun - 1e-7
    assert ours.log_likelihood == pytest.approx(-other.fun, abs=1e-4)
    gain, log_rate, baseline = other.x
    assert ours.parameters == pytest.approx(
        {"gain": gain, "rate": np.exp(log_rate), "baseline": baseline}, rel=2e-2
    )


def test_exact_proportions_give_back_the_curve():
    data = Series(TOKENS, saturating(TOKENS) * TOTAL, TOTAL)
    fitted = fit(SATURATING, data)
    assert fitted.deviance < 1e-6
    assert fitted.parameters == pytest.approx(
        {"gain": 0.55, "rate": 1.2e-3, "baseline": 0.25}, rel=1e-3
    )


@pytest.mark.parametrize("seed", range(3))
def test_logistic_fit_agrees_with_statsmodels(seed):
    data = series(seed)
    glm = sm.GLM(
        np.stack([data.correct, data.total - data.correct], axis=1),
        sm.add_constant(np.log1p(data.tokens)),
        family=sm.families.Binomial(),
    ).fit()
    ours = fit(LOGISTIC, data)
    assert [*ours.parameters.values()] == pytest.approx(glm.params, rel=1e-5)
    assert ours.deviance == pytest.approx(glm.deviance, abs=1e-6)


def test_the_profile_slope_vanishes_and_no_neighbour_is_better():
    data = series(1)
    for curve in (SATURATING, POWER_LAW, HILL, LOGISTIC):
        best = fit(curve, data)
        low, high = np.array(curve.shape_bounds(TOKENS)).T
        for shift in (1e-2, -1e-2):
            near = np.clip(best.shape + shift * np.eye(best.shape.size), low, high)
            value = maximise_mixture(curve.vertices(near, TOKENS), data.correct, TOTAL)
            assert value.log_likelihood.max() <= best.log_likelihood + 1e-7, curve.name


def test_nested_curves_have_nested_deviances():
    data = series(2)
    by_name = {curve.name: fit(curve, data).deviance for curve in PARAMETRIC}
    concave = fit(ConcaveCurve(tuple(TOKENS)), data).deviance
    assert by_name["power law"] <= by_name["saturating"] + 0.05  # its limit lies at a bound
    assert concave <= min(by_name["saturating"], by_name["power law"]) + 1e-6
    assert by_name["saturating"] <= by_name["constant"]


def test_bulk_fits_agree_with_single_ones():
    counts = simulated(7, size=20)
    shape, _, value = fit_many(SATURATING, TOKENS, counts, TOTAL)
    for row, k in enumerate(counts):
        single = fit(SATURATING, Series(TOKENS, k, TOTAL))
        assert value[row] == pytest.approx(single.log_likelihood, abs=1e-5)
        assert np.exp(shape[row, 0]) == pytest.approx(single.parameters["rate"], rel=1e-2)
    with pytest.raises(ValueError, match="one shape number"):
        fit_many(HILL, TOKENS, counts, TOTAL)


def test_covariance_is_the_inverse_of_the_differenced_hessian():
    data = Series(TOKENS, saturating(TOKENS) * TOTAL, TOTAL)
    fitted = fit(SATURATING, data)
    theta = np.array([fitted.parameters[name] for name in SATURATING.parameters])
    unit = np.array([1.0, theta[1], 1.0])

    def value(z):
        return log_likelihood(saturating(TOKENS, *(theta + z * unit)), data.correct, TOTAL)

    step, hessian = 1e-3, np.zeros((3, 3))
    for i in range(3):
        for j in range(3):
            a, b = step * np.eye(3)[i], step * np.eye(3)[j]
            hessian[i, j] = (value(a + b) - value(a - b) - value(b - a) + value(-a - b)) / 4e-6
    expected = np.outer(unit, unit) * np.linalg.inv(-hessian)
    np.testing.assert_allclose(covariance(fitted), expected, rtol=2e-3, atol=1e-10)


def test_a_parameter_at_its_bound_has_no_variance():
    counts = np.array([0.0, 60.0, 110.0, 180.0, 240.0, 280.0])
    fitted = fit(SATURATING, Series(TOKENS, counts, TOTAL))
    assert fitted.parameters["baseline"] == 0
    assert covariance(fitted)[2] == pytest.approx(0, abs=1e-15)
    assert covariance(fitted)[0, 0] > 0


def test_a_ceiling_of_1_has_no_variance():
    counts = np.array([30.0, 150.0, 240.0, 290.0, 300.0, 300.0])
    fitted = fit(SATURATING, Series(TOKENS, counts, TOTAL))
    gain, rate, baseline = (fitted.parameters[name] for name in SATURATING.parameters)
    assert gain + baseline == pytest.approx(1, abs=1e-9)
    spread = covariance(fitted)
    assert spread[0] + spread[2] == pytest.approx(0, abs=1e-12)
    # the rate is as sure as that of a curve with the ceiling known, p = 1 - (1 - D) e^{-bx}
    left = np.exp(-rate * TOKENS)
    p = np.clip(1 - (1 - baseline) * left, 1e-6, 1 - 1e-6)
    slopes = np.stack([(1 - baseline) * TOKENS * left, left])
    expected = np.linalg.inv((slopes * TOTAL / (p * (1 - p))) @ slopes.T)
    np.testing.assert_allclose(spread[np.ix_([1, 2], [1, 2])], expected, rtol=1e-6)


def test_maximum_likelihood_is_not_least_squares():
    # negative control of the method: one large and one tiny sample weigh differently
    data = Series(TOKENS, np.array([75.0, 3, 120, 180, 230, 240]), np.array([300.0, 4] + [300] * 4))
    by_counts = fit(SATURATING, data).predict(TOKENS)
    proportion = data.correct / data.total
    even = fit(SATURATING, Series(TOKENS, proportion * 300, TOTAL)).predict(TOKENS)
    assert abs(by_counts[1] - even[1]) > 0.02


@pytest.mark.slow
def test_bootstrap_spread_is_that_of_new_experiments():
    fitted = fit(SATURATING, Series(TOKENS, saturating(TOKENS) * TOTAL, TOTAL))
    draws = bootstrap(fitted, 2000, np.random.default_rng(1))
    shape, weights, _ = fit_many(SATURATING, TOKENS, simulated(2, size=2000), TOTAL)
    assert draws[:, 0].std() == pytest.approx(weights[:, 2].std(), rel=0.1)
    assert np.log(draws[:, 1]).std() == pytest.approx(shape[:, 0].std(), rel=0.1)
    assert np.median(draws[:, 1]) == pytest.approx(RATE, rel=0.05)


@pytest.mark.slow
def test_goodness_of_fit_rejects_the_truth_at_its_level_and_a_wrong_law_nearly_always():
    rng = np.random.default_rng(11)
    true = [
        goodness_of_fit(fit(SATURATING, Series(TOKENS, k, TOTAL)), 59, rng)
        for k in simulated(12, size=100)
    ]
    # 100 tests at level 0.1: mean 10, and from 2 to 21 with probability 0.999
    assert 2 <= np.sum(np.array(true) <= 0.1) <= 21
    bent = 0.1 + 0.8 * TOKENS**3 / (TOKENS**3 + 900.0**3)
    wrong = [
        goodness_of_fit(fit(SATURATING, Series(TOKENS, k, TOTAL)), 59, rng)
        for k in simulated(13, size=10, probability=bent)
    ]
    assert np.max(wrong) <= 0.05


def test_aicc_counts_questions_and_not_groups():
    data = series(4)
    split = Series(TOKENS, data.correct / 2, TOTAL / 2)
    one, two = fit(SATURATING, data), fit(CONSTANT, data)
    assert one.aicc == pytest.approx(-2 * one.log_likelihood + 6 + 24 / (1800 - 4), rel=1e-12)
    assert two.aicc > one.aicc
    assert fit(SATURATING, split).aicc != pytest.approx(one.aicc)


def test_gain_is_recovered_without_bias():
    _, weights, _ = fit_many(SATURATING, TOKENS, simulated(21, size=1000), TOTAL)
    error = weights[:, 2].std() / np.sqrt(1000)
    assert abs(weights[:, 2].mean() - GAIN) < 4 * error + 0.01
