"""The pieces of the proofs: exact steps, budgets, gaps, matrices and boxes, by a second way."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import flint
import numpy as np
import pytest
from flint import arb, arb_mat

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, UnstableError, Varying, Workload, WorkloadError
from thinkqueue.proofs import answers, batching, certificate, concavity
from workloads import LINE, MEASURED, batching_workload, plain_workload


def fractions(found: list) -> list[Fraction]:
    return [Fraction(int(x.p), int(x.q)) for x in found]


def tau_of(time, n: int) -> Fraction:
    """τ(n) without rounding."""
    if isinstance(time, TokenTime):
        return Fraction(time.base) + n * Fraction(time.per_query)
    rows = [(Fraction(a), Fraction(b)) for a, b in zip(time.queries, time.seconds)]
    lines = list(pairwise(rows))
    (n0, t0), (n1, t1) = next((line for line in lines if n <= line[1][0]), lines[-1])
    return t0 + (t1 - t0) * (n - n0) / (n1 - n0)


SHORT = TokenTime.table([1, 1.5, 40], [0.01, 0.0105, 0.05])


@pytest.mark.parametrize(
    ("server", "head"),
    [
        (Batching(LINE), 1), (Batching(LINE, 5), 5), (Batching(MEASURED), 16),
        (Batching(MEASURED, 12), 12), (Batching(MEASURED, 100), 100),
        (Batching(TokenTime.table([1, 4], [0.01, 0.02])), 1), (Batching(SHORT), 2),
    ],
    ids=repr,
)  # fmt: skip
def test_the_steps_are_those_of_the_server(server, head):
    time, cap = server.token_time, server.max_batch
    steps = batching.exact_steps(server, flint)
    assert fractions(steps.head) == [tau_of(time, n) for n in range(1, head + 1)]
    assert steps.capped is (cap is not None)
    far = 10**6
    slope = tau_of(time, far + 1) - tau_of(time, far)
    (pace,) = fractions([steps.pace])
    assert pace == (tau_of(time, cap) / cap if cap else slope)
    if not cap:
        line = fractions([steps.intercept, steps.slope])
        assert line == [tau_of(time, far) - slope * far, slope]
    for count in (1, 3, 90):
        every = fractions(batching.exact_seconds(server, count, flint))
        assert every == [tau_of(time, n) for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("queries", "seconds"),
    [([1, 2], [0.1, 0.2 * (1 + 1e-15)]), ([1, 2.5, 3], [0.15, 0.25 * (1 - 1e-15), 0.3])],
)
def test_a_table_whose_line_ends_a_hair_on_the_wrong_side_is_refused(queries, seconds):
    table = TokenTime.table(queries, seconds)  # beyond it n/τ(n) would fall
    assert table.concave
    with pytest.raises(WorkloadError, match="up to rounding only") as caught:
        batching.exact_steps(Batching(table), flint)
    assert caught.value.parameter == "token_time"


def test_bits_are_spent_on_what_cancels_only():
    steps = batching.exact_steps(Batching(MEASURED), flint)
    tau = np.array([float(tau_of(MEASURED, n)) for n in range(1, 17)])
    line = float(Fraction(int(steps.intercept.p), int(steps.intercept.q))) + np.arange(
        1, 17
    ) * float(Fraction(int(steps.slope.p), int(steps.slope.q)))
    lost = 2 * np.abs(np.log2(tau / line)).sum()
    assert batching.extra_bits(steps, 1e6) == pytest.approx(lost, abs=1)
    few = batching.extra_bits(steps, 2.0**-40 / tau[0])
    assert few == pytest.approx(lost + 40, abs=1)
    for server in (Batching(LINE), Batching(MEASURED, 20)):
        assert batching.extra_bits(batching.exact_steps(server, flint), 1e-9) == 0
    assert batching.extra_bits(steps, 0.0) <= 2000


@pytest.mark.parametrize("server", [Batching(LINE), Batching(LINE, 64)], ids=repr)
def test_budgets_at_a_price_are_logarithms_between_nothing_and_the_cap(server):
    w = batching_workload(server, arrival_rate=0.1)
    w = w.replace(max_tokens=[900.0, 0.0, 32768.0, 300.0, 32768.0])
    found = batching.Server(w, batching.exact_steps(server, flint), flint)
    value = w.accuracy_weight * w.weight * w.gain * w.rate
    for price in np.geomspace(value.min() / 3, value.max() * 3, 40):
        budgets = found.budgets(arb(price))
        free = np.log(value / price) / w.rate
        expected = np.clip(free, 0, w.max_tokens)
        np.testing.assert_allclose([float(x) for x in budgets.tokens], expected, rtol=1e-9)
        inside = (free > 0) & (free < w.max_tokens)
        names = np.where(inside, "free", np.where(free >= w.max_tokens, "cap", "zero"))
        names[w.max_tokens == 0] = "zero"
        assert budgets.where == names.tolist()
    # a price that is not known well enough is that of an end or of the inside
    unsure = found.budgets(arb(float(value[2]), float(value[2]) * 1e-3))
    assert unsure.where[2] == "unclear"
    assert unsure.tokens[2].contains(0)
    assert not unsure.tokens[2] < 0
    assert unsure.tokens[2] < 1e-2 / w.rate[2]
    least = float(value[0] * np.exp(-w.rate[0] * 900))
    almost = found.budgets(arb(least, least * 1e-3))
    assert almost.where[0] == "unclear"
    assert almost.tokens[0].contains(900)
    # and no part of it lies beyond what may be given, but for how finely a radius is kept
    assert unsure.tokens[2] > -1e-9 / w.rate[2]
    assert almost.tokens[0] < 900 + 1e-9 / w.rate[0]


def test_what_a_type_can_gain_is_bounded_closely():
    g, seen = np.random.default_rng(1), set()
    for seed in range(30):
        w = plain_workload(seed, 4).replace(max_tokens=10 ** g.uniform(1, 4.5, 4))
        found = answers.AnswersInBalls(w, flint)
        value = w.accuracy_weight * w.weight * w.gain * w.rate
        for k in range(4):
            x = float(g.uniform(0, w.max_tokens[k])) * (seed % 3 > 0)
            price = float(value[k] * 10 ** g.uniform(-3, 1))
            b, top = float(w.rate[k]), float(w.max_tokens[k])
            here = value[k] / price * np.exp(-b * x)
            best = np.clip(np.log(value[k] / price) / b, 0, top)
            v = b * (best - x)
            gain = here * (1 - np.exp(-v)) - v
            bound = found._type_gap(k, arb(x), arb(price))
            assert float(bound.abs_upper()) >= gain * (1 - 1e-9) - 1e-15
            u = np.log(here)
            if best in (0, top):
                assert float(bound) == pytest.approx(gain, rel=1e-9, abs=1e-14)
                seen.add("zero" if best == 0 else "cap")
            elif abs(u) > 1:
                assert float(bound) == pytest.approx(here - 1 - u, rel=1e-12)
                seen.add("far")
            else:
                assert float(bound) == pytest.approx(u**2 / 2 * max(np.exp(u), 1), rel=1e-9)
                seen.add("near")
    assert seen == {"zero", "cap", "far", "near"}


@pytest.mark.parametrize(
    "server",
    [
        Batching(LINE), Batching(LINE, 5), Batching(LINE, 1), Batching(MEASURED),
        Batching(TokenTime.table([1, 4], [0.01, 0.02])), Batching(TokenTime(0.01, 0.0)),
    ],
    ids=repr,
)  # fmt: skip
def test_the_law_without_load_is_the_limit_of_that_under_a_small_one(server):
    law = batching.LawInBalls(batching.exact_steps(server, flint), arb)
    alone = float(tau_of(server.token_time, 1))
    with flint.ctx.workprec(400):
        for none, little in zip(law.present(arb(0)), law.present(arb(2) ** -60)):
            assert float(none) == pytest.approx(alone, rel=1e-15)
            assert float(little) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("server", [tq.Fifo(), Batching(LINE), Batching(MEASURED)], ids=repr)
def test_where_a_step_has_no_price_there_is_no_box(server, monkeypatch):
    """No box, and no exception either, at whichever look it is that a server may be full."""
    w = batching_workload(server, arrival_rate=0.2) if server != tq.Fifo() else plain_workload(1, 3)
    tokens = tq.solve(w).tokens
    kind, name = certificate._Types, "prices"
    if server != tq.Fifo():
        kind, name = batching.Server, "time_and_price"
    true, looks, refused = getattr(kind, name), 0, -1

    def priced(self, *at):
        nonlocal looks
        looks += 1
        return None if looks == refused else true(self, *at)

    def enclosed():
        with flint.ctx.workprec(200):
            if server == tq.Fifo():
                return certificate._enclose(certificate._Types(w, flint), tokens)
            return batching.Server(w, batching.exact_steps(server, flint), flint).enclose(tokens)

    monkeypatch.setattr(kind, name, priced)
    assert enclosed() is not None
    every = looks
    assert every >= 5
    for refused in range(1, every + 1):
        looks = 0
        found = enclosed()
        # the last look of first come, first served is over a box, and a larger one is tried after
        assert found is None or (server == tq.Fifo() and refused == every)


def test_a_root_is_stated_only_where_it_was_closed_in():
    """From far away three steps of Newton's method do not get there, and nothing is claimed."""
    w = plain_workload(1, 3).replace(accuracy_weight=1e12, max_tokens=1e9)
    types, pressure = certificate._Types(w, flint), arb(1) / 10
    near = [1.0] * 3
    with flint.ctx.workprec(200):
        assert [types._budget(k, arb(1), pressure, x) for k, x in enumerate(near)] == [None] * 3
        assert types.respond(arb(1), pressure, near) is None
        for _ in range(60):
            prices = [
                float(arb(1) + pressure * types.service(k, arb(x))[2]) for k, x in enumerate(near)
            ]
            worth = w.accuracy_weight * w.weight * w.gain * w.rate / (w.time_per_token * prices)
            near = (np.log(worth) / w.rate).tolist()
        found = types.respond(arb(1), pressure, near)
        assert found is not None
        assert found.where == ["free"] * 3
        np.testing.assert_allclose([float(x) for x in found.tokens], near, rtol=1e-9)


