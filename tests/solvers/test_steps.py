"""Single steps of the solvers, against a second way to compute what their files promise."""

from __future__ import annotations

from itertools import islice, pairwise

import numpy as np
import pytest
import scipy.optimize

import thinkqueue as tq
from thinkqueue import Batching, Status, Workload
from thinkqueue.arrays import Array
from thinkqueue.bounds import Tangent, tangent
from thinkqueue.delay.delay import TimeCurvature
from thinkqueue.delay.time import curved
from thinkqueue.smoothness import curvature_bound
from thinkqueue.solve import Solver
from thinkqueue.solvers import conditional_gradient, newton
from thinkqueue.solvers.conditional_gradient import best_fraction, between
from thinkqueue.workload import Affine, Grid, Saturating
from workloads import (
    LINE,
    batching_workload,
    plain_workload,
    plain_workloads,
    stable_tokens,
    thinking_workloads,
)


def exhausted(solver: Solver, w: Workload, limit: int) -> tuple[list[Tangent], Status | None]:
    """What a solver looks at, and how it ends if it does within so many steps."""
    iterates, looks = solver.iterates(w), []
    while len(looks) < limit:
        try:
            looks.append(next(iterates))
        except StopIteration as ended:
            return looks, ended.value
    return looks, None


# along a line


def test_the_best_point_of_a_line_is_where_J_no_longer_rises():
    g = np.random.default_rng(60)
    ended = {"short": 0, "inside": 0, "left": 0}
    for w in plain_workloads(12, seed=60, types=4):
        start = stable_tokens(w, g, 0.3)
        to_reply = tq.fixed_point_map(w, start) - start
        far = np.maximum(start + 50 * to_reply, 0) - start
        for way in (to_reply, to_reply / 1e3, far, np.full(4, 1e9)):
            rise = float(tq.gradient(w, start) @ way)
            part = best_fraction(w, start, way)
            if rise <= 0:
                assert part == 0
                continue
            assert 0 < part <= 1
            there = float(tq.gradient(w, start + part * way) @ way)
            if part == 1:
                assert there >= 0
                ended["short"] += 1
            else:
                assert abs(there) <= 1e-6 * rise
                ended["left" if tq.utilization(w, start + way) >= 1 else "inside"] += 1
    assert min(ended.values()) > 3, ended


def test_a_line_that_leads_down_is_not_gone():
    w = plain_workload(61)
    best = tq.solve(w, gap=1e-12).tokens
    assert best_fraction(w, best * 1.01, best) == 0
    assert best_fraction(w, best, np.zeros(5)) == 0


def test_a_point_of_a_segment_stays_in_its_box():
    g = np.random.default_rng(62)
    one, other = g.uniform(size=(2, 1000)) * 10.0 ** g.integers(-9, 9, (2, 1000))
    low, high = np.minimum(one, other), np.maximum(one, other)
    assert (one + 1.0 * (other - one) != other).any()  # rounding may lead past an end
    for part in (0.0, 0.3, 1.0):
        point = between(one, other, part)
        assert ((low <= point) & (point <= high)).all()
        np.testing.assert_allclose(point, (1 - part) * one + part * other, rtol=1e-12, atol=1e-8)


# plain iteration


def plain_iteration(w: Workload, patience: int) -> tuple[list[Array], Status]:
    """The map, as often as it brings the bound nearer; an independent loop."""
    seen, gaps = [np.zeros(len(w))], []
    while True:
        following = tq.fixed_point_map(w, seen[-1])
        if tq.utilization(w, following) >= 1:
            return seen, Status.LEFT_STABLE_REGION
        gaps.append(tangent(w, following).gap)
        if len(gaps) - 1 - int(np.argmin(gaps)) == patience:
            return seen, Status.OSCILLATES
        seen.append(following)
        if len(seen) > 400:
            return seen, Status.OUT_OF_STEPS


