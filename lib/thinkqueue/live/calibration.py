"""What an engine can do, measured query by query before anybody has to wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from thinkqueue.live.client import Client
from thinkqueue.live.gateway import think_and_answer
from thinkqueue.live.questions import ANSWER_TOKENS, FORCE, HEAD, LONGEST, NUMBERS, draw
from thinkqueue.live.record import Row

GRID = (0, 4, 8, 9, 10, 12, 16, 19, 21, LONGEST)
"""Budgets at which accuracy and service are measured."""

CONTEXT_TOKENS = 150
"""How far a thought is followed, to see what a longer context costs."""

Tick = Callable[[], object]


def service_rows(place: Client, repeats: int, seed: int, tick: Tick) -> Iterator[Row]:
    """Time single queries at every budget, in random order, on an engine with nothing else to do.

    Parameters
    ----------
    place : Client
        A place of the engine. In the third round every third budget is asked for once more without
        the prompt kept from one query to the next, so that all examples are read anew.
    repeats : int
        How often each type is asked at each budget.
    seed : int
        Of order and questions.
    tick : callable
        Called after each query.
    """
    rng = np.random.default_rng(seed)
    cells = [(k, t, b) for k in range(repeats) for t in NUMBERS for b in GRID]
    for cell in rng.permutation(len(cells)):
        repeat, type, budget = cells[cell]
        question = draw(type, rng)
        clients = [place]
        if repeat == 2 and GRID.index(budget) % 3 == 0:
            clients.append(place.forgetful())
        for client in clients:
            thought, answer = think_and_answer(client, question, budget)
            yield {
                "type": type,
                "budget": budget,
                "prompt_kept": client.keeps,
                "seconds": answer.ended - (thought or answer).begun,
                "thinking": answer.begun - (thought or answer).begun,
                "read": answer.read_tokens + (thought.read_tokens if thought else 0),
                "answered": answer.tokens,
                "between": answer.begun - thought.ended if thought else 0.0,
            }
        if not clients[-1].keeps:
            place.generate(HEAD, 1)
        tick()


def accuracy_rows(place: Client, questions: int, seed: int, tick: Tick) -> Iterator[Row]:
    """Mark answers at every budget; a question thinks once, and is asked to answer at each.

    Parameters
    ----------
    place : Client
        A place of the engine.
    questions : int
        How many of each type.
    seed : int
        Of the questions.
    tick : callable
        Called after each question.
    """
    rng = np.random.default_rng(seed)
    for type in NUMBERS:
        for number in range(questions):
            question = draw(type, rng)
            thought = place.generate(question.prompt, LONGEST)
            for budget in GRID:
                text = question.prompt + "".join(thought.pieces[:budget]) + FORCE
                answer = place.generate(text, ANSWER_TOKENS).text
                yield {
                    "type": type,
                    "question": number,
                    "budget": budget,
                    "right": question.marks(answer),
                }
            tick()


def context_rows(place: Client, repeats: int, tick: Tick) -> Iterator[Row]:
    """Follow long thoughts token by token.

    Parameters
    ----------
    place : Client
        A place of the engine.
    repeats : int
        How many thoughts.
    tick : callable
        Called after each.
    """
    for repeat in range(repeats):
        thought = place.generate(HEAD, CONTEXT_TOKENS)
        for number, gap in enumerate(np.diff(thought.times), 1):
            yield {"repeat": repeat, "token": number, "seconds": float(gap)}
        tick()


def step_rows(places: Sequence[Client], tokens: int, repeats: int, tick: Tick) -> Iterator[Row]:
    """Time the steps of a batch: from one to all places generate at once.

    Parameters
    ----------
    places : sequence of Client
        The places of a batching engine.
    tokens : int
        How many each of them generates.
    repeats : int
        How often, at each number.
    tick : callable
        Called after each time.
    """
    for repeat in range(repeats):
        for busy in range(1, len(places) + 1):
            with ThreadPoolExecutor(busy) as pool:
                found = list(pool.map(lambda c: c.generate(HEAD, tokens), places[:busy]))
            # only while all of them were generating
            low, high = max(g.times[0] for g in found), min(g.times[-1] for g in found)
            for g in found:
                inside = [t for t in g.times if low <= t <= high]
                if len(inside) > 1:
                    yield {
                        "repeat": repeat,
                        "busy": busy,
                        "steps": len(inside) - 1,
                        "seconds": inside[-1] - inside[0],
                    }
            tick()
