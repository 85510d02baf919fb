"""The simulation against theory, against other simulators, and against a theory that is wrong."""

import importlib
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.arrivals import MarkovModulated, Records, Trace
from thinkqueue.simulation.alias import alias_table
from thinkqueue.simulation.lindley import Lindley
from thinkqueue.simulation.measures import BATCHES
from thinkqueue.simulation.queries import queries_of
from thinkqueue.simulation.replication import Cut, Replication
from thinkqueue.simulation.rows import ROWS
from thinkqueue.simulation.sketch import COARSE_BINS
from thinkqueue.simulation.tally import empty_tally
from thinkqueue.simulation.work import Certain
from workloads import QWEN

door = importlib.import_module("thinkqueue.simulation.simulate")

WORKLOAD = tq.Workload.from_toml(QWEN)
TOKENS = tq.solve(WORKLOAD).tokens
BURSTY = MarkovModulated(high=(4.8,), low=(0.05,), up=(0.02,), down=(0.08,))
MEAN, SQUARE = (float(moment) for moment in tq.service_moments(WORKLOAD, TOKENS))


def at_load(load):
    return WORKLOAD.replace(arrival_rate=load / MEAN)


def hits(load, jobs, seeds, truth):
    """How often the intervals of the mean system time hold what some formula says."""
    workload = at_load(load)
    said = truth(workload)
    runs = (tq.simulate(workload, TOKENS, jobs=jobs, seed=seed, probabilities=()) for seed in seeds)
    return sum(run.mean_system_time.covers(said) for run in runs)


# near saturation busy cycles are long and few, so runs must be longer to be judged by a theorem
# about many of them
LOADS = {0.1: 20_000, 0.5: 20_000, 0.8: 50_000, 0.95: 200_000}


@pytest.mark.slow
def test_two_thousand_intervals_hold_the_exact_mean_as_often_as_they_claim():
    seeds = 500
    found = {
        load: hits(load, jobs, range(seeds), lambda w: float(tq.mean_system_time(w, TOKENS)))
        for load, jobs in LOADS.items()
    }
    assert abs(sum(found.values()) / (seeds * len(LOADS)) - 0.95) < 0.02, found
    # 500 seeds a load: three standard deviations of the count are 2.9 %
    assert all(abs(count / seeds - 0.95) < 0.03 for count in found.values()), found


def exponential_service(workload):
    """M/M/1: right if service times were exponential, wrong for a mixture of constants."""
    return MEAN / (1 - workload.arrival_rate * MEAN)


def without_variance(workload):
    """M/D/1: the square of the mean where the mean of the square belongs."""
    rho = workload.arrival_rate * MEAN
    return MEAN + rho * MEAN / (2 * (1 - rho))


@pytest.mark.parametrize(
    ("wrong", "load"),
    [
        *((exponential_service, load) for load in LOADS),
        (without_variance, 0.5),
        (without_variance, 0.8),
    ],
)
def test_a_wrong_formula_fails_the_same_test(wrong, load):
    # the test above demands 92 % at each load; a wrong formula does not reach half of that
    assert hits(load, LOADS[load], range(20), wrong) < 0.46 * 20


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_loads_second_moments_and_types_agree_with_theory(load):
    workload = at_load(load)
    run = tq.simulate(workload, TOKENS, jobs=400_000, seed=11, level=0.999)
    waiting = float(tq.mean_waiting_time(workload, TOKENS))
    third = float(workload.share @ tq.service_time(workload, TOKENS) ** 3)
    # Takács: E[W²] = 2 E[W]² + λ E[S³] / (3 (1 − ρ))
    squared = 2 * waiting**2 + workload.arrival_rate * third / (3 * (1 - load))
    assert run.utilization.covers(load)
    assert run.mean_waiting_time.covers(waiting)
    assert run.mean_squared_waiting_time.covers(squared)
    assert run.mean_squared_system_time.covers(squared + 2 * waiting * MEAN + SQUARE)
    for k, service in enumerate(tq.service_time(workload, TOKENS)):
        assert run.per_type.mean_system_time[k].covers(waiting + service)
    assert run.cross_check.covers(waiting + MEAN)
    assert run.cycles / run.queries == pytest.approx(1 - load, rel=0.02)