def test_plain_iteration_is_the_map_again_and_again():
    ends = set()
    for k, w in enumerate(thinking_workloads(40, seed=63, types=3)):
        patience = (1, 4)[k % 2]
        steps, end = plain_iteration(w, patience)
        iterates = tq.FixedPoint(patience).iterates(w)
        for tokens in steps:
            np.testing.assert_allclose(next(iterates).tokens, tokens, rtol=1e-9, atol=1e-9)
        if end is not Status.OUT_OF_STEPS:
            with pytest.raises(StopIteration) as ended:
                next(iterates)
            assert ended.value.value is end
        ends.add(end)
    assert {Status.LEFT_STABLE_REGION, Status.OSCILLATES} <= ends


# what has nothing to do, or leads out


@pytest.mark.parametrize(
    "solver",
    [tq.ConditionalGradient(), tq.ProjectedGradient(), tq.QuasiNewton(), tq.Newton()],
    ids=repr,
)
def test_where_thinking_is_worth_nothing_a_solver_stalls_at_once(solver):
    w = plain_workload(81).replace(accuracy_weight=0.0)
    looks, end = exhausted(solver, w, 10)
    assert end is Status.STALLED
    assert len(looks) <= 3
    assert not looks[-1].tokens.any()


def full_at_the_cap() -> Workload:
    """One type whose cap makes the load 1 to the last bit."""
    return Workload.from_arrays(
        share=[1.0], gain=0.9, rate=1.0, baseline=0.0, base_time=1.0, time_per_token=1.0,
        max_tokens=1.0, arrival_rate=0.5, accuracy_weight=1e6,
    )  # fmt: skip


def test_a_fraction_that_leads_out_by_rounding_is_halved(monkeypatch):
    monkeypatch.setattr(conditional_gradient, "best_fraction", lambda *_: 1.0)
    looks = list(islice(tq.ConditionalGradient().iterates(full_at_the_cap()), 4))
    np.testing.assert_array_equal([look.tokens[0] for look in looks], [0, 0.5, 0.75, 0.875])


@pytest.mark.parametrize("scaled", [False, True])
def test_a_type_that_never_comes_changes_no_step(scaled):
    w = plain_workload(82, 4)
    wider = Workload.from_arrays(
        share=[*w.share, 0.0], gain=[*w.gain, 0.5], rate=[*w.rate, 1e-3],
        baseline=[*w.baseline, 0.1], base_time=[*w.base_time, 0.1],
        time_per_token=[*w.time_per_token, 0.01], max_tokens=w.max_tokens[0],
        arrival_rate=w.arrival_rate, accuracy_weight=w.accuracy_weight,
    )  # fmt: skip
    solver = tq.ProjectedGradient(scaled)
    for one, other in islice(zip(solver.iterates(w), solver.iterates(wider), strict=False), 12):
        np.testing.assert_allclose(other.tokens[:4], one.tokens, rtol=1e-9)


# a server that is full to the last bit


def test_a_load_of_one_to_the_last_bit_is_left_alone():
    w = full_at_the_cap()
    assert tq.utilization(w, w.max_tokens) == 1
    best = tq.solve(w)
    assert best.utilization < 1
    left = tq.solve(w, tq.FixedPoint(), throw=False)
    assert (left.status, left.steps) == (Status.LEFT_STABLE_REGION, 0)
    for solver in (
        tq.ConditionalGradient(),
        tq.ProjectedGradient(),
        tq.ProjectedGradient(accelerated=True),
        tq.ProjectedGradient(scaled=False, backtracking=False, accelerated=True),
        tq.QuasiNewton(),
    ):
        found = tq.solve(w, solver, max_steps=300, throw=False)
        assert found.utilization < 1
        assert best.objective - found.objective <= found.gap + 1e-9


# projected gradient


def gradient_step(w: Workload, base: Array, lengths: Array | float) -> Array:
    return np.clip(base + lengths * tq.gradient(w, base), 0, w.max_tokens)


