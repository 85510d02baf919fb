"""Certificates: exact arithmetic as the judge, hard workloads, and what must not be certified."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import exp as mp_exp
from mpmath import mp, mpf

from thinkqueue import UnstableError, Workload, WorkloadError, gradient, solve
from thinkqueue.proofs import certificate
from thinkqueue.proofs.certificate import certify
from workloads import QWEN, hard_workload, plain_workload


@pytest.fixture(autouse=True)
def many_digits() -> None:
    mp.prec = 400


def exact(w: Workload, tokens: list[mpf] | np.ndarray) -> tuple[mpf, list[mpf]]:
    """J and the gradient per share, with 120 digits and by the book."""
    ell = [mpf(x) for x in tokens]
    p, rate = [mpf(x) for x in w.share], mpf(w.arrival_rate)
    c = [mpf(x) for x in w.time_per_token]
    s = [mpf(t) + b * x for t, b, x in zip(w.base_time, c, ell)]
    m = sum(a * b for a, b in zip(p, s))
    second = sum(a * b * b for a, b in zip(p, s))
    y = 1 - rate * m
    worth = [mpf(w.accuracy_weight) * mpf(x) for x in w.weight]
    left = [mp_exp(-mpf(b) * x) for b, x in zip(w.rate, ell)]
    right = [mpf(d) + mpf(a) * (1 - e) for d, a, e in zip(w.baseline, w.gain, left)]
    value = sum(a * b * d for a, b, d in zip(worth, p, right)) - m - rate * second / (2 * y)
    slope = [
        u * mpf(a) * mpf(b) * e - x * (1 + rate * t / y + rate**2 * second / (2 * y * y))
        for u, a, b, e, x, t in zip(worth, w.gain, w.rate, left, c, s)
    ]
    return value, slope


def test_one_type_against_its_own_derivative() -> None:
    w = plain_workload(1, 1)
    proof = certify(w, solve(w).tokens)
    assert proof.proven
    assert proof.tokens_lower is not None
    assert proof.tokens_upper is not None
    assert exact(w, proof.tokens_lower)[1][0] >= 0 >= exact(w, proof.tokens_upper)[1][0]


@pytest.mark.parametrize("seed", range(12))
def test_many_digits_agree(seed: int) -> None:
    w = plain_workload(seed, 1 + 3 * seed)
    best = solve(w)
    proof = certify(w, best.tokens)
    value, _ = exact(w, best.tokens)
    assert mpf(proof.lower) <= value <= mpf(proof.upper)
    assert value - mpf(proof.lower) <= mpf(2) ** -50 * abs(value)
    assert proof.upper - proof.lower <= best.gap + 1e-14 * abs(best.objective)
    assert proof.gap <= best.gap * (1 + 1e-6) + 1e-20


@pytest.mark.parametrize("seed", range(12))
def test_the_box_holds_the_root_of_the_exact_gradient(seed: int) -> None:
    """Newton with 120 digits, started in the middle of the box, ends in it."""
    w = plain_workload(seed + 50, 4)
    proof = certify(w, solve(w).tokens)
    assert proof.proven
    assert proof.tokens_lower is not None
    assert proof.tokens_upper is not None
    free = np.flatnonzero(proof.free)
    ell = [mpf(x) for x in (proof.tokens_lower + proof.tokens_upper) / 2]
    for _ in range(6):
        columns = mp.matrix(len(free), len(free))
        here = exact(w, ell)[1]
        for j, k in enumerate(free):
            moved = list(ell)
            moved[k] += mpf(2) ** -120
            there = exact(w, moved)[1]
            for i, row in enumerate(free):
                columns[i, j] = (there[row] - here[row]) * mpf(2) ** 120
        step = mp.lu_solve(columns, mp.matrix([here[k] for k in free])) if len(free) else []
        for i, k in enumerate(free):
            ell[k] -= step[i]
    for x, low, high in zip(ell, proof.tokens_lower, proof.tokens_upper):
        assert mpf(low) <= x <= mpf(high)
    slope = exact(w, ell)[1]
    assert all(slope[k] < 0 for k in np.flatnonzero(proof.at_zero))
    assert all(slope[k] > 0 for k in np.flatnonzero(proof.at_cap))


@pytest.mark.parametrize("seed", range(40))
def test_hard_workloads(seed: int) -> None:
    w = hard_workload(seed, (1, 2, 5, 20)[seed % 4])
    best = solve(w, throw=False)
    proof = certify(w, best.tokens)
    assert np.isfinite([proof.lower, proof.upper, proof.gap]).all()
    assert proof.lower <= proof.upper
    assert proof.gap >= 0
    if proof.proven:
        assert not (proof.free & (proof.at_zero | proof.at_cap)).any()
        value, _ = exact(w, proof.tokens_lower)
        assert value <= proof.upper


def test_the_workload_of_the_book_is_certified() -> None:
    w = Workload.from_toml(QWEN)
    proof = certify(w, solve(w).tokens)
    assert proof.proven
    assert (proof.free | proof.at_zero | proof.at_cap).all()
    assert proof.upper - proof.lower <= 1e-9


def test_thousands_of_types() -> None:
    w = plain_workload(3, 2000)
    proof = certify(w, solve(w).tokens)
    assert proof.proven
    slope = gradient(w, solve(w).tokens)
    assert (slope[proof.at_zero] < 0).all()


def test_far_from_the_optimum_the_bounds_hold_and_are_wide() -> None:
    w = plain_workload(4, 5)
    best = certify(w, solve(w).tokens)
    far = certify(w, np.zeros(5))
    assert far.lower <= best.lower
    assert far.upper >= best.upper
    if far.proven:  # Newton may have found it from there; it is the same box then
        assert far.tokens_lower is not None
        assert best.tokens_upper is not None
        assert (far.tokens_lower <= best.tokens_upper).all()


def test_every_budget_at_zero() -> None:
    w = plain_workload(0, 3).replace(accuracy_weight=0.0)
    proof = certify(w, np.zeros(3))
    assert proof.proven
    assert proof.at_zero.all()
    assert proof.gap == 0.0


def test_no_time_at_all() -> None:
    w = plain_workload(0, 2).replace(accuracy_weight=1e-6, base_time=0.0)
    assert certify(w, [0.0, 0.0]).proven


def test_a_budget_on_the_threshold_is_left_undecided() -> None:
    # worth of the first token = α A b = 1 s = its price c (1 + λ²M/2y² + λ t0/y) with t0 = 0, M = 0
    w = Workload.from_arrays(
        share=[1.0],
        gain=[0.5],
        rate=[0.5],
        baseline=0.0,
        base_time=0.0,
        time_per_token=1.0,
        arrival_rate=0.25,
        accuracy_weight=4.0,
    )
    proof = certify(w, [0.0])
    assert proof.gap == 0.0
    assert not proof.free.any()
    assert not proof.at_zero.any()


def test_an_undecided_certificate_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "_enclose", lambda types, tokens: None)
    w = plain_workload(5, 3)
    proof = certify(w, solve(w).tokens)
    assert not proof.proven
    assert proof.tokens_lower is None
    assert not (proof.free | proof.at_zero | proof.at_cap).any()
    assert proof.status.startswith("Undecided")
    assert proof.lower <= proof.upper


def test_a_box_without_the_optimum_is_not_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: Krawczyk's test around moments that are off by a millionth."""
    true = certificate._krawczyk

    def shifted(types, z, radius, shift, inverse, near):  # type: ignore[no-untyped-def]
        off = types.matrix([[z[0, 0] * (1 + types.arb("1e-6"))], [z[1, 0]]]).mid()
        step = certificate._newton(types, off, near)
        assert step is not None
        residual, inverse, near = step
        return true(types, off, radius, -(inverse * residual), inverse, near)

    monkeypatch.setattr(certificate, "_krawczyk", shifted)
    w = plain_workload(1, 5)
    assert not certify(w, solve(w).tokens).proven


@pytest.mark.parametrize("u", [0.05, 0.3, 0.9, 2.0])
def test_far_below_the_optimum_the_upper_end_still_covers_it(u: float) -> None:
    """Without others to wait the optimum is known: u²/2 alone, without its factor, falls short."""
    w = plain_workload(3, 4).replace(arrival_rate=1e-12)
    best = solve(w).tokens
    below = np.maximum(best - u / w.rate, 0)
    top, _ = exact(w, best)
    found = certify(w, below)
    assert found.lower < top <= found.upper
    assert found.upper - top < np.expm1(u) * (top - found.lower)


def test_doors_are_guarded() -> None:
    w = plain_workload(6, 2)
    with pytest.raises(WorkloadError, match="max_tokens"):
        certify(w, [40000, 0])
    with pytest.raises(UnstableError, match="not certainly below 1"):
        certify(w.replace(arrival_rate=1.0, base_time=1.1), [0, 0])
