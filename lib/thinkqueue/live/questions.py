"""Questions that a program writes and marks: sums of one-digit numbers, worked out step by step.

All types share the examples before the question, so that an engine that keeps a prompt has only
the question to read, and differ in how many numbers are to be added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUMBERS = {"two": 2, "three": 3, "four": 4}
"""How many numbers a type adds."""

SHARES = {"two": 0.4, "three": 0.2, "four": 0.4}
"""The mix of the experiment."""

LONGEST = 24
"""Tokens of a thought, at most: a step takes 8 to 10, so that the third one is out of reach."""

ANSWER_TOKENS = 2
"""An answer has one figure or two, a token each, or a figure and the end of its line."""

FORCE = "\nA: "
"""Ends a thought: what follows is the answer."""

_EXAMPLES = (
    (3, 6),
    (8, 2, 5),
    (7, 9),
    (4, 4, 6, 3),
    (9, 1, 7),
    (5, 2),
    (2, 8, 8),
    (6, 3, 1, 9),
    (1, 7),
    (5, 9, 4),
)


@dataclass(frozen=True)
class Question:
    """A sum.

    Attributes
    ----------
    numbers : tuple of int
        What is to be added.
    """

    numbers: tuple[int, ...]

    @property
    def prompt(self) -> str:
        """Examples and the question; what follows is the thought."""
        return f"{HEAD}{_asked(self.numbers)}"

    def marks(self, answer: str) -> bool:
        """Say whether an answer is right.

        Parameters
        ----------
        answer : str
            What the model wrote; only its first line is read.
        """
        return answer.split("\n")[0].strip() == str(sum(self.numbers))


def draw(type: str, rng: np.random.Generator) -> Question:
    """Draw a question.

    Parameters
    ----------
    type : str
        One of ``NUMBERS``.
    rng : numpy.random.Generator
        Where chance comes from.
    """
    return Question(tuple(int(n) for n in rng.integers(1, 10, NUMBERS[type])))


def _asked(numbers: tuple[int, ...]) -> str:
    return f"Q: {' + '.join(map(str, numbers))}\nT:"


def _worked(numbers: tuple[int, ...]) -> str:
    totals = [sum(numbers[: k + 1]) for k in range(len(numbers))]
    steps = [f" {a} + {n} = {b}" for a, n, b in zip(totals, numbers[1:], totals[1:])]
    return f"{_asked(numbers)}{','.join(steps)}{FORCE}{totals[-1]}\n"


HEAD = "".join(map(_worked, _EXAMPLES))