@pytest.mark.parametrize("scaled", [False, True])
def test_the_guaranteed_step_is_that_of_the_curvature_of_the_start(scaled):
    for w in plain_workloads(4, seed=64):
        bound = curvature_bound(w, np.zeros(5))
        length = 1 / (w.share * bound.per_share) if scaled else 1 / bound.lipschitz
        looks = tq.ProjectedGradient(scaled, backtracking=False).iterates(w)
        for one, other in pairwise(islice(looks, 6)):
            expected = gradient_step(w, one.tokens, length)
            np.testing.assert_allclose(other.tokens, expected, rtol=1e-9)


@pytest.mark.parametrize("load", [0.0, 0.9])
def test_a_longer_step_is_kept_if_it_gains_what_the_guaranteed_one_promises(load):
    g = np.random.default_rng(65)
    refused = 0
    for w in plain_workloads(4, seed=65):
        looks = tq.ProjectedGradient().iterates(w, stable_tokens(w, g, load))
        last = 1.0
        for one, other in pairwise(islice(looks, 12)):
            bound = curvature_bound(w, one.tokens).per_share
            d = other.tokens - one.tokens

            def gains(
                ease: float, w: Workload = w, one: Tangent = one, bound: Array = bound
            ) -> bool:
                there = gradient_step(w, one.tokens, 1 / (w.share * bound * ease))
                if tq.utilization(w, there) >= 1:
                    return False
                d = there - one.tokens
                promise = w.share @ (one.slope * d) - ease / 2 * (w.share * bound) @ d**2
                gain = float(tq.objective(w, there)) - one.objective
                return bool(gain >= promise - 1e-14 * abs(one.objective))

            free = (other.tokens > 0) & (other.tokens < w.max_tokens)
            if not (np.abs(d[free]) > 1e-3).any():
                break
            free &= np.abs(d) > 1e-3
            (halvings,) = np.unique(np.round(np.log2(one.slope[free] / (bound * d)[free]), 3))
            assert halvings == round(halvings) <= 0  # halved or doubled, never shorter than 1/Λ
            assert halvings >= np.log2(last) - 1  # it begins at twice the last length ...
            ease = float(2.0**halvings)
            assert ease == 1 or gains(ease)
            if ease > last / 2:  # ... and is halved for cause
                assert not gains(ease / 2)
                refused += 1
            last = ease
    assert refused > 3


def test_the_momentum_is_that_of_Nesterov():
    compared = restarted = 0
    for w in plain_workloads(6, seed=66):
        length = 1 / curvature_bound(w, np.zeros(5)).lipschitz
        solver = tq.ProjectedGradient(scaled=False, backtracking=False, accelerated=True)
        looks = list(islice(solver.iterates(w, w.max_tokens * 1e-3), 60))
        length = 1 / curvature_bound(w, w.max_tokens * 1e-3).lipschitz
        momentum, before, here, base = 1.0, looks[0], looks[0], looks[0].tokens
        for look in looks[1:]:
            there = gradient_step(w, base, length)
            if float(tq.objective(w, there)) < here.objective:
                there, momentum = gradient_step(w, here.tokens, length), 1.0
                restarted += 1
            np.testing.assert_allclose(look.tokens, there, rtol=1e-7, atol=1e-9)
            before, here = here, look
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            step = (momentum - 1) / following * (here.tokens - before.tokens)
            base = np.clip(here.tokens + step, 0, w.max_tokens)
            momentum = following
            if tq.utilization(w, base) >= 1 or tq.objective(w, base) < before.objective:
                base, momentum = here.tokens, 1.0
                restarted += 1
            compared += 1
    assert compared > 100


def test_momentum_saves_steps_and_so_do_longer_ones():
    solvers = (
        tq.ProjectedGradient(scaled=False, backtracking=False),
        tq.ProjectedGradient(backtracking=False),
        tq.ProjectedGradient(accelerated=True),
        tq.ProjectedGradient(),
    )
    took = np.array(
        [
            [tq.solve(w, s, gap=1e-3, max_steps=2000, throw=False).steps for s in solvers]
            for w in plain_workloads(4, seed=67)
        ]
    )
    plain, scaled, accelerated, longer = np.median(took, axis=0)
    assert scaled <= plain
    assert longer < scaled
    assert accelerated < scaled


