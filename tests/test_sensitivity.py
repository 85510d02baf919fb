"""Derivatives of the optimum against finite differences of the optimum."""

import numpy as np
import pytest
from tests.workloads import SERVERS, batching_workload, plain_workload

import thinkqueue as tq

SEEDS = range(12)


def optimum(workload: tq.Workload) -> tq.Solution:
    return tq.solve(workload, gap=1e-15, throw=False)


def central(workload: tq.Workload, parameter: str, field: str) -> np.ndarray:
    """Differentiate a field of the solution with respect to λ or α."""
    value = getattr(workload, parameter)
    h = 1e-5 * value
    above, below = (optimum(workload.replace(**{parameter: value + s * h})) for s in (1, -1))
    return (np.asarray(getattr(above, field)) - np.asarray(getattr(below, field))) / (2 * h)


def steady(workload: tq.Workload, tokens: np.ndarray) -> bool:
    """Whether no type is so near to 0 or its cap that a finite difference would cross it."""
    slope = np.abs(tq.gradient(workload, tokens)) / workload.share
    bound = (tokens == 0) | (tokens == workload.max_tokens)
    inside = np.minimum(tokens, workload.max_tokens - tokens)
    return bool(np.all(np.where(bound, slope > 1e-3 * workload.time_per_token, inside > 1.0)))


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether derivatives are right to one part in a thousand of the largest of them."""
    return found == pytest.approx(expected, rel=1e-3, abs=1e-3 * np.abs(expected).max() + 1e-12)


@pytest.mark.parametrize("parameter", ["arrival_rate", "accuracy_weight"])
@pytest.mark.parametrize("seed", SEEDS)
def test_derivatives_match_finite_differences(seed: int, parameter: str) -> None:
    workload = plain_workload(np.random.default_rng(seed), 6)
    best = optimum(workload)
    if not steady(workload, best.tokens):
        workload = workload.replace(accuracy_weight=1.1 * workload.accuracy_weight)
        best = optimum(workload)
    move = tq.sensitivity(workload, best)
    tokens = getattr(move, f"tokens_by_{parameter}")
    expected = central(workload, parameter, "tokens")
    assert agree(tokens, expected)
    height = getattr(move, f"objective_by_{parameter}")
    assert height == pytest.approx(float(central(workload, parameter, "objective")), rel=1e-4)


@pytest.mark.parametrize("parameter", ["arrival_rate", "accuracy_weight"])
@pytest.mark.parametrize("server", [*SERVERS, tq.Batching(SERVERS[0].token_time, 1, "wait")])
def test_derivatives_of_a_batching_server_match_finite_differences(
    server: tq.Batching, parameter: str
) -> None:
    workload = batching_workload(server, arrival_rate=0.05, answer_tokens=500.0)
    best = optimum(workload)
    move = tq.sensitivity(workload, best)
    assert move.free.sum() >= 4
    expected = central(workload, parameter, "tokens")
    assert agree(getattr(move, f"tokens_by_{parameter}"), expected)
    height = getattr(move, f"objective_by_{parameter}")
    assert height == pytest.approx(float(central(workload, parameter, "objective")), rel=1e-4)
    # a server that is there for a part 1 − h of the time: steps, and prompts of others, get longer
    h = 1e-6
    if not workload.prompt_time.any():
        time = server.token_time
        slow = tq.TokenTime(time.base / (1 - h), time.per_query / (1 - h))
        slower = workload.replace(server=tq.Batching(slow, server.max_batch, server.overflow))
        lost = float(tq.objective(workload, best.tokens) - tq.objective(slower, best.tokens))
        assert move.load_price == pytest.approx(lost / h, rel=1e-4)


@pytest.mark.parametrize("parameter", ["arrival_rate", "accuracy_weight"])
def test_derivatives_of_an_evenly_shared_server(parameter: str) -> None:
    workload = plain_workload(np.random.default_rng(3), 6).replace(server=tq.ProcessorSharing())
    best = optimum(workload)
    move = tq.sensitivity(workload, best)
    assert agree(getattr(move, f"tokens_by_{parameter}"), central(workload, parameter, "tokens"))
    assert move.load_price == pytest.approx(best.mean_system_time / (1 - best.utilization))


def test_the_derivatives_of_the_line_are_in_closed_form() -> None:
    workload = batching_workload(SERVERS[0], arrival_rate=2.0, prompt_time=0.0)
    best = optimum(workload)
    time = SERVERS[0].token_time
    m = float(workload.share @ (workload.answer_tokens + best.tokens))
    one, y = time.base + time.per_query, 1 - 2.0 * time.per_query * m
    move = tq.sensitivity(workload, best)
    slope = -time.per_query * one * m**2 / y**2
    assert move.objective_by_arrival_rate == pytest.approx(slope, rel=1e-12)
    assert move.load_price == pytest.approx(one * m / y**2, rel=1e-12)


def test_a_server_that_does_not_know_its_arrivals_is_refused() -> None:
    class Own:
        convex = True

        def at(self, problem, tokens):  # type: ignore[no-untyped-def]
            from thinkqueue.delay import delay_of

            return delay_of(tq.Fifo()).at(problem, tokens)

    workload = plain_workload(1, 3).replace(server=Own())
    with pytest.raises(tq.WorkloadError, match="by_rate"):
        tq.sensitivity(workload, tq.solve(workload, gap=1e-6, throw=False))


def test_a_wrong_derivative_would_be_noticed() -> None:
    """One that is off by half a percent, and one that takes the types for independent."""
    workload = plain_workload(np.random.default_rng(0), 6)
    best = optimum(workload)
    found = tq.sensitivity(workload, best).tokens_by_arrival_rate
    expected = central(workload, "arrival_rate", "tokens")
    assert agree(found, expected)
    assert not agree(1.005 * found, expected)
    bend = tq.negative_hessian(workload, best.tokens).dense()
    alone = np.where(found != 0, bend @ found / np.diag(bend), 0)
    assert not agree(alone, expected)


def test_the_price_of_a_cap_is_what_a_token_more_would_bring() -> None:
    workload = plain_workload(np.random.default_rng(3), 6)
    free = optimum(workload)
    k = int(np.argmax(free.tokens))
    caps = workload.max_tokens.copy()
    caps[k] = free.tokens[k] / 2
    capped = workload.replace(max_tokens=caps)
    price = tq.sensitivity(capped, optimum(capped)).cap_price
    caps[k] += 0.01
    gain = optimum(workload.replace(max_tokens=caps)).objective - optimum(capped).objective
    assert price[k] == pytest.approx(gain / 0.01, rel=1e-3)
    assert price[k] > 0
    assert np.count_nonzero(price) == 1


def test_the_price_of_load_is_what_a_busier_server_loses() -> None:
    workload = plain_workload(np.random.default_rng(4), 6)
    best = optimum(workload)
    _, second = tq.service_moments(workload, best.tokens)
    y, h = 1 - best.utilization, 1e-7
    lost = workload.arrival_rate * second / 2 * (1 / (y - h) - 1 / y) / h
    assert tq.sensitivity(workload, best).load_price == pytest.approx(float(lost), rel=1e-4)


def test_a_type_without_queries_does_not_disturb_the_others() -> None:
    workload = plain_workload(np.random.default_rng(5), 4)
    wider = tq.Workload.from_arrays(
        **{
            name: np.append(getattr(workload, name), 0.0 if name == "share" else column)
            for name, column in (
                ("share", 0.0),
                ("gain", 0.5),
                ("rate", 1e-3),
                ("baseline", 0.1),
                ("base_time", 0.3),
                ("time_per_token", 0.01),
                ("max_tokens", 1e4),
                ("weight", 1.0),
            )
        },
        arrival_rate=workload.arrival_rate,
        accuracy_weight=workload.accuracy_weight,
    )
    alone = tq.sensitivity(workload, optimum(workload))
    beside = tq.sensitivity(wider, optimum(wider))
    assert beside.tokens_by_arrival_rate[:-1] == pytest.approx(
        alone.tokens_by_arrival_rate, rel=1e-6
    )
    assert not beside.free[-1]