def test_a_server_that_is_full_or_has_no_answer_to_give_has_no_price():
    server = Batching(LINE, 8)
    w = batching_workload(server, arrival_rate=0.1)
    found = batching.Server(w, batching.exact_steps(server, flint), flint)
    pace = float(found.law.pace)
    u = 1 - w.arrival_rate * float(found.prompt)
    full = u / (w.arrival_rate * pace)
    assert found.time_and_price(arb(full * (1 - 1e-9))) is not None
    assert found.time_and_price(arb(full * (1 + 1e-9))) is None
    assert found.enclose(np.full(5, 1e7)) is None


@pytest.mark.parametrize("off", [0.99, 1.01])
def test_the_box_holds_the_root_however_roughly_it_was_found(off, monkeypatch):
    for server in (Batching(LINE), Batching(MEASURED, 32)):
        w = batching_workload(server, arrival_rate=0.2)
        found = batching.Server(w, batching.exact_steps(server, flint), flint)
        tokens = tq.solve(w, gap=1e-12).tokens
        with flint.ctx.workprec(200):
            root = found.enclose(tokens)
            with monkeypatch.context() as patch:
                patch.setattr(batching, "ROUNDS", 0)
                rough = found.enclose(off * tokens)
        for near, wide in zip(root.tokens, rough.tokens):
            assert wide.contains(near)
            assert near.rad() < 1e-9 * (1 + near.mid())
        assert max(float(x.rad()) for x in rough.tokens) > 1


