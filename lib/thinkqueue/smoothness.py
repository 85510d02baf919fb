r"""How sharply J can bend where a climb from a known height can lead (our own derivation).

Let :math:`J_0` be a value that J has somewhere. On the convex set :math:`\{J \ge J_0\}` nobody can
wait for long: with :math:`C = \alpha\sum_k w_k\pi_k(A_k + D_k) - m(0) - J_0`,

.. math:: \frac{\lambda M}{2y} = \mathbb{E}[T] - m \le C,

so the load keeps a distance :math:`\underline y` from 1, the largest of

.. math:: \frac{\lambda M(0)}{2C}, \qquad
          \frac{1}{1 + \lambda C + \sqrt{(1+\lambda C)^2 - 1}}, \qquad 1 - \rho(\ell_{\max}),

the second from :math:`M \ge m^2 = ((1-y)/\lambda)^2`. And since
:math:`\lambda^2 M/y^2 \le 2\lambda C/y`, no second moment is left in the bounds below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first
from thinkqueue.delay.fifo import queue
from thinkqueue.delay.time import only_fifo
from thinkqueue.objective import objective, saturating
from thinkqueue.workload import Parameters, Workload, tokens_array


@dataclass(frozen=True)
class CurvatureBound:
    r"""Bounds that hold at every allocation that is at least as good as a given one.

    Attributes
    ----------
    margin : float
        :math:`\underline y \le 1 - \rho`.
    lipschitz : float
        :math:`L \ge \|\nabla^2 J\|`, in seconds per token².
    per_share : ndarray, (N,)
        :math:`\Lambda_k` with :math:`-\nabla^2 J \preccurlyeq \operatorname{diag}(\pi_k\Lambda_k)`.
    """

    margin: float
    lipschitz: float
    per_share: Array


def curvature_bound(workload: Workload, tokens: ArrayLike) -> CurvatureBound:
    r"""Bound the curvature of J over all allocations that are as good as this one.

    With :math:`u = \pi c` and :math:`\underline y` as above, :math:`\nabla^2\mathbb{E}[T] =
    \frac{\lambda}{y}B^\top B` and :math:`\|Bd\| \le \max_k\sqrt{\pi_k}c_k\|d\| +
    \frac{\lambda}{y}\sqrt M\,|u^\top d|` give

    .. math:: L = \max_k \alpha w_k\pi_kA_kb_k^2 + \frac{\lambda}{\underline y}
              \Bigl(\max_k\sqrt{\pi_k}c_k + \sqrt{G}\,\|u\|\Bigr)^2, \qquad
              G = \min\Bigl(\frac{2\lambda C}{\underline y},
              \frac{\lambda^2 M(\ell_{\max})}{\underline y^2}\Bigr),

    and :math:`\|x+z\|^2 \le 2\|x\|^2 + 2\|z\|^2` with
    :math:`(u^\top d)^2 \le \sum_j u_j \sum_j u_j d_j^2` gives the diagonal bound

    .. math:: \Lambda_k = \alpha w_kA_kb_k^2 + \frac{2\lambda}{\underline y}
              \Bigl(c_k^2 + G\,c_k\sum_j u_j\Bigr).

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (N,)
        A stable allocation.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1` at ``tokens``.
    """
    ell = tokens_array(workload, tokens, single=True)
    return bound_above(workload, float(objective(workload, ell)))


def bound_above(p: Parameters, height: float) -> CurvatureBound:
    """Bound the curvature of J where J is at least ``height``.

    Parameters
    ----------
    p : Parameters
        The workload.
    height : float
        A value that J takes, in s.
    """
    only_fifo(p, "The bound on the curvature")
    curves, rate, alpha = saturating(p), first(p.arrival_rate), first(p.accuracy_weight)
    idle, full = queue(p, np.zeros_like(p.share)), queue(p, p.max_tokens)
    worth = alpha * float((p.weight * p.share) @ (curves.gain + curves.baseline))
    reserve = max(worth - float(idle.m[0]) - height, 0.0)
    crowd = 1 + rate * reserve
    margins = [1 / (crowd + np.sqrt(crowd**2 - 1)), float(full.y[0])]
    if reserve > 0:
        margins.append(min(rate * float(idle.M[0]) / (2 * reserve), float(idle.y[0])))
    margin = max(margins)
    pressure = rate / margin
    growth = min(2 * pressure * reserve, pressure**2 * float(full.M[0]))
    c = p.service.moments(p.max_tokens).mean_slope
    u = p.share * c
    bend = alpha * p.weight * curves.gain * curves.rate**2
    widest = float((np.sqrt(p.share) * c).max())
    return CurvatureBound(
        margin=margin,
        lipschitz=float((p.share * bend).max())
        + pressure * (widest + np.sqrt(growth) * float(np.linalg.norm(u))) ** 2,
        per_share=bend + 2 * pressure * c * (c + growth * u.sum()),
    )
