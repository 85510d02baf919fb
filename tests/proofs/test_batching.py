"""Certificates of batching servers: an exact sum as the judge, full servers, broken formulas."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, Workload, WorkloadError
from thinkqueue.proofs import batching
from workloads import LINE, MEASURED, SERVERS, batching_workload

CERTAIN = [
    Batching(LINE),
    Batching(TokenTime(0.0, 1e-3)),
    Batching(TokenTime(0.01, 0.0)),
    Batching(LINE, 64),
    Batching(LINE, 1),
    Batching(MEASURED),
    Batching(MEASURED, 32),
    Batching(MEASURED, 200),
    Batching(LINE, 1, "wait"),
]


def seconds(time, n: int) -> mpf:
    """The step of n queries, in the exact numbers of the parameters."""
    if isinstance(time, TokenTime):
        return mpf(time.base) + mpf(time.per_query) * n
    rows = [(mpf(a), mpf(b)) for a, b in zip(time.queries, time.seconds)]
    i = max(j for j in range(len(rows) - 1) if j == 0 or n > rows[j][0])
    (n0, t0), (n1, t1) = rows[i : i + 2]
    return t0 + (t1 - t0) * (n - n0) / (n1 - n0)


def exact(w: Workload, tokens, most: int = 1500) -> tuple[mpf, mpf]:
    """J and the price of a token, in sixty digits, from births and deaths."""
    mpmath.mp.dps = 60
    server, rate, share = w.server, mpf(w.arrival_rate), [mpf(x) for x in w.share]
    asked = [mpf(a) + mpf(x) for a, x in zip(w.answer_tokens, tokens)]
    m = sum(p * x for p, x in zip(share, asked))
    prompt = sum(p * mpf(x) for p, x in zip(share, w.prompt_time))
    right = sum(
        mpf(u) * p * (mpf(d) + mpf(a) * (1 - mpmath.exp(-mpf(b) * mpf(x))))
        for u, p, d, a, b, x in zip(w.weight, share, w.baseline, w.gain, w.rate, tokens)
    )
    worth = mpf(w.accuracy_weight) * right
    if server.overflow == "wait":
        s = [seconds(server.token_time, 1) * x for x in asked]
        mean, second = (sum(p * x**j for p, x in zip(share, s)) for j in (1, 2))
        return worth - mean - rate * second / (2 * (1 - rate * mean)), mpf(0)
    u = 1 - rate * prompt
    theta, cap = rate * m / u, server.max_batch
    weights = [mpf(1)]
    for n in range(1, (cap or most) + 1):
        weights.append(weights[-1] * theta * seconds(server.token_time, n) / n)
    pace = (
        seconds(server.token_time, cap) / cap
        if cap
        else seconds(server.token_time, 10**6) - seconds(server.token_time, 10**6 - 1)
    )
    sums = [mpmath.fsum(mpf(n) ** j * x for n, x in enumerate(weights)) for j in range(3)]
    if cap:
        s = theta * pace
        tail = [s / (1 - s), s / (1 - s) ** 2, s * (1 + s) / (1 - s) ** 3]
        sums[0] += weights[-1] * tail[0]
        sums[1] += weights[-1] * (cap * tail[0] + tail[1])
        sums[2] += weights[-1] * (cap * cap * tail[0] + 2 * cap * tail[1] + tail[2])
    mean = sums[1] / sums[0]
    y = u - rate * m * pace
    price = (sums[2] / sums[0] - mean**2) / theta / u + prompt / y**2 * rate * pace
    return worth - mean / rate - prompt / y, price


def agrees(w: Workload, tokens) -> bool:
    """Whether the certificate holds the exact value, tightly, and the exact price makes its gap."""
    proof = tq.certify(w, tokens)
    value, price = exact(w, tokens)
    if not mpf(proof.lower) <= value <= mpf(proof.upper):
        return False
    if w.server.overflow == "wait":
        return bool(value - mpf(proof.lower) <= mpf(2) ** -50 * abs(value))
    gain = mpf(0)
    for p, u, a, b, x, top in zip(w.share, w.weight, w.gain, w.rate, tokens, w.max_tokens):
        stake = mpf(w.accuracy_weight) * mpf(u) * mpf(a)
        best = mpmath.log(stake * mpf(b) / price) / mpf(b) if stake else mpf(0)
        best = min(max(best, mpf(0)), mpf(top))
        more = stake * (mpmath.exp(-mpf(b) * mpf(x)) - mpmath.exp(-mpf(b) * best))
        gain += mpf(p) * (more - price * (best - mpf(x)))
    tight = value - mpf(proof.lower) <= mpf(2) ** -50 * abs(value)
    # a bound on the gain of each type, up to the factor e^u of u²/2 near the optimum
    return bool(
        tight and gain <= mpf(proof.gap) * (1 + mpf(10) ** -12) <= 4 * gain + mpf(10) ** -30
    )


@pytest.mark.parametrize("server", CERTAIN, ids=repr)
@pytest.mark.parametrize("rate", [1e-5, 0.01, 0.1])
def test_sixty_digits_agree_and_the_box_holds_the_root(server, rate):
    w = batching_workload(server, arrival_rate=rate)
    best = tq.solve(w)
    proof = tq.certify(w, best.tokens)
    assert agrees(w, best.tokens)
    assert agrees(w, best.tokens * 0.7)
    assert proof.proven
    assert proof.gap <= best.gap * (1 + 1e-5) + 1e-20
    assert (proof.free | proof.at_zero | proof.at_cap).all()
    assert (proof.tokens_lower <= proof.tokens_upper).all()
    assert (proof.tokens_upper - proof.tokens_lower <= 1e-15 * w.max_tokens).all()
    if server.overflow == "wait":
        return
    for k in np.flatnonzero(proof.free):  # the slope changes its sign within the box
        slope = [
            mpf(w.accuracy_weight) * mpf(w.gain[k]) * mpf(w.rate[k])
            * mpmath.exp(-mpf(w.rate[k]) * mpf(x[k])) - exact(w, x)[1]
            for x in (proof.tokens_lower, proof.tokens_upper)
        ]  # fmt: skip
        assert slope[0] >= 0 >= slope[1]


@pytest.mark.parametrize("server", [Batching(LINE), Batching(LINE, 40)], ids=repr)
def test_a_server_that_is_full_but_for_a_billionth(server):
    w = batching_workload(server)
    nothing = np.zeros(5)
    w = w.replace(arrival_rate=(1 - 1e-9) * w.arrival_rate / float(tq.utilization(w, nothing)))
    assert 0.5e-9 < 1 - tq.utilization(w, nothing) < 2e-9
    proof = tq.certify(w, nothing)
    assert proof.proven
    assert proof.at_zero.all()
    assert proof.gap == 0.0
    if server.max_batch:
        assert agrees(w, nothing)
    with pytest.raises(tq.UnstableError, match="not certainly below 1"):
        tq.certify(w.replace(arrival_rate=1.1 * w.arrival_rate), nothing)
    # an optimum there: a token is worth what it costs at such a slack
    rich = batching_workload(server, accuracy_weight=1e20, arrival_rate=2.0)
    best = tq.solve(rich, throw=False)
    assert 1 - best.utilization < 3e-9
    proof = tq.certify(rich, best.tokens)
    assert proof.proven
    assert proof.free.any()
    assert proof.gap <= 1e-12 * best.objective


def test_thousands_of_types_and_a_large_cap():
    g = np.random.default_rng(3)
    n = 2000
    w = Workload.from_arrays(
        share=g.dirichlet(np.ones(n)), gain=g.uniform(0.1, 0.7, n), baseline=0.1,
        rate=10 ** g.uniform(-4.5, -2.5, n), answer_tokens=g.uniform(50, 500, n), arrival_rate=1.0,
        accuracy_weight=600.0, server=Batching(LINE, 4096),
    )  # fmt: skip
    proof = tq.certify(w, tq.solve(w).tokens)
    assert proof.proven
    assert proof.upper - proof.lower < 1e-9


def test_far_from_the_optimum_the_bounds_hold_and_are_wide():
    w = batching_workload(Batching(LINE, 64), arrival_rate=1.0)
    best, far = tq.certify(w, tq.solve(w).tokens), tq.certify(w, np.full(5, 100.0))
    assert far.lower < best.lower
    assert far.upper > best.upper


@pytest.mark.parametrize("server", [s for s in SERVERS if not s.convex], ids=repr)
def test_what_is_not_convex_is_refused(server):
    w = batching_workload(server, arrival_rate=0.05)
    with pytest.raises(WorkloadError, match="not convex in the tokens as far as is known"):
        tq.certify(w, np.full(5, 100.0))


def test_a_table_that_is_concave_but_for_rounding_is_refused():
    table = TokenTime.table([1, 2, 3], [0.1, 0.2, 0.1 + 0.2])  # 0.1 + 0.2 is not 0.3
    line = TokenTime.table([1, 2, 4], [0.125, 0.25, 0.5])
    assert table.concave
    with pytest.raises(WorkloadError, match="up to rounding only"):
        tq.certify(batching_workload(Batching(table), arrival_rate=1e-3), np.zeros(5))
    assert tq.certify(batching_workload(Batching(line), arrival_rate=1e-3), np.zeros(5))


def perturbed(mean, price):
    true = batching.LawInBalls.present

    def present(self, theta):
        found = true(self, theta)
        return found[0] * self.arb(mean), found[1] * self.arb(price)

    return present


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("present", perturbed("1.0000000001", "1")),
        ("present", perturbed("1", "1.0001")),
        ("present", perturbed("1", "-1")),
        ("_shared", lambda self, theta: (self.arb(0),) * 3),
        ("_further", lambda self, theta: (self.arb(0),) * 3),
    ],
)
def test_a_broken_law_is_noticed(monkeypatch, place, what):
    server = Batching(MEASURED) if place == "_further" else Batching(LINE, 64)
    w = batching_workload(server, arrival_rate=1.0)
    best = tq.solve(w).tokens
    assert agrees(w, best)
    monkeypatch.setattr(batching.LawInBalls, place, what)
    assert not agrees(w, best)


def test_budgets_of_a_wrong_price_get_a_wide_certificate():
    w = batching_workload(Batching(LINE, 64), arrival_rate=1.0)
    others = tq.solve(w.replace(server=Batching(LINE))).tokens  # as if there were no cap
    proof = tq.certify(w, tq.solve(w).tokens)
    assert proof.gap < 1e-9 < 1e-3 < tq.certify(w, others).gap
    assert tq.objective(w, others) < proof.lower