def test_a_box_of_less_than_a_token_is_as_narrow():
    for worth, rates in ((5.0, 300.0), (0.0, 3.0)):
        w = Workload.from_arrays(
            share=[0.5, 0.5], gain=0.5, rate=rates, baseline=0.1, answer_tokens=[0.1, 0.0],
            arrival_rate=0.5, accuracy_weight=worth, server=Batching(LINE, 8),
        )  # fmt: skip
        proof = tq.certify(w, tq.solve(w, gap=1e-12).tokens)
        assert proof.proven
        assert (proof.tokens_upper < 4).all()
        assert (proof.tokens_upper - proof.tokens_lower <= 1e-14).all()
        assert proof.free.all() == (worth > 0)


def test_a_table_of_equal_rows_is_the_step_that_takes_the_same_whoever_takes_part():
    table = TokenTime.table([1, 4, 8], [0.01, 0.01, 0.01])
    line, rows = (
        tq.certify(w, np.full(5, 700.0))
        for w in (
            batching_workload(Batching(time), arrival_rate=0.3)
            for time in (TokenTime(0.01, 0.0), table)
        )
    )
    assert len(batching.exact_steps(Batching(table), flint).head) == 4
    assert line.lower == pytest.approx(rows.lower, rel=1e-15)
    assert line.gap == pytest.approx(rows.gap, rel=1e-12)