def test_quantiles_are_those_of_the_exact_single_type_queue():
    # M/D/1: P(W ≤ t) = (1−ρ) Σ_{j ≤ t/s} (−λ(t − js))^j / j! e^{λ(t − js)}
    workload = tq.Workload.from_arrays(
        share=[1.0], gain=[0.5], rate=[1e-3], baseline=[0.0], base_time=[10.0],
        time_per_token=[0.01], arrival_rate=0.05, accuracy_weight=1.0,
    )  # fmt: skip
    run = tq.simulate(workload, [0.0], jobs=2_000_000, seed=3, level=0.999)
    t = np.array([run.waiting_quantiles[p].value for p in run.waiting_quantiles])
    j = np.arange(60)
    from scipy.special import gammaln

    back = 0.05 * (t[:, None] - 10.0 * j)
    inside = back >= 0
    size = np.exp(j * np.log(np.where(inside, np.maximum(back, 1e-300), 1)) - gammaln(j + 1) + back)
    series = np.where(inside, (-1.0) ** j * size, 0).sum(1) * 0.5
    expected = np.array(list(run.waiting_quantiles))
    np.testing.assert_allclose(series[1:], expected[1:], atol=2e-3)


def test_the_result_is_the_same_whatever_the_workers():
    asked = {"jobs": 5000, "seed": 5, "replications": 5}
    alone = tq.simulate(WORKLOAD, TOKENS, **asked)
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2) as processes:
        others = [tq.simulate(WORKLOAD, TOKENS, **asked, executor=e) for e in (threads, processes)]
    for other in others:
        assert other.mean_system_time == alone.mean_system_time
        assert other.utilization == alone.utilization
        assert other.quantiles == alone.quantiles
        assert other.cross_check == alone.cross_check
        np.testing.assert_array_equal(
            other.per_type.mean_system_time.low, alone.per_type.mean_system_time.low
        )


def test_replications_are_the_same_runs_pooled():
    one = tq.simulate(WORKLOAD, TOKENS, jobs=5000, seed=5)
    three = tq.simulate(WORKLOAD, TOKENS, jobs=5000, seed=5, replications=3)
    assert 3 * 5000 <= three.queries < 3 * 5600
    assert one.mean_system_time != three.mean_system_time
    again = tq.simulate(WORKLOAD, TOKENS, jobs=5000, seed=5)
    assert one.mean_system_time == again.mean_system_time
    assert three.mean_system_time.half_width < one.mean_system_time.half_width


def test_the_run_stops_when_the_interval_is_narrow_enough():
    run = tq.simulate(WORKLOAD, TOKENS, jobs=10_000_000, seed=2, half_width=2.0)
    assert run.mean_system_time.half_width <= 2.0
    assert 2048 <= run.queries < 1_000_000
    assert run.reached
    capped = tq.simulate(WORKLOAD, TOKENS, jobs=4096, seed=2, half_width=1e-6)
    assert 4096 <= capped.queries < 4700
    assert not capped.reached
    assert tq.simulate(WORKLOAD, TOKENS, jobs=100, seed=2).reached


