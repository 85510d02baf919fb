import numpy as np
import pytest

from calibration.designs import TOKENS, TOTAL, saturating, series, simulated
from thinkqueue.calibration.curves import ConcaveCurve
from thinkqueue.calibration.fit import Series, fit, goodness_of_fit
from thinkqueue.calibration.verdicts import REJECT_AT, Verdict, judge


def judged(tokens, correct, total):
    tokens = np.asarray(tokens, dtype=float)
    data = Series(tokens, np.asarray(correct, float), np.broadcast_to(total, tokens.shape) * 1.0)
    return judge(data, simulations=99, level=0.95, rng=np.random.default_rng(0))


def rounded(probability, total=300):
    return np.rint(np.asarray(probability) * total)


def test_adequate():
    found = judge(series(0), simulations=99, level=0.95, rng=np.random.default_rng(0))
    assert found.verdict is Verdict.ADEQUATE
    assert "not rejected" in found.words
    assert found.goodness["saturating"] > 0.05
    assert "any concave" not in found.goodness
    assert sum(found.evidence.values()) == pytest.approx(1)


def test_s_shaped():
    x = np.array([128.0, 256, 512, 1024, 2048])
    found = judged(x, rounded(0.95 * x**3 / (x**3 + 450**3)), 300)
    assert found.verdict is Verdict.S_SHAPED
    assert "Hill" in found.words
    assert found.evidence["Hill"] > 0.9
    assert found.goodness["any monotone"] > 0.05


def test_concave_but_not_exponential():
    # nearly all of the gain at once, and a slow straight climb: concave, with two time scales
    x = np.array([0.0, 100, 200, 4000, 8000, 16000])
    rise = 0.45 * (1 - np.exp(-0.05 * x)) + 0.45 * (1 - np.exp(-1.5e-4 * x))
    found = judged(x, rounded(rise, 3000), 3000)
    assert found.verdict is Verdict.NOT_EXPONENTIAL
    assert found.goodness["any concave"] > 0.05


def test_not_monotone():
    found = judged([0, 128, 256, 512, 1024, 2048], [311, 340, 332, 303, 299, 358], 360)
    assert found.verdict is Verdict.NOT_MONOTONE
    assert "worse somewhere" in found.words


def test_flat():
    found = judged(TOKENS, [150, 148, 155, 151, 149, 152], 300)
    assert found.verdict is Verdict.NOT_IDENTIFIED
    assert found.words.startswith("Flat")
    assert found.gain == 0
    assert found.baseline == pytest.approx(905 / 1800)


def test_a_flat_curve_lies_in_its_intervals():
    # a saturating curve fits these better than a constant, though not beyond chance
    found = judged([0, 12.6, 316.2, 4000], [2, 8, 5, 9], [8, 12, 11, 12])
    for name in ("gain", "rate", "baseline"):
        interval = found.intervals[name]
        assert interval.low <= getattr(found, name) <= interval.high, name
    assert found.gain == 0
    assert found.intervals["rate"].open


def test_a_lead_in_aicc_that_is_one_of_parameters_says_so():
    chance = 1 / (1 + np.exp(1.6 - 0.3 * np.log1p(TOKENS)))
    near = judged(TOKENS, [112, 295, 343, 378, 407, 415], 600)
    far = judged(TOKENS, rounded(chance), 300)
    assert "logistic curve by 3.2, which it owes to its fewer parameters" in near.words
    assert "differ by only 0.62" in near.words
    # negative control: a lead that the data themselves give
    assert "AICc prefers the logistic curve" in far.words
    assert "fewer parameters" not in far.words


def test_decreasing_is_not_monotone_and_a_slight_fall_is_flat():
    assert judged(TOKENS, [250, 230, 200, 180, 150, 120], 300).verdict is Verdict.NOT_MONOTONE
    assert "Flat" in judged(TOKENS, [152, 151, 150, 150, 149, 148], 300).words


def test_rate_unbounded_above_asks_for_smaller_budgets():
    found = judged([0, 3000, 4000, 5000, 6000], [90, 240, 241, 239, 242], 300)
    assert found.verdict is Verdict.NOT_IDENTIFIED
    assert "below 3,000 tokens" in found.words


def test_rate_too_wide_asks_for_larger_budgets():
    # the first hundred tokens of a curve that goes on for thousands
    x = np.array([0.0, 100, 200, 300, 400])
    found = judged(x, rounded(saturating(x, 0.7, 5e-4, 0.1), 200), 200)
    assert found.verdict is Verdict.NOT_IDENTIFIED
    assert "above 400 tokens" in found.words


@pytest.mark.parametrize(
    ("tokens", "correct", "words"),
    [
        ([500], [20], "One budget"),
        ([0], [20], "One budget"),
        ([0, 500, 1000, 2000], [0, 0, 0, 0], "No answer was right"),
        ([0, 500, 1000, 2000], [30, 30, 30, 30], "Every answer was right"),
        ([0, 1000, 2000], [3, 15, 20], "3 budgets"),
        ([0, 1000], [3, 20], "2 budgets"),
    ],
)
def test_degenerate_data_are_told_in_words(tokens, correct, words):
    found = judged(tokens, correct, 30)
    assert found.verdict is Verdict.NOT_IDENTIFIED
    assert words in found.words
    values = [found.gain, found.rate, found.baseline, *found.covariance.ravel()]
    assert np.isfinite(values).all()
    assert found.rate > 0


def test_three_in_all_bounds_the_accuracy_that_was_never_seen():
    assert "below 0.025" in judged([0, 500, 1000, 2000], [0, 0, 0, 0], 30).words


@pytest.mark.slow
def test_a_straight_line_only_just_concave_is_seldom_called_s_shaped():
    rng = np.random.default_rng(9)
    concave = ConcaveCurve(tuple(TOKENS))
    p = [
        goodness_of_fit(fit(concave, Series(TOKENS, k, TOTAL)), 99, rng)
        for k in simulated(10, size=150, probability=0.2 + 0.6 * TOKENS / 4000)
    ]
    # at 3 %: mean 4.5, more than 13 once in three thousand
    assert np.sum(np.array(p) <= REJECT_AT["any concave"]) <= 13


@pytest.mark.slow
def test_the_smallest_true_hypothesis_is_rejected_at_its_level():
    rng = np.random.default_rng(3)
    seen = [
        judge(
            Series(TOKENS, rng.binomial(300, saturating(TOKENS)).astype(float), TOTAL),
            simulations=39,
            level=0.95,
            rng=rng,
        ).verdict
        for _ in range(40)
    ]
    # 40 verdicts at level 0.05: mean 2, more than 8 once in four thousand
    assert sum(v is not Verdict.ADEQUATE for v in seen) <= 8