# L-BFGS-B


class Asked(Exception):
    """What was handed to the peer."""


def asked_of_the_peer(monkeypatch: pytest.MonkeyPatch, w: Workload, start: Array):
    """Return where it starts, the loss and its first argument, and the bounds."""

    def minimize(loss, x, **options):
        raise Asked(loss, x, options["bounds"])

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
    iterates = tq.QuasiNewton().iterates(w, start)
    look = next(iterates)
    with pytest.raises(Asked) as caught:
        next(iterates)
    return look, *caught.value.args


def test_the_peer_is_asked_for_J_and_its_slope_in_units_in_which_all_types_bend_alike(monkeypatch):
    g = np.random.default_rng(68)
    for w in plain_workloads(4, seed=68):
        look, loss, x, bounds = asked_of_the_peer(monkeypatch, w, stable_tokens(w, g, 0.5))
        unit = np.where(x > 0, look.tokens / np.where(x > 0, x, 1), np.nan)
        unit = np.where(np.isnan(unit), w.max_tokens / bounds[:, 1], unit)
        np.testing.assert_array_equal(bounds[:, 0], 0)
        np.testing.assert_allclose(bounds[:, 1] * unit, w.max_tokens, rtol=1e-12)
        reply = tq.fixed_point_map(w, look.tokens)
        bend = w.accuracy_weight * w.weight * w.share * w.curves.bend(reply) * unit**2
        np.testing.assert_allclose(bend[unit < w.max_tokens], 1, rtol=1e-9)
        size = max(abs(look.objective), 1)
        np.testing.assert_allclose(loss(x)[0] * size, -look.objective, rtol=1e-12)
        np.testing.assert_allclose(loss(x)[1] * size, -w.share * look.slope * unit, rtol=1e-9)


def test_beyond_what_is_stable_the_loss_is_the_tangent_of_where_a_hundredth_of_the_slack_is_left(
    monkeypatch,
):
    for w in plain_workloads(4, seed=69):
        look, loss, x, bounds = asked_of_the_peer(monkeypatch, w, np.zeros(5))
        loss(x)
        value, slope = loss(bounds[:, 1])  # at the caps, of which the queue is overrun
        size = max(abs(look.objective), 1)
        slope = slope * size * bounds[:, 1] / w.max_tokens
        full = float(tq.utilization(w, w.max_tokens))
        free = 1 - float(tq.utilization(w, np.zeros(5)))
        assert full > 1
        # the point on the way to the caps whose slope this is
        ends = [(1 - kept * free - (1 - free)) / (full - (1 - free)) for kept in (0.02, 0.01)]

        def off(part: float, w: Workload = w, slope: Array = slope) -> float:
            return float(-tq.gradient(w, part * w.max_tokens)[0] - slope[0])

        assert off(ends[0]) <= 0 <= off(ends[1])
        touch = scipy.optimize.brentq(off, *ends, xtol=1e-15) * w.max_tokens
        np.testing.assert_allclose(slope, -tq.gradient(w, touch), rtol=1e-6)
        line = slope @ (w.max_tokens - touch) - float(tq.objective(w, touch))
        assert value * size == pytest.approx(line, rel=1e-6)


def test_the_peer_is_started_again_as_often_as_allowed_or_while_it_helps(monkeypatch):
    runs, own = [], scipy.optimize.minimize

    def minimize(loss, x, **options):
        found = own(loss, x, **options)
        runs.append((found.x, options["bounds"][:, 1]))
        return found

    monkeypatch.setattr(scipy.optimize, "minimize", minimize)
    for w in thinking_workloads(12, seed=73, types=4):
        for restarts in (1, 2, 20):
            looks, end = exhausted(tq.QuasiNewton(restarts), w, 30)
            assert end is Status.STALLED
            assert 1 <= len(looks) <= restarts + 1
            for one, other in pairwise(looks):
                assert other.objective > one.objective or other.gap < one.gap
            if len(looks) <= restarts and (w.max_tokens > 0).all():  # the last run was no help
                x, top = runs[-1]
                reached = np.clip(x * (w.max_tokens / top), 0, w.max_tokens)
                if tq.utilization(w, reached) < 1 - 1e-9:
                    blurred = 1e-12 * max(abs(looks[-1].objective), 1)
                    refused = tangent(w, reached)
                    assert refused.objective <= looks[-1].objective + blurred
                    assert refused.gap >= looks[-1].gap - blurred


