r"""Continuous batching: everybody present gets a token at each step of the server.

A query of type k asks for :math:`x_k = a_k + \ell_k` tokens; together :math:`\theta = \lambda m`
tokens are asked for in a second, :math:`m = \sum_k\pi_kx_k`, and n queries get :math:`\varphi(n) =
n/\tau(n)` of them, each the same. Then the mean number present, whatever the lengths are
distributed like, is a function of :math:`\theta` alone (:mod:`~thinkqueue.delay.number_present`):

.. math:: \mathbb{E}[T_k] = \frac{x_k}{\theta}\,\mathbb{E}[N], \qquad
          \frac{1}{\pi_k}\frac{\partial\,\mathbb{E}[T]}{\partial\ell_k} = \frac{\operatorname{Var}N}
          {\theta} \quad\text{for every type.}

For :math:`\tau(n) = a + bn` and no cap, :math:`\mathbb{E}[T_k] = \tau(1)x_k/(1-\lambda bm)`.

*Convexity.* If :math:`\varphi` rises and is concave, :math:`\mathbb{E}[N]` is convex in
:math:`\theta`: four copies of the process at rates :math:`\theta_1 + \theta_4 = \theta_2 +
\theta_3` can be run on common arrivals and departures so that :math:`N_1 + N_4 \ge N_2 + N_3`
throughout. Where it is not, it need not be: see :class:`~thinkqueue.TokenTimeTable`.

*Prompts.* Reading a prompt holds up everybody for :math:`p_k` seconds. That takes a part
:math:`\lambda\bar p` of the time from the steps, whose rate is :math:`u = 1 - \lambda\bar p` of
what it was, and is itself stretched by the others. With :math:`\theta = \lambda m/u`,

.. math:: \mathbb{E}[T_k] \approx \frac{x_k}{u\theta}\,\mathbb{E}[N_\theta]
          + \frac{p_k}{u\,(1-\theta/\max\varphi)},

which is :math:`(ax_k + w_k)/(1-\lambda\bar w)`, :math:`w_k = p_k + bx_k`, for :math:`a + bn`: the
time alone over what the server has to spare, exact where prompts take no time.

*Context.* Where a step takes g seconds more for each token behind a query,
:math:`w_k = p_k + bx_k + g(c_kx_k + x_k^2/2)` with :math:`c_k` tokens of prompt, in the same form
(an approximation, and not convex: :class:`Context`).

*Waiting.* Where queries above B wait, their number is that of the same law, scaled by the
variability :math:`c^2 = \sum\pi x^2/m^2 - 1` of the lengths as diffusions are (an approximation,
exact for B = 1, for B = ∞, and for exponential lengths):

.. math:: \mathbb{E}[T] \approx \frac1\lambda\Bigl(\mathbb{E}[\min(N,B)]
          + \frac{1+c^2}{2}\,\mathbb{E}[(N-B)^+]\Bigr).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Scalar, first, total
from thinkqueue.delay.delay import Delay, RateSlopes, State, TimeCurvature
from thinkqueue.delay.number_present import TINIEST, Law, law_of
from thinkqueue.delay.two_moments import Formula, MeanOnly, TwoMoments, by_rate, room
from thinkqueue.workload.parameters import Parameters
from thinkqueue.workload.servers import Batching
from thinkqueue.workload.token_time import TokenTime


def batching(server: Batching) -> Delay:
    """Return the formulas of a batching server.

    Parameters
    ----------
    server : Batching
        The server.
    """
    time = server.token_time
    if isinstance(time, TokenTime) and time.per_context:
        return Context(time)
    law = law_of(time, server.max_batch)
    if server.max_batch is not None and server.overflow == "wait":
        return Waiting(law, server.convex)
    return Shared(law, server.convex)


class Mix(NamedTuple):
    r"""What is asked of the server in the mean.

    Attributes
    ----------
    tokens : float or ndarray, (..., 1)
        :math:`m`.
    prompt : float or ndarray, (..., 1)
        :math:`\bar p` in s.
    free : float or ndarray, (..., 1)
        :math:`u = 1 - \lambda\bar p`.
    slack : float or ndarray, (..., 1)
        :math:`u - \lambda m/\max\varphi`.
    """

    tokens: Scalar
    prompt: Scalar
    free: Scalar
    slack: Scalar


def mix_of(problem: Parameters, m: Scalar, pace: float) -> Mix:
    """Return what is asked of the server in the mean.

    Parameters
    ----------
    problem : Parameters
        A workload, or arrays that broadcast like one.
    m : float or ndarray, (..., 1)
        Tokens to generate, in the mean.
    pace : float
        Seconds that one more token takes of a full server.
    """
    prompts = getattr(problem.service, "prompt_time", None)
    prompt: Scalar = 0.0 if prompts is None else total(problem.share, prompts)
    free = 1 - problem.arrival_rate * prompt
    return Mix(m, prompt, free, free - problem.arrival_rate * m * pace)


class Shared(MeanOnly):
    r"""No cap, or a cap whose excess shares: the mean time is a function of :math:`m` alone.

    Parameters
    ----------
    law : Law
        How many are present.
    convex : bool
        Whether the mean time is convex for certain.
    """

    def __init__(self, law: Law, convex: bool) -> None:
        self.law, self.convex, self.pace = law, convex, law.pace

    def formula_of(self, problem: Parameters, m: Scalar) -> Formula:
        """Return the mean time and its derivatives by m.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        m : float or ndarray, (..., 1)
            The mean number of tokens.
        """
        rate = problem.arrival_rate
        mix = mix_of(problem, m, self.pace)
        u, y = mix.free, room(mix.slack)
        found = self.law.present(load_of(mix, rate))
        # by how much the own prompt is stretched, and how that grows with m
        stretched, pull = mix.prompt / y, rate * self.pace / y
        time = m * found.mean / u + stretched
        slope = found.variance / u + stretched * pull
        bend = rate * found.excess / u**2 + 2 * stretched * pull**2
        return Formula(mix.slack, _plain(time), _plain(slope), _plain(bend), 0.0, 0.0, 0.0)

    def by_rate(self, problem: Parameters, state: State) -> RateSlopes:
        r"""Return how time and prices move with the arrival rate.

        With :math:`\theta = \lambda m/u` and :math:`A = \mathbb{E}[N]/\theta`,
        :math:`V = \operatorname{Var}N/\theta`:
        :math:`\partial_\lambda\theta = m/u^2,\; \theta A' = V - A` and
        :math:`\theta V' = (\kappa_3-\kappa_2)/\theta`.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        types, m, _, _ = state.detail
        rate, mix = problem.arrival_rate, mix_of(problem, m, self.pace)
        u, y, prompt = mix.free, mix.slack, mix.prompt
        found = self.law.present(load_of(mix, rate))
        busy = prompt + m * self.pace
        # θA' over λ has no λ to divide by: V − A is of the order of θ
        time = m * ((found.variance - found.mean) / (rate * u) + found.mean * prompt / u) / u
        time += prompt * busy / y**2
        slope = found.excess * m / u**3 + found.variance * prompt / u**2
        slope += prompt * self.pace / y**2 * (1 + 2 * rate * busy / y)
        taken = m * found.variance / u**2 + prompt / y**2
        return RateSlopes(first(time), types.mean_slope * slope, first(taken))


