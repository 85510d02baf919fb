"""Designs and data that several calibration tests share."""

import numpy as np

from thinkqueue.calibration.fit import Series

TOKENS = np.array([0.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0])
TOTAL = np.full(6, 300.0)
GAIN, RATE, BASELINE = 0.55, 1.2e-3, 0.25


def saturating(tokens, gain=GAIN, rate=RATE, baseline=BASELINE):
    return baseline + gain * (1 - np.exp(-rate * np.asarray(tokens, dtype=float)))


def simulated(seed, size=None, probability=None):
    """Counts of the standard design; shape (n,) or (size, n)."""
    rng = np.random.default_rng(seed)
    chance = saturating(TOKENS) if probability is None else probability
    shape = None if size is None else (size, TOKENS.size)
    return rng.binomial(TOTAL.astype(int), chance, size=shape).astype(float)


def series(seed=0):
    return Series(TOKENS, simulated(seed), TOTAL)


def rows(tasks, seed=0, questions=300, budgets=(0, 250, 500, 1000, 2000, 4000)):
    """Long-format rows with counts and a latency for each task of (gain, rate, baseline)."""
    rng = np.random.default_rng(seed)
    return [
        {
            "task": name,
            "budget": budget,
            "correct": int(rng.binomial(questions, saturating(budget, *curve))),
            "total": questions,
            "latency": 0.2 + 0.012 * budget + float(rng.normal(0, 0.02 + 1e-4 * budget)),
        }
        for name, curve in tasks.items()
        for budget in budgets
    ]
