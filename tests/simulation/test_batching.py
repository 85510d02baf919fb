"""The engine for batching: against plain programs, exact laws, and formulas that must fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue import Batching, TokenTime, Workload, WorkloadError
from thinkqueue.arrivals import MarkovModulated
from thinkqueue.simulation.batching import Batch, Prompts
from thinkqueue.simulation.replication import Cut
from thinkqueue.simulation.tally import TYPE_LATE, WAITING, empty_tally
from thinkqueue.workload import Moments
from workloads import LINE, MEASURED, QWEN, batching_workload

X = np.array([500.0, 1000.0, 4000.0, 3000.0, 2000.0])
ASKED = X + 200.5
PROMPTS = Prompts(np.array([0.0, 0.3, 0.0, 0.1, 0.2]), np.array([0, 900, 30, 200, 0.0]))
HEAVY = TokenTime(6.5e-3, 9.7e-5, 5e-8)


def at_load(server: Batching, load: float, **changes) -> Workload:
    w = batching_workload(server, prompt_time=0.0, **changes)
    return w.replace(arrival_rate=load * w.arrival_rate / float(tq.utilization(w, X)))


def coming(rate, count, seed=0):
    """Types and gaps of some queries."""
    g = np.random.default_rng(seed)
    share = batching_workload(Batching(LINE), prompt_time=0.0).share
    return g.choice(5, p=share, size=count), g.exponential(1 / rate, count)


KINDS = [
    (Batching(LINE), np.inf),
    (Batching(LINE, 3), np.inf),
    (Batching(MEASURED, 5, "wait"), np.inf),
    (Batching(HEAVY), np.inf),
    (Batching(HEAVY, 3), np.inf),
    (Batching(HEAVY, 4, "wait"), np.inf),
    (Batching(HEAVY), 14_000.0),
    (Batching(HEAVY, 5, "wait"), 14_000.0),
]


@pytest.mark.parametrize(("server", "memory"), KINDS, ids=repr)
def test_every_query_is_where_a_plain_program_says(server, memory):
    kinds, gaps = coming(0.22, 2000)
    stays, found = plain(np.cumsum(gaps) - gaps, kinds, server, memory)
    check(Batch(PROMPTS, server, memory), kinds, gaps, stays, found, half=0.0)
    # the trial is worth something: often there are many
    assert (found > 4).mean() > 0.05


def check(engine, kinds, gaps, stays, found, half):
    time, tally = engine._steps, empty_tally(np.full(5, 50.0), Cut.NOWHERE.least, False)
    x = np.ceil(ASKED) if time.whole else ASKED
    behind = PROMPTS.tokens + x / 2 - half
    alone = PROMPTS.time + x * (time.pace[1] + time.per_context * behind)
    for part in (slice(0, 7), slice(7, None)):  # it goes on where it stopped
        assert (
            engine.advance(kinds[part], gaps[part], ASKED[kinds[part]], tally) == kinds[part].size
        )
    engine.drain(tally)
    np.testing.assert_allclose(
        tally.sums[:, WAITING].sum(), (stays - alone[kinds]).sum(), rtol=1e-8
    )
    for k in range(5):
        assert tally.of_type[:, k, TYPE_LATE].sum() == (stays[kinds == k] > 50).sum()
    np.testing.assert_array_equal(engine.found, np.bincount(found))


def plain(at, kinds, server, memory):
    """The same events in a few plain lines: how long each stays, and how many it finds."""
    cap = server.max_batch or 10**9
    places = cap if server.overflow == "wait" else 10**9
    heavy = getattr(server.token_time, "per_context", 0.0)
    inside, line = [], []  # the first: [tokens left, tokens behind, who]
    stays, found = np.zeros(len(at)), np.zeros(len(at), int)
    now = reading = 0.0

    def let_in():
        nonlocal reading
        while line and len(inside) < places:
            x, prompt = ASKED[kinds[line[0]]], PROMPTS.tokens[kinds[line[0]]]
            if sum(left + behind for left, behind, _ in inside) + x + prompt > memory + 1e-3:
                break
            who = line.pop(0)
            reading += PROMPTS.time[kinds[who]]
            inside.append([x, prompt, who])

    def run(until):
        nonlocal now, reading
        while inside:
            n = len(inside)
            some = min(n, cap)
            pace = float(server.token_time.seconds_at(some)) * n / some
            pace += heavy * sum(behind for _, behind, _ in inside)
            first = min(left for left, _, _ in inside)
            ends = now + reading + first * pace + heavy * n * first**2 / 2
            got = first
            if ends > until:
                left = max(until - now - reading, 0.0)
                reading = max(reading - (until - now), 0.0)
                got = left / pace
                if heavy:
                    got = (np.sqrt(pace**2 + 2 * heavy * n * left) - pace) / (heavy * n)
            for one in inside:
                one[0] -= got
                one[1] += got
            if ends > until:
                break
            now, reading = ends, 0.0
            done = min(inside)
            stays[done[2]] = now - at[done[2]]
            inside.remove(done)
            let_in()
        now = until

    for who, when in enumerate(at):
        run(when)
        found[who] = len(inside) + len(line)
        line.append(who)
        let_in()
    run(np.inf)
    return stays, found


WHOLE = [
    (Batching(LINE), np.inf),
    (Batching(MEASURED, 5, "wait"), np.inf),
    (Batching(HEAVY), np.inf),
    (Batching(HEAVY, 4, "wait"), np.inf),
    (Batching(HEAVY), 14_000.0),
]


@pytest.mark.parametrize(("server", "memory"), WHOLE, ids=repr)
def test_whole_steps_are_those_of_a_program_that_goes_token_by_token(server, memory):
    kinds, gaps = coming(0.1, 150)
    gaps[:20] = 0.01  # several come during one step
    gaps[19] = 200.0
    stays, found = by_tokens(np.cumsum(gaps) - gaps, kinds, server, memory)
    check(Batch(PROMPTS, server, memory, whole_steps=True), kinds, gaps, stays, found, half=0.5)


def by_tokens(at, kinds, server, memory):
    """One step after the other, one token for everybody in each."""
    places = server.max_batch or 10**9
    heavy = getattr(server.token_time, "per_context", 0.0)
    inside, line, coming = [], [], list(range(len(at)))
    stays, left_at = np.zeros(len(at)), np.zeros(len(at))
    now = 0.0
    while inside or line or coming:
        if not inside and not line:
            now = max(now, at[coming[0]])
        while coming and at[coming[0]] <= now:
            line.append(coming.pop(0))
        reading = 0.0
        while line and len(inside) < places:
            x = np.ceil(ASKED[kinds[line[0]]])
            prompt = PROMPTS.tokens[kinds[line[0]]]
            if sum(left + behind for left, behind, _ in inside) + x + prompt > memory:
                break
            reading += PROMPTS.time[kinds[line[0]]]
            inside.append([x, prompt, line.pop(0)])
        context = sum(behind for _, behind, _ in inside)
        now += reading + float(server.token_time.seconds_at(len(inside))) + heavy * context
        for one in inside:
            one[0] -= 1
            one[1] += 1
            if one[0] == 0:
                left_at[one[2]] = now
                stays[one[2]] = now - at[one[2]]
        inside = [one for one in inside if one[0] > 0]
    found = [int((left_at[:who] > at[who]).sum()) for who in range(len(at))]
    return stays, np.array(found)


def test_tokens_that_flow_are_early_by_less_than_a_step_for_each_query():
    w = at_load(Batching(LINE), 0.5)
    w = w.replace(answer_tokens=200.0)
    flow, steps = (
        tq.simulate(w, X, jobs=100_000, seed=5, whole_steps=whole) for whole in (False, True)
    )
    crowd = np.arange(flow.found.size) @ flow.found
    late = steps.mean_system_time.value - flow.mean_system_time.value
    # on common random numbers: half a step in the mean until it begins, and what that costs others
    step = float(LINE.seconds_at(crowd))
    assert 0.25 * step < late < 1.5 * step


@pytest.mark.slow
@pytest.mark.parametrize(
    "server",
    [Batching(LINE), Batching(LINE, 16), Batching(LINE, 1, "wait"), Batching(MEASURED, 32)],
    ids=repr,
)
def test_the_exact_law_lies_in_the_intervals(server):
    w = at_load(server, 0.6)
    expected = float(tq.mean_system_time(w, X))
    inside = 0
    for seed in range(40):
        run = tq.simulate(w, X, jobs=60_000, seed=seed, level=0.9)
        inside += run.mean_system_time.low <= expected <= run.mean_system_time.high
        # negative control: one at a time on the same server, whatever the order
        alone = expected * (1 - 0.6) * 2
        assert not (run.mean_system_time.low <= alone <= run.mean_system_time.high)
    # 36 expected of 40 at 90 %; fewer than 29 has a probability of 4e-4
    assert inside >= 29


class Drawn(NamedTuple):
    """Lengths of a type's mean times a random number of mean 1."""

    law: Callable[[np.random.Generator, int], np.ndarray]
    square: float
    answer: float = 1000.0

    def mean(self, tokens):
        return tokens + self.answer

    def moments(self, tokens):
        x, one = self.mean(tokens), np.ones_like(tokens)
        return Moments(x, self.square * x**2, one, 2 * self.square * x, 0.0, 2 * self.square * one)

    def draw(self, tokens, kinds, random):
        return self.mean(tokens)[kinds] * self.law(random, kinds.size)


