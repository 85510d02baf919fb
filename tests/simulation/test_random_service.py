"""Service times drawn from a law: exact queues, and the same draw whoever is served next."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.simulation.work import Demand
from thinkqueue.workload import Moments
from workloads import QWEN

BOOK = tq.Workload.from_toml(QWEN)
TOKENS = tq.solve(BOOK).tokens
SERVICE = np.asarray(tq.service_time(BOOK, TOKENS))
MEAN = float(BOOK.share @ SERVICE)


@dataclass(frozen=True)
class Exponential:
    """Service times with an exponential law of the mean that the book's workload has."""

    wrong: float = 1.0

    def mean(self, tokens):
        return BOOK.service.mean(tokens)

    def moments(self, tokens):
        s, pace = self.mean(tokens), BOOK.time_per_token
        return Moments(s, 2 * s * s, pace, 4 * pace * s, 0.0, 4 * pace**2)

    def draw(self, tokens, kinds, random):
        return self.wrong * self.mean(tokens)[kinds] * random.standard_exponential(kinds.size)


def at_load(load, **changes):
    return BOOK.replace(service=Exponential(), arrival_rate=load / MEAN, **changes)


def test_drawn_times_wait_as_pollaczek_and_khinchine_say():
    w = at_load(0.7)
    exact = MEAN + w.arrival_rate * 2 * float(BOOK.share @ SERVICE**2) / (2 * (1 - 0.7))
    assert tq.mean_system_time(w, TOKENS) == pytest.approx(exact, rel=1e-12)
    assert tq.mean_waiting_time(w, TOKENS) == pytest.approx(exact - MEAN, rel=1e-12)
    run = tq.simulate(w, TOKENS, jobs=400_000, seed=3, level=0.999)
    assert run.mean_system_time.covers(exact)
    assert run.utilization.covers(0.7)
    # negative control: certain times of the same means wait half as long
    certain = BOOK.replace(arrival_rate=w.arrival_rate)
    assert not run.mean_system_time.covers(float(tq.mean_system_time(certain, TOKENS)))
    for k, service in enumerate(SERVICE):
        assert run.per_type.mean_system_time[k].covers(exact - MEAN + service)


def test_drawn_times_that_are_shared_stretch_as_any_others_do():
    run = tq.simulate(
        at_load(0.6), TOKENS, jobs=300_000, seed=1, level=0.999, discipline=tq.ProcessorSharing()
    )
    assert run.mean_system_time.covers(MEAN / (1 - 0.6))
    for k, service in enumerate(SERVICE):
        assert run.per_type.mean_system_time[k].covers(service / (1 - 0.6))


def test_a_query_is_served_for_the_same_time_in_whatever_order():
    asked = {"jobs": 2000, "seed": 4, "replications": 20}
    orders = [tq.Fifo(), tq.Fifo(servers=2), tq.NonPreemptivePriority([4, 3, 2, 1, 0])]
    runs = [
        tq.simulate(at_load(0.6), TOKENS, **asked, arrivals=Plain(), discipline=one)
        for one in (*orders, tq.ShortestFirst(), tq.ProcessorSharing())
    ]
    busy = [run.utilization.value * run.server.servers for run in runs]
    np.testing.assert_allclose(busy, busy[0], rtol=1e-9)


class Plain:
    """Exponential gaps that end, so that everybody is served."""

    def gaps_at(self, arrival_rate, jobs, seed):
        return np.random.default_rng(seed).exponential(1 / arrival_rate, jobs)


def test_what_is_drawn_depends_on_the_seed_alone():
    asked = {"jobs": 3000, "seed": 5, "replications": 4}
    alone = tq.simulate(at_load(0.7), TOKENS, **asked)
    with ProcessPoolExecutor(2) as processes:
        sent = tq.simulate(at_load(0.7), TOKENS, **asked, executor=processes)
    assert sent.mean_system_time == alone.mean_system_time
    assert sent.quantiles == alone.quantiles
    # arrivals and types are those of certain times
    certain = tq.simulate(BOOK.replace(arrival_rate=0.7 / MEAN), TOKENS, **asked)
    np.testing.assert_allclose(certain.per_type.queries, alone.per_type.queries, rtol=0.1)


def test_a_stream_of_work_goes_on_where_it_was_left():
    seed = np.random.SeedSequence(1)
    work = Demand(Exponential(), TOKENS).work(seed)
    kinds = np.zeros(10, np.int64)
    first, rest = work.of(kinds), pickle.loads(pickle.dumps(work)).of(kinds)
    np.testing.assert_array_equal(rest, work.of(kinds))
    assert not np.array_equal(first, rest)


def test_the_difference_of_two_allocations_shares_their_luck():
    w, other = at_load(0.6), 1.05 * TOKENS
    found = tq.simulate_difference(w, TOKENS, other, jobs=300_000, seed=1, level=0.999)
    exact = float(tq.mean_system_time(w, other) - tq.mean_system_time(w, TOKENS))
    slope = float(-(tq.gradient(w.replace(accuracy_weight=0.0), TOKENS) @ (other - TOKENS)))
    assert found.system_time.covers(exact)
    assert found.slope.covers(slope)
    assert found.remainder.low > 0
    assert found.system_time.half_width < found.independent_half_width / 5


@pytest.mark.parametrize("drawn", [-1.0, np.nan, np.inf])
def test_what_is_no_work_is_refused(drawn):
    with pytest.raises(tq.WorkloadError, match="finite and not negative"):
        tq.simulate(BOOK.replace(service=Exponential(drawn)), TOKENS, jobs=10, seed=1)


def test_a_batch_takes_lengths_as_they_are_drawn():
    """A batch in which all share forgets the law: only the mean length counts."""
    from thinkqueue.workload import Generated

    class Geometric(Generated):
        def draw(self, tokens, kinds, random):
            return self.mean(tokens)[kinds] * random.standard_exponential(kinds.size)

    zero = np.zeros(5)
    w = BOOK.replace(
        server=tq.Batching(tq.TokenTime(6e-3, 1e-3)),
        answer_tokens=200.0, arrival_rate=0.2, accuracy_weight=600.0,
    )  # fmt: skip
    drawn = w.replace(service=Geometric(w.answer_tokens, zero, zero))
    asked = {"jobs": 50_000, "seed": 2, "level": 0.999}
    exact = float(tq.mean_system_time(w, TOKENS))
    one, other = (tq.simulate(each, TOKENS, **asked) for each in (w, drawn))
    assert one.mean_system_time.covers(exact)
    assert other.mean_system_time.covers(exact)
    assert one.mean_system_time.value != other.mean_system_time.value


def test_what_needs_certain_times_refuses_others():
    from thinkqueue.arrivals import Records

    with pytest.raises(tq.WorkloadError, match="certain service times"):
        Records.draw(at_load(0.5), Plain(), seed=1, replications=2, jobs=10).waiting(TOKENS)
    with pytest.raises(tq.WorkloadError, match="certain service times"):
        tq.system_time_quantile(at_load(0.5), TOKENS, 0.9)
    with pytest.raises(tq.WorkloadError, match="certain service times"):
        tq.contraction_modulus(at_load(0.5), 0 * TOKENS, TOKENS)
