"""The best of all optima where accuracy curves are of any kind: brute force, starts, and stress."""

from __future__ import annotations

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Hill, Interpolated, Logistic, Saturating, Status, Workload, WorkloadError
from thinkqueue.global_search.fixed_load import FixedLoad, Node
from thinkqueue.global_search.pieces import Pieces
from workloads import plain_workload, stable_tokens


def curve_of(kind: int, g: np.random.Generator) -> tq.Curve:
    """A curve at random: S-shaped of two kinds, concave, or a measured one that rises and falls."""
    gain, start = g.uniform(0.2, 0.7), g.uniform(0, 0.3)
    if kind == 0:
        return Hill(gain, 10 ** g.uniform(2, 4), g.uniform(0.8, 8), start)
    if kind == 1:
        return Logistic(-g.uniform(4, 20), g.uniform(0.8, 3))
    if kind == 2:
        return Saturating(gain, 10 ** g.uniform(-4, -2.5), start)
    x = np.concatenate([[0], np.sort(10 ** g.uniform(1.5, 4.5, 6))])
    return Interpolated(tuple(x), tuple(g.uniform(0, 1, 7)))


def _knots(curve: tq.Curve) -> list[float]:
    return [x for x in getattr(curve, "tokens", ()) if x <= 32768]


def any_workload(seed: int, types: int, kinds=(0, 1, 2, 3)) -> Workload:
    """A plain workload with curves of these kinds."""
    g = np.random.default_rng([seed, types])
    curves = [curve_of(int(g.choice(kinds)), g) for _ in range(types)]
    return plain_workload(g, types).replace(accuracy=curves)


def test_two_types_against_every_pair_of_budgets():
    # independent: J on a fine grid, then the best point polished by another grid around it
    several = 0
    for seed in range(12):
        w = any_workload(seed, 2)
        found = tq.solve_globally(w, gap=1e-8)
        assert 0 <= found.gap <= 1e-8 * max(1, abs(found.objective))
        grid = np.concatenate([[0], np.geomspace(1, 32768, 250)])
        axes = [np.append(grid, _knots(w.curves.pick(k))) for k in range(2)]
        pair = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        pair = pair[tq.utilization(w, pair) < 1]
        value = tq.objective(w, pair)
        assert value.max() <= found.upper_bound
        at = pair[np.argmax(value)]
        for width in (0.03, 0.002, 1e-4):
            part = np.linspace(1 - width, 1 + width, 101)
            near = np.stack(np.meshgrid(at[0] * part, at[1] * part), axis=-1).reshape(-1, 2)
            near = near[(near <= w.max_tokens).all(axis=-1)]
            near = near[tq.utilization(w, near) < 1]
            at = near[np.argmax(tq.objective(w, near))]
        best = float(tq.objective(w, at))
        assert best <= found.upper_bound
        assert best >= found.objective - 1e-4 * (1 + abs(found.objective))
        several += tq.solve(w, throw=False).objective < found.objective - 0.01
    assert several >= 2  # the local solver misses often enough for this to mean something


@pytest.mark.parametrize("types", [1, 5, 20])
def test_no_start_finds_more_and_the_gap_is_what_was_asked_for(types):
    g = np.random.default_rng(types)
    for seed in range(4):
        w = any_workload(seed, types, kinds=(0, 1, 2) if seed % 2 else (0, 1, 2, 3))
        found = tq.solve_globally(w)
        assert found.status is Status.CONVERGED
        assert 0 <= found.gap <= 1e-6 * max(1, abs(found.objective)) * (1 + 1e-6)
        assert found.objective == pytest.approx(float(tq.objective(w, found.tokens)), rel=1e-12)
        tried = np.stack([stable_tokens(w, g) for _ in range(200)])
        assert tq.objective(w, tried).max() <= found.upper_bound
        for start in tried[: 4 * (seed % 2)]:
            assert (
                tq.solve(w, start=start, max_steps=20, throw=False).objective <= found.upper_bound
            )


def test_concave_curves_have_the_answer_of_solve():
    # a second method: the search itself, which knows nothing of concavity
    from thinkqueue.global_search.fixed_load import Search

    for seed in range(4):
        w = plain_workload(seed)
        sure = tq.solve(w)
        found = Search(w, 1e-8).run(20_000)
        assert found.objective == pytest.approx(sure.objective, rel=1e-8)
        assert found.upper_bound >= sure.objective * (1 - 1e-13)
        assert found.upper_bound - found.objective <= 1e-8 * abs(sure.objective) * (1 + 1e-6)
        assert tq.solve_globally(w).objective == pytest.approx(sure.objective, rel=1e-9)