LAWS = {
    "equal": (lambda g, n: np.ones(n), 1.0),
    "exponential": (lambda g, n: g.exponential(size=n), 2.0),
    "wide": (lambda g, n: np.where(g.random(n) < 0.9, 0.2, 8.2), 6.76),
}


def of_two(service, server, rate):
    return tq.Workload.from_arrays(
        share=[0.7, 0.3], gain=0.5, rate=1e-3, baseline=0.0, service=service, arrival_rate=rate,
        accuracy_weight=1.0, server=server,
    )  # fmt: skip


@pytest.mark.parametrize("server", [Batching(LINE), Batching(LINE, 64)], ids=repr)
def test_the_law_of_the_lengths_does_not_matter_where_the_overflow_shares(server):
    tokens = np.array([0.0, 2000.0])
    expected = of_two(Drawn(*LAWS["equal"]), server, 2.5)
    mean, types = float(tq.mean_system_time(expected, tokens)), tq.mean_type_time(expected, tokens)
    present = tq.queries_present(expected, tokens)
    for law in LAWS.values():
        w = of_two(Drawn(*law), server, 2.5)
        assert float(tq.mean_system_time(w, tokens)) == pytest.approx(mean, rel=1e-12)
        run = tq.simulate(w, tokens, jobs=1_000_000, seed=1, level=0.9999)
        assert run.mean_system_time.covers(mean)
        assert run.mean_system_time.half_width < 0.04 * mean
        times = run.per_type.mean_system_time
        assert ((times.low < types) & (types < times.high)).all()
        law_of_number = present.probability(np.arange(run.found.size))
        assert np.abs(np.cumsum(law_of_number) - np.cumsum(run.found)).max() < 0.02