def test_an_interruption_returns_what_was_gathered(monkeypatch):
    advance, calls = door._advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        advance(*arguments)

    monkeypatch.setattr(door, "_advance", interrupted)
    run = tq.simulate(WORKLOAD, TOKENS, jobs=1_000_000, seed=2, half_width=1e-9)
    assert run.interrupted
    assert run.queries == 4 * 2048
    assert np.isfinite(run.mean_system_time.half_width)
    monkeypatch.setattr(door, "_advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tq.simulate(WORKLOAD, TOKENS, jobs=1000, seed=2)


def replication(cut=Cut.CYCLES, workload=WORKLOAD, seed=1):
    service = np.asarray(tq.service_time(workload, TOKENS))
    child = np.random.SeedSequence(seed).spawn(1)[0]
    table, rate = alias_table(workload.share), workload.arrival_rate
    return Replication(
        queries_of(table, rate, None, 1, lambda _: Certain(service), child),
        Lindley(),
        cut,
        empty_tally(np.full(service.size, np.inf), cut.least, cut is Cut.BATCHES),
    )


def test_memory_does_not_grow_with_the_run():
    run = replication()
    sizes = [len(pickle.dumps(run.advance(jobs))) for jobs in (100_000, 1_000_000, 10_000_000)]
    assert sizes[2] == pytest.approx(sizes[0], rel=1e-3)


def test_a_run_in_pieces_and_by_mail_is_the_same_run():
    whole, pieces = replication().advance(100_000), replication()
    for jobs in (1, 77, 40_000, 100_000):
        pieces = pickle.loads(pickle.dumps(pieces.advance(jobs)))
    for one, other in zip(whole.tally, pieces.tally):
        np.testing.assert_array_equal(one, other)


def test_rows_lose_nothing_when_they_are_joined():
    run = replication(workload=at_load(0.8)).advance(300_000)
    run.finish()
    tally, queries = run.tally, run.served
    assert ROWS // 2 <= run.rows < ROWS
    assert tally.sums[:, 0].sum() == tally.of_type[..., 0].sum() == queries
    assert tally.system.sum() == tally.waiting.sum() == queries
    for rows, whole in ((tally.system_rows, tally.system), (tally.waiting_rows, tally.waiting)):
        np.testing.assert_array_equal(rows.sum(0), whole.reshape(COARSE_BINS, -1).sum(1))
        np.testing.assert_array_equal(rows.sum(1), tally.sums[:, 0])
    assert not tally.sums[run.rows :].any()


def test_a_run_that_goes_on_to_the_end_of_its_cycle_is_unbiased():
    # Wald: over whole cycles the sum of T - E[T] has mean zero, however the number of queries
    # came about; a run that stops in the middle of a cycle has seen too few long waits
    workload = at_load(0.8)
    exact = float(tq.mean_system_time(workload, TOKENS))

    def excess(finish):
        sums = []
        for seed in range(3000):
            run = replication(workload=workload, seed=seed).advance(30)
            if finish:
                run.finish()
            n, waiting, busy = run.tally.sums[:, :3].sum(0)
            sums.append(waiting + busy - n * exact)
        return np.mean(sums) / (np.std(sums) / np.sqrt(len(sums)))

    assert abs(excess(finish=True)) < 3.5
    assert excess(finish=False) < -10


def test_the_door_finishes_the_cycle():
    run = tq.simulate(at_load(0.8), TOKENS, jobs=30, seed=5)
    alone = replication(workload=at_load(0.8), seed=5).advance(30)
    assert alone.tally.sums[alone.rows, 0] > 0
    alone.finish()
    assert run.queries == alone.served > 30
    assert run.mean_waiting_time.value == alone.tally.sums[:, 1].sum() / alone.served


def test_batch_means_leave_out_the_warm_up_and_nothing_else():
    run = tq.simulate(WORKLOAD, TOKENS, jobs=50_000, seed=3, method="batch means")
    same = replication(seed=3).advance(50_000)
    same.finish()
    begins = np.linspace(0, same.rows, BATCHES + 1).astype(int)
    n, waiting = same.tally.sums[begins[1] : same.rows, :2].sum(0)
    assert run.mean_waiting_time.value == pytest.approx(waiting / n, rel=1e-12)
    assert run.cross_check == tq.simulate(WORKLOAD, TOKENS, jobs=50_000, seed=3).mean_system_time


def test_deadlines_and_progress(capsys):
    service = np.asarray(tq.service_time(WORKLOAD, TOKENS))
    run = tq.simulate(
        WORKLOAD, TOKENS, jobs=100_000, seed=1, deadlines=service + 1e-9, progress=True
    )
    # a query is late iff it waits, and it waits iff it finds the server busy
    load = float(tq.utilization(WORKLOAD, TOKENS))
    np.testing.assert_allclose(run.per_type.late.value, load, atol=0.02)
    assert "queries" in capsys.readouterr().err


def test_very_many_types_need_no_object_each():
    n = 200_000
    workload = tq.Workload.from_arrays(
        share=np.full(n, 1 / n), gain=np.full(n, 0.5), rate=np.full(n, 1e-3), baseline=np.zeros(n),
        base_time=np.linspace(1, 3, n), time_per_token=np.full(n, 0.01), arrival_rate=0.25,
        accuracy_weight=1.0,
    )  # fmt: skip
    run = tq.simulate(workload, np.zeros(n), jobs=100_000, seed=1, level=0.999)
    assert run.mean_system_time.covers(float(tq.mean_system_time(workload, np.zeros(n))))
    assert np.isfinite(run.per_type.mean_system_time.value).all()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"jobs": 0}, "jobs"),
        ({"jobs": 10.5}, "jobs"),
        ({"replications": 0}, "replications"),
        ({"servers": -1}, "servers"),
        ({"method": "batches"}, "method is 'batches'"),
        ({"seed": -1}, "seed"),
        ({"seed": "luck"}, "seed"),
        ({"arrivals": "soon"}, "arrivals is 'soon'"),
        ({"arrivals": BURSTY, "method": "regenerative cycles"}, "not independent"),
        ({"jobs": 10**20}, "jobs"),
        ({"replications": 10**9}, "replications"),
        ({"servers": 10**30}, "servers"),
        ({"half_width": -0.1}, "half_width"),
        ({"half_width": float("nan")}, "half_width"),
        ({"discipline": "fifo"}, r"discipline is 'fifo'.*Fifo\(\)"),
        ({"discipline": tq.Fifo}, "discipline is"),
        ({"level": 1.0}, "level"),
        ({"probabilities": [0.5, 1.0]}, "probabilities"),
        ({"deadlines": [1.0, 2.0]}, "deadlines"),
        ({"deadlines": "soon"}, "deadlines"),
        ({"level": "high"}, "level"),
        ({"probabilities": ["most"]}, "probabilities"),
        ({"discipline": tq.NonPreemptivePriority([0, 1])}, "order"),
    ],
)
def test_the_door_names_what_it_refuses(changes, named):
    with pytest.raises(tq.WorkloadError, match=named):
        tq.simulate(WORKLOAD, TOKENS, **{"jobs": 100, "seed": 1, **changes})


