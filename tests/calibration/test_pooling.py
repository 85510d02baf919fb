import numpy as np
import pytest

from calibration.designs import TOKENS, rows, saturating
from thinkqueue.calibration.calibrate import calibrate
from thinkqueue.calibration.curves import SATURATING
from thinkqueue.calibration.fit import Series, fit
from thinkqueue.calibration.intervals import profile_intervals
from thinkqueue.calibration.pooling import pool_rates
from thinkqueue.calibration.verdicts import Verdict
from thinkqueue.errors import ThinkQueueError


def thin_tasks(seed, questions, spread=0.3, tasks=6):
    rng = np.random.default_rng(seed)
    rates = 1e-3 * np.exp(spread * rng.normal(size=tasks))
    fits = {}
    for k, rate in enumerate(rates):
        counts = rng.binomial(questions, saturating(TOKENS, 0.5, rate, 0.2)).astype(float)
        data = Series(TOKENS, counts, np.full(6, float(questions)))
        fits[f"task {k}"] = fit(SATURATING, data)
    return rates, fits


def errors_of_log_rates(seeds, questions):
    alone, pooled = [], []
    for seed in seeds:
        rates, fits = thin_tasks(seed, questions)
        shrunk = pool_rates(fits).fits
        for truth, name in zip(rates, fits, strict=True):
            alone.append(np.log(fits[name].parameters["rate"] / truth))
            pooled.append(np.log(shrunk[name].parameters["rate"] / truth))
    return np.mean(np.square(alone)), np.mean(np.square(pooled))


def test_pooling_helps_where_data_are_thin():
    alone, pooled = errors_of_log_rates(range(8), questions=40)
    assert pooled < 0.7 * alone


def test_pooling_changes_little_where_data_are_plenty():
    rates, fits = thin_tasks(1, questions=20000)
    shrunk = pool_rates(fits)
    for truth, name in zip(rates, fits, strict=True):
        assert shrunk.fits[name].parameters["rate"] == pytest.approx(truth, rel=0.06)
        assert shrunk.intervals[name]["rate"].low < truth < shrunk.intervals[name]["rate"].high
    assert 0.1 < shrunk.spread < 0.8
    assert "6 tasks" in shrunk.words


def test_tasks_that_look_alike_are_not_taken_for_one():
    # the likeliest spread of equal tasks is none at all: the logarithm in its prior forbids that
    data = Series(TOKENS, saturating(TOKENS, 0.5, 1e-3, 0.2) * 60, np.full(6, 60.0))
    pooled = pool_rates({name: fit(SATURATING, data) for name in "abc"})
    assert pooled.spread > 0.15


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_pooled_estimates_lie_in_their_intervals_even_where_a_task_tells_nothing(level):
    rng = np.random.default_rng(4)
    fits = {}
    for name, tokens in (("few", [1.0, 30.0]), ("flat", [0.0, 7.0, 900.0]), ("long", [50.0, 9e3])):
        counts = rng.binomial(20, 0.5, len(tokens)).astype(float)
        fits[name] = fit(SATURATING, Series(np.array(tokens), counts, np.full(len(tokens), 20.0)))
    pooled = pool_rates(fits, level)
    for name, fitted in pooled.fits.items():
        for parameter, value in fitted.parameters.items():
            interval = pooled.intervals[name][parameter]
            assert interval.low <= value * (1 + 1e-9)
            assert value <= interval.high * (1 + 1e-9) + 1e-12


def test_what_other_tasks_say_narrows_the_intervals():
    _, fits = thin_tasks(1, questions=40)
    pooled = pool_rates(fits)
    for name, fitted in fits.items():
        alone, together = profile_intervals(fitted)["rate"], pooled.intervals[name]["rate"]
        assert np.log(together.high / together.low) < 0.8 * np.log(alone.high / alone.low)


def test_two_tasks_are_too_few():
    _, fits = thin_tasks(2, questions=50, tasks=2)
    with pytest.raises(ThinkQueueError, match="at least three"):
        pool_rates(fits)


def test_a_task_without_a_rate_of_its_own_becomes_usable_and_no_rejection_is_taken_back():
    curves = {name: (0.5, rate, 0.2) for name, rate in (("a", 9e-4), ("b", 1e-3), ("c", 1.2e-3))}
    table = rows(curves, questions=2000)
    table += rows({"thin": (0.5, 1e-3, 0.2)}, questions=500, budgets=(0, 4000, 6000, 9000))
    table += [
        {"task": "bent", "budget": x, "correct": k, "total": 300, "latency": None}
        for x, k in [(100, 2), (400, 20), (800, 200), (1600, 280), (3000, 290)]
    ]
    alone, pooled = (calibrate(table, simulations=59, pool=pool) for pool in (False, True))
    assert alone["thin"].accuracy.verdict is Verdict.NOT_IDENTIFIED
    assert pooled["thin"].accuracy.verdict is Verdict.ADEQUATE
    assert pooled["bent"].accuracy.verdict is Verdict.S_SHAPED
    spread = []
    for found in (alone, pooled):
        draws = found.draws(200, arrival_rate=0.01, accuracy_weight=100, accept=list(Verdict))
        spread.append(np.log(draws.rate[:, 3]).std())
    assert spread[1] < 0.5 * spread[0]