def test_the_law_of_the_lengths_matters_where_they_wait_or_work_grows():
    none = np.zeros(2)
    for server in (Batching(LINE, 16, "wait"), Batching(HEAVY)):
        runs = []
        for law in LAWS.values():
            w = of_two(Drawn(*law), server, 1.0)
            if server.token_time is not HEAVY:
                w = w.replace(arrival_rate=0.9 / float(tq.utilization(w, none)))
            runs.append(tq.simulate(w, none, jobs=400_000, seed=2).mean_system_time)
        assert runs[0].high < runs[1].low < runs[1].high < runs[2].low


def test_random_lengths_are_drawn_once_and_too_long_ones_go_alone():
    w = of_two(Drawn(*LAWS["wide"]), Batching(LINE), 0.8)
    one, other = (tq.simulate(w, [0.0, 0.0], jobs=50_000, seed=3, memory=m) for m in (1e9, None))
    assert one.mean_system_time.value == other.mean_system_time.value
    # a memory for 5,000 tokens, of which a tenth of the queries asks for 8,200: they still leave
    rare = w.replace(arrival_rate=0.02)
    loose, tight = (tq.simulate(rare, [0, 0], jobs=20_000, seed=3, memory=m) for m in (None, 5000))
    assert tight.queries == 20_000
    assert tight.mean_waiting_time.low > 5 * loose.mean_waiting_time.high
    with pytest.raises(WorkloadError, match="are drawn"):
        tq.simulate(w, [0.0, 0.0], jobs=10, seed=3, whole_steps=True)


