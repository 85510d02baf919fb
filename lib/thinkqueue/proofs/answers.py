"""What answers are worth, in balls: the part of a certificate in which no server has a say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from thinkqueue.arrays import Array
from thinkqueue.errors import UnstableError
from thinkqueue.workload import Workload

if TYPE_CHECKING:
    from flint import arb


class Budgets(NamedTuple):
    """Budgets of which one is certainly the optimum, and where each lies.

    Attributes
    ----------
    tokens : list of arb
        The balls.
    where : list of str
        ``"free"``, ``"zero"``, ``"cap"``, or ``"unclear"`` where that is too close to call.
    """

    tokens: list[arb]
    where: list[str]


class AnswersInBalls:
    r"""The task types of a workload as exact balls.

    Parameters
    ----------
    workload : Workload
        With saturating curves.
    flint : module
        ``flint``.
    """

    def __init__(self, workload: Workload, flint: Any) -> None:
        w, self.arb, self.matrix, self.workload = workload, flint.arb, flint.arb_mat, workload
        self.share, self.gain, self.rate = map(self.exact, (w.share, w.gain, w.rate))
        self.baseline, self.max_tokens = map(self.exact, (w.baseline, w.max_tokens))
        alpha = self.arb(w.accuracy_weight)
        self.worth: list[arb] = [alpha * x for x in self.exact(w.weight)]
        self.value: list[arb] = [x * a * b for x, a, b in zip(self.worth, self.gain, self.rate)]
        self.arrival_rate: arb = self.arb(w.arrival_rate)

    def exact(self, column: Array) -> list[arb]:
        """Return a column of float64 as balls without a radius.

        Parameters
        ----------
        column : ndarray, (N,)
            The numbers.
        """
        return [self.arb(x) for x in column.tolist()]

    def mean(self, column: Iterable[arb]) -> arb:
        r"""Return :math:`\sum_k\pi_kx_k`.

        Parameters
        ----------
        column : iterable of arb
            x.
        """
        return sum((p * x for p, x in zip(self.share, column)), self.arb(0))

    def value_and_gap(self, ell: list[arb], time: arb, prices: list[arb]) -> tuple[arb, arb]:
        """Return J at the tokens, and an upper bound on what any allocation can add to it.

        Parameters
        ----------
        ell : list of arb
            The tokens.
        time : arb
            The mean time there, in s.
        prices : list of arb
            What a token of each type costs there, in s.
        """
        objective, gap = -time, self.arb(0)
        for k, (x, price) in enumerate(zip(ell, prices)):
            b, share = self.rate[k], self.share[k]
            right = self.baseline[k] + self.gain[k] * (1 - (-b * x).exp())
            objective += self.worth[k] * share * right
            gap += share * price / b * self._type_gap(k, x, price)
        return objective, gap

    def _type_gap(self, k: int, x: arb, price: arb) -> arb:
        r"""Return a bound on :math:`\max_v e^u(1 - e^{-v}) - v` for v from −bℓ to b(ℓ_max − ℓ)."""
        one, b = self.arb(1), self.rate[k]
        done, room = b * x, b * (self.max_tokens[k] - x)
        at_zero = self.value[k] / price
        if at_zero <= 1:  # no token is worth its price: the best step goes all the way down
            return done - at_zero * (1 - (-done).exp())
        here = at_zero * (-done).exp()
        if here * (-room).exp() >= 1:  # every token is: all the way up
            return here * (1 - (-room).exp()) - room
        u = at_zero.log() - done
        if u.abs_upper() > 1:
            return here - 1 - u
        return u * u / 2 * u.exp().max(one)

    def refuse(self, load: arb) -> NoReturn:
        """Raise the error that says that nothing is stable for certain.

        Parameters
        ----------
        load : arb
            The load.
        """
        found = float(load.mid())
        raise UnstableError(
            f"The load at these tokens is {found:.17g}, not certainly below 1: there is nothing "
            "to certify.",
            utilization=found,
            max_arrival_rate=self.workload.arrival_rate / found,
        )