def test_a_hundred_types_close():
    w = any_workload(3, 100, kinds=(0, 1))
    found = tq.solve_globally(w)
    assert found.converged
    assert found.objective > tq.solve(w, throw=False).objective + 1e-3


def test_lines_lie_above_every_curve_and_touch_it():
    g = np.random.default_rng(0)
    for kind in range(4):
        curve = curve_of(kind, g)
        for error in (1e-2, 1e-5):
            pieces = Pieces.of(curve, np.array([20_000.0]), np.array([error]))
            x = np.concatenate([np.linspace(0, 20_000, 20_001), np.geomspace(1e-3, 2e4, 999)])
            place = np.clip(np.searchsorted(pieces.right[0], x), 0, pieces.count[0] - 1)
            above = pieces.height[0, place] + pieces.slope[0, place] * x - curve(x)
            assert above.min() >= -1e-12
            assert above.max() <= 2 * error + 1e-12
            assert np.array_equal(pieces.left[0, 1:], pieces.right[0, :-1])


def test_a_line_below_a_curve_is_found_out():
    # negative control: a curve whose reply lies about its own highest point
    class Liar(Hill):
        def reply(self, price, low, high):
            return np.asarray(low + 0.0 * price)

    honest, liar = Hill(0.5, 900.0, 4.0), Liar(0.5, 900.0, 4.0)
    x = np.linspace(0, 8000, 4001)
    heights = []
    for curve in (honest, liar):
        p = Pieces.of(curve, np.array([8000.0]), np.array([1e-3]))
        place = np.clip(np.searchsorted(p.right[0], x), 0, p.count[0] - 1)
        heights.append((p.height[0, place] + p.slope[0, place] * x - curve(x)).min())
    assert heights[0] >= -1e-12
    assert heights[1] < -1e-3


def test_the_bound_of_a_load_is_above_every_allocation_of_that_load():
    g = np.random.default_rng(1)
    for seed in range(3):
        w = any_workload(seed, 4)
        tried = np.stack([stable_tokens(w, g) for _ in range(8)])
        found = tq.solve_globally(w, gap=1e-8)
        tried = np.vstack([tried, found.tokens])
        bound = tq.fixed_load_bound(w, tq.utilization(w, tried), error=1e-2)
        assert (tq.objective(w, tried) <= bound + 1e-9).all()
        assert found.objective <= tq.envelope_bound(w, gap=1e-4)


def copied(w: Workload, copies: int) -> Workload:
    """The same queries, each type split into equal parts that may get budgets of their own."""
    n = len(w) * copies
    columns = {name: np.tile(getattr(w, name), copies) for name in
               ("max_tokens", "weight", "base_time", "time_per_token")}  # fmt: skip
    curves = [w.curves.pick(k % len(w)) for k in range(n)]
    return Workload.from_arrays(
        share=np.tile(w.share, copies) / copies, accuracy=curves, arrival_rate=w.arrival_rate,
        accuracy_weight=w.accuracy_weight, **columns,
    )  # fmt: skip


def test_copies_close_the_gap_of_a_load_and_not_that_of_the_envelope():
    w = Workload.from_arrays(
        share=[1.0], accuracy=Hill(0.8, 4000.0, 8.0), base_time=0.3, time_per_token=0.012,
        arrival_rate=0.02, accuracy_weight=200.0,
    )  # fmt: skip
    loads, envelope = [], []
    for copies in (1, 2, 8):
        many = copied(w, copies)
        found = tq.solve_globally(many, gap=1e-7)
        near = found.utilization + np.linspace(-0.1, 0.1, 21)
        near = near[(near > 0.006) & (near < 1)]
        loads.append(tq.fixed_load_bound(many, near, error=1e-4).max() - found.objective)
        envelope.append(tq.envelope_bound(many, gap=1e-4) - found.objective)
    assert loads[0] > 0.5
    assert loads[2] < 0.05 * loads[0]
    assert envelope[2] > 1.0
    assert envelope[2] > 20 * loads[2]


