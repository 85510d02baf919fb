"""The exact value of a table: closed forms, invariants, another method, what is no table."""

import numpy as np
import pytest
from scipy.special import gammaincc

import thinkqueue as tq
from thinkqueue.control.newcomers import newcomers
from thinkqueue.control.stopped import accuracy_when_stopped, by_pieces
from workloads import QWEN, plain_workload

WORKLOAD = tq.Workload.from_toml(QWEN)
WHENS = ("start", "any time")


def long_table(tokens, rows=30):
    """A fixed allocation that looks as if it were not: its last row differs in the last digit."""
    table = np.tile(tokens, (rows, 1))
    table[-1] *= 1 - 1e-15
    return table


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("rows", [1, 2, 30])
@pytest.mark.parametrize("rate", [1e-6, 0.02, 0.4, 6.0])
def test_fixed_budgets_have_the_value_of_pollaczek_and_khinchine(when, rows, rate):
    workload = WORKLOAD.replace(arrival_rate=rate)
    best = tq.solve(workload)
    table = best.tokens if rows == 1 else long_table(best.tokens, rows)
    found = tq.table_value(workload, table, when=when)
    assert found.objective == pytest.approx(best.objective, rel=1e-13)
    assert found.mean_system_time == pytest.approx(best.mean_system_time, rel=1e-12)
    assert found.mean_accuracy == pytest.approx(best.mean_accuracy, rel=1e-13)
    assert found.utilization == pytest.approx(best.utilization, rel=1e-12)


def test_relative_values_of_fixed_budgets_are_the_closed_form():
    best = tq.solve(WORKLOAD)
    mean = float(tq.service_moments(WORKLOAD, best.tokens)[0])
    level = np.arange(1, 60)
    # V(i) = iJ − m i(i−1)/2y, so that D(i) = J − m(i−1)/y
    expected = best.objective - mean * (level - 1) / (1 - best.utilization)
    for table in (best.tokens, long_table(best.tokens)):
        found = tq.table_value(WORKLOAD, table).step_at(level)
        np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("when", WHENS)
def test_probabilities_add_up_and_time_is_passed_by_arrivals(when):
    workload = WORKLOAD.replace(arrival_rate=0.1)
    table = tq.stopping_rule(workload, when=when).thresholds
    seen = newcomers(workload, table, when)
    np.testing.assert_allclose(seen.moves.sum(axis=1) + seen.beyond, 1, rtol=1e-13)
    # P(A > i) = λ w_i, from two formulas
    more = seen.beyond[:, None] + seen.moves[:, ::-1].cumsum(axis=1)[:, ::-1] - seen.moves
    own = seen.seconds > 0
    np.testing.assert_allclose(0.1 * seen.seconds[own], more[own], atol=1e-13)
    # the mean number of arrivals is λ times the mean service time: by the moments of A
    levels = len(table) - 1
    first = levels + 1 - np.arange(1, levels + 1)
    mean = (seen.moves * np.arange(seen.moves.shape[1])).sum(axis=1) + seen.beyond * first
    mean += 0.1 * seen.tail
    np.testing.assert_allclose(mean, 0.1 * seen.service, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.002, 0.1, 2.0])
@pytest.mark.parametrize("floor", [0.0, 40.0])
def test_accuracy_by_incomplete_gammas_is_that_by_quadrature(rate, floor):
    workload = WORKLOAD.replace(arrival_rate=rate, base_time=[0.0, 0.1, 3.0, 20.0, 100.0])
    rows = np.linspace(6000, floor, 40)
    for k in range(5):
        sums = accuracy_when_stopped(workload, k, rows, 39)
        np.testing.assert_allclose(sums, by_pieces(workload, k, rows), atol=2e-13)


def test_curves_of_other_kinds_are_integrated():
    # a power law of a large exponent is the saturating curve, nearly; a power law is itself
    for exponent, close in ((1e7, 1e-6), (1.5, np.inf)):
        curves = tq.PowerLaw(WORKLOAD.gain, WORKLOAD.rate, np.full(5, exponent), WORKLOAD.baseline)
        workload = WORKLOAD.replace(accuracy=curves)
        rule = tq.stopping_rule(workload)
        assert rule.objective - tq.solve(workload).objective > 1
        assert abs(rule.objective - tq.stopping_rule(WORKLOAD).objective) < close * 300


