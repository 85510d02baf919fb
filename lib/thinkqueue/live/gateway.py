"""The line before an engine: queries come when they come, wait, think to their budget and answer.

The engine never sees a query before a place of it is free, so that the line is this one and its
discipline first come, first served. A thought of exactly so many tokens is ended by a second
request, which puts the word for the answer behind it; the query keeps its place meanwhile, and the
engine its prompt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from thinkqueue.live.client import Client, EngineError, Generation
from thinkqueue.live.questions import ANSWER_TOKENS, FORCE, Question

Decide = Callable[[str, int], int]
"""The budget of a type in whole tokens, by how many wait when its service begins."""


@dataclass(frozen=True)
class Query:
    """One to come.

    Attributes
    ----------
    at : float
        When it comes, in s from the start of the run.
    type : str
        Its type.
    question : Question
        What is asked.
    """

    at: float
    type: str
    question: Question


@dataclass(frozen=True)
class LoggedQuery:
    """One that was served; a row of the log. Moments are in s from the start of the run.

    Attributes
    ----------
    query : int
        Its number in the order of arrival.
    type : str
        Its type.
    planned, arrived, started, first, answering, ended : float
        When it was to come, came, got its place, got its first token, was told to answer, and left.
    waiting : int
        How many were waiting behind it when it got its place.
    budget, thought, answered, read : int
        Tokens allowed and thought, tokens of the answer, and tokens of prompts that were new to the
        engine.
    place : int
        Where it was served.
    right : bool
        Whether its answer was.
    """

    query: int
    type: str
    planned: float
    arrived: float
    started: float
    first: float
    answering: float
    ended: float
    waiting: int
    budget: int
    thought: int
    answered: int
    read: int
    place: int
    right: bool


def think_and_answer(
    client: Client, question: Question, budget: int
) -> tuple[Generation | None, Generation]:
    """Serve one query: a thought of so many tokens, none for 0, and the answer after it.

    Parameters
    ----------
    client : Client
        A place of the engine.
    question : Question
        What is asked.
    budget : int
        Tokens of the thought.
    """
    thought = client.generate(question.prompt, budget) if budget else None
    text = thought.text if thought else ""
    return thought, client.generate(question.prompt + text + FORCE, ANSWER_TOKENS)


def serve(
    queries: Sequence[Query],
    places: Sequence[Client],
    decide: Decide,
    *,
    done: Callable[[], object] = lambda: None,
) -> list[LoggedQuery]:
    """Let queries come at their times, and return what became of each in the order of arrival.

    Parameters
    ----------
    queries : sequence of Query
        In the order of arrival.
    places : sequence of Client
        The engine's places; each query takes the first that is free.
    decide : callable
        The budget of a type, by how many wait.
    done : callable, optional
        Called after each query.

    Raises
    ------
    EngineError
        If the engine fails a query. Those in service end, those in line are sent away.
    """
    line: SimpleQueue[tuple[int, float] | None] = SimpleQueue()
    served: list[LoggedQuery] = []
    faults: list[Exception] = []
    stop, closed, door = threading.Event(), threading.Event(), threading.Lock()
    start = time.perf_counter() + 0.1

    def stand(place: int, client: Client) -> None:
        while True:
            with door:  # who leaves the line first also starts first
                ticket = line.get()
                started = time.perf_counter()
                # the last in line are no queries, but what sends each place home
                waiting = max(0, line.qsize() - (len(places) if closed.is_set() else 0))
            if ticket is None or stop.is_set():
                return
            number, arrived = ticket
            query = queries[number]
            budget = decide(query.type, waiting)
            try:
                thought, answer = think_and_answer(client, query.question, budget)
            except Exception as fault:
                faults.append(fault)
                stop.set()
                return
            ended = time.perf_counter()
            served.append(
                LoggedQuery(
                    query=number,
                    type=query.type,
                    planned=query.at,
                    arrived=arrived - start,
                    started=started - start,
                    first=(thought or answer).times[0] - start,
                    answering=answer.begun - start,
                    ended=ended - start,
                    waiting=waiting,
                    budget=budget,
                    thought=thought.tokens if thought else 0,
                    answered=answer.tokens,
                    read=answer.read_tokens + (thought.read_tokens if thought else 0),
                    place=place,
                    right=query.question.marks(answer.text),
                )
            )
            done()

    threads = [threading.Thread(target=stand, args=pair, daemon=True) for pair in enumerate(places)]
    for thread in threads:
        thread.start()
    try:
        for number, query in enumerate(queries):
            if stop.wait(max(0.0, start + query.at - time.perf_counter())):
                break
            line.put((number, time.perf_counter()))
    except BaseException:
        stop.set()
        raise
    finally:
        closed.set()
        for _ in threads:
            line.put(None)
    for thread in threads:
        thread.join()
    if faults:
        raise EngineError(f"Query {len(served)} was not served: {faults[0]}") from faults[0]
    return sorted(served, key=lambda row: row.query)
