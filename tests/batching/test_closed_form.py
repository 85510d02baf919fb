"""The optimum of a batching server against thirty digits, and against Newton's method."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, ClosedForm, Status, TokenTime, WorkloadError
from workloads import LINE, MEASURED, QWEN, batching_workload

TABLE = TokenTime.table([1, 100, 200], [0.01, 0.012, 0.02])


def price_in_digits(w, m):
    """Var N / (θ u) and what prompts add, from births and deaths in 30 digits."""
    server = w.server
    time, cap = server.token_time, server.max_batch
    rate = mpmath.mpf(w.arrival_rate)
    prompt = mpmath.fdot(map(mpmath.mpf, w.share), map(mpmath.mpf, w.prompt_time))
    u = 1 - rate * prompt
    theta = rate * m / u

    def step(n):
        if isinstance(time, TokenTime):
            return mpmath.mpf(time.base) + mpmath.mpf(time.per_query) * n
        low, mid, top = (mpmath.mpf(x) for x in time.seconds)
        n0, n1, n2 = time.queries
        if n <= n1:
            return low + (mid - low) * (n - n0) / mpmath.mpf(n1 - n0)
        return mid + (top - mid) * (n - n1) / mpmath.mpf(n2 - n1)

    weights = [mpmath.mpf(1)]
    while len(weights) < 60 or weights[-1] > mpmath.mpf(10) ** -35 * max(weights):
        n = len(weights)
        if cap and n > cap:
            break
        weights.append(weights[-1] * theta * step(n) / n)
    sums = [mpmath.fsum(n**j * x for n, x in enumerate(weights)) for j in range(3)]
    if cap:  # beyond it a geometric law
        sigma = theta * step(cap) / cap
        g, odds = 1 / (1 - sigma), weights[-1] * sigma / (1 - sigma)
        moments = (1, cap + g, (cap + g) ** 2 + sigma * g * g)
        sums = [one + odds * more for one, more in zip(sums, moments)]
    mean = sums[1] / sums[0]
    variance = sums[2] / sums[0] - mean**2
    pace = step(cap) / cap if cap else step(10**40) / mpmath.mpf(10) ** 40
    y = u - rate * m * pace
    return variance / theta / u + prompt * rate * pace / y**2, mean / rate + prompt / y


def optimum_in_digits(w, found):
    """Tokens and J by bisection on the one price, in 30 digits."""
    mpmath.mp.dps = 30
    share, gain, beta, caps = (
        [mpmath.mpf(x) for x in col] for col in (w.share, w.gain, w.rate, w.max_tokens)
    )
    stake = mpmath.mpf(w.accuracy_weight)

    def reply(q):
        return [
            min(max(mpmath.log(stake * a * b / q) / b, 0), cap)
            for a, b, cap in zip(gain, beta, caps)
        ]

    def mean(ell):
        return mpmath.fsum(p * (mpmath.mpf(200) + x) for p, x in zip(share, ell))

    about = mpmath.mpf(float(tq.queueing_price(w, found.tokens)[0]))
    low, high = about * (1 - mpmath.mpf("1e-6")), about * (1 + mpmath.mpf("1e-6"))
    excess = [price_in_digits(w, mean(reply(q)))[0] - q for q in (low, high)]
    assert excess[0] > 0 > excess[1]  # the only root, of a decreasing function, lies between
    for _ in range(35):
        q = (low + high) / 2
        above = price_in_digits(w, mean(reply(q)))[0] > q
        low, high = (q, high) if above else (low, q)
    ell = reply(low)
    time = price_in_digits(w, mean(ell))[1]
    right = mpmath.fsum(
        p * (mpmath.mpf(d) + a * (1 - mpmath.exp(-b * x)))
        for p, d, a, b, x in zip(share, w.baseline, gain, beta, ell)
    )
    return ell, stake * right - time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "rate"),
    [
        (Batching(LINE), 0.02),
        (Batching(LINE), 1.0),
        (Batching(LINE), 5.0),
        (Batching(LINE, 16), 0.5),
        (Batching(LINE, 64), 2.0),
        (Batching(TABLE), 1.0),
    ],
    ids=repr,
)
def test_six_optima_have_the_digits_of_thirty_digit_arithmetic(server, rate):
    w = batching_workload(server, arrival_rate=rate)
    found = tq.solve(w, gap=1e-13, throw=False)
    ell, value = optimum_in_digits(w, found)
    assert abs(found.objective - float(value)) <= 1e-12 * float(value)
    np.testing.assert_allclose(found.tokens, [float(x) for x in ell], rtol=1e-6, atol=1e-4)
    assert float(value) <= found.upper_bound + 1e-12 * float(value)
    if server == Batching(LINE):
        exact = tq.solve(w, ClosedForm())
        np.testing.assert_allclose(exact.tokens, [float(x) for x in ell], rtol=1e-12, atol=1e-9)


def test_the_closed_form_needs_no_step_and_agrees_with_newton():
    g = np.random.default_rng(5)
    for _ in range(60):
        n = int(g.integers(1, 30))
        w = tq.Workload.from_arrays(
            share=g.dirichlet(np.ones(n)), gain=np.where(g.uniform(size=n) < 0.2, 0, 0.6),
            rate=10 ** g.uniform(-5, -2, n), baseline=0.2, answer_tokens=g.uniform(1, 500, n),
            prompt_time=g.uniform(0, 0.05) * (g.uniform() < 0.5),
            max_tokens=np.where(g.uniform(size=n) < 0.2, 0, 10 ** g.uniform(2, 5, n)),
            arrival_rate=10 ** g.uniform(-3, 1), accuracy_weight=10 ** g.uniform(0, 5),
            server=Batching(TokenTime(10 ** g.uniform(-4, -1), 10 ** g.uniform(-6, -3))),
        )  # fmt: skip
        if tq.utilization(w, np.zeros(n)) >= 1:
            continue
        found = tq.solve(w, ClosedForm(), gap=1e-11)
        assert found.status is Status.CONVERGED
        assert found.steps == 0
        assert abs(found.objective - tq.solve(w).objective) <= 1e-9 * (1 + abs(found.objective))


def test_nobody_slows_anybody_down_or_nothing_is_worth_a_token():
    w = batching_workload(Batching(TokenTime(0.01, 0)), arrival_rate=3.0)
    found = tq.solve(w, ClosedForm())
    assert found.gap < 1e-11
    idle = w.replace(accuracy_weight=0.0)
    assert (tq.solve(idle, ClosedForm()).tokens == 0).all()
    with pytest.raises(tq.UnstableError, match="even with no thinking tokens"):
        tq.solve(batching_workload(Batching(LINE), arrival_rate=60.0), ClosedForm())


@pytest.mark.parametrize("server", [Batching(LINE, 8), Batching(MEASURED), Batching(TABLE)])
def test_other_servers_have_no_closed_form(server):
    with pytest.raises(WorkloadError, match=r"Use Newton\(\)"):
        tq.solve(batching_workload(server), ClosedForm())
    with pytest.raises(WorkloadError, match="closed form holds"):
        tq.solve(tq.Workload.from_toml(QWEN), ClosedForm())


def test_types_that_tokens_do_nothing_for_and_caps_without_end():
    workload = tq.Workload.from_toml(QWEN.with_name("qwen3-8b-batching.toml"))
    endless = workload.replace(gain=[0, *workload.gain[1:]], max_tokens=1e30)
    found = tq.solve(endless, solver=ClosedForm())
    assert found.tokens[0] == 0
    assert found.gap < 1e-9
    grid = tq.solve_grid(endless, arrival_rate=[0.1, 1.0])
    assert grid.tokens[1] == pytest.approx(found.tokens, rel=1e-4)
