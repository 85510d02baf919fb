r"""A machine proof, box by box, that the objective is strictly concave.

Accuracy is concave by assumption, so it is enough that :math:`E[T]` is strictly convex. Its
Hessian is diagonal plus rank two, and scaled by :math:`\operatorname{diag}(\sqrt\pi\,c)` and
:math:`y/\lambda` it is a quadratic polynomial in one vector:

.. math::

    G(w) = I + r w^\mathsf T + w r^\mathsf T + \lVert w\rVert^2\, r r^\mathsf T,
    \qquad r_k = \sqrt{\pi_k}, \quad w_k = \sqrt{\pi_k}\,\frac{\lambda s_k}{y}, \quad y = 1 - \rho .

:math:`\nabla^2 E[T] \succ 0` exactly where :math:`G(w) \succ 0`: the scaling is a congruence.
The map from tokens to :math:`w` is one to one and projective, since :math:`1/y = 1 + r\cdot w`:
straight lines stay straight, and the load is at most :math:`\bar\rho` on one side of a hyperplane.
So a cover of a polytope of :math:`w` by boxes is a cover of the tokens by polytopes, and as
:math:`G` knows neither :math:`\lambda` nor the service times, each box serves every workload with
these shares.

What is proved on a box is found by arithmetic alone. Around the midpoint the polynomial is
expanded exactly, each entry becomes a ball that holds its value anywhere in the box, and an
:math:`LDL^\mathsf T` factorisation in balls either finishes with positive pivots, which proves
positive definiteness at every point of the box, or the box is halved. Before that, balls are made
small by a congruence with a numerical inverse square root of :math:`G` at the midpoint; whatever
matrix is used there, a proof remains a proof.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array
from thinkqueue.delay.time import only_fifo
from thinkqueue.errors import UnstableError, WorkloadError
from thinkqueue.names import shown
from thinkqueue.proofs.balls import DOUBLE, above, below, import_flint
from thinkqueue.workload import Workload, tokens_array

if TYPE_CHECKING:
    from flint import arb, arb_mat


Verdict = Literal["proven", "refuted", "undecided"]


@dataclass(frozen=True)
class QuadraticMatrix:
    r"""A symmetric matrix that is a quadratic polynomial of a vector.

    .. math:: G(w) = C + \sum_k w_k L_k + \lVert w\rVert^2\, Q

    Parameters
    ----------
    constant : arb_mat, (N, N)
        :math:`C`.
    linear : tuple of arb_mat, N matrices (N, N)
        :math:`L_k`.
    square : arb_mat, (N, N)
        :math:`Q`.
    """

    constant: arb_mat
    linear: tuple[arb_mat, ...]
    square: arb_mat

    def at(self, w: Sequence[arb]) -> arb_mat:
        """Return G(w) as a matrix of balls.

        Parameters
        ----------
        w : sequence of arb
            The point, N balls.
        """
        value = self.constant + self.square * sum((x * x for x in w), 0 * w[0])
        for matrix, x in zip(self.linear, w):
            value = value + matrix * x
        return value


@dataclass(frozen=True)
class ConvexityProof:
    """What a cover by boxes has shown.

    Parameters
    ----------
    verdict : {"proven", "refuted", "undecided"}
        "proven": every box of the cover has a proof. "refuted": at ``witness`` the matrix
        certainly has a negative direction. "undecided": the limit on the number of boxes came
        first.
    lower, upper : ndarray, (boxes, N)
        The corners of the boxes proven so far, in the scaled coordinates w.
    tried : int
        How many boxes were looked at, with those that had to be halved.
    witness : ndarray, (N,), or None
        Scaled coordinates of a point without positive definiteness, if one was found.
    """

    verdict: Verdict
    lower: Array
    upper: Array
    tried: int
    witness: Array | None = None

    @property
    def proven(self) -> bool:
        """Whether the whole region is proven."""
        return self.verdict == "proven"

    def __len__(self) -> int:
        return len(self.lower)


def scaled_hessian(root_share: Sequence[arb], *, square: float = 1.0) -> QuadraticMatrix:
    r"""Return the scaled Hessian G of E[T] as a polynomial.

    Parameters
    ----------
    root_share : sequence of arb
        :math:`r_k = \sqrt{\pi_k}` as balls.
    square : float, optional
        The factor of the last term. 1 is the Hessian; anything else is a wrong one, for
        experiments on what the proof can and cannot prove.
    """
    flint = import_flint()
    size, r = len(root_share), root_share
    linear = []
    for k in range(size):
        rows: list[list[Any]] = [[0] * size for _ in range(size)]
        for i in range(size):
            rows[i][k] += r[i]
            rows[k][i] += r[i]
        linear.append(flint.arb_mat(rows))
    identity = flint.arb_mat([[int(i == j) for j in range(size)] for i in range(size)])
    outer = flint.arb_mat([[a * b * square for b in r] for a in r])
    return QuadraticMatrix(identity, tuple(linear), outer)


def prove_concavity(
    workload: Workload,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    *,
    max_utilization: float = 0.9,
    max_boxes: int = 100_000,
) -> ConvexityProof:
    r"""Prove that J is strictly concave at every allocation of a box up to a load.

    The region is
    :math:`\{\ell : \underline\ell \le \ell \le \bar\ell,\; \rho(\ell) \le \bar\rho\}`.

    Parameters
    ----------
    workload : Workload
        Shares, service times and arrival rate are used; accuracy enters only by being concave.
    lower, upper : array_like, (N,), optional
        The box in tokens; from no thinking to ``max_tokens`` where not given.
    max_utilization : float, optional
        :math:`\bar\rho < 1`.
    max_boxes : int, optional
        Give up, with the verdict "undecided", after this many boxes.

    Returns
    -------
    ConvexityProof
        Its boxes are in scaled coordinates; :func:`tokens_at` brings them back to tokens.

    Raises
    ------
    UnstableError
        If even the lower corner of the box has a load of :math:`\bar\rho` or more.
    WorkloadError
        If a share is 0 (E[T] does not depend on that budget, so strict concavity has no proof) or
        the box or the load is no such thing.

    Notes
    -----
    The number of boxes grows exponentially with N; up to six types take seconds.
    """
    only_fifo(workload, "The proof of concavity")
    import_flint()
    limit = _hyperplane(max_utilization)
    idle, most = np.zeros(len(workload)), workload.max_tokens
    low = tokens_array(workload, idle if lower is None else lower, single=True)
    high = tokens_array(workload, most if upper is None else upper, single=True)
    _check(workload, low, high, max_utilization)
    root = _roots(workload)
    first = np.array([below(x) for x in _scaled(workload, low)])
    last_ball = _scaled(workload, high)
    free = [x is None for x in last_ball]
    last = np.array([np.inf if gone else above(x) for gone, x in zip(free, last_ball)])
    return prove_positive_definite(
        scaled_hessian(root), root, first, last, limit, max_boxes=max_boxes
    )


def prove_for_every_workload(
    *, max_utilization: float = 0.9, max_spread: float = 100.0, max_boxes: int = 100_000
) -> ConvexityProof:
    r"""Prove that :math:`\nabla^2 E[T] \succ 0` for any number of types at once.

    In an orthonormal basis whose first vector is r and whose second spans the rest of w, the
    matrix G is the identity but for its leading 2×2 block, which is G itself with
    :math:`r = (1, 0)` and

    .. math::

        w = (a, b), \qquad a = \frac{\rho}{1-\rho}, \quad
        b = \frac{\lambda \sqrt{M - m^2}}{1-\rho} .

    So the rectangle :math:`0 \le a \le \bar\rho/(1-\bar\rho),\; 0 \le b \le \bar b` covers every
    workload, of whatever size, whose load is at most :math:`\bar\rho` and whose service times
    spread by no more than :math:`\bar b`.

    Parameters
    ----------
    max_utilization : float, optional
        :math:`\bar\rho < 1`.
    max_spread : float, optional
        :math:`\bar b`, the arrival rate times the standard deviation of the service time, over y.
    max_boxes : int, optional
        Give up after this many boxes.

    Returns
    -------
    ConvexityProof
        Boxes in (a, b).
    """
    flint = import_flint()
    root = [flint.arb(1), flint.arb(0)]
    limit = _hyperplane(max_utilization)
    return prove_positive_definite(
        scaled_hessian(root),
        root,
        np.zeros(2),
        np.array([limit, max_spread]),
        limit,
        max_boxes=max_boxes,
    )


def prove_positive_definite(
    matrix: QuadraticMatrix,
    normal: Sequence[arb],
    lower: Array,
    upper: Array,
    limit: float,
    *,
    max_boxes: int = 100_000,
) -> ConvexityProof:
    r"""Prove that a quadratic matrix is positive definite on a box cut by a half-space.

    The region is :math:`\{w : \underline w \le w \le \bar w,\; n \cdot w \le \bar a\}` with
    :math:`n \ge 0` and :math:`\underline w \ge 0`.

    Parameters
    ----------
    matrix : QuadraticMatrix
        What is to be positive definite.
    normal : sequence of arb
        :math:`n`.
    lower, upper : ndarray, (N,)
        :math:`\underline w` and :math:`\bar w`; an upper bound may be infinite where the half-space
        bounds that coordinate.
    limit : float
        :math:`\bar a`.
    max_boxes : int, optional
        Give up after this many boxes.
    """
    flint = import_flint()
    slope = np.array([float(x.mid()) for x in normal])
    boxes: list[tuple[Array, Array]] = []
    open_boxes, tried = deque([(lower, upper)]), 0  # the largest first: a refutation is found early
    with flint.ctx.workprec(DOUBLE):
        while open_boxes:
            low, high = open_boxes.popleft()
            high = _cut(low, high, slope, limit)
            if (high < low).any():
                continue
            if tried == max_boxes:
                return _proof("undecided", len(lower), boxes, tried)
            tried += 1
            middle = 0.5 * (low + high)
            radius = np.nextafter(np.maximum(high - middle, middle - low), np.inf)
            if _proven_on(matrix, middle, radius):
                boxes.append((low, high))
                continue
            inside = sum((n * x for n, x in zip(normal, middle.tolist())), flint.arb(0)) <= limit
            if inside and _refuted_at(matrix, middle):
                return _proof("refuted", len(lower), boxes, tried, middle)
            widest = int(np.argmax(radius))
            left, right = high.copy(), low.copy()
            left[widest] = right[widest] = middle[widest]
            open_boxes += [(low, left), (right, high)]
    return _proof("proven", len(lower), boxes, tried)


def tokens_at(workload: Workload, scaled: ArrayLike) -> Array:
    r"""Return the tokens that belong to scaled coordinates.

    .. math::

        s_k = \frac{w_k}{\lambda\sqrt{\pi_k}\,(1 + r\cdot w)}, \qquad
        \ell_k = \frac{s_k - t_{0,k}}{c_k}

    Parameters
    ----------
    workload : Workload
        The workload of the proof.
    scaled : array_like, (..., N)
        Points w; a corner of a box may belong to a negative number of tokens.
    """
    w, r = np.asarray(scaled, dtype=np.float64), np.sqrt(workload.share)
    service = w / (workload.arrival_rate * r * (1 + (w @ r)[..., None]))
    return np.asarray((service - workload.base_time) / workload.time_per_token)


def scaled_at(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the scaled coordinates :math:`w_k = \sqrt{\pi_k}\lambda s_k / y` of an allocation.

    Parameters
    ----------
    workload : Workload
        The workload of the proof.
    tokens : array_like, (..., N)
        A stable allocation.
    """
    ell = tokens_array(workload, tokens)
    service = workload.base_time + workload.time_per_token * ell
    y = 1 - workload.arrival_rate * (service @ workload.share)
    return np.asarray(np.sqrt(workload.share) * workload.arrival_rate * service / y[..., None])


