r"""Lower bounds of the mean time under shortest first where the order is known in part only.

The types are in groups; each group is served before the next. Within a group G behind the types P
the conservation laws say for every S in G, whatever the order is,

.. math:: \sum_{k\in S}\rho_k\mathbb{E}[W_k] \ge W_0\Bigl(\frac{1}{x_{P\cup S}} - \frac{1}{x_P}
          \Bigr), \qquad W_0 = \lambda M/2,

with equality where S goes first. Two consequences are used, the better one for each group:

*alone*: each type waits at least as if it were the first of its group,
:math:`\pi_kW_0/(x_Px_{P\cup k})`;

*chain*: where no service time exceeds :math:`h_k`, numbered so that h rises,

.. math:: \sum_{k\in G}\pi_k\mathbb{E}[W_k] \ge \sum_i\Bigl(\frac1{h_i} - \frac1{h_{i+1}}\Bigr)
          \frac{W_0}\lambda\Bigl(\frac{1}{x_{P\cup\{1..i\}}} - \frac1{x_P}\Bigr).

Both are sums of products of positive powers of service times and of :math:`1/x`, hence convex in
the logarithms (our own derivation).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array

Groups = tuple[tuple[int, ...], ...]
Mask = NDArray[np.bool_]


class Relaxation(NamedTuple):
    r"""A lower bound :math:`m + W_0\sum_T q_T/(x_{P_T}x_{S_T})` of the mean time.

    Its part :math:`m + W_0\sum_T` (fixed) depends on each service time alone, so it is left to the
    envelopes, which then bend less; the rest is convex in u as well.

    Attributes
    ----------
    share : ndarray, (N,)
        π.
    rate : float
        λ.
    before, inside : ndarray of bool, (T, N)
        Who is in P, and who is in S but not in P.
    fixed, by_load : ndarray, (T,)
        q is the one, plus the other times :math:`\lambda\sum_{S\setminus P}\pi_ks_k`.
    """

    share: Array
    rate: float
    before: Array
    inside: Array
    fixed: Array
    by_load: Array

    def at(self, u: Array) -> tuple[float, Array]:
        """Return the rest and its slope in u; infinite where some x is not positive.

        Parameters
        ----------
        u : ndarray, (N,)
            Logarithms of the service times.
        """
        s = np.exp(u)
        load = self.rate * self.share * s
        residual = float(self.rate * self.share @ s**2) / 2
        own = self.inside @ load
        x = 1 - self.before @ load
        after = x - own
        if not (load.sum() < 1 and after.min() > 0):
            return np.inf, np.zeros_like(u)
        q = self.fixed + self.by_load * own
        part = q / (x * after)
        crowd = float(part.sum() - self.fixed.sum())
        by_before = part / x + part / after
        by_inside = part / after + self.by_load / (x * after)
        slope = self.rate * self.share * s**2 * crowd
        slope += residual * load * (by_before @ self.before + by_inside @ self.inside)
        return residual * crowd, slope

    @property
    def square(self) -> Array:
        """What the square of each service time costs whatever the others do, Q of the envelopes."""
        return np.asarray(self.rate * self.share / 2 * self.fixed.sum())


def relaxed(share: Array, rate: float, groups: Groups, top: Array, reference: Array) -> Relaxation:
    """Return a lower bound for groups, the better of both kinds for each at a reference point.

    Parameters
    ----------
    share : ndarray, (N,)
        π.
    rate : float
        λ.
    groups : tuple of tuple of int
        Who is served in which group.
    top : ndarray, (N,)
        The largest service times in the box.
    reference : ndarray, (N,)
        The service times at which the two kinds are compared.
    """
    load = rate * share * reference
    terms: list[tuple[Mask, Mask, float, float]] = []
    ahead = np.zeros(share.size, bool)
    for group in groups:
        alone = [(ahead, _only(share.size, (k,)), float(share[k]), 0.0) for k in group]
        chosen = alone
        if len(group) > 1:
            rising = sorted(group, key=lambda k: float(top[k]))
            ends = [1 / top[k] for k in rising] + [0.0]
            chain = [
                (ahead, _only(share.size, rising[: i + 1]), 0.0, (ends[i] - ends[i + 1]) / rate)
                for i in range(len(rising))
            ]
            if _crowd(chain, load) > _crowd(alone, load):
                chosen = chain
        terms += chosen
        ahead = ahead | _only(share.size, group)
    before, inside, fixed, by_load = zip(*terms, strict=True)
    return Relaxation(
        share,
        rate,
        np.array(before, float),
        np.array(inside, float),
        np.array(fixed),
        np.array(by_load),
    )


def _only(size: int, members: tuple[int, ...] | list[int]) -> Mask:
    mask = np.zeros(size, bool)
    mask[list(members)] = True
    return mask


def _crowd(terms: list[tuple[Mask, Mask, float, float]], load: Array) -> float:
    total = 0.0
    for ahead, inside, fixed, by_load in terms:
        own, x = load[inside].sum(), 1 - load[ahead].sum()
        if x - own <= 0:
            return np.inf
        total += (fixed + by_load * own) / (x * (x - own))
    return float(total)
