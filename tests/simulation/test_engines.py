"""Other disciplines and several servers: exact formulas, laws of conservation, Ciw and SimPy."""

import pickle

import numpy as np
import pytest

import thinkqueue as tq
from thinkqueue.simulation.by_rank import ByRank
from thinkqueue.simulation.lindley import Lindley
from thinkqueue.simulation.sharing import Sharing
from thinkqueue.simulation.tally import empty_tally

SHARE = np.array([0.1, 0.4, 0.2, 0.15, 0.15])
SERVICE = np.array([6.0, 3.0, 21.0, 41.0, 13.0])
WORKLOAD = tq.Workload.from_arrays(
    share=SHARE, gain=np.full(5, 0.5), rate=np.full(5, 1e-3), baseline=np.zeros(5),
    base_time=SERVICE, time_per_token=np.full(5, 0.01), arrival_rate=0.04, accuracy_weight=100.0,
)  # fmt: skip
NONE = np.zeros(5)
LOAD = float(tq.utilization(WORKLOAD, NONE))
SEEN = {"jobs": 300_000, "seed": 8, "level": 0.999}


def cobham(order):
    """Mean waiting time of each type under non-preemptive priority (Cobham 1954)."""
    loads = WORKLOAD.arrival_rate * SHARE * SERVICE
    residual = WORKLOAD.arrival_rate * (SHARE @ SERVICE**2) / 2
    waiting, ahead = np.empty(5), 0.0
    for k in order:
        waiting[k] = residual / ((1 - ahead) * (1 - ahead - loads[k]))
        ahead += loads[k]
    return waiting


def served_by(engine, kinds, gaps):
    tally = empty_tally(np.full(5, np.inf), 1, False)
    engine.advance(kinds, gaps, SERVICE[kinds], tally)
    engine.drain(tally)
    return tally


def test_equal_ranks_are_served_in_the_order_of_arrival():
    rng = np.random.default_rng(1)
    # a queue of hundreds, so that the heap grows and is deep
    kinds, gaps = rng.choice(5, 5000, p=SHARE), rng.exponential(10.0, 5000)
    gaps[:1000] = 0.5
    one = served_by(Lindley(), kinds, gaps)
    other = served_by(ByRank(np.zeros(5), 1), kinds, gaps)
    # the mean is the same in every order, the square is not, nor is what each type sees
    np.testing.assert_allclose(other.sums.sum(0), one.sums.sum(0), rtol=1e-9)
    np.testing.assert_allclose(other.of_type.sum(0), one.of_type.sum(0), rtol=1e-9)
    np.testing.assert_array_equal(other.waiting_rows.sum(0)[1:], one.waiting_rows.sum(0)[1:])


def test_an_engine_can_be_interrupted_anywhere_and_sent_away():
    rng = np.random.default_rng(2)
    kinds, gaps = rng.choice(5, 3000, p=SHARE), rng.exponential(20.0, 3000)
    for make in (
        lambda: Lindley(),
        lambda: ByRank(SERVICE, 2),
        lambda: Sharing(1),
    ):
        whole = served_by(make(), kinds, gaps)
        engine, tally = make(), empty_tally(np.full(5, np.inf), 1, False)
        for part in np.split(np.arange(3000), [1, 2, 700, 2999]):
            engine, tally = pickle.loads(pickle.dumps((engine, tally)))
            assert engine.advance(kinds[part], gaps[part], SERVICE[kinds[part]], tally) == part.size
        engine.drain(tally)
        for one, other in zip(whole, tally):
            np.testing.assert_array_equal(one, other)


def test_waiting_queries_are_served_by_rank():
    # five queries at once: the first is served, the others wait in the order of their ranks
    kinds, gaps = np.array([0, 1, 2, 3, 4]), np.array([0.0, 0.0, 0.0, 0.0, 1e9])
    tally = served_by(ByRank(np.array([0.0, 2.0, 1.0, 4.0, 3.0]), 1), kinds, gaps)
    behind = np.cumsum(SERVICE[[0, 2, 1, 4]])
    np.testing.assert_allclose(tally.of_type[..., 1].sum(0)[[2, 1, 4, 3]], behind)


@pytest.mark.parametrize(
    ("discipline", "order"),
    [
        (tq.NonPreemptivePriority([3, 0, 4, 1, 2]), [3, 0, 4, 1, 2]),
        (tq.ShortestFirst(), [1, 0, 4, 2, 3]),
    ],
)
def test_priorities_agree_with_cobham(discipline, order):
    run = tq.simulate(WORKLOAD, NONE, **SEEN, discipline=discipline)
    for k, waiting in enumerate(cobham(order)):
        assert run.per_type.mean_waiting_time[k].covers(waiting)
    wrong = cobham(order[::-1])
    assert not all(run.per_type.mean_waiting_time[k].covers(wrong[k]) for k in range(5))


