"""The machine proof of strict concavity: what it covers and what it refuses to prove."""

from __future__ import annotations

import numpy as np
import pytest
from flint import arb

from thinkqueue.errors import UnstableError, WorkloadError
from thinkqueue.proofs.balls import above, below
from thinkqueue.proofs.concavity import (
    prove_concavity,
    prove_for_every_workload,
    prove_positive_definite,
    scaled_at,
    scaled_hessian,
    tokens_at,
)
from thinkqueue.workload import Workload


def five_types(arrival_rate: float = 0.02) -> Workload:
    """Five unlike types with unlike shares."""
    return Workload.from_arrays(
        share=[0.1, 0.15, 0.2, 0.25, 0.3],
        gain=[0.737, 0.595, 0.227, 0.677, 0.302],
        rate=[1.13e-4, 9.25e-5, 2.63e-4, 2.66e-3, 1.89e-4],
        baseline=0.0,
        base_time=[0.2, 0.3, 0.1, 0.07, 0.5],
        time_per_token=[0.012, 0.011, 0.013, 0.012, 0.014],
        arrival_rate=arrival_rate,
        accuracy_weight=100.0,
    )


def types(size: int, arrival_rate: float = 0.02) -> Workload:
    """The first types of the five, with their shares made to add up to 1."""
    w = five_types(arrival_rate)
    share = w.share[:size] / w.share[:size].sum()
    return Workload.from_arrays(
        share=share,
        gain=w.gain[:size],
        rate=w.rate[:size],
        baseline=0.0,
        base_time=w.base_time[:size],
        time_per_token=w.time_per_token[:size],
        arrival_rate=arrival_rate,
        accuracy_weight=100.0,
    )


def mean_system_time(w: Workload, tokens: np.ndarray) -> np.ndarray:
    service = w.base_time + w.time_per_token * tokens
    m, second = service @ w.share, service**2 @ w.share
    return m + w.arrival_rate * second / (2 * (1 - w.arrival_rate * m))


def difference_hessian(w: Workload, tokens: np.ndarray) -> np.ndarray:
    """Central second differences of E[T] with steps of equal effect on the service time."""
    size = len(w)
    step = np.diag(0.01 * (1 + w.base_time) / w.time_per_token)

    def f(d: np.ndarray) -> float:
        return float(mean_system_time(w, tokens + d))

    return np.array(
        [
            [(f(a + b) - f(a - b) - f(b - a) + f(-a - b)) / (4 * a.sum() * b.sum()) for b in step]
            for a in step
        ]
    ).reshape(size, size)


@pytest.mark.parametrize("value", [1 / 3, -2.5e-200, 0.0, 1e300])
def test_bounds_of_a_ball_enclose_it(value: float) -> None:
    ball = arb(value) / 3 + arb(0, 1e-20)
    assert arb(below(ball)) <= ball
    assert arb(above(ball)) >= ball
    assert above(ball) - below(ball) <= 1e-14 * abs(value) + 1e-19


def test_the_polynomial_is_the_hessian_of_the_mean_system_time() -> None:
    w = five_types()
    tokens = np.array([800.0, 4000.0, 100.0, 900.0, 2000.0])
    polynomial = scaled_hessian([arb(x).sqrt() for x in w.share.tolist()])
    value = polynomial.at([arb(x) for x in scaled_at(w, tokens).tolist()])
    scaled = np.array([[float(x.mid()) for x in row] for row in value.tolist()])
    y = 1 - w.arrival_rate * w.share @ (w.base_time + w.time_per_token * tokens)
    scale = np.sqrt(w.share) * w.time_per_token
    hessian = w.arrival_rate / y * scaled * np.outer(scale, scale)
    np.testing.assert_allclose(hessian, difference_hessian(w, tokens), rtol=1e-4)


def test_scaled_coordinates_go_there_and_back() -> None:
    w = five_types()
    tokens = np.random.default_rng(1).uniform(0, 3000, size=(7, 5))
    np.testing.assert_allclose(tokens_at(w, scaled_at(w, tokens)), tokens, rtol=1e-9)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_stable_region_up_to_a_load_of_nine_tenths_is_proven(size: int) -> None:
    w = types(size)
    proof = prove_concavity(w, max_utilization=0.9)
    assert proof.proven
    assert len(proof) < 2000