def _proof(
    verdict: Verdict,
    size: int,
    boxes: list[tuple[Array, Array]],
    tried: int,
    witness: Array | None = None,
) -> ConvexityProof:
    lower = np.array([low for low, _ in boxes]).reshape(-1, size)
    upper = np.array([high for _, high in boxes]).reshape(-1, size)
    return ConvexityProof(verdict, lower, upper, tried, witness)


def _check(workload: Workload, low: Array, high: Array, max_utilization: float) -> None:
    if (low > high).any():
        raise WorkloadError(
            "lower and upper must be two allocations with lower ≤ upper in every type.",
            parameter="lower",
            value=low,
        )
    if not workload.share.all():
        k = int(np.argmin(workload.share))
        raise WorkloadError(
            f"The share of task type {shown(workload.name(k))} is 0: E[T] does not depend on its "
            "tokens, so nothing is strictly convex in them. Leave the type out.",
            parameter="share",
            value=0.0,
            task=workload.name(k),
        )
    service = workload.base_time + workload.time_per_token * low
    load = workload.arrival_rate * float(workload.share @ service)
    if load >= max_utilization:
        raise UnstableError(
            f"At the lower corner of the box the load is {load:.6g}, which leaves nothing "
            f"below max_utilization = {max_utilization:g}.",
            utilization=load,
            max_arrival_rate=workload.arrival_rate / load,
        )


