"""Chains that fall by one level at most: against published optima, and against plain algebra."""

import numpy as np
import pytest

from thinkqueue.control.skip_free import gain_and_values

# L. I. Sennott, Stochastic Dynamic Programming and the Control of Queueing Systems (1999): M/M/1
# with a choice of service rates, i per unit of time for i present, nothing while empty.
SENNOTT = [
    (3.0, (2, 4, 8), (9, 13, 21), "8.475", {}),
    (2.0, (1, 4, 7), (1, 50, 150), "21.0909", {1: 3, 2: 38}),
    (5.0, (5.1, 5.3, 6), (0, 10, 25), "15.1937", {}),
    (20.0, (24, 27, 30), (1, 1.5, 5), "3.902", {}),
]


def service_rates(lam, rates, costs, levels=120):
    """Policy iteration on the levels up to 120; beyond, the last rate, in closed form."""
    rates, costs = np.array(rates, float), np.array(costs, float)
    choice, level = np.full(levels + 1, rates.size - 1), np.arange(levels + 1)
    spare = rates[-1] - lam
    beyond = (levels + 1 + costs[-1] + lam / spare) / spare, 1 / spare
    while True:
        mu = rates[choice]
        moves = np.zeros((levels + 1, levels + 1))
        moves[0, 1] = 1.0
        moves[level[1:], level[:-1]] = (mu / (lam + mu))[1:]
        moves[level[1:-1], level[2:]] = (lam / (lam + mu))[1:-1]
        taken = 1 / (lam + mu)
        cost = (level + costs[choice]) * taken
        taken[0], cost[0] = 1 / lam, 0.0
        up = lam / (lam + mu[-1])
        cost[-1] += up * beyond[0]
        taken[-1] += up * beyond[1]
        gains, values = gain_and_values(moves, cost[:, None], np.ones(1), taken, 1)
        step = np.diff(values, prepend=0.0)
        best = np.argmin(costs - rates * step[:, None], axis=1)
        best[0] = choice[0]
        if (best == choice).all():
            return gains[0], choice
        choice = best


@pytest.mark.parametrize(("lam", "rates", "costs", "published", "first"), SENNOTT)
def test_service_rates_to_all_published_digits(lam, rates, costs, published, first):
    gain, choice = service_rates(lam, rates, costs)
    digits = len(published.split(".")[1])
    assert abs(gain - float(published)) <= 0.5 * 10**-digits + 1e-12
    for action, level in first.items():
        assert np.argmax(choice[1:] >= action) + 1 == level


def random_chain(rng, levels):
    moves = np.triu(rng.random((levels, levels)), -1)
    moves /= moves.sum(axis=1, keepdims=True)
    return moves, rng.normal(size=(levels, 2)), rng.random(levels) + 0.1


@pytest.mark.parametrize("reference", [0, 1, 3, 7])
def test_equations_hold_for_every_reference(reference):
    moves, earned, taken = random_chain(np.random.default_rng(1), 8)
    worth = np.array([2.0, -3.0])
    gains, values = gain_and_values(moves, earned, worth, taken, reference)
    assert values[reference] == 0
    left = earned @ worth - (gains @ worth) * taken + moves @ values - values
    np.testing.assert_allclose(left, 0, atol=1e-11)


def test_gains_are_those_of_the_stationary_law():
    moves, earned, taken = random_chain(np.random.default_rng(2), 6)
    stationary = np.linalg.lstsq(
        np.vstack([moves.T - np.eye(6), np.ones(6)]), np.append(np.zeros(6), 1.0)
    )[0]
    gains, _ = gain_and_values(moves, earned, np.ones(2), taken, 2)
    np.testing.assert_allclose(gains, stationary @ earned / (stationary @ taken), rtol=1e-12)


def test_no_digits_are_lost_where_the_chain_hardly_ever_falls():
    # a walk that is near 40 all the time and falls to 0 once in 10^360 steps
    levels, down = 50, np.r_[0.0, np.full(39, 1e-9), np.full(9, 0.9), 1.0]
    level = np.arange(levels)
    moves = np.zeros((levels, levels))
    moves[level[1:], level[:-1]] = down[1:]
    moves[level[:-1], level[1:]] = 1 - down[:-1]
    earned, taken = level[:, None] * 1.0, np.ones(levels)
    gains, values = gain_and_values(moves, earned, np.ones(1), taken, 40)
    balance = np.cumsum(np.log(1 - down[:-1]) - np.log(down[1:]))
    law = np.exp(np.append(0.0, balance) - balance.max())
    assert gains[0] == pytest.approx(float(law @ level / law.sum()), rel=1e-13)
    left = earned[:, 0] - gains[0] * taken + moves @ values - values
    assert np.abs(left).max() < 1e-12
