r"""The ceiling on bursty arrivals: who knows the phase that the arrivals are in, and all rates.

Arrivals are Markov-modulated (:class:`~thinkqueue.arrivals.MarkovModulated`); the state is the
phase f and the number j in the system, and the budget may depend on both, at any time. No rule is
as good as this, whatever it reads. Time goes in small steps, at the end of which a thought may be
stopped, and numbers end at a level that is hardly ever reached: a policy that can be carried out,
and whose value tends to the optimum from below as the steps shrink.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from thinkqueue.arrays import Array
from thinkqueue.arrivals import MarkovModulated
from thinkqueue.control.rule import dearest, replies
from thinkqueue.control.table import check_workload
from thinkqueue.errors import ThinkQueueError
from thinkqueue.workload import Workload

MORE_LEVELS = 40
MOST_STEPS = 40


@dataclass(frozen=True)
class Ceiling:
    """What can be earned by who knows the phase of the arrivals.

    Attributes
    ----------
    objective : float
        J in s, a little less than the optimum as time goes in steps.
    step : float
        Their length in s.
    improvements : int
        How often the policy was improved.
    """

    objective: float
    step: float
    improvements: int


def phase_aware_optimum(workload: Workload, model: MarkovModulated, *, step: float) -> Ceiling:
    """Return what the best policy earns that knows the phase of the arrivals.

    Parameters
    ----------
    workload : Workload
        First come, first served, with concave accuracy curves.
    model : MarkovModulated
        The arrivals, brought to the rate of the workload.
    step : float
        Length of the steps of time in s.

    Raises
    ------
    ThinkQueueError
        If improving the policy does not end, or one of its values is not found.
    """
    check_workload(workload)
    chain = _Chain(workload, model, step)
    values, eta = np.zeros((chain.phases, chain.levels)), 0.0
    policy = chain.policy()
    eta = workload.arrival_rate * 0.5 * workload.accuracy_weight
    chain.start(values, eta, policy, decide=True)
    before = -np.inf
    for improvement in range(MOST_STEPS):
        values, eta = chain.worth(policy)
        if eta <= before + 1e-9 * abs(eta):
            return Ceiling(eta / workload.arrival_rate, step, improvement)
        before = eta
        chain.start(values, eta, policy, decide=True)
    raise ThinkQueueError(f"Improving the policy did not end after {MOST_STEPS} steps.")


class _Chain:
    """Phases and numbers in the system, seen at the starts of services."""

    def __init__(self, workload: Workload, model: MarkovModulated, step: float) -> None:
        generator, rates = model.generator()
        pace = workload.arrival_rate / model.rate
        self.workload, self.step = workload, step
        self.generator, self.rates = generator * pace, rates * pace
        self.phases = len(rates)
        self.levels = int(np.ceil(max(dearest(workload), 1.0))) + MORE_LEVELS
        self.move, self.crowd = self._moves(step)
        self.base = [self._moves(float(t)) for t in workload.base_time]
        longest = replies(workload, np.ones(1), "any time", 1.0)
        self.answers = []
        for k, tokens in enumerate(longest):
            count = int(np.ceil(tokens * workload.time_per_token[k] / step))
            spent = np.minimum(
                np.arange(count + 1) * step / workload.time_per_token[k], workload.max_tokens[k]
            )
            worth = workload.accuracy_weight * workload.weight[k]
            self.answers.append(np.asarray(worth * workload.curves.pick(k).value(spent)))

    def _moves(self, time: float) -> tuple[Array, Array]:
        """Return probabilities of arrivals and phases in some time, and how long arrivals stay."""
        mean = float(self.rates.max()) * time
        most, s = int(mean + 8 * np.sqrt(mean) + 4), self.phases
        block = np.kron(np.eye(most + 1), self.generator - np.diag(self.rates))
        block += np.kron(np.eye(most + 1, k=1), np.diag(self.rates))
        row = expm(block * time)[:s]
        found = np.stack([row[:, i * s : (i + 1) * s] for i in range(most + 1)])
        found[-1] += np.diag(1 - found.sum(axis=(0, 2)))  # more of them count as so many
        return found, self.rates * time**2 / 2

    def policy(self) -> list[Array]:
        """Return an empty policy: for every type, step, phase and level whether to stop."""
        return [
            np.zeros((a.size - 1, self.phases, self.levels + 1), np.bool_) for a in self.answers
        ]

    def start(self, values: Array, eta: float, policy: list[Array], *, decide: bool) -> Array:
        """Return the value at the starts of services from that at the starts of the next."""
        from thinkqueue.simulation.phases import think_backwards

        arrive, s = np.diag(self.rates), self.phases
        idle = np.linalg.solve(arrive - self.generator, arrive @ values[:, 0] - eta)
        after = np.column_stack([idle, values])
        level = np.arange(1, self.levels + 1)
        found = np.zeros((s, self.levels))
        for k, share in enumerate(self.workload.share):
            thought = think_backwards(
                after, self.answers[k], self.move, self.crowd, self.step, eta, policy[k], decide
            )
            move, crowd = self.base[k]
            time = float(self.workload.base_time[k])
            begun = -(level + eta) * time - crowd[:, None]
            for i, part in enumerate(move):
                to = np.minimum(level + i, self.levels)
                begun = begun + part @ thought[:, to]
            found += share * begun
        return found

    def worth(self, policy: list[Array]) -> tuple[Array, float]:
        """Return the relative values and the gain of a policy: a linear system."""
        from thinkqueue.simulation.phases import moved_backwards

        s, levels = self.phases, self.levels
        size = s * levels
        unit = np.eye(size).reshape(s, levels, size)
        arrive = np.diag(self.rates)
        idle = np.linalg.solve(arrive - self.generator, np.tensordot(arrive, unit[:, 0], 1))
        after = np.concatenate([idle[:, None], unit], axis=1)
        found, level = np.zeros((s, levels, size)), np.arange(1, levels + 1)
        for k, share in enumerate(self.workload.share):
            thought = moved_backwards(after, self.answers[k].size - 1, self.move, policy[k])
            for i, part in enumerate(self.base[k][0]):
                to = np.minimum(level + i, levels)
                found += share * np.tensordot(part, thought[:, to], 1)
        nothing = np.zeros((s, levels))
        earned = self.start(nothing, 0.0, policy, decide=False)
        taken = earned - self.start(nothing, 1.0, policy, decide=False)
        # V = earned − η·taken + found V, with V = 0 at the first state, whose place η takes
        system = np.eye(size) - found.reshape(size, size)
        system[:, 0] = taken.ravel()
        values = np.linalg.solve(system, earned.ravel())
        gain = float(values[0])
        values[0] = 0.0
        return np.asarray(values.reshape(s, levels), dtype=np.float64), gain
