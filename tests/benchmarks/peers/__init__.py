"""The solvers that a reader would try, each given this model in the form that suits it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from thinkqueue import Workload
from thinkqueue.arrays import Array


class Answer(Protocol):
    """Solve a workload, within some seconds of processor time if the solver can keep to that."""

    def __call__(self, workload: Workload, seconds: float) -> Array: ...


@dataclass(frozen=True)
class Peer:
    """A method, and the number of types beyond which its dense matrices fill the memory."""

    name: str
    answer: Answer
    largest: int = 10**6
