"""J, its gradient and its curvature, against SymPy, many digits and finite differences."""

from __future__ import annotations

import functools
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
import sympy

import thinkqueue as tq
from thinkqueue import Workload
from thinkqueue.arrays import Array
from thinkqueue.objective import Answers
from workloads import hard_workloads, plain_workload, plain_workloads, stable_tokens

PARAMETERS = "pi A b D t c w"


# many digits


def exact_objective(w: Workload, tokens) -> mpmath.mpf:
    """J as the model has it, in arithmetic of fifty digits."""
    columns = (w.share, w.gain, w.rate, w.baseline, w.base_time, w.time_per_token, w.weight)
    m = second = worth = mpmath.mpf(0)
    for values in zip(*columns, tokens):
        pi, gain, b, d, t, c, weight, x = (mpmath.mpf(v) for v in values)
        s = t + c * x
        m, second = m + pi * s, second + pi * s**2
        worth += weight * pi * (d + gain * (1 - mpmath.exp(-b * x)))
    rate = mpmath.mpf(w.arrival_rate)
    return mpmath.mpf(w.accuracy_weight) * worth - m - rate * second / (2 * (1 - rate * m))


def test_objective_has_the_digits_that_its_terms_allow():
    g = np.random.default_rng(0)
    with mpmath.workdps(50):
        for w in hard_workloads(150, seed=2, types=4):
            x = stable_tokens(w, g)
            exact = exact_objective(w, [float(v) for v in x])
            # 1 − ρ keeps an absolute error of a few units in the last place of 1
            y = 1 - float(tq.utilization(w, x))
            size = w.accuracy_weight * float(tq.mean_accuracy(w, x)) + float(
                tq.mean_system_time(w, x)
            ) * (1 + 1 / y)
            assert abs(float(exact - mpmath.mpf(float(tq.objective(w, x))))) <= 4e-15 * size


# finite differences


def gradient_error(gradient: Callable[[Workload, Array], Array], w: Workload, x: Array) -> float:
    """Largest error against derivatives in fifty digits, relative to the two terms of each."""
    with mpmath.workdps(50):
        point = [mpmath.mpf(float(v)) for v in x]
        step = mpmath.mpf(10) ** -15
        worst = 0.0
        got = gradient(w, x)
        for k in range(len(w)):
            up, down = list(point), list(point)
            up[k], down[k] = point[k] + step, point[k] - step
            slope = float((exact_objective(w, up) - exact_objective(w, down)) / (2 * step))
            cost = float(w.share[k] * w.time_per_token[k] * tq.queueing_price(w, x)[k])
            y = 1 - float(tq.utilization(w, x))
            worst = max(worst, abs(got[k] - slope) / (abs(slope) + cost * (1 + 1 / y)))
    return worst


def points(count: int, types: int, seed: int):
    g = np.random.default_rng(seed)
    for w in plain_workloads(count, seed, types):
        yield w, stable_tokens(w, g, load=g.uniform(0.05, 0.95))


def test_gradient_is_the_derivative():
    assert max(gradient_error(tq.gradient, w, x) for w, x in points(25, 4, 3)) < 1e-13


def test_gradient_is_the_derivative_at_the_edges():
    g = np.random.default_rng(4)
    for w in hard_workloads(40, seed=4, types=3):
        assert gradient_error(tq.gradient, w, stable_tokens(w, g)) < 1e-13


def own_time_only(w: Workload, x: Array) -> Array:
    """A wrong gradient: the price without what a token makes later queries wait."""
    value = w.accuracy_weight * w.weight * w.gain * w.rate * np.exp(-w.rate * x)
    return w.share * (value - w.time_per_token)


def half_the_last_term(w: Workload, x: Array) -> Array:
    """A wrong gradient: λ² M / (4 y²) for λ² M / (2 y²)."""
    second, y = tq.service_moments(w, x)[1], 1 - tq.utilization(w, x)
    return tq.gradient(w, x) + w.share * w.time_per_token * w.arrival_rate**2 * second / (4 * y**2)