class Waiting(TwoMoments):
    r"""A cap whose excess waits: with S and Q the two means above, :math:`g = (S)/\lambda`,
    :math:`f = Q/(2\lambda m^2)`.

    With :math:`q = D\ln Q`, :math:`D = m\,\mathrm{d}/\mathrm{d}m`: :math:`f' = f(q-2)/m` and
    :math:`f'' - 2f'^2/f = f\,[Dq - (q-1)(q-2)]/m^2`. Convex for every mix where B = 1; else as long
    as :math:`c^2` is below a limit that depends on cap and load, about 0.9 where it is lowest (many
    places, and steps that hardly anybody prolongs; see :func:`~thinkqueue.waiting_convexity`), so
    that nothing is certain for budgets in general.

    Parameters
    ----------
    law : Law
        How many are present.
    convex : bool
        Whether the mean time is convex for certain.
    """

    def __init__(self, law: Law, convex: bool) -> None:
        self.law, self.convex, self.pace = law, convex, law.pace

    def formula(self, rate: Scalar, m: Scalar) -> Formula:
        """Return f, g and their derivatives.

        Parameters
        ----------
        rate : float or ndarray, (..., 1)
            The arrival rate.
        m : float or ndarray, (..., 1)
            The mean number of tokens.
        """
        slack = 1 - rate * m * self.law.pace
        stable = slack / room(slack)
        m = np.maximum(m * stable, TINIEST)
        theta = rate * m
        found = self.law.present(theta)
        waiting = np.maximum(found.waiting, TINIEST)
        q, away = found.rise, found.rise - 2
        # S/θ and its first two logarithmic derivatives
        served = found.mean - waiting
        slope = found.variance - waiting * q
        bend = found.excess - waiting * (q * q + found.bend - q) / theta
        f = waiting / (2 * m)
        return Formula(
            slack,
            *map(
                _plain,
                (
                    served * m,
                    slope,
                    rate * bend,
                    f,
                    f * away / m,
                    f * (found.bend - away * (q - 1)) / m**2,
                ),
            ),
        )

    def by_rate(self, problem: Parameters, state: State) -> RateSlopes:
        """Return how time and prices move with the arrival rate.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        return by_rate(problem, state)


class Load(NamedTuple):
    """What a state with context remembers: slopes of the work, and the two factors."""

    work_slope: Array
    crowd: Scalar
    slack: Scalar


class Context:
    r"""Time grows with the context: :math:`\mathbb{E}[T] = (am + \bar w)/(1 - \lambda\bar w)`.

    The price of a token is :math:`\frac{a}{y} + \frac{w_k'\,(1+\lambda am)}{y^2}`, that of a later
    one higher. It is quasiconvex, an affine function over a concave one, and not convex.

    Parameters
    ----------
    time : TokenTime
        With ``per_context``.
    """

    convex = False

    def __init__(self, time: TokenTime) -> None:
        self.step = time

    def work(self, problem: Parameters, tokens: Array) -> tuple[Array, Array, Array]:
        """Return x, and what a query takes of the server alone, in s, with its slope.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        x, asked = problem.service.mean(tokens), problem.service
        prompt = getattr(asked, "prompt_tokens", 0.0)
        b, g = self.step.per_query, self.step.per_context
        work = getattr(asked, "prompt_time", 0.0) + x * (b + g * (prompt + x / 2))
        return x, work, b + g * (prompt + x)

    def at(self, problem: Parameters, tokens: Array) -> State:
        """Return mean time, prices and slack at an allocation that may be unstable.

        Parameters
        ----------
        problem : Parameters
            A workload, or arrays that broadcast like one.
        tokens : ndarray, (..., N)
            Thinking tokens.
        """
        x, work, work_slope = self.work(problem, tokens)
        rate, a = problem.arrival_rate, self.step.base
        m, mean_work = total(problem.share, x), total(problem.share, work)
        slack = 1 - rate * mean_work
        y = room(slack)
        crowd = 1 + rate * a * m
        time = (a * m + mean_work) / y
        price = a / y + work_slope * (crowd / y**2)
        return State(time, slack, price, time / y, Load(work_slope, crowd, y))

    def curvature(self, problem: Parameters, state: State) -> TimeCurvature:
        r"""Return the Hessian of the mean time at a stable state.

        .. math:: h = \frac{g(1+\lambda am)}{y^2}, \quad hr = \frac{\lambda a}{y^2}, \quad
                  \kappa = \frac{2\lambda(1+\lambda am)}{y^3} - \frac{(hr)^2}{h}.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        work_slope, crowd, y = state.detail
        rate, square = problem.arrival_rate, np.ones_like(work_slope)
        own = self.step.per_context * crowd / y**2
        cross = rate * self.step.base / y**2
        lost = cross * cross / own
        joint = 2 * rate * crowd / y**3 - lost * total(problem.share, square)
        return TimeCurvature(
            own * square, cross * square, lost * square, work_slope, joint, problem.arrival_rate
        )

    def by_rate(self, problem: Parameters, state: State) -> RateSlopes:
        r"""Return how time and prices move with the arrival rate.

        Parameters
        ----------
        problem : Parameters
            The workload.
        state : State
            What :meth:`at` returned.
        """
        work_slope, crowd, y = state.detail
        rate, a = problem.arrival_rate, self.step.base
        work, alone = (1 - y) / rate, (crowd - 1) / rate
        price = a * work / y**2 + work_slope * (alone / y**2 + 2 * crowd * work / y**3)
        return RateSlopes(first(state.time * work / y), price, first(state.time / y))


def load_of(mix: Mix, rate: Scalar) -> Scalar:
    r"""Return :math:`\theta = \lambda m/u` where it is stable, NaN where not.

    Parameters
    ----------
    mix : Mix
        What is asked in the mean.
    rate : float or ndarray, (..., 1)
        The arrival rate.
    """
    return rate * mix.tokens / room(mix.free) * (mix.slack / room(mix.slack))


def _plain(value: Scalar) -> Scalar:
    return value if np.ndim(value) else float(value)