def value_by_time_steps(workload, table, step, levels=60):
    """A chain in small steps of time: crude, but with no integral in it."""
    lam, share = workload.arrival_rate, workload.share
    limit = workload.service.mean(table)
    row = np.minimum(np.arange(levels), len(table) - 1)
    arrive = lam * step
    # accuracy, time in system and busy time of a service that begins with j, by what it leaves
    answer, held, busy = np.zeros((3, levels))
    moves = np.zeros((levels + 1, levels + 1))
    for j in range(1, levels + 1):
        for k in range(share.size):
            chance, time = np.zeros(levels + 1), 0.0
            chance[j] = 1.0
            while chance.sum() > 1e-13:
                over = np.zeros(levels + 1, bool)
                over[1:] = time >= limit[row, k] - step / 2
                tokens = max(time - workload.base_time[k], 0) / workload.time_per_token[k]
                ends = np.where(over, chance, 0.0)
                answer[j - 1] += (
                    share[k] * ends.sum() * workload.curves.pick(k).value(np.array(tokens))
                )
                moves[j, :levels] += share[k] * ends[1:]
                chance = np.where(over, 0.0, chance)
                held[j - 1] += share[k] * step * (chance @ np.arange(levels + 1))
                busy[j - 1] += share[k] * step * chance.sum()
                moved = arrive * chance
                chance = chance - moved
                chance[1:] += moved[:-1]
                chance[-1] += moved[-1]
                time += step
    moves[0, 1] = 1.0
    law = np.linalg.lstsq(
        np.vstack([moves.T - np.eye(levels + 1), np.ones(levels + 1)]),
        np.append(np.zeros(levels + 1), 1.0),
    )[0]
    worth = workload.accuracy_weight * answer - held
    return float(law[1:] @ worth / (law[1:] @ busy + law[0] / lam)) / lam


def test_value_is_that_of_a_chain_in_small_steps_of_time():
    workload = tq.Workload.from_arrays(
        share=[0.6, 0.4],
        gain=[0.5, 0.7],
        rate=[0.02, 0.005],
        baseline=[0.1, 0.0],
        base_time=[1.0, 2.0],
        time_per_token=0.02,
        arrival_rate=0.1,
        accuracy_weight=60.0,
    )
    table = tq.stopping_rule(workload).thresholds
    exact = tq.table_value(workload, table).objective
    rough = [value_by_time_steps(workload, table, step, 30) for step in (0.04, 0.02)]
    assert abs(rough[1] - exact) < 0.6 * abs(rough[0] - exact)
    assert 2 * rough[1] - rough[0] == pytest.approx(exact, abs=2e-3)


def test_tables_that_are_none_are_refused():
    table = tq.stopping_rule(WORKLOAD).thresholds
    with pytest.raises(tq.WorkloadError, match="rise from"):
        tq.table_value(WORKLOAD, table[::-1])
    tq.table_value(WORKLOAD, np.vstack([table[::-1][-5:], 0 * table[:1]]), when="start")
    with pytest.raises(tq.WorkloadError, match="must lie between"):
        tq.table_value(WORKLOAD, -table)
    with pytest.raises(tq.UnstableError, match="however many wait"):
        tq.table_value(WORKLOAD, np.full((3, 5), 30000.0))
    with pytest.raises(tq.WorkloadError, match="when is"):
        tq.table_value(WORKLOAD, table, when="never")
    with pytest.raises(tq.WorkloadError, match="Fifo"):
        tq.table_value(WORKLOAD.replace(server=tq.ProcessorSharing()), table)
    shaped = WORKLOAD.replace(accuracy=[tq.Hill(0.5, 500.0, 3.0, 0.1)] * 5)
    with pytest.raises(tq.WorkloadError, match="concave"):
        tq.table_value(shaped, table)


def test_a_value_beyond_double_precision_is_refused():
    crowded = WORKLOAD.replace(arrival_rate=5.0)
    trap = np.zeros((12, 5))
    trap[8] = 30000.0  # a level that is left downwards once in e^1800 services
    with pytest.raises(tq.ThinkQueueError, match="double precision"):
        tq.table_value(crowded, trap, when="start")


def test_levels_that_are_cut_off_would_be_noticed():
    """Negative control: without what lies beyond the table the value is another one."""
    workload = WORKLOAD.replace(arrival_rate=0.4)
    seen = newcomers(workload, long_table(tq.solve(workload).tokens, 8), "any time")
    from thinkqueue.control.skip_free import gain_and_values
    from thinkqueue.control.value import chain, far_of

    moves, gathered, taken = chain(
        workload, far_of(workload, tq.solve(workload).tokens)._replace(accuracy=0.0, mean=0.0), seen
    )
    gains, _ = gain_and_values(moves, gathered, np.array([600.0, -1, 0]), taken, 1)
    cut = gains @ np.array([600.0, -1, 0]) / 0.4
    assert abs(cut - tq.solve(workload).objective) > 1


def test_no_waiting_query_is_the_exponential_law():
    # with one row of budgets and none beyond, nobody has come by t with probability e^{−λt}
    table = np.array([[2000.0], [0.0]])
    workload = plain_workload(3, 1).replace(max_tokens=1e5)
    found = accuracy_when_stopped(workload, 0, table[:, 0], 1)[0]
    beta = float(workload.rate[0] / workload.time_per_token[0])
    lam, base = workload.arrival_rate, float(workload.base_time[0])
    both, end = lam + beta, base + workload.time_per_token[0] * 2000.0
    gained = beta / both * np.exp(-lam * base) * -np.expm1(-both * (end - base))
    expected = workload.baseline[0] + workload.gain[0] * gained
    assert found == pytest.approx(float(expected), rel=1e-12)
    assert gammaincc(1, lam * base) == pytest.approx(np.exp(-lam * base))