@pytest.mark.parametrize("wrong", [own_time_only, half_the_last_term])
def test_a_wrong_gradient_fails_that_check(wrong):
    assert max(gradient_error(wrong, w, x) for w, x in points(5, 4, 3)) > 1e-4


def curvature_error(
    curvature: Callable[[Workload, Array], tq.NegativeHessian], w: Workload, x: Array
) -> float:
    """Largest relative error of the matrix against central differences of the gradient."""
    matrix = curvature(w, x).dense()
    numeric = np.empty_like(matrix)
    for k in range(len(w)):
        h = 1e-5 * max(x[k], 1.0)
        h = min(h, x[k]) if x[k] else h
        step = h * np.eye(len(w))[k]
        if x[k]:
            numeric[:, k] = -(tq.gradient(w, x + step) - tq.gradient(w, x - step)) / (2 * h)
        else:  # one-sided, of second order
            g0, g1, g2 = (tq.gradient(w, x + j * step) for j in range(3))
            numeric[:, k] = -(-3 * g0 + 4 * g1 - g2) / (2 * h)
    scale = np.sqrt(np.outer(np.diag(matrix), np.diag(matrix)))
    return float((np.abs(numeric - matrix) / scale).max())


def test_curvature_is_the_derivative_of_the_gradient():
    assert max(curvature_error(tq.negative_hessian, w, x) for w, x in points(40, 6, 5)) < 1e-5


def test_a_curvature_without_its_rank_two_part_fails_that_check():
    def separable(w, x):
        whole = tq.negative_hessian(w, x)
        return tq.NegativeHessian(whole.diagonal, whole.basis, np.zeros((2, 2)))

    assert max(curvature_error(separable, w, x) for w, x in points(40, 6, 5)) > 1e-2


# SymPy


@functools.cache
def symbolic(types: int):
    """J, ∇J and −∇²J, derived by SymPy from the model as it is written, as one function."""
    lam, alpha = sympy.symbols("lambda alpha", positive=True)
    symbols = {p: sympy.symbols(f"{p}:{types}", positive=True) for p in PARAMETERS.split()}
    ell = sympy.symbols(f"l:{types}", nonnegative=True)
    pi, gain, b, d, t, c, w = (symbols[p] for p in PARAMETERS.split())
    s = [t[k] + c[k] * ell[k] for k in range(types)]
    m = sum(pi[k] * s[k] for k in range(types))
    second = sum(pi[k] * s[k] ** 2 for k in range(types))
    time = m + lam * second / (2 * (1 - lam * m))
    worth = sum(
        w[k] * pi[k] * (d[k] + gain[k] * (1 - sympy.exp(-b[k] * ell[k]))) for k in range(types)
    )
    objective = alpha * worth - time
    arguments = [lam, alpha, *(x for p in PARAMETERS.split() for x in symbols[p]), *ell]
    slopes = [sympy.diff(objective, x) for x in ell]
    hessian = -sympy.hessian(objective, ell)
    return sympy.lambdify(arguments, [objective, slopes, hessian], "numpy")


def test_value_gradient_and_curvature_are_those_of_sympy():
    functions = symbolic(3)
    for w, x in points(50, 3, 6):
        columns = (w.share, w.gain, w.rate, w.baseline, w.base_time, w.time_per_token, w.weight)
        value, slopes, hessian = functions(
            w.arrival_rate, w.accuracy_weight, *np.concatenate(columns), *x
        )
        np.testing.assert_allclose(tq.objective(w, x), value, rtol=1e-11)
        cost = w.share * w.time_per_token * tq.queueing_price(w, x)
        assert (np.abs(tq.gradient(w, x) - slopes) <= 1e-11 * cost + 1e-11 * np.abs(slopes)).all()
        np.testing.assert_allclose(tq.negative_hessian(w, x).dense(), hessian, rtol=1e-10)