def test_each_point_of_the_region_lies_in_a_box() -> None:
    w = types(3)
    proof = prove_concavity(w, lower=np.full(3, 10.0), max_utilization=0.8)
    rng = np.random.default_rng(2)
    tokens = 10 + rng.dirichlet(np.ones(4), size=4000)[:, :3] * 0.8 / (
        w.arrival_rate * w.share * w.time_per_token
    )
    service = w.base_time + w.time_per_token * tokens
    tokens = tokens[(w.arrival_rate * service @ w.share <= 0.8) & (tokens <= 32768).all(axis=1)]
    assert len(tokens) > 1000
    points = scaled_at(w, tokens)[:, None]
    inside = ((proof.lower <= points) & (points <= proof.upper)).all(axis=-1)
    assert inside.any(axis=1).all()


def test_boxes_do_not_overlap() -> None:
    proof = prove_concavity(types(2))
    lower = np.maximum(proof.lower[:, None], proof.lower)
    upper = np.minimum(proof.upper[:, None], proof.upper)
    common = np.prod(np.maximum(upper - lower, 0), axis=-1)
    assert common[~np.eye(len(proof), dtype=bool)].max() <= 1e-9


def test_a_box_of_tokens_inside_the_stable_region_needs_few_boxes() -> None:
    w = five_types()
    proof = prove_concavity(w, [900, 900, 100, 500, 900], [1000, 1000, 150, 600, 1000])
    assert proof.proven
    assert len(proof) == 1


def test_near_saturation_is_proven_too() -> None:
    assert prove_concavity(types(3), max_utilization=0.999).proven


def test_every_workload_at_once() -> None:
    proof = prove_for_every_workload(max_utilization=0.99, max_spread=1000.0)
    assert proof.proven
    # what is promised unless one asks for more: loads up to nine tenths, all of the rectangle
    proof = prove_for_every_workload()
    assert proof.proven
    assert np.prod(proof.upper - proof.lower, axis=1).sum() == pytest.approx(900.0, rel=1e-9)
    np.testing.assert_allclose(proof.upper.max(axis=0), [9.0, 100.0], rtol=1e-9)


@pytest.mark.parametrize("square", [0.5, 0.0, -1.0])
def test_a_wrong_hessian_is_refuted_with_a_witness(square: float) -> None:
    root = [arb(share).sqrt() for share in (0.2, 0.3, 0.5)]
    wrong = scaled_hessian(root, square=square)
    proof = prove_positive_definite(wrong, root, np.zeros(3), np.full(3, np.inf), 9.0)
    assert proof.verdict == "refuted"
    assert proof.witness is not None
    r = np.sqrt([0.2, 0.3, 0.5])
    w = proof.witness
    dense = np.eye(3) + np.outer(r, w) + np.outer(w, r) + square * w @ w * np.outer(r, r)
    assert np.linalg.eigvalsh(dense)[0] < 0


def test_a_singular_matrix_is_never_proven() -> None:
    root = [arb(0.5).sqrt()] * 2
    right = scaled_hessian(root)
    singular = type(right)(right.constant - right.constant, right.linear, right.square)
    proof = prove_positive_definite(singular, root, np.zeros(2), np.ones(2), 9.0, max_boxes=200)
    assert not proof.proven


def test_the_limit_on_boxes_is_an_honest_end() -> None:
    proof = prove_concavity(five_types(), max_boxes=10)
    assert proof.verdict == "undecided"
    assert proof.tried == 10


def test_no_proof_without_a_stable_corner() -> None:
    with pytest.raises(UnstableError, match="lower corner"):
        prove_concavity(five_types(), lower=[4000.0] * 5)


def test_no_proof_for_a_type_that_never_comes() -> None:
    w = types(2).replace(share=[1.0, 0.0])
    with pytest.raises(WorkloadError, match="share of task type 'type 2' is 0"):
        prove_concavity(w)


@pytest.mark.parametrize("load", [0.0, 1.0, np.nan])
def test_the_load_must_leave_room(load: float) -> None:
    with pytest.raises(WorkloadError, match="max_utilization"):
        prove_concavity(types(2), max_utilization=load)
