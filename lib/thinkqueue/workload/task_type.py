"""One type of query: how often it comes, what thinking buys it, and what it asks of the server."""

from __future__ import annotations

from dataclasses import dataclass

from thinkqueue.workload.accuracy import Curve

DEFAULT_MAX_TOKENS = 32768


@dataclass(frozen=True)
class TaskType:
    r"""One type of query.

    Parameters
    ----------
    name : str
        What the type is called in tables and messages.
    share : float
        :math:`\pi_k`, the probability that a query is of this type.
    accuracy : Curve
        What its thinking tokens buy, for instance a :class:`~thinkqueue.Saturating`.
    base_time : float, optional
        :math:`t_{0,k} \ge 0` in s, the service time without thinking.
    time_per_token : float, optional
        :math:`c_k > 0` in s/token.
    max_tokens : float, optional
        :math:`\ell_{\max,k} \ge 0`, the largest budget allowed.
    weight : float, optional
        :math:`w_k \ge 0`, how much the accuracy of this type counts.
    answer_tokens : float, optional
        At a server that answers many at once, in place of the two times: the length of the answer
        without thinking, in tokens.
    prompt_time : float, optional
        There, the seconds by which reading the prompt holds up everybody; 0 where not given.
    prompt_tokens : float, optional
        There, the length of the prompt, where time grows with the context; 0 where not given.
    variation : float, optional
        The coefficient of variation of the thinking length of a query at one budget; 0 where not
        given: then the budget is the length.
    """

    name: str
    share: float
    accuracy: Curve
    base_time: float | None = None
    time_per_token: float | None = None
    max_tokens: float = DEFAULT_MAX_TOKENS
    weight: float = 1.0
    answer_tokens: float | None = None
    prompt_time: float | None = None
    prompt_tokens: float | None = None
    variation: float | None = None