def test_one_allocation_is_certified_at_a_time():
    with pytest.raises(WorkloadError):
        tq.certify(plain_workload(6, 2), np.zeros((3, 2)))


def test_a_point_is_a_box_too():
    root = [arb(share).sqrt() for share in (0.4, 0.6)]
    wrong = concavity.scaled_hessian(root, square=0.0)
    for point, verdict in (([0.0, 9.0], "refuted"), ([1.0, 1.0], "proven")):
        at = np.array(point)
        proof = concavity.prove_positive_definite(wrong, root, at, at, 1e9)
        assert proof.verdict == verdict
        assert proof.tried == 1


# first come, first served


def varying(seed: int) -> Workload:
    w = plain_workload(seed, 4)
    service = Varying(w.base_time, w.time_per_token, np.array([0.0, 0.5, 1.0, 2.0]))
    return w.replace(service=service)


@pytest.mark.parametrize("seed", range(4))
def test_every_type_of_a_proof_has_one_place_and_a_narrow_box(seed):
    for w in (plain_workload(seed, 4), varying(seed), batching_workload(Batching(LINE, 1, "wait"))):
        best = tq.solve(w, gap=1e-12, throw=False)
        proof = tq.certify(w, best.tokens)
        assert proof.proven
        assert proof.status == certificate.PROVEN
        places = np.array([proof.free, proof.at_zero, proof.at_cap])
        assert places.shape == (3, len(w))
        assert (places.sum(axis=0) == 1).all()
        width = proof.tokens_upper - proof.tokens_lower
        assert (width <= 1e-14 * (1 + proof.tokens_upper)).all()
        np.testing.assert_allclose(best.tokens, proof.tokens_lower, rtol=1e-4, atol=1e-2)
        assert proof.lower <= best.objective + 1e-12 * abs(best.objective)
        assert proof.upper >= best.objective - 1e-12 * abs(best.objective)
        assert proof.gap <= best.gap * (1 + 1e-5) + 1e-14


