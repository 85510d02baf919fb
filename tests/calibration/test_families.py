"""What is fitted can be served: every family of curves goes from measurements to a workload."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.calibration import CalibrationError
from thinkqueue.workload import Hill, Interpolated, Saturating

BUDGETS = np.array([0, 128, 256, 512, 1024, 2048, 4096, 8192])


def rows(curve, name: str) -> list[dict[str, object]]:  # type: ignore[no-untyped-def]
    """Measurements that follow a curve to the last question: what is fitted is the curve."""
    return [
        {"task": name, "tokens": int(x), "correct": round(100_000 * p), "total": 100_000}
        for x, p in zip(BUDGETS, curve(BUDGETS))
    ]


@pytest.fixture(scope="module")
def calibration() -> tq.Calibration:
    late, plain = Hill(0.7, 900.0, 3.0, 0.1), Saturating(0.6, 1e-3, 0.1)
    return tq.calibrate([*rows(late, "late"), *rows(plain, "plain")], simulations=49)


def workload(calibration: tq.Calibration, **options: object) -> tq.Workload:
    return calibration.workload(
        arrival_rate=0.01, accuracy_weight=300.0, base_time=0.2, time_per_token=0.01, **options
    )  # type: ignore[arg-type]


def test_every_fitted_family_says_what_its_fit_says(calibration: tq.Calibration):
    for task in calibration.tasks:
        for name, fit in task.accuracy.fits.items():
            got = fit.accuracy(BUDGETS)
            np.testing.assert_allclose(
                got, fit.predict(BUDGETS), rtol=1e-9, atol=1e-9, err_msg=name
            )


def test_the_best_family_goes_into_the_workload_and_is_solved(calibration: tq.Calibration):
    w = workload(calibration, family="best")
    late, plain = (task.accuracy for task in w.tasks)
    assert isinstance(late, Hill)
    assert late.midpoint == pytest.approx(900, rel=0.02)
    assert not isinstance(plain, Hill)
    found = tq.solve(w, throw=False)
    assert found.gap <= 1e-6 * found.objective
    assert found.tokens[0] > 900


def test_families_are_chosen_task_by_task(calibration: tq.Calibration):
    w = workload(calibration, family={"late": "any monotone"})
    late, plain = (task.accuracy for task in w.tasks)
    assert isinstance(late, Interpolated)
    assert isinstance(plain, Saturating)


def test_the_saturating_curve_still_asks_for_its_verdict(calibration: tq.Calibration):
    with pytest.raises(CalibrationError, match="late"):
        workload(calibration)


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("cubic", "No curve called 'cubic' was fitted to late"),
        ({"x": "Hill"}, "family names 'x'|x"),
    ],
)
def test_a_family_that_was_not_fitted_is_named(calibration: tq.Calibration, family, says):
    with pytest.raises(CalibrationError, match=says):
        workload(calibration, family=family)