def test_kleinrocks_conservation_law_holds_under_every_order():
    rho_k = WORKLOAD.arrival_rate * SHARE * SERVICE
    lawful = LOAD * WORKLOAD.arrival_rate * (SHARE @ SERVICE**2) / (2 * (1 - LOAD))
    for discipline in (tq.Fifo(), tq.NonPreemptivePriority([4, 3, 2, 1, 0]), tq.ShortestFirst()):
        run = tq.simulate(WORKLOAD, NONE, **SEEN, discipline=discipline)
        assert rho_k @ run.per_type.mean_waiting_time.value == pytest.approx(lawful, rel=0.03)


def test_shared_service_stretches_every_query_alike():
    run = tq.simulate(WORKLOAD, NONE, **SEEN, discipline=tq.ProcessorSharing())
    for k, service in enumerate(SERVICE):
        assert run.per_type.mean_system_time[k].covers(service / (1 - LOAD))
    wide = tq.simulate(
        WORKLOAD, NONE, jobs=20_000, seed=1, discipline=tq.ProcessorSharing(), servers=400
    )
    np.testing.assert_allclose(wide.per_type.mean_system_time.value, SERVICE, rtol=1e-9)


def poisson_like(servers):
    """A workload of very many exponential-like types: M/M/c, known exactly (Erlang C)."""
    quantiles = (np.arange(4000) + 0.5) / 4000
    service = -np.log1p(-quantiles)
    return tq.Workload.from_arrays(
        share=np.full(4000, 1 / 4000), gain=np.full(4000, 0.5), rate=np.full(4000, 1e-3),
        baseline=np.zeros(4000), base_time=service / service.mean(),
        time_per_token=np.full(4000, 0.01), arrival_rate=0.7 * servers, accuracy_weight=1.0,
    )  # fmt: skip


@pytest.mark.parametrize("servers", [2, 5])
def test_several_servers_agree_with_erlang(servers):
    offered = 0.7 * servers
    terms = np.cumprod(np.concatenate([[1.0], offered / np.arange(1, servers + 1)]))
    queued = terms[-1] / (1 - 0.7)
    erlang = queued / (terms[:-1].sum() + queued)
    run = tq.simulate(
        poisson_like(servers), np.zeros(4000), jobs=400_000, seed=2, servers=servers, level=0.999
    )
    assert run.method == "batch means"
    assert run.mean_waiting_time.covers(erlang / (servers * (1 - 0.7)))
    assert run.utilization.covers(0.7)


def test_ciw_simulates_the_same_queue():
    import ciw

    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(WORKLOAD.arrival_rate)],
        service_distributions=[ciw.dists.Pmf(SERVICE.tolist(), SHARE.tolist())],
        number_of_servers=[1],
    )
    means = []
    for seed in range(20):
        ciw.seed(seed)
        queue = ciw.Simulation(network)
        queue.simulate_until_max_customers(2500, method="Finish")
        records = queue.get_all_records()[250:]
        means.append(np.mean([record.waiting_time for record in records]))
    theirs, error = np.mean(means), 3.9 * np.std(means, ddof=1) / np.sqrt(len(means))
    ours = tq.simulate(WORKLOAD, NONE, **SEEN).mean_waiting_time
    assert abs(theirs - ours.value) < error + ours.half_width


def test_simpy_simulates_the_same_queue():
    import random

    import simpy

    def mean_wait(seed, jobs=4000):
        rng, waits = random.Random(seed), []
        environment = simpy.Environment()
        server = simpy.Resource(environment)

        def query(service):
            arrived = environment.now
            with server.request() as turn:
                yield turn
                waits.append(environment.now - arrived)
                yield environment.timeout(service)

        def arrivals():
            for service in rng.choices(SERVICE.tolist(), SHARE.tolist(), k=jobs):
                environment.process(query(service))
                yield environment.timeout(rng.expovariate(WORKLOAD.arrival_rate))

        environment.process(arrivals())
        environment.run()
        return np.mean(waits[jobs // 10 :])

    means = [mean_wait(seed) for seed in range(20)]
    error = 3.9 * np.std(means, ddof=1) / np.sqrt(len(means))
    ours = tq.simulate(WORKLOAD, NONE, **SEEN).mean_waiting_time
    assert abs(np.mean(means) - ours.value) < error + ours.half_width


def test_orders_that_miss_a_type_are_refused():
    with pytest.raises(tq.WorkloadError, match="order"):
        tq.NonPreemptivePriority([0, 0, 1])