def _roots(workload: Workload) -> list[arb]:
    arb = import_flint().arb
    return [arb(share).sqrt() for share in workload.share.tolist()]


def _hyperplane(max_utilization: float) -> float:
    """Return an upper bound of ρ̄/(1 − ρ̄)."""
    if not 0 < max_utilization < 1:
        raise WorkloadError(
            f"max_utilization is {max_utilization!r}; it must lie between 0 and 1.",
            parameter="max_utilization",
            value=max_utilization,
        )
    rho = import_flint().arb(max_utilization)
    return above(rho / (1 - rho))


def _scaled(workload: Workload, tokens: Array) -> list[Any]:
    """Return w as balls; None for every entry where the load may be 1 or more."""
    arb = import_flint().arb
    share = [arb(x) for x in workload.share.tolist()]
    service = [
        arb(t0) + arb(c) * ell
        for t0, c, ell in zip(
            workload.base_time.tolist(), workload.time_per_token.tolist(), tokens.tolist()
        )
    ]
    rate = arb(workload.arrival_rate)
    y = 1 - rate * sum((p * s for p, s in zip(share, service)), arb(0))
    if not y > 0:
        return [None] * len(share)
    return [p.sqrt() * rate * s / y for p, s in zip(share, service)]


def _cut(low: Array, high: Array, slope: Array, limit: float) -> Array:
    """Shorten a box to what the half-space leaves of it, with slack for rounding."""
    others = np.sum(slope * low) - slope * low
    with np.errstate(divide="ignore"):
        reach = np.where(slope > 0, (limit - others + 1e-12 * limit) / slope, np.inf)
    return np.asarray(np.minimum(high, np.where(reach < 0, -np.inf, reach)))