def test_hard_corners():
    w = any_workload(2, 5, kinds=(0,))
    idle = float(w.share @ w.base_time)
    for changed in (
        w.replace(share=[0, 0.5, 0.2, 0.2, 0.1]),
        w.replace(weight=[0, 1, 1, 1, 1]),
        w.replace(weight=0.0),
        w.replace(accuracy_weight=0.0),
        w.replace(max_tokens=[0, 10, 1e30, 1e30, 5]),
        w.replace(arrival_rate=0.999 / idle),
        w.replace(arrival_rate=1e-9),
        w.replace(base_time=0.0),
    ):
        found = tq.solve_globally(changed)
        assert found.gap <= 1e-6 * max(1, abs(found.objective)) * (1 + 1e-6)
        assert tq.solve(changed, throw=False).objective <= found.upper_bound
    with pytest.raises(tq.UnstableError):
        tq.solve_globally(w.replace(arrival_rate=1.1 / idle))


def test_what_no_bound_closes_for_is_refused():
    w = any_workload(2, 5, kinds=(0,))
    with pytest.raises(WorkloadError, match="not concave"):
        tq.solve_globally(w.replace(server=tq.ProcessorSharing()))
    with pytest.raises(tq.NotConvergedError, match="stopped after"):
        tq.solve_globally(w, gap=1e-12, max_cells=2)
    with pytest.raises(WorkloadError, match="utilization is 1"):
        tq.fixed_load_bound(w, 1.0)


def test_a_wrong_tau_is_found_out(monkeypatch):
    # negative control: with the price of a squared second halved the bound is above by far
    w = any_workload(1, 3, kinds=(0,))
    found = tq.solve_globally(w)
    honest = FixedLoad.replies

    def cheap(self, burden, price, box):
        return honest(self, 2 * burden, price, box)

    monkeypatch.setattr(FixedLoad, "replies", cheap)
    load = max(found.utilization, 0.01)
    assert tq.fixed_load_bound(w, load) < found.objective - 1e-3


def test_a_task_that_was_switched_off_can_come_back_with_more_traffic():
    # what is a theorem for concave curves (budgets fall as traffic grows) is false for these
    w = Workload.from_arrays(
        share=[0.5, 0.5], accuracy=[Hill(0.9, 900.0, 6.0), Hill(0.75, 300.0, 6.0)],
        base_time=0.3, time_per_token=0.01224, arrival_rate=0.02, accuracy_weight=300.0,
    )  # fmt: skip
    paths = np.array([
        tq.solve_globally(w.replace(arrival_rate=rate), gap=1e-5).tokens
        for rate in np.geomspace(0.01, 2, 30)
    ])  # fmt: skip
    assert (np.diff(paths, axis=0) > 5).any()
    assert (paths[0] > 0).all()
    assert (paths[-1] == 0).all()


def test_all_but_one_stand_where_their_curve_bends_down():
    checked = 0
    for seed in range(6):
        w = any_workload(seed, 8, kinds=(0, 1))
        found = tq.solve_globally(w)
        tau = w.arrival_rate / (2 * (1 - found.utilization))
        bend = w.accuracy_weight * w.weight * w.curves.bend(found.tokens)
        inner = (found.tokens > 1) & (found.tokens < w.max_tokens - 1)
        upwards = inner & (-bend > 2 * tau * w.time_per_token**2)
        checked += inner.sum()
        assert upwards.sum() <= 1
    assert checked > 6


def test_loads_and_pieces_that_are_left_out_hold_nothing_better():
    g = np.random.default_rng(5)
    for seed in range(8):
        w = any_workload(seed, 4, kinds=(0, 1, 2))
        found = tq.solve_globally(w)
        bound = FixedLoad(w, 1e-2 * max(1.0, abs(found.objective)))
        tried = np.stack([found.tokens, *(stable_tokens(w, g) for _ in range(40))])
        value, load = tq.objective(w, tried), tq.utilization(w, tried)
        bound.offer(tried[np.argsort(value)[20]])
        start, stop = bound.span(bound.all)
        tau = w.arrival_rate / (2 * (1 - load))
        better = value > bound.best_value
        assert (start * (1 - 1e-9) <= tau[better]).all()
        assert (tau[better] <= stop * (1 + 1e-9)).all()
        # with all but the best known, the pieces of the best are kept in every cell around it
        bound.best_value = found.objective - 1e-9
        at = w.arrival_rate / (2 * (1 - found.utilization))
        for wide in (1.003, 1.03, 1.3):
            ends = [bound.end(tau, bound.all) for tau in (max(at / wide, start), at * wide)]
            kept = bound.kept(Node(ends[0], ends[1], bound.all))
            for k, x in enumerate(found.tokens):
                here = (bound.pieces.left[k] <= x) & (x <= bound.pieces.right[k])
                assert (kept[k] & here).any()