def test_an_unstable_queue_is_refused():
    with pytest.raises(tq.UnstableError) as caught:
        tq.simulate(at_load(1.01), TOKENS, jobs=100, seed=1)
    assert caught.value.utilization == pytest.approx(1.01)
    tq.simulate(at_load(1.01), TOKENS, jobs=100, seed=1, servers=2)


def test_given_arrivals_are_those_of_the_records():
    trace = Trace.of(np.cumsum(BURSTY.sample(3000, 7)))
    for arrivals in (BURSTY, trace):
        asked = {"seed": 4, "replications": 6, "jobs": 3000}
        run = tq.simulate(WORKLOAD, TOKENS, arrivals=arrivals, **asked)
        records = Records.draw(WORKLOAD, arrivals, **asked)
        there = records.mean_waiting_time(TOKENS)
        assert run.method == "replications"
        assert run.queries == 6 * 3000
        for end in ("value", "low", "high"):
            here = getattr(run.mean_waiting_time, end)
            assert here == pytest.approx(getattr(there, end), rel=1e-9)
        # the same arrivals through another engine: everybody is served in the end
        shared = tq.simulate(
            WORKLOAD, TOKENS, arrivals=arrivals, **asked, discipline=tq.ProcessorSharing()
        )
        np.testing.assert_array_equal(shared.per_type.queries, run.per_type.queries)


def test_a_trace_has_as_many_queries_as_it_has():
    trace = Trace.of(np.cumsum(BURSTY.sample(500, 7)))
    long = tq.simulate(WORKLOAD, TOKENS, arrivals=trace, jobs=10**6, seed=1)
    short = tq.simulate(WORKLOAD, TOKENS, arrivals=trace, jobs=100, seed=1)
    assert (long.queries, short.queries) == (500, 100)
    assert long.method == "batch means"


def test_very_many_servers_keep_nobody_waiting():
    run = tq.simulate(WORKLOAD, TOKENS, jobs=20_000, seed=1, servers=99999999999)
    assert run.mean_waiting_time.value == 0.0


def test_the_server_is_the_workloads_unless_another_is_named():
    shortest = WORKLOAD.replace(server=tq.ShortestFirst(servers=2))
    asked = {"jobs": 3000, "seed": 1}
    own = tq.simulate(shortest, TOKENS, **asked)
    named = tq.simulate(WORKLOAD, TOKENS, **asked, discipline=tq.ShortestFirst(), servers=2)
    assert own.server == named.server == tq.ShortestFirst(servers=2)
    assert own.mean_system_time == named.mean_system_time
    assert tq.simulate(shortest, TOKENS, **asked, servers=3).server == tq.ShortestFirst(servers=3)
    with pytest.raises(tq.WorkloadError, match="one server only"):
        tq.simulate_difference(shortest, TOKENS, TOKENS, **asked)
    with pytest.raises(tq.WorkloadError, match="one server only"):
        Records.draw(shortest, BURSTY, seed=1)


def test_service_times_of_which_only_moments_are_known_are_refused():
    class Random:
        def mean(self, tokens):
            return np.ones_like(tokens)

    workload = WORKLOAD.replace(service=Random(), base_time=None, time_per_token=None)
    with pytest.raises(tq.WorkloadError, match="only the moments are known"):
        tq.simulate(workload, TOKENS, jobs=10, seed=1)