# Newton


def model(g: np.random.Generator, cautious: bool) -> tuple[Workload, Tangent, TimeCurvature]:
    """Any model of a step, with types of no curvature at all, and far from any real server."""
    w = plain_workload(g, 6).replace(max_tokens=g.uniform(10, 3000, 6))
    tokens = stable_tokens(w, g)
    flat = g.uniform(size=6) < 0.25
    own = np.where(flat, 0, 10 ** g.uniform(-6, -3, 6))
    ratio = g.uniform(0, 3, 6)
    joint = float(g.choice([0.0, 1e-4, 1e-2, -1e-4] if cautious else [0.0, 1e-4, 1e-2]))
    cost = 10 ** g.uniform(-2, -1, 6)
    bent = TimeCurvature(own, own * ratio, own * ratio**2, cost, joint, w.arrival_rate)
    slope = g.normal(size=6) * 10 ** g.uniform(-2, 0)
    if not cautious:  # tokens do nothing for such a type, and it has none
        slope, tokens = np.where(flat, -1.0, slope), np.where(flat, 0, tokens)
    look = tangent(w, tokens)._replace(
        slope=slope,
        bend=np.where(flat, 0, 10 ** g.uniform(-7, -3, 6)),
        step=np.where(flat & (not cautious), 0.0, 1.0),
    )
    return w, look, bent


def dense(w: Workload, look: Tangent, bent: TimeCurvature, cautious: bool) -> Array:
    """The matrix of that model, written out."""
    u, v = w.share * bent.load, w.share * bent.cross
    squares = float(w.share @ bent.cross_square)
    if cautious:
        beta = max(float(bent.joint), 0.0) + 2 * squares
        return np.diag(w.share * (look.bend + 2 * bent.own)) + beta * np.outer(u, u)
    both = np.outer(u, v) + np.outer(v, u) + (bent.joint + squares) * np.outer(u, u)
    return np.diag(w.share * (look.bend + bent.own)) + both


@pytest.mark.parametrize("cautious", [False, True])
def test_a_step_of_newton_is_the_top_of_its_model_in_the_box(cautious):
    g = np.random.default_rng(70)
    pressed = settled = 0
    for _ in range(120):
        w, look, bent = model(g, cautious)
        if cautious:
            d, a, done = newton._cautious(w, look, bent)
            assert done is True
        else:
            d, a, done = newton._two_unknowns(w, look, bent, 50)
            if not done:
                continue
        settled += 1
        assert a == pytest.approx(float(w.share * bent.load @ d), rel=1e-6, abs=1e-9)
        matrix, up = dense(w, look, bent, cautious), w.share * look.slope
        # the conditions of the best point of a concave quadratic in a box
        slope = up - matrix @ d
        off = 1e-6 * (np.abs(up) + np.abs(matrix) @ np.abs(d))
        lowest, highest = d <= -look.tokens, d >= w.max_tokens - look.tokens
        assert (np.abs(slope) <= off)[~lowest & ~highest].all()
        assert (slope <= off)[lowest].all()
        assert (slope >= -off)[highest].all()
        pressed += int(lowest.any()) + int(highest.any())
    assert pressed > 60
    assert settled > 60