def test_the_span_ends_where_waiting_eats_all_that_answers_are_worth():
    # without base times M ≥ m² alone bounds the load: there τ m(τ)² is all that can be gained
    w = Workload.from_arrays(
        share=[1.0], accuracy=Hill(0.6, 500.0, 3.0), base_time=0.0, time_per_token=0.01,
        arrival_rate=0.05, accuracy_weight=400.0,
    )  # fmt: skip
    found = tq.solve_globally(w)
    bound = FixedLoad(w, 1e-3)
    bound.offer(found.tokens)
    _, stop = bound.span(bound.all)
    mean = 1 / w.arrival_rate - 1 / (2 * stop)
    assert stop * mean**2 == pytest.approx(bound.all_answers - bound.best_value, rel=1e-9)


def test_caps_that_must_finish_against_every_pair_of_caps():
    # the second moment is not quadratic here; in caps, by the law of lengths, it needs no tangent
    law = tq.Lognormal(np.array([2000.0, 600.0]), np.array([1.5, 1.2]))
    for alpha, rate in ((300.0, 0.02), (600.0, 0.05), (150.0, 0.05)):
        w = Workload.from_arrays(
            share=[0.4, 0.6], gain=[0.6, 0.5], rate=1e-3, baseline=0.1, base_time=[0.3, 0.2],
            time_per_token=0.012, arrival_rate=rate, accuracy_weight=alpha,
        )  # fmt: skip
        random = tq.capped(w, law, must_finish=True)
        found = tq.solve_globally(random, gap=1e-6)
        assert found.converged
        caps = np.concatenate([[0], np.geomspace(10, 32768, 300)])
        pair = np.stack(np.meshgrid(caps, caps), axis=-1).reshape(-1, 2)
        used = np.minimum(law.mean_under(pair), random.max_tokens)
        stable = tq.utilization(random, used) < 1
        used, pair = used[stable], pair[stable]
        # J by hand
        met = law.survival(pair)
        p = 0.1 + np.array([0.6, 0.5]) * (1 - met)
        s2 = w.base_time**2 + 2 * w.base_time * 0.012 * used + 0.012**2 * law.square_under(pair)
        m = (w.share * (w.base_time + 0.012 * used)).sum(axis=1)
        time = m + rate * (w.share * s2).sum(axis=1) / (2 * (1 - rate * m))
        value = alpha * (w.share * p).sum(axis=1) - time
        assert value.max() <= found.upper_bound
        assert value.max() >= found.objective - 1e-3 * (1 + abs(found.objective))


def test_a_second_moment_is_held_from_below():
    law = tq.Lognormal(np.array([2000.0, 600.0]), np.array([1.5, 1.2]))
    w = tq.capped(plain_workload(0, 2), law)
    bound = FixedLoad(w, 1e-2)
    least, line = bound.squares
    for part in (0.0, 0.3, 0.7, 1.0):
        x = bound.pieces.left + part * (bound.pieces.right - bound.pieces.left)
        q = bound.service.square(x.T).T
        off = (q - least - line * x)[bound.pieces.real]
        assert off.min() >= -1e-9 * q.max()
    quadratic = FixedLoad(any_workload(0, 2, kinds=(0,)), 1e-2)
    assert quadratic.service.quadratic
    assert not bound.service.quadratic


def test_service_times_of_another_form_are_refused():
    class Odd(tq.workload.Affine):
        def moments(self, tokens):
            told = super().moments(tokens)
            return told._replace(mean=told.mean + 1e-3 * np.sqrt(tokens))

    w = any_workload(2, 3, kinds=(0,))
    with pytest.raises(WorkloadError, match="affine"):
        tq.solve_globally(w.replace(service=Odd(w.base_time, w.time_per_token)))
