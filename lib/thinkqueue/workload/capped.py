r"""Budgets as caps on a random thinking length, in the tokens that are used in the mean.

Under a cap :math:`\ell` a query of length X uses :math:`\min(X,\ell)`. In caps the mean time of a
queue is not convex. In mean tokens :math:`\mu = \mathbb{E}\min(X,\ell)` it is, jointly, for any law
of lengths (our own derivation): with :math:`s(\ell) = t_0 + c\ell`, the service time of a query
that meets its cap,

.. math:: \mathbb{E}[S] = t_0 + c\mu, \qquad f(\mu) = \mathbb{E}[S^2], \qquad
          f' = 2c\,s(\ell), \qquad f'' = \frac{2c^2}{\bar F(\ell)},

and f divided by a slack that falls affinely in :math:`\mu` is convex iff :math:`2ff'' \ge f'^2`,
that is :math:`\mathbb{E}[S^2] \ge \bar F(\ell)\,s(\ell)^2`, which the queries that meet their cap
see to alone. So a workload holds mean tokens, and everything that is certified about budgets is
certified about them; :meth:`Capped.cap_of` says which caps to set.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, Index
from thinkqueue.checks import floats
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.accuracy import Curve, bisect
from thinkqueue.workload.lengths import ByValue, Lengths
from thinkqueue.workload.service import Affine, Moments
from thinkqueue.workload.workload import Workload


@dataclass(frozen=True, eq=False)
class Capped(ByValue):
    r"""A time :math:`t_0 + c\min(X,\ell)`, by the mean tokens :math:`\mu` that the cap leaves.

    Parameters
    ----------
    base_time : array_like, (N,)
        :math:`t_0` in s.
    time_per_token : array_like, (N,)
        :math:`c` in s/token.
    lengths : Lengths
        The law of X: :class:`~thinkqueue.workload.Exponential`,
        :class:`~thinkqueue.workload.Lognormal` or :class:`~thinkqueue.workload.Empirical`.
    """

    base_time: Array
    time_per_token: Array
    lengths: Lengths

    def __post_init__(self) -> None:
        times = [floats(name, getattr(self, name)) for name in ("base_time", "time_per_token")]
        size = np.broadcast_shapes(*(x.shape for x in (*times, self.lengths.longest)))
        for name, value in zip(("base_time", "time_per_token"), times, strict=True):
            object.__setattr__(self, name, np.broadcast_to(value, size))

    def cap_of(self, tokens: ArrayLike) -> Array:
        r"""Return the caps :math:`\ell` under which so many tokens are used in the mean.

        Parameters
        ----------
        tokens : array_like, (..., N)
            :math:`\mu`.

        Raises
        ------
        WorkloadError
            If so many are never used.
        """
        used = floats("tokens", tokens)
        most = self.lengths.mean_under(self.lengths.longest)
        if not ((used >= 0) & (used <= most * (1 + 1e-12))).all():
            raise WorkloadError(
                f"tokens are {used}; used in the mean are at least 0 and at most {most}, however "
                "large the cap is.",
                parameter="tokens",
                value=used,
            )
        return self.lengths.cap_of(np.minimum(used, most))

    def mean(self, tokens: Array) -> Array:
        r"""Return :math:`t_0 + c\mu` in s.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        return np.asarray(self.base_time + self.time_per_token * tokens)

    def moments(self, tokens: Array) -> Moments:
        r"""Return :math:`t_0 + c\mu,\; f,\; c,\; 2c\,s(\ell),\; 0,\; 2c^2/\bar F(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        t0, c, law = self.base_time, self.time_per_token, self.lengths
        cap = law.cap_of(tokens)
        square = t0**2 + 2 * t0 * c * tokens + c**2 * law.square_under(cap)
        bend = 2 * c**2 / law.survival(cap)
        return Moments(self.mean(tokens), square, c, 2 * c * (t0 + c * cap), 0.0, bend)

    def draw(self, tokens: Array, kinds: Index, random: Generator) -> Array:
        """Draw the service times of some queries in s, (n,).

        Parameters
        ----------
        tokens : ndarray, (N,)
            Mean tokens of each type.
        kinds : ndarray of int64, (n,)
            The type of each query.
        random : numpy.random.Generator
            Where chance comes from.
        """
        used = np.minimum(self.lengths.draw(kinds, random), self.lengths.cap_of(tokens)[kinds])
        return np.asarray(self.base_time[kinds] + self.time_per_token[kinds] * used)

    def pick(self, place: Index | slice) -> Capped:
        """Return the service of some types.

        Parameters
        ----------
        place : ndarray of int or slice
            Which.
        """
        times = self.base_time[..., place], self.time_per_token[..., place]
        return Capped(*times, self.lengths.pick(place))


@dataclass(frozen=True, eq=False)
class CappedCurve(ByValue, Curve):
    r"""The accuracy of a query that is stopped at its cap and answers with what it has thought.

    .. math:: P(\mu) = \mathbb{E}\,p(\min(X,\ell)), \qquad P'(\mu) = p'(\ell), \qquad
              -P''(\mu) = -p''(\ell)/\bar F(\ell),

    so P is concave in mean tokens wherever p is, and a price is met at the same cap as without any
    randomness.

    Parameters
    ----------
    curve : Curve
        p, by the tokens that were thought: concave, or S-shaped.
    lengths : Lengths
        The law of X.
    """

    curve: Curve
    lengths: Lengths

    def __post_init__(self) -> None:
        if not self.curve.concave and not hasattr(self.curve, "inflection"):
            raise WorkloadError(
                f"Caps need curves that are concave, or all Hill or all Logistic; these are "
                f"{self.curve!r}.",
                parameter="accuracy",
                value=self.curve,
            )

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether p is."""
        return self.curve.concave

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`\mathbb{E}\,p(\min(X,\ell))`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        return self.lengths.expect(self.curve.value, self.lengths.cap_of(tokens))

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`p'(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        return self.curve.slope(self.lengths.cap_of(tokens))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-p''(\ell)/\bar F(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        cap = self.lengths.cap_of(tokens)
        return np.asarray(self.curve.bend(cap) / self.lengths.survival(cap))

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        """Return the mean tokens that are best at a price: those under the cap that meets it.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval, in mean tokens.
        """
        low, high = np.broadcast_arrays(low, high)
        if not self.curve.concave:
            turn = self.curve.inflection()  # type: ignore[attr-defined]
            return best_beyond(self, self.lengths.mean_under(turn + 0 * low), price, low, high)
        ends = self.lengths.cap_of(low), self.lengths.cap_of(high)
        found = self.lengths.mean_under(self.curve.reply(price, *ends))
        return np.asarray(np.minimum(np.maximum(found, low), high))

    def pick(self, place: int | Index | slice) -> Self:
        """Return the curve of one type, or the curves of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which types.
        """
        some = np.atleast_1d(np.arange(self.lengths.longest.size)[place])
        return type(self)(self.curve.pick(some), self.lengths.pick(some))


@dataclass(frozen=True, eq=False)
class Finished(ByValue, Curve):
    r"""The accuracy where only a thought that came to its end counts: :math:`D + A\,P(X \le \ell)`.

    .. math:: P'(\mu) = A\,h(\ell), \qquad P''(\mu) = A\,h'(\ell)/\bar F(\ell)

    with the hazard h of the lengths: concave in mean tokens iff the hazard falls. For exponential
    lengths it is a line; for lognormal ones it is S-shaped, and bounds need not close.

    Parameters
    ----------
    gain : array_like, (N,)
        :math:`A`, the accuracy of a finished thought beyond the baseline.
    baseline : array_like, (N,)
        :math:`D`, the accuracy of a thought that was cut off.
    lengths : Exponential or Lognormal
        The law of X; a sample has no hazard.
    """

    gain: Array
    baseline: Array
    lengths: Lengths

    def __post_init__(self) -> None:
        if not hasattr(self.lengths, "hazard"):
            raise WorkloadError(
                "A sample of lengths has no hazard: fit Exponential or Lognormal lengths to it.",
                parameter="lengths",
                value=self.lengths,
            )
        for name in ("gain", "baseline"):
            value = floats(name, getattr(self, name))
            object.__setattr__(self, name, np.broadcast_to(value, self.lengths.longest.shape))

    @property
    def _law(self) -> Any:
        return self.lengths

    @property
    def concave(self) -> bool:  # type: ignore[override]
        """Whether the hazard falls from the beginning, for every type."""
        return not np.any(self._law.turn > 0)

    def value(self, tokens: Array) -> Array:
        r"""Return :math:`D + A\,F(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        done = 1 - self.lengths.survival(self.lengths.cap_of(tokens))
        return np.asarray(self.baseline + self.gain * done)

    def slope(self, tokens: Array) -> Array:
        r"""Return :math:`A\,h(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        return np.asarray(self.gain * self._law.hazard(self.lengths.cap_of(tokens)))

    def bend(self, tokens: Array) -> Array:
        r"""Return :math:`-A\,h'(\ell)/\bar F(\ell)`.

        Parameters
        ----------
        tokens : ndarray, (..., N)
            Mean tokens :math:`\mu`.
        """
        cap = self.lengths.cap_of(tokens)
        return np.asarray(-self.gain * self._law.hazard_slope(cap) / self.lengths.survival(cap))

    def reply(self, price: Array, low: Array, high: Array) -> Array:
        """Return the better of the lower end and the best beyond the highest hazard.

        Parameters
        ----------
        price : ndarray, (..., N)
            Accuracy per token.
        low, high : ndarray, (..., N)
            The ends of the interval, in mean tokens.
        """
        low, high = np.broadcast_arrays(low, high)
        turn = self.lengths.mean_under(self._law.turn + 0 * low)
        return best_beyond(self, turn, price, low, high)

    def pick(self, place: int | Index | slice) -> Self:
        """Return the curve of one type, or the curves of some.

        Parameters
        ----------
        place : int, ndarray of int or slice
            Which types.
        """
        some = np.atleast_1d(np.arange(self.lengths.longest.size)[place])
        return type(self)(self.gain[some], self.baseline[some], self.lengths.pick(some))


def best_beyond(curve: Curve, turn: Array, price: Array, low: Array, high: Array) -> Array:
    """Return the better of the lower end and the best on the part where a curve is concave.

    Parameters
    ----------
    curve : Curve
        Convex before the turn, concave beyond.
    turn, price, low, high : ndarray, (..., N)
        Where it turns, accuracy per token, and the ends of the interval.
    """
    begin = np.minimum(np.maximum(turn, low), high)
    late = bisect(curve.slope, price, begin, high)
    dear = np.where(np.isfinite(price), price, 0.0)
    rise = curve.value(late) - curve.value(low + np.zeros_like(late)) - dear * (late - low)
    return np.asarray(np.where(np.isfinite(price) & (rise > 0), late, low))


def capped(workload: Workload, lengths: Lengths, *, must_finish: bool = False) -> Workload:
    r"""Return a workload whose budgets are caps on random lengths, in mean tokens.

    Its tokens are :math:`\mu = \mathbb{E}\min(X,\ell)`; ``.service.cap_of(tokens)`` gives the caps.

    Parameters
    ----------
    workload : Workload
        One whose tokens are lengths: of the accuracy curves and of the service times.
    lengths : Lengths
        The law of X for each type.
    must_finish : bool, optional
        Whether a thought that is cut off earns the accuracy without thinking only; by default it
        answers with what it has thought.

    Returns
    -------
    Workload
        With the same caps allowed, up to the one that a query in 10⁹ exceeds.

    Raises
    ------
    WorkloadError
        If service times are not affine, the laws are of another number of types, or curves do not
        suit.
    """
    service = workload.service
    if not isinstance(service, Affine):
        raise WorkloadError(
            f"Caps need service times that are affine in the tokens; these are {service!r}.",
            parameter="service",
            value=service,
        )
    if lengths.longest.size not in (1, len(workload)):
        raise WorkloadError(
            f"There are lengths of {lengths.longest.size} types for {len(workload)} task types.",
            parameter="lengths",
            value=lengths,
        )
    law = lengths if lengths.longest.size > 1 else lengths.pick(np.zeros(len(workload), np.int64))
    curve: Curve = CappedCurve(workload.curves, law)
    if must_finish:
        curve = Finished(workload.gain, workload.baseline, law)
    return workload.replace(
        service=Capped(service.base_time, service.time_per_token, law),
        accuracy=curve,
        max_tokens=law.mean_under(np.minimum(workload.max_tokens, law.longest)),
    )