def side_by_side(workloads: list[Workload]) -> Grid:
    """The same workloads as the rows of a grid."""

    def rows(of: str) -> Array:
        return np.array([getattr(w, of) for w in workloads])

    return Grid(
        **{name: rows(name) for name in ("share", "max_tokens", "weight")},
        curves=Saturating(rows("gain"), rows("rate"), rows("baseline")),
        service=Affine(rows("base_time"), rows("time_per_token")),
        arrival_rate=rows("arrival_rate")[:, None],
        accuracy_weight=rows("accuracy_weight")[:, None],
        server=tq.Fifo(),
    )


def test_a_row_of_a_grid_steps_as_it_would_alone():
    several = list(thinking_workloads(25, seed=71, types=4))
    alone = [list(islice(tq.Newton().iterates(w), 6)) for w in several]
    assert max(map(len, alone)) == 6
    for step, grid in enumerate(islice(tq.Newton().iterates(side_by_side(several)), 6)):
        for k, looks in enumerate(alone):
            if len(looks) <= step:
                continue
            look = looks[step]
            size = max(abs(look.objective), 1) / look.state.slack
            assert abs(grid.objective[k, 0] - look.objective) <= 1e-11 * size
            if look.gap > 1e-6 * size:
                np.testing.assert_allclose(grid.tokens[k], look.tokens, rtol=1e-3, atol=1e-3)


def test_rows_that_are_sent_back_go_on_alone():
    several = list(thinking_workloads(6, seed=72, types=4))
    whole, part = (tq.Newton().iterates(side_by_side(several)) for _ in range(2))
    for one in (whole, part):
        next(one)
    rows = np.array([4, 1])
    expected, found = next(whole), part.send(rows)
    for _ in range(3):
        np.testing.assert_allclose(found.tokens, expected.tokens[rows], rtol=1e-9)
        np.testing.assert_allclose(found.objective, expected.objective[rows], rtol=1e-12)
        expected, found = next(whole), next(part)


def test_what_holds_for_rows_holds_for_one_row():
    rows = np.array([[1.0], [-2.0]])
    assert newton.lesser(1.0, -2.0) == -2
    assert newton.greater(-2.0, 1.0) == 1
    np.testing.assert_array_equal(newton.lesser(rows, -rows), [[-1], [-2]])
    np.testing.assert_array_equal(newton.greater(rows, 0.0), [[1], [0]])
    for settled, every, some in (
        (True, True, True), (False, False, False), (np.array([[True], [False]]), False, True),
        (np.array([[True], [True]]), True, True),
    ):  # fmt: skip
        assert newton.every(settled) is every
        assert newton.some(settled) is some


def blur(look: Tangent) -> float:
    """What rounding may do to J."""
    return float(1e-13 * abs(look.objective) + np.finfo(float).eps * look.state.magnified)


def test_a_step_of_newton_rises_stays_inside_and_does_not_overshoot():
    steps = shortened = 0
    for w in thinking_workloads(90, seed=75, types=4):
        looks = list(islice(tq.Newton().iterates(w), 25))
        for one, other in pairwise(looks):
            d = other.tokens - one.tokens
            if not (np.abs(d) > 1e-5 * other.tokens).any():
                continue
            bent = curved(w.server).curvature(w, one.state)
            whole, a = newton._direction(w, one, bent)
            edge = 0.99 * one.state.slack / max(w.arrival_rate * a, 1e-300)
            k = int(np.argmax(np.abs(d)))
            part = float(d[k] / whole[k])
            halvings = np.log2(min(1.0, edge) / part)
            assert halvings == pytest.approx(round(halvings), abs=1e-4)
            shortened += halvings > 0.5
            assert newton._blur(one) == pytest.approx(blur(one), rel=1e-12)
            rise = float(w.share * d @ one.slope)
            assert other.objective >= one.objective + 1e-4 * rise - 2 * blur(one)
            assert float(w.share * d @ other.slope) >= -0.5 * rise - 2 * part * blur(one)
            assert other.state.slack >= 0.0099 * one.state.slack
            steps += 1
    assert steps > 200
    assert shortened > 5