@pytest.mark.parametrize("types", [1, 2, 3])
def test_determinant_and_gram_identities_hold_in_symbols(types):
    # in the variables s, which are affine in the tokens with slopes c; Σπ = 1 is nowhere needed
    lam = sympy.symbols("lambda", positive=True)
    pi, c, s = (sympy.symbols(f"{name}:{types}", positive=True) for name in "pcs")
    m = sum(pi[k] * s[k] for k in range(types))
    second = sum(pi[k] * s[k] ** 2 for k in range(types))
    y = 1 - lam * m
    time = m + lam * second / (2 * y)
    hessian = sympy.hessian(time, s)
    hessian = sympy.Matrix(types, types, lambda i, j: c[i] * c[j] * hessian[i, j])

    def row(k: int, j: int):
        return c[k] * int(k == j) + lam * s[k] / y * pi[j] * c[j]

    def vanishes(expression) -> bool:
        return sympy.expand(sympy.fraction(sympy.together(expression))[0]) == 0

    for i in range(types):
        for j in range(types):
            gram = sum(pi[k] * row(k, i) * row(k, j) for k in range(types))
            assert vanishes(hessian[i, j] - lam / y * gram)
    product = (lam / y) ** types / y**2
    for k in range(types):
        product *= pi[k] * c[k] ** 2
    if types < 3:
        assert vanishes(hessian.det() - product)


def time_hessian(w: Workload, x: Array) -> Array:
    """∇²E[T] alone: the curvature with nothing to win."""
    return tq.negative_hessian(w.replace(accuracy_weight=0.0), x).dense()


def test_determinant_and_gram_identities_hold_in_numbers():
    for w, x in points(50, 6, 7):
        lam = w.arrival_rate
        y, s = 1 - tq.utilization(w, x), tq.service_time(w, x)
        root, u = np.sqrt(w.share), w.share * w.time_per_token
        gram = np.diag(root * w.time_per_token) + lam / y * np.outer(root * s, u)
        hessian = time_hessian(w, x)
        np.testing.assert_allclose(hessian, lam / y * gram.T @ gram, rtol=1e-11)
        _, got = np.linalg.slogdet(hessian)
        expected = np.log(w.share * w.time_per_token**2 * lam / y).sum() - 2 * np.log(y)
        np.testing.assert_allclose(got, expected, rtol=1e-10)


def modulus_excess(modulus: Callable[[Workload, Array], Array], w: Workload, x: Array) -> float:
    """The modulus over the smallest eigenvalue of ∇²E[T]; at most 1 if it is one."""
    return float(modulus(w, x) / np.linalg.eigvalsh(time_hessian(w, x))[0])


def test_strong_concavity_modulus_is_below_the_smallest_eigenvalue():
    ratios = [modulus_excess(tq.strong_concavity_modulus, w, x) for w, x in points(300, 6, 8)]
    assert max(ratios) <= 1
    assert max(ratios) > 0.5  # and not far below where the bound is sharp


def test_a_modulus_without_its_denominator_fails_that_check():
    def too_large(w, x):
        return w.arrival_rate / (1 - tq.utilization(w, x)) * (w.share * w.time_per_token**2).min()

    assert max(modulus_excess(too_large, w, x) for w, x in points(300, 6, 8)) > 1.01


def test_modulus_bounds_the_curvature_of_j_as_well():
    for w, x in points(50, 6, 9):
        smallest = np.linalg.eigvalsh(tq.negative_hessian(w, x).dense())[0]
        assert smallest >= tq.strong_concavity_modulus(w, x)


# the structured matrix


@pytest.mark.parametrize("types", [1, 2, 7, 60])
def test_structured_product_and_solve_are_those_of_the_dense_matrix(types):
    g = np.random.default_rng(types)
    for w, x in points(10, types, 10):
        structured = tq.negative_hessian(w, x)
        dense = structured.dense()
        np.testing.assert_allclose(dense, dense.T)
        d, block = g.normal(size=types), g.normal(size=(types, 3))
        scale = np.abs(dense) @ np.abs(d)
        assert (np.abs(structured @ d - dense @ d) <= 1e-13 * scale).all()
        for right in (d, block, structured @ d):
            solution = structured.solve(right)
            assert solution.shape == right.shape
            expected = np.linalg.solve(dense, right)
            np.testing.assert_allclose(
                solution, expected, atol=1e-9 * np.abs(expected).max(), rtol=1e-9
            )


