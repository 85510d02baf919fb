r"""How sharply J can bend where a climb from a known height can lead (our own derivation).

Let :math:`J_0` be a value that J has somewhere. On the convex set :math:`\{J \ge J_0\}` nobody can
wait for long: with :math:`C = \alpha\sum_k w_k\pi_k(A_k + D_k) - m(0) - J_0 \ge 0`,

.. math:: \frac{\lambda M}{2y} = \mathbb{E}[T] - m \le C,

so the load keeps a distance :math:`\underline y` from 1, the largest of

.. math:: \frac{\lambda M(0)}{2C}, \qquad
          \frac{1}{1 + \lambda C + \sqrt{(1+\lambda C)^2 - 1}}, \qquad 1 - \rho(\ell_{\max}),

the first where :math:`M(0) > 0`, and then :math:`C > 0`,
the second from :math:`M \ge m^2 = ((1-y)/\lambda)^2`. And since
:math:`\lambda^2 M/y^2 \le 2\lambda C/y`, no second moment is left in the bounds below.

Measured against :math:`\operatorname{diag}(\pi c^2)` the curvature of :math:`\mathbb{E}[T]` is
known exactly: its eigenvalues are :math:`\lambda/y`, :math:`N-2` times, and

.. math:: \frac{\lambda}{y^2\chi}, \quad \frac{\lambda\chi}{y^2}, \qquad
          \chi = 1 + \bar Q + \sqrt{\bar Q(\bar Q + 2)}, \quad
          \bar Q = \lambda\,\mathbb{E}[W] = \frac{\lambda^2M}{2y}:

the load and the mean number of queries that wait are all it depends on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from thinkqueue.arrays import Array, first
from thinkqueue.delay.fifo import mean_waiting_time, queue
from thinkqueue.delay.time import only_affine, only_fifo, utilization
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
    floor, ceiling : float
        :math:`\underline\sigma, \bar\sigma` in 1/s with
        :math:`\underline\sigma\operatorname{diag}(\pi c^2) \preccurlyeq \nabla^2\mathbb{E}[T]
        \preccurlyeq \bar\sigma\operatorname{diag}(\pi c^2)`.
    plain_rate, scaled_rate : float
        What part of :math:`J^* - J` each guaranteed step of projected gradient removes at least:
        :math:`\underline\sigma\min_k\pi_kc_k^2/L` with the step :math:`1/L`, and
        :math:`\underline\sigma\min_k c_k^2/\Lambda_k` with the steps :math:`1/(\pi_k\Lambda_k)`.
    """

    margin: float
    lipschitz: float
    per_share: Array
    floor: float
    ceiling: float
    plain_rate: float
    scaled_rate: float


def crowding(waiting: ArrayLike) -> Array:
    r"""Return the :math:`\chi \ge 1` with :math:`\chi + 1/\chi = 2(1 + \bar Q)`.

    Parameters
    ----------
    waiting : array_like
        :math:`\bar Q`, the mean number of queries that wait.
    """
    q = np.asarray(waiting, dtype=np.float64)
    return np.asarray(1 + q + np.sqrt(q * (q + 2)))


def relative_modulus(workload: Workload, tokens: ArrayLike) -> Array:
    r"""Return the largest number that fits under the curvature of :math:`\mathbb{E}[T]`.

    .. math:: \nabla^2\mathbb{E}[T] \succcurlyeq
              \frac{\lambda}{y^2\chi}\operatorname{diag}(\pi c^2), \qquad
              \chi = 1 + \bar Q + \sqrt{\bar Q(\bar Q + 2)}, \quad
              \bar Q = \lambda\,\mathbb{E}[W],

    and for two or more types no larger number will do (our own derivation).

    Parameters
    ----------
    workload : Workload
        The workload.
    tokens : array_like, (..., N)
        Thinking tokens of each type.

    Returns
    -------
    ndarray, (...)
        In 1/s.

    Raises
    ------
    UnstableError
        If :math:`\rho \ge 1`.
    WorkloadError
        If the server is not first come, first served, or service times are not affine.
    """
    only_fifo(workload, "The exact modulus")
    only_affine(workload, "The exact modulus")
    rate = workload.arrival_rate
    waiting = rate * mean_waiting_time(workload, tokens)
    spare = 1 - utilization(workload, tokens)
    return np.asarray(rate / (spare**2 * crowding(waiting)))


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

    The exact eigenvalues, with :math:`\bar Q \le \lambda C` and :math:`\underline y \le y \le
    1 - \rho(0)`, give

    .. math:: \underline\sigma = \frac{\lambda}{(1-\rho(0))^2\chi}, \qquad
              \bar\sigma = \frac{\lambda\chi}{\underline y^2}, \qquad
              \chi = 1 + \lambda C + \sqrt{(1 + \lambda C)^2 - 1}.

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
    only_affine(p, "The bound on the curvature")
    curves, rate, alpha = saturating(p), first(p.arrival_rate), first(p.accuracy_weight)
    idle, full = queue(p, np.zeros_like(p.share)), queue(p, p.max_tokens)
    worth = alpha * float((p.weight * p.share) @ (curves.gain + curves.baseline))
    reserve = max(worth - float(idle.m[0]) - height, 0.0)
    margins = [float(1 / crowding(rate * reserve)), float(full.y[0])]
    if reserve > 0:
        margins.append(min(rate * float(idle.M[0]) / (2 * reserve), float(idle.y[0])))
    margin = max(margins)
    pressure = rate / margin
    growth = min(2 * pressure * reserve, pressure**2 * float(full.M[0]))
    c, asked = p.service.moments(p.max_tokens).mean_slope, p.share > 0
    u = p.share * c
    bend = alpha * p.weight * curves.gain * curves.rate**2
    widest = float((np.sqrt(p.share) * c).max())
    lipschitz = float((p.share * bend).max())
    lipschitz += pressure * (widest + np.sqrt(growth) * float(np.linalg.norm(u))) ** 2
    per_share = bend + 2 * pressure * c * (c + growth * u.sum())
    # nobody waits for long, by the height, and no more queries than the full caps make wait
    crowd = float(crowding(min(rate * reserve, rate * pressure * float(full.M[0]) / 2)))
    floor = rate / (float(idle.y[0]) ** 2 * crowd)
    return CurvatureBound(
        margin=margin,
        lipschitz=lipschitz,
        per_share=per_share,
        floor=floor,
        ceiling=crowd * pressure / margin,
        plain_rate=floor * float((p.share * c**2)[asked].min()) / lipschitz,
        scaled_rate=floor * float((c**2 / per_share)[asked].min()),
    )
