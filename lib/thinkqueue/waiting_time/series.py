r"""The waiting time by its exact series, in ball arithmetic: slow, and a proof.

Expanding the transform in powers of :math:`\sum_k\pi_k e^{-z s_k}` and inverting each term gives

.. math:: P(W \le t) = (1-\rho) \sum_{n_1,\dots,n_K \ge 0} e^{\lambda x_n}
          \prod_k \frac{(-\lambda\pi_k x_n)^{n_k}}{n_k!}, \qquad
          x_n = \Bigl(t - \sum_k n_k s_k\Bigr)_+ ,

a finite sum, for one type the series of Erlang. Its terms alternate and are larger than the sum by
a factor of about :math:`e^{2\lambda t}`: hopeless in double precision, and no matter at all when
every number carries its own error and the precision may be raised until that is small.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from thinkqueue.checks import one_number
from thinkqueue.errors import ThinkQueueError
from thinkqueue.proofs.balls import above, below, import_flint
from thinkqueue.waiting_time.bounds import times_array
from thinkqueue.waiting_time.mixture import ServiceMixture
from thinkqueue.workload import Workload

MOST_TERMS = 300_000
MOST_BITS = 1 << 15


def enclose_waiting_time_tail(
    workload: Workload, tokens: ArrayLike, t: float, *, width: float = 1e-15
) -> tuple[float, float]:
    r"""Return two numbers between which :math:`P(W > t)` certainly lies.

    Parameters
    ----------
    workload : Workload
        The workload; its numbers are taken as exact.
    tokens : array_like, (N,)
        Thinking tokens of each type.
    t : float
        The time in s, at least 0.
    width : float, optional
        How far apart they may be.

    Returns
    -------
    low, high : float

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    ThinkQueueError
        If python-flint is not installed, or if the series has too many terms: with many types
        their number grows like :math:`t^N`.
    """
    at = times_array(t)
    if at.ndim:
        raise ThinkQueueError(f"t has shape {at.shape}; enclose one time at a call.")
    width = one_number("width", width, least=0)
    return enclose(ServiceMixture.of(workload, tokens), float(at), width=width)


def enclose(mixture: ServiceMixture, t: float, *, width: float = 1e-15) -> tuple[float, float]:
    """Return an enclosure of P(W > t) for a service mixture.

    Parameters
    ----------
    mixture : ServiceMixture
        The service times.
    t : float
        The time in s, at least 0.
    width : float, optional
        How far apart the two ends may be.
    """
    if t < 0:
        return 1.0, 1.0
    if not len(mixture.service):
        return 0.0, 0.0
    flint = import_flint()
    bits, before = 128, flint.ctx.prec
    try:
        while bits <= MOST_BITS:
            flint.ctx.prec = bits
            value = _series(flint.arb, mixture, t)
            if value.rad() < width / 4:
                return below(value), above(value)
            bits *= 2
    finally:
        flint.ctx.prec = before
    raise ThinkQueueError(
        f"The series cannot be summed to a width of {width:g} at t = {t:g} s; ask for a smaller t, "
        "or use waiting_time_tail, which needs no more precision however late the time."
    )


def _series(arb: Any, mixture: ServiceMixture, t: float) -> Any:
    service = [arb(s) for s in mixture.service.tolist()]
    rate = [arb(mixture.arrival_rate) * arb(p) for p in mixture.share.tolist()]
    load = sum((r * s for r, s in zip(rate, service)), arb(0))
    return 1 - (1 - load) * scale(arb, rate, service, arb(t))[0]


def scale(arb: Any, rate: list[Any], service: list[Any], t: Any) -> tuple[Any, Any]:
    r"""Return :math:`q = P(W\le t)/(1-\rho)` and :math:`P(W+W'\le t)/(1-\rho)^2`, as balls.

    The first is 1/I, and both are there for any load. The second has the same terms with
    :math:`x_n^n` replaced by :math:`(n+1)x_n^n + \lambda x_n^{n+1}`.

    Parameters
    ----------
    arb : type
        The balls of python-flint.
    rate, service : list of arb
        :math:`\lambda\pi_k` and :math:`s_k > 0`.
    t : arb
        The time. Exact where it may be 0: there both jump, and the values are those at 0.

    Raises
    ------
    ThinkQueueError
        If the series has too many terms.
    """
    arrival_rate = sum(rate, arb(0))
    terms = 0

    def add(k: int, left: Any, order: int, weight: Any) -> tuple[Any, Any]:
        """The terms in which the orders of the types before k are chosen already."""
        nonlocal terms
        if k == len(service):
            terms += 1
            if terms > MOST_TERMS:
                raise ThinkQueueError(
                    f"The series at t = {float(t):g} s has more than {MOST_TERMS} terms; ask for "
                    "a smaller t or use waiting_time_tail."
                )
            term = weight * left**order * (arrival_rate * left).exp()
            return term, term * (order + 1 + arrival_rate * left)
        one, two, n = arb(0), arb(0), 0
        while not left < 0:
            # a ball that holds 0 stands for (left)_+ within its own error
            first, second = add(k + 1, left, order + n, weight)
            one, two, n = one + first, two + second, n + 1
            weight = weight * -rate[k] / n
            left = left - service[k]
        return one, two

    return add(0, t, 0, arb(1))
