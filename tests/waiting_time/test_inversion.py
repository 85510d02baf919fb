"""The transform inverted: the stated error is kept, sums of waits add up."""

from __future__ import annotations

import numpy as np
import pytest

from queues import MIXTURES, mixture
from thinkqueue.waiting_time.inversion import invert
from thinkqueue.waiting_time.renewal import solve


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("load", [0.01, 0.3, 0.9, 0.99])
def test_inversion_keeps_its_stated_error(name: str, load: float) -> None:
    queue = mixture(name, load)
    tilted = solve(queue)
    kinks = np.add.outer(queue.service, [-1e-7, 0, 1e-7]).ravel()
    t = np.concatenate([kinks, 2 * kinks, np.linspace(0, 25 * queue.mean, 60)])
    for error in (1e-6, 1e-10):
        inverted = invert(queue, t, error=error)
        assert inverted.error < 4 * error
        assert np.abs(inverted.value - tilted.tail(t)).max() <= inverted.error + 1e-13


def test_two_waits_add_up() -> None:
    """The inversion of the square of the transform is the convolution of the distribution."""
    queue = mixture("three", 0.7)
    tilted = solve(queue)
    end = 9.0
    sums = np.add.outer(queue.service, np.append(queue.service, 0)).ravel()
    edges = np.unique(np.concatenate([[0, end], sums, end - sums, np.linspace(0, end, 40)]))
    edges = edges[(edges >= 0) & (edges <= end)]
    x, weight = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    u, weight = (edges[:-1, None] + half * (x + 1)).ravel(), (half * weight).ravel()
    density = queue.arrival_rate * (
        tilted.tail(u[:, None] - queue.service) @ queue.share - tilted.tail(u)
    )
    split = float((weight * density * tilted.tail(end - u)).sum())
    convolved = (1 - queue.load) * tilted.tail(np.array(end)) + split + tilted.tail(np.array(end))
    assert invert(queue, np.array(end), waits=2).value == pytest.approx(convolved, abs=1e-9)