def test_newton_ends_after_three_steps_in_a_row_that_bring_nothing():
    ends = 0
    for w in (*thinking_workloads(40, seed=76, types=3), *plain_workloads(10, seed=76)):
        looks, end = exhausted(tq.Newton(), w, 80)
        ends += end is Status.STALLED
        gaps = np.minimum.accumulate([look.gap for look in looks])
        slacks = np.minimum.accumulate([look.state.slack for look in looks])
        brought = [
            other.objective - one.objective > blur(one)
            or other.gap < gap / 2
            or other.state.slack < 0.75 * slack
            for (one, other), gap, slack in zip(pairwise(looks), gaps, slacks, strict=False)
        ]
        runs = "".join("x" if b else "." for b in brought)
        assert "..." not in runs
        assert end is None or runs.endswith("..") or len(runs) < 2
    assert ends > 20


def test_what_looks_flat_at_nothing_is_passed():
    for rate in (1e-3, 0.05, 0.2):
        task = tq.TaskType(
            "S", 1.0, tq.Hill(0.7, 800.0, 4.0, 0.05), base_time=0.2, time_per_token=0.002
        )
        w = Workload([task], arrival_rate=rate, accuracy_weight=600.0)
        assert tq.gradient(w, [0.0])[0] < 0
        x = np.linspace(0, min(10_000, 0.999 * (1 / rate - 0.2) / 0.002), 20_001)
        values = tq.objective(w, x[:, None])
        found = tq.solve(w, throw=False)
        assert found.objective >= values.max() - 1e-6
        assert found.tokens[0] == pytest.approx(x[int(np.argmax(values))], abs=1)
        assert next(tq.Newton().iterates(w)).tokens[0] > 100


def test_a_leap_goes_to_the_reply_if_that_is_better(monkeypatch):
    monkeypatch.setattr(newton, "LEAPS", 1)
    task = tq.TaskType(
        "S", 1.0, tq.Hill(0.7, 800.0, 4.0, 0.05), base_time=0.2, time_per_token=0.002
    )
    w = Workload([task], arrival_rate=0.05, accuracy_weight=600.0)
    for start in ([0.0], [500.0], [3000.0]):
        begun, there = tangent(w, np.array(start)), next(tq.Newton().iterates(w, np.array(start)))
        reply = begun.reply(w.max_tokens)
        better = tq.objective(w, reply) > begun.objective
        np.testing.assert_array_equal(there.tokens, reply if better else start)


def test_where_time_is_not_convex_the_model_is_concave_all_the_same():
    w = batching_workload(Batching(LINE, 3, "wait"), arrival_rate=0.05)
    found = tq.solve(w, throw=False)
    assert found.status is Status.NO_BOUND
    assert found.steps <= 25
    slope = tq.gradient(w, found.tokens)
    inside = (found.tokens > 0) & (found.tokens < w.max_tokens)
    assert inside.any()
    worth = w.accuracy_weight * w.share * w.curves.slope(found.tokens)
    assert (np.abs(slope[inside]) <= 1e-4 * worth[inside]).all()
    assert (slope[found.tokens == 0] <= 0).all()


def test_a_start_on_the_brink_is_dropped_for_nothing():
    w = plain_workload(77)
    edge = 1 - 1e-12
    load = float(tq.utilization(w, np.zeros(5)))
    full = (edge - load) / (float(tq.utilization(w, np.ones(5))) - load) * np.ones(5)
    np.testing.assert_array_equal(next(tq.Newton().iterates(w, full)).tokens, 0)
    good = tq.solve(w).tokens
    np.testing.assert_array_equal(next(tq.Newton().iterates(w, good)).tokens, good)


def test_with_many_types_a_sample_says_where_to_begin():
    w = plain_workload(78, 8 * 4096)
    start = next(tq.Newton().iterates(w))
    nothing = tangent(w, np.zeros(len(w)))
    assert start.gap < 1e-3 * nothing.gap
    # one type fewer begins with nothing
    fewer = plain_workload(78, 8 * 4096 - 1)
    assert not next(tq.Newton().iterates(fewer)).tokens.any()