def test_a_million_types_never_make_a_square_matrix():
    w = plain_workload(1, 10**6)
    structured = tq.negative_hessian(w, np.zeros(10**6))
    d = np.ones(10**6)
    back = structured.solve(structured @ d)
    np.testing.assert_allclose(back, d, rtol=1e-8)


# concavity, seen


def test_j_lies_above_its_chords():
    g = np.random.default_rng(11)
    for w in hard_workloads(150, seed=11):
        x, z, t = stable_tokens(w, g), stable_tokens(w, g), g.uniform()
        chord = t * tq.objective(w, x) + (1 - t) * tq.objective(w, z)
        blur = 1e-12 * (abs(chord) + abs(tq.objective(w, x)) + abs(tq.objective(w, z)))
        assert tq.objective(w, t * x + (1 - t) * z) >= chord - blur


def test_mean_accuracy_is_the_weighted_mean_of_the_accuracies():
    w = plain_workload(12, 5).replace(weight=[0, 1, 2, 3, 4])
    x = np.linspace(0, 1000, 5)
    np.testing.assert_allclose(
        tq.mean_accuracy(w, x), np.sum(w.weight * w.share * tq.accuracy(w, x)), rtol=1e-14
    )
    for k, task in enumerate(w.tasks):
        np.testing.assert_allclose(tq.accuracy(w, x)[k], task.accuracy(x[k]), rtol=1e-14)


# what an iteration asks for


def test_answers_to_prices_are_the_same_in_closed_form_and_for_any_curve():
    """The closed form of saturating curves against the general one, which knows only a curve."""
    for w in plain_workloads(10, seed=13, types=4):
        w = w.replace(weight=[0.5, 1, 2, 3])
        fast, any_curve = Answers.of(w), Answers(w)
        assert type(fast) is not type(any_curve)
        x, price = np.array([0.0, 10.0, 300.0, 2000.0]), np.full(4, 0.02)
        assert fast.worth(x) == pytest.approx(float(any_curve.worth(x)), rel=1e-13)
        assert fast.worth(x) == pytest.approx(w.accuracy_weight * float(tq.mean_accuracy(w, x)))
        (one, worth), (other, value) = fast.respond(x, price), any_curve.respond(x, price)
        assert worth == pytest.approx(float(value), rel=1e-13)
        for name in ("step", "gain", "slope"):
            np.testing.assert_allclose(
                getattr(one, name), getattr(other, name), rtol=1e-8, atol=1e-9, err_msg=name
            )


@pytest.mark.parametrize("general", [False, True])
def test_steps_towards_rising_prices_end_where_a_token_is_worth_its_price(general):
    for w in plain_workloads(10, seed=14, types=3):
        w = w.replace(weight=[0.5, 1, 2], gain=0.6, rate=[1e-3, 2e-3, 5e-3], accuracy_weight=1e4)
        answers = Answers(w) if general else Answers.of(w)
        base, rise = np.array([0.02, 0.01, 0.05]), np.array([1e-5, 0.0, 3e-5])
        x = np.zeros(3)
        for _ in range(12 if not general else 40):
            x = x + answers.towards(x, base + rise * x, rise)
        worth = w.accuracy_weight * w.weight * w.curves.slope(x)
        assert (x > 10).all()
        np.testing.assert_allclose(worth, base + rise * x, rtol=1e-10)


def test_the_curvature_knows_the_weights():
    w = plain_workload(15, 3).replace(weight=[0.3, 1, 4])
    x = np.array([10.0, 50.0, 5.0])
    step = 1e-3 * np.eye(3)
    differences = [(tq.gradient(w, x - h) - tq.gradient(w, x + h)) / 2e-3 for h in step]
    dense = tq.negative_hessian(w, x).dense()
    np.testing.assert_allclose(dense, differences, rtol=1e-5, atol=1e-6 * np.abs(dense).max())
    with pytest.raises(tq.WorkloadError):
        tq.negative_hessian(w, np.zeros((2, 3)))