@pytest.mark.slow
def test_the_exact_time_with_prompts_and_context_lies_in_the_intervals():
    w = batching_workload(Batching(HEAVY), prompt_time=0.15, prompt_tokens=3000.0)
    w = w.replace(arrival_rate=0.7 * w.arrival_rate / float(tq.utilization(w, X / 50)))
    expected = tq.branching_time(w, X / 50).mean_system_time
    simple = float(tq.mean_system_time(w, X / 50))
    runs = [tq.simulate(w, X / 50, jobs=60_000, seed=seed, level=0.9) for seed in range(40)]
    assert sum(run.mean_system_time.covers(expected) for run in runs) >= 29
    # negative control: the simple form
    assert sum(run.mean_system_time.covers(simple) for run in runs) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(("cap", "load", "allowed"), [(4, 0.8, 0.03), (16, 0.8, 0.02)])
def test_the_approximation_for_a_line_is_as_near_as_it_says(cap, load, allowed):
    w = at_load(Batching(LINE, cap, "wait"), load)
    run = tq.simulate(w, X, jobs=1_000_000, seed=2)
    assert run.mean_system_time.half_width < 0.015 * run.mean_system_time.value
    assert abs(float(tq.mean_system_time(w, X)) / run.mean_system_time.value - 1) < allowed


def test_with_prompts_the_server_is_busy_as_long_as_the_work_takes():
    w = batching_workload(Batching(HEAVY), prompt_time=0.05, prompt_tokens=500.0, arrival_rate=0.3)
    run = tq.simulate(w, X, jobs=200_000, seed=3, level=0.999)
    # the busy part is that of the times alone, spread over as many as make a full server
    assert run.utilization.covers(float(tq.utilization(w, X)))
    simple = float(tq.mean_system_time(w, X))
    assert abs(run.mean_system_time.value / simple - 1) < 0.01


def test_bursts_are_what_the_model_of_arrivals_says():
    bursts = MarkovModulated((3.0,), (0.0,), (0.1,), (0.2,))
    w = at_load(Batching(LINE), 0.5)
    calm, run = (tq.simulate(w, X, jobs=200_000, seed=4, arrivals=how) for how in (None, bursts))
    assert run.method == "batch means"
    again = tq.simulate(w, X, jobs=20_000, seed=4, arrivals=bursts, replications=8)
    assert again.method == "replications"
    assert again.mean_system_time.low < run.mean_system_time.value < again.mean_system_time.high
    assert run.mean_system_time.low > 1.05 * calm.mean_system_time.high


def test_a_million_queries_take_less_than_a_minute():
    w = at_load(Batching(HEAVY, None), 0.7)
    tq.simulate(w, X, jobs=1000, seed=0)
    began = time.process_time()
    tq.simulate(w, X, jobs=200_000, seed=0)
    assert time.process_time() - began < 12


def test_what_is_not_simulated_is_refused():
    w = at_load(Batching(LINE, 64), 0.5)
    with pytest.raises(WorkloadError, match="send each of several its part"):
        tq.simulate(w, X, jobs=10, seed=0, servers=2)
    with pytest.raises(WorkloadError, match=r"simulated on a Batching"):
        tq.simulate(w, X, jobs=10, seed=0, discipline=tq.Fifo())
    with pytest.raises(WorkloadError, match="no matter of whole steps"):
        tq.simulate(w, X, jobs=10, seed=0, whole_steps=True)
    with pytest.raises(WorkloadError, match="'AIME 25' comes to 4200: it would wait for ever"):
        tq.simulate(w, X, jobs=10, seed=0, memory=4000)
    with pytest.raises(tq.UnstableError):
        tq.simulate(w.replace(arrival_rate=100.0), X, jobs=10, seed=0)
    with pytest.raises(tq.UnstableError):
        tq.simulate(w, X, jobs=10, seed=0, memory=4300)
    seconds = Workload.from_toml(QWEN)
    with pytest.raises(WorkloadError, match="memory is for a Batching"):
        tq.simulate(seconds, np.zeros(5), jobs=10, seed=0, memory=4000)
    with pytest.raises(WorkloadError, match="whole_steps is for a Batching"):
        tq.simulate(seconds, np.zeros(5), jobs=10, seed=0, whole_steps=True)
    with pytest.raises(WorkloadError, match="only such a workload"):
        tq.simulate(seconds, np.zeros(5), jobs=10, seed=0, discipline=Batching(LINE))