def _proven_on(matrix: QuadraticMatrix, middle: Array, radius: Array) -> bool:
    """Whether balls show G ≻ 0 for every w within the radius of the middle."""
    flint = import_flint()
    arb, size = flint.arb, len(middle)
    point = [arb(x) for x in middle.tolist()]
    value = matrix.at(point)
    right = flint.arb_mat(_inverse_root(_floats(value)).tolist())
    left = right.transpose()
    square = left * matrix.square * right
    total = left * value * right
    squares = arb(0)
    for w, linear, reach in zip(point, matrix.linear, radius.tolist()):
        slope = left * linear * right + square * (2 * w)
        total = total + slope * arb(0, reach)
        half = arb(reach) * arb(reach) / 2
        squares += half + half * arb(0, 1)
    return _positive_pivots((total + square * squares).tolist(), size)


def _positive_pivots(rows: list[list[arb]], size: int) -> bool:
    """Whether LDLᵀ in balls ends with positive pivots: then the symmetric matrix is ≻ 0."""
    for k in range(size):
        pivot = rows[k][k]
        if not pivot > 0:
            return False
        for i in range(k + 1, size):
            factor = rows[i][k] / pivot
            for j in range(k + 1, i + 1):
                rows[i][j] = rows[i][j] - factor * rows[j][k]
    return True


def _refuted_at(matrix: QuadraticMatrix, point: Array) -> bool:
    """Whether some direction d has dᵀGd certainly negative at the point."""
    flint = import_flint()
    value = matrix.at([flint.arb(x) for x in point.tolist()])
    eigenvalues, vectors = np.linalg.eigh(_floats(value))
    if eigenvalues[0] >= 0:
        return False
    direction = flint.arb_mat([[x] for x in vectors[:, 0].tolist()])
    form = (direction.transpose() * value * direction).entries()[0]
    return bool(form < 0)


def _inverse_root(matrix: Array) -> Array:
    """Return a matrix P with PᵀGP near I, or I where G has no such P."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    if eigenvalues[0] <= 1e-12 * eigenvalues[-1]:
        return np.eye(len(matrix))
    return np.asarray((vectors / np.sqrt(eigenvalues)) @ vectors.T)


def _floats(matrix: arb_mat) -> Array:
    return np.array([[float(x.mid()) for x in row] for row in matrix.tolist()])
