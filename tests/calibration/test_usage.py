import numpy as np
import pytest

from calibration.designs import saturating
from thinkqueue.calibration import Verdict, calibrate
from thinkqueue.calibration.usage import Usage
from thinkqueue.errors import ThinkQueueError

CAPS = np.array([250.0, 500, 1000, 2000, 4000])
MEAN = 1500.0


def mean_use(cap):
    """E min(X, cap) of an exponential length."""
    return MEAN * (1 - np.exp(-np.asarray(cap) / MEAN))


def capped(seed=0, questions=400):
    """Rows of single questions under caps, for two tasks of unequal traffic."""
    rng = np.random.default_rng(seed)
    table = []
    for name, count in (("math", questions), ("chat", questions // 4)):
        for cap in CAPS:
            used = np.rint(np.minimum(rng.exponential(MEAN, count), cap))
            right = rng.uniform(size=count) < saturating(mean_use(cap))
            seconds = 0.2 + 0.012 * used + rng.normal(0, 0.05, count)
            table += [
                {"task": name, "budget": cap, "tokens": u, "correct": int(r), "latency": s}
                for u, r, s in zip(used, right, seconds, strict=True)
            ]
    return table


@pytest.fixture(scope="module")
def calibration():
    return calibrate(capped(), simulations=39)


ANY = list(Verdict)
TERMS = {"arrival_rate": 0.02, "accuracy_weight": 100, "accept": ANY}


def test_between_measured_caps_the_curve_is_that_of_the_lengths():
    usage = Usage.of_groups(CAPS, mean_use(CAPS))
    for cap in (120.0, 350.0, 1400.0, 3000.0):
        assert usage.used_under(cap) == pytest.approx(mean_use(cap), rel=0.02)
        assert usage.cap_for(float(mean_use(cap))) == pytest.approx(cap, rel=0.03)
    # negative control: a chord between the same points is off by more
    assert abs(np.interp(1400.0, CAPS, mean_use(CAPS)) / mean_use(1400.0) - 1) > 0.02


@pytest.mark.parametrize("cap", [0.0, 250.0, 777.0, 4000.0])
def test_cap_and_use_are_inverse(cap):
    usage = Usage.of_groups(CAPS, mean_use(CAPS))
    assert usage.cap_for(usage.used_under(cap)) == pytest.approx(cap, abs=1e-6)


def test_a_larger_cap_that_was_not_used_says_nothing_and_beyond_is_unknown():
    usage = Usage.of_groups(np.array([0.0, 100, 200, 400]), np.array([0.0, 90, 80, 120]))
    np.testing.assert_array_equal(usage.caps, [100, 400])
    with pytest.raises(ThinkQueueError, match="budget of 500"):
        usage.used_under(500)
    with pytest.raises(ThinkQueueError, match="mean use of 130"):
        usage.cap_for(130)
    assert Usage.of_groups(np.array([0.0]), np.array([0.0])) is None


def test_the_tokens_of_a_workload_are_tokens_used_and_caps_go_beside_them(calibration):
    workload = calibration.workload(**TERMS)
    np.testing.assert_allclose(workload.max_tokens, mean_use(4000), rtol=0.25)
    np.testing.assert_allclose(calibration.caps([730, 730]), 1000, rtol=0.15)
    assert "budget of 250 uses" in calibration.summary()
    given = calibration.workload(max_tokens=1000, **TERMS)
    np.testing.assert_allclose(given.max_tokens, mean_use(1000), rtol=0.1)
    with pytest.raises(ThinkQueueError, match="not known"):
        calibration.workload(max_tokens=32768, **TERMS)


def test_without_tokens_used_a_budget_is_its_own_cap():
    bare = [{k: v for k, v in row.items() if k != "tokens"} for row in capped(questions=40)]
    found = calibrate(bare, simulations=39)
    assert found["math"].usage is None
    np.testing.assert_array_equal(found.caps([700, 800]), [700, 800])


def test_shares_are_equal_with_a_remark_or_those_of_the_log(calibration, tmp_path):
    np.testing.assert_array_equal(calibration.workload(**TERMS).share, [0.5, 0.5])
    np.testing.assert_array_equal(calibration.workload(share="log", **TERMS).share, [0.8, 0.2])
    with pytest.raises(ThinkQueueError, match="'log'"):
        calibration.workload(share="traffic", **TERMS)
    path = tmp_path / "workload.toml"
    calibration.to_toml(path, **TERMS)
    assert "shares are equal" in path.read_text(encoding="utf-8")
    calibration.to_toml(path, share="log", **TERMS)
    assert "shares are equal" not in path.read_text(encoding="utf-8")