def test_moments_and_prices_of_varying_lengths_are_those_of_the_formulas():
    w = varying(3)
    types = certificate._Types(w, flint)
    x = np.array([10.0, 200.0, 30.0, 400.0])
    s = w.service.base_time + w.service.time_per_token * x
    thought = w.service.time_per_token * x
    square = s**2 + (w.service.variation * thought) ** 2
    first, second = types.moments([arb(v) for v in x.tolist()])
    m, moment = float(w.share @ s), float(w.share @ square)
    assert float(first) == pytest.approx(m, rel=1e-12)
    assert float(second) == pytest.approx(moment, rel=1e-12)
    y, mu, pressure = map(float, types.prices(first, second))
    assert y == pytest.approx(1 - w.arrival_rate * m, rel=1e-12)
    assert pressure == pytest.approx(w.arrival_rate / y, rel=1e-12)
    assert mu == pytest.approx(1 + pressure**2 * moment / 2, rel=1e-12)
    assert types.prices(arb(1 / w.arrival_rate * (1 + 1e-9)), second) is None
    # the answers to prices, their moments, and how these move with the prices
    near = tq.solve(w).tokens.tolist()
    at = types.respond(arb(mu), arb(pressure), near)
    tokens = np.array([float(t) for t in at.tokens])
    for k, t in enumerate(tokens):
        slope = float(w.accuracy_weight * w.weight[k] * w.gain[k] * w.rate[k])
        slope *= np.exp(-w.rate[k] * t)
        c, v = w.service.time_per_token[k], w.service.variation[k]
        cost = c * (mu + pressure * (w.service.base_time[k] + (1 + v * v) * c * t))
        if at.where[k] == "free":
            assert slope == pytest.approx(cost, rel=1e-9)
        else:
            assert slope <= cost if at.where[k] == "zero" else slope >= cost
    for column, step in enumerate((1e-5 * mu, 1e-5 * pressure)):
        moved = [
            types.respond(arb(mu + h * (column == 0)), arb(pressure + h * column), near)
            for h in (step, -step)
        ]
        for row in range(2):
            difference = float(moved[0].value[row, 0]) - float(moved[1].value[row, 0])
            expected = difference / (2 * step)
            assert float(at.slopes[row, column]) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_the_derivative_of_the_residual_is_that_of_differences():
    w = plain_workload(3, 4)
    types = certificate._Types(w, flint)
    near = tq.solve(w).tokens
    first, second = types.moments([arb(x) for x in near.tolist()])
    z = np.array([float(first), float(second)])

    def residual(at: np.ndarray) -> np.ndarray:
        found = certificate._at(types, arb_mat([[arb(x)] for x in at.tolist()]), near.tolist())
        return at - np.array([float(found.value[i, 0]) for i in range(2)])

    here = arb_mat([[arb(x)] for x in z.tolist()])
    slope = certificate._derivative(types, here, certificate._at(types, here, near.tolist()))
    for j in range(2):
        h = 1e-6 * z * (np.arange(2) == j)
        expected = (residual(z + h) - residual(z - h)) / (2 * h[j])
        found = [float(slope[i, j]) for i in range(2)]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    off, inverse, _ = certificate._newton(types, here, near.tolist())
    np.testing.assert_allclose([float(x) for x in off.entries()], residual(z), atol=1e-12)
    product = inverse * slope
    np.testing.assert_allclose([float(x) for x in product.entries()], [1, 0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("server", [tq.Fifo(), Batching(LINE, 64)], ids=repr)
def test_what_is_not_stable_is_refused_with_the_load_and_the_rate_that_would_be(server):
    w = plain_workload(6, 2).replace(arrival_rate=1.0, base_time=1.25)
    if server != tq.Fifo():
        w = batching_workload(server)
        idle = float(tq.utilization(w, np.zeros(5)))
        w = w.replace(arrival_rate=1.25 * w.arrival_rate / idle)
    with pytest.raises(UnstableError) as caught:
        tq.certify(w, np.zeros(len(w)))
    assert caught.value.utilization == pytest.approx(1.25, rel=1e-9)
    assert caught.value.max_arrival_rate == pytest.approx(w.arrival_rate / 1.25, rel=1e-9)


# concavity


def matrix_of(w: np.ndarray, r: np.ndarray) -> np.ndarray:
    return np.eye(len(r)) + np.outer(r, w) + np.outer(w, r) + w @ w * np.outer(r, r)


def test_balls_cover_the_matrix_over_a_box_and_pivots_say_whether_it_is_positive():
    g = np.random.default_rng(3)
    r = np.sqrt(g.dirichlet(np.ones(3)))
    matrix = concavity.scaled_hessian([arb(x) for x in r.tolist()])
    verdicts = {True: 0, False: 0}
    for _ in range(200):
        w, radius = g.uniform(0, 10, 3), 10 ** g.uniform(-3, 1, 3)
        np.testing.assert_allclose(
            concavity._floats(matrix.at([arb(x) for x in w.tolist()])), matrix_of(w, r), rtol=1e-12
        )
        verdicts[concavity._proven_on(matrix, w, radius)] += 1
        dense = g.normal(size=(4, 4))
        dense = dense + dense.T + np.diag(g.uniform(0, 8, 4))
        rows = [[arb(x) for x in row] for row in dense.tolist()]
        positive = bool(np.linalg.eigvalsh(dense)[0] > 0)
        assert concavity._positive_pivots(rows, 4) is positive
        wide = [[arb(x) for x in row] for row in np.diag([1.0, 1.0]).tolist()]
        wide[1][0] = wide[0][1] = arb(0, 1.01)
        assert not concavity._positive_pivots(wide, 2)
    assert min(verdicts.values()) > 10


def test_a_wrong_matrix_is_proven_on_no_box_in_which_it_fails():
    g, r = np.random.default_rng(4), np.sqrt([0.2, 0.3, 0.5])
    wrong = concavity.scaled_hessian([arb(x) for x in r.tolist()], square=0.2)
    proven = failed = 0
    for _ in range(120):
        w, radius = g.uniform(0, 6, 3), g.uniform(0, 1.0, 3) ** 2
        corners = w + radius * g.uniform(-1, 1, (40, 3))
        dense = [matrix_of(x, r) - 0.8 * (x @ x) * np.outer(r, r) for x in (w, *corners)]
        lowest = np.linalg.eigvalsh(dense)[:, 0]
        done = concavity._proven_on(wrong, w, radius)
        assert not (done and lowest.min() < 0)
        assert concavity._refuted_at(wrong, w) is bool(lowest[0] < -1e-12)
        proven, failed = proven + done, failed + bool(lowest.min() < 0)
    assert proven > 20
    assert failed > 10


def test_a_matrix_that_is_singular_is_not_refuted_by_the_rounding_of_its_eigenvalues():
    g, wrong = np.random.default_rng(8), 0
    for _ in range(40):
        v = g.integers(1, 9, 3).tolist()
        square = arb_mat([[a * b for a in v] for b in v])
        none = 0 * square
        matrix = concavity.QuadraticMatrix(square, (none,) * 3, none)
        wrong += bool(np.linalg.eigvalsh(concavity._floats(square))[0] < 0)
        assert not concavity._refuted_at(matrix, np.zeros(3))
    assert wrong > 5


def test_a_root_is_one_where_there_is_one():
    g = np.random.default_rng(5)
    half = g.normal(size=(4, 4))
    dense = half @ half.T
    root = concavity._inverse_root(dense)
    np.testing.assert_allclose(root.T @ dense @ root, np.eye(4), atol=1e-9)
    for none in (-dense, np.diag([1.0, 1.0, 1.0, 0.0])):
        np.testing.assert_array_equal(concavity._inverse_root(none), np.eye(4))


def test_a_box_without_a_cut_is_halved_into_boxes_of_one_size_or_two():
    root = [arb(share).sqrt() for share in (0.4, 0.6)]
    matrix = concavity.scaled_hessian(root)
    proof = concavity.prove_positive_definite(matrix, root, np.zeros(2), np.full(2, 64.0), 1e9)
    assert proof.proven
    assert len(proof) > 8
    assert proof.tried == 2 * len(proof) - 1  # each box that is not proven makes two
    sides = proof.upper - proof.lower
    assert (sides.max(axis=1) <= 2 * sides.min(axis=1)).all()
    assert np.prod(sides, axis=1).sum() == pytest.approx(64.0**2, rel=1e-12)
    enough = concavity.prove_positive_definite(
        matrix, root, np.zeros(2), np.full(2, 64.0), 1e9, max_boxes=proof.tried
    )
    assert enough.proven
    short = concavity.prove_positive_definite(
        matrix, root, np.zeros(2), np.full(2, 64.0), 1e9, max_boxes=proof.tried - 1
    )
    assert (short.verdict, short.tried) == ("undecided", proof.tried - 1)
    assert short.witness is None


def test_a_cut_keeps_all_of_the_half_space_and_hardly_more():
    g = np.random.default_rng(6)
    for _ in range(100):
        slope, low, limit = g.uniform(0, 1, 3), g.uniform(0, 2, 3), g.uniform(1, 4)
        slope[0] *= g.uniform() < 0.8
        high = low + g.uniform(0, 9, 3)
        cut = concavity._cut(low, high, slope, limit)
        for k in range(3):
            others = sum(slope[j] * low[j] for j in range(3) if j != k)
            if slope[k] == 0:
                assert cut[k] == high[k]
            elif others > limit + 1e-9:
                assert cut[k] == -np.inf
            elif others < limit:
                far = (limit - others) / slope[k]
                assert cut[k] >= min(high[k], far)
                assert cut[k] <= min(high[k], far * (1 + 1e-11) + 1e-11 * limit / slope[k])


def test_a_region_that_is_one_point_is_proven():
    w = plain_workload(2, 3)
    point = [10.0, 20.0, 30.0]
    proof = concavity.prove_concavity(w, point, point, max_utilization=0.999)
    assert proof.proven
    assert len(proof) == 1
    with pytest.raises(WorkloadError, match="lower ≤ upper") as caught:
        concavity.prove_concavity(w, [11.0, 20.0, 30.0], point)
    assert caught.value.parameter == "lower"
    assert caught.value.value.tolist() == [11, 20, 30]


def test_refusals_name_what_they_refuse():
    w = plain_workload(2, 3)
    with pytest.raises(WorkloadError) as caught:
        concavity.prove_concavity(w.replace(share=[0.5, 0.0, 0.5]))
    assert (caught.value.parameter, caught.value.value) == ("share", 0.0)
    assert caught.value.task == w.name(1)
    load = float(tq.utilization(w, np.full(3, 50.0)))
    with pytest.raises(UnstableError) as full:
        concavity.prove_concavity(w, np.full(3, 50.0), max_utilization=load * 0.5)
    assert full.value.utilization == pytest.approx(load, rel=1e-12)
    assert full.value.max_arrival_rate == pytest.approx(w.arrival_rate / load, rel=1e-12)
    assert concavity._hyperplane(0.75) == pytest.approx(3.0, rel=1e-12)


def test_scaled_coordinates_are_balls_of_the_formula_or_none():
    w = plain_workload(2, 3)
    tokens = np.array([5.0, 6.0, 7.0])
    found = concavity._scaled(w, tokens)
    np.testing.assert_allclose(
        [float(x) for x in found], concavity.scaled_at(w, tokens), rtol=1e-12
    )
    assert concavity._scaled(w, np.full(3, 1e9)) == [None] * 3
    full = Workload.from_arrays(
        share=1.0, gain=0.5, rate=1e-3, baseline=0.1, base_time=0.5, time_per_token=0.25,
        arrival_rate=1.0, accuracy_weight=1.0,
    )  # fmt: skip
    assert concavity._scaled(full, np.array([2.0])) == [None]  # a load of 1, to the last bit


def test_each_box_is_looked_at_to_its_very_ends(monkeypatch):
    """The middle is rounded, so that one half of a box may be longer than the other."""
    looked = []
    true = concavity._proven_on

    def noted(matrix, middle, radius):
        looked.append((middle, radius))
        return true(matrix, middle, radius)

    monkeypatch.setattr(concavity, "_proven_on", noted)
    root = [arb(share).sqrt() for share in (0.4, 0.6)]
    matrix, g = concavity.scaled_hessian(root), np.random.default_rng(7)
    uneven = 0
    for _ in range(40):
        low = g.uniform(0.5, 2.0, 2)
        high = low + g.integers(1, 4, 2) * np.spacing(low)
        concavity.prove_positive_definite(matrix, root, low, high, 1e9)
        middle, radius = looked.pop()
        for x, r, a, b in zip(*(map(Fraction, v.tolist()) for v in (middle, radius, low, high))):
            assert x - r <= a
            assert x + r >= b
            uneven += x - a != b - x
    assert uneven > 10


def test_what_a_cut_leaves_nothing_of_is_no_box():
    root = [arb(share).sqrt() for share in (0.4, 0.6)]
    matrix = concavity.scaled_hessian(root)
    for low in ([9.0, 0.0], [0.0, 9.0], [1.0, 1.0]):
        nothing = concavity.prove_positive_definite(
            matrix, root, np.array(low), np.full(2, 64.0), 1.0
        )
        assert nothing.proven
        assert (len(nothing), nothing.tried) == (0, 0)


def test_what_bends_down_is_proven_only_as_far_as_it_is_positive():
    one = flint.arb_mat([[1]])
    dome = concavity.QuadraticMatrix(one, (0 * one,), -one)  # 1 - w²
    assert concavity._proven_on(dome, np.zeros(1), np.array([0.99]))
    assert not concavity._proven_on(dome, np.zeros(1), np.array([1.01]))
