"""The transform inverted: the stated error is kept, sums of waits add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from queues import MIXTURES, mixture
from thinkqueue.waiting_time import inversion
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.renewal import solve


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("load", [0.01, 0.3, 0.9, 0.99])
def test_inversion_keeps_its_stated_error(name: str, load: float) -> None:
    queue = mixture(name, load)
    tilted = solve(queue)
    kinks = np.add.outer(queue.service, [-1e-7, 0, 1e-7]).ravel()
    t = np.concatenate([kinks, 2 * kinks, np.linspace(0, 25 * queue.mean, 60)])
    for error in (1e-6, 1e-10):
        inverted = invert(queue, t, error=error)
        assert inverted.error < 4 * error
        assert np.abs(inverted.value - tilted.tail(t)).max() <= inverted.error + 1e-13


def test_two_waits_add_up() -> None:
    """The inversion of the square of the transform is the convolution of the distribution."""
    queue = mixture("three", 0.7)
    tilted = solve(queue)
    end = 9.0
    sums = np.add.outer(queue.service, np.append(queue.service, 0)).ravel()
    edges = np.unique(np.concatenate([[0, end], sums, end - sums, np.linspace(0, end, 40)]))
    edges = edges[(edges >= 0) & (edges <= end)]
    x, weight = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    u, weight = (edges[:-1, None] + half * (x + 1)).ravel(), (half * weight).ravel()
    density = queue.arrival_rate * (
        tilted.tail(u[:, None] - queue.service) @ queue.share - tilted.tail(u)
    )
    split = float((weight * density * tilted.tail(end - u)).sum())
    convolved = (1 - queue.load) * tilted.tail(np.array(end)) + split + tilted.tail(np.array(end))
    assert invert(queue, np.array(end), waits=2).value == pytest.approx(convolved, abs=1e-9)


@pytest.mark.parametrize("waits", [1, 2])
@pytest.mark.parametrize("load", [0.05, 0.7])
def test_what_the_frequencies_left_out_may_add_is_bounded(waits: int, load: float) -> None:
    """By the integral of |ρR| ≤ 2λ/|z| over them, as the sum over residuals beyond r says."""
    queue = mixture("three", load)
    for removed in (1, 2, 5):
        front, base = inversion._truncation_constants(queue, removed, waits)
        assert base == 2 * queue.arrival_rate
        for beyond in (3 * base, 40 * base):
            series = sum((n + 1) ** (waits - 1) * (base / beyond) ** n for n in range(200))
            # in u = base / y
            first = quad(lambda u, r=removed: u**r, 0, base / beyond, epsabs=0)[0]
            least = np.exp(2.0) / np.pi * (1 - load) ** waits * (removed + 2) ** (waits - 1) * first
            stated = front * (base / beyond) ** (removed + 1)
            assert stated == pytest.approx(least, rel=1e-7, abs=0)
            # (n + r + 2)^(q-1) ≤ (r + 2)^(q-1) (n + 1)^(q-1), term by term
            assert stated / (1 - base / beyond) ** waits == pytest.approx(
                stated * series, rel=1e-9, abs=0
            )


@pytest.mark.parametrize("waits", [1, 2])
def test_a_plan_states_what_it_cuts_off_and_forgets(waits: int) -> None:
    queue = mixture("three", 0.7)
    for forgotten, latest in ((40.0, 1.0), (0.1, 1.0), (0.1, 30.0)):
        plan = inversion._Plan.make(queue, forgotten, latest, waits, 1e-8)
        assert plan.half_period == max(latest, forgotten / 2, 4 * queue.longest)
        front, base = inversion._truncation_constants(queue, plan.removed, waits)
        ratio = base * plan.half_period / (plan.frequencies * np.pi)
        stated = front * ratio ** (plan.removed + 1) / (1 - ratio) ** waits
        assert plan.truncation == pytest.approx(stated, rel=1e-12, abs=0)
        assert plan.truncation <= 2e-8


def test_every_part_of_the_error_is_in_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, t = mixture("three", 0.7), np.array([0.5, 2.0])
    assert invert(queue, t).error < 1e-9
    make = inversion._Plan.make
    for name in ("truncation", "aliasing"):
        with monkeypatch.context() as patch:
            coarse = lambda *at, name=name: replace(make(*at), **{name: 0.25})  # noqa: E731
            patch.setattr(inversion._Plan, "make", coarse)
            assert invert(queue, t).error == pytest.approx(0.25, abs=1e-9)
    for name in ("_few_residuals", "_many_residuals"):
        with monkeypatch.context() as patch:
            true = getattr(inversion, name)
            patch.setattr(inversion, name, lambda *at, true=true: (true(*at)[0], 0.25))
            assert invert(queue, t).error == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize("waits", [1, 2])
def test_rounding_is_stated_no_smaller_than_the_terms_make_it(waits: int) -> None:
    """A few last bits of each term, and those of x over 1 - x, at the end of the half period."""
    queue = mixture("three", 0.9)
    plan = inversion._Plan.make(queue, 40.0, 1.0, waits, 1e-8)
    half, r = plan.half_period, plan.removed
    z = (2.0 + 1j * np.pi * np.arange(plan.frequencies + 1)) / half
    x = queue.arrival_rate * ((1 - np.exp(-np.outer(z, queue.service))) @ queue.share) / z
    count = 1 if waits == 1 else r + 2 - (r + 1) * x
    terms = (1 - queue.load) ** waits * np.abs(x ** (r + 1) * count / (1 - x) ** waits / z)
    terms[0] /= 2
    bits = 4 * 2.0**-52 * terms * (1 + waits * np.abs(x / (1 - x)))
    least = np.exp(2.0) / half * np.linalg.norm(bits)
    stated = inversion._many_residuals(queue, np.array([1.0]), plan, waits)[1]
    assert stated >= least * (1 - 1e-6)
