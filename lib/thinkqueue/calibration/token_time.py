r"""How long a step of a batching server takes, from what was measured: :math:`\tau(n) = a + bn`.

Times spread over decades of load and err in proportion, so a and b minimise the sum of squared
*relative* residuals,

.. math:: \min_{a,b\ge0}\;\sum_i\Bigl(\frac{a + bn_i}{t_i} - 1\Bigr)^2 ,

which is linear least squares. Three kinds of rows lead to pairs (n, t): the pairs themselves, a
benchmark's sweep over loads, whose mean batch is a rate times a time (Little), and a log of
requests. There the batch is counted from the log itself. A request that got x tokens while n(u)
were decoding satisfies

.. math:: x = \int\frac{du}{\tau(n(u))}
          \quad\Longrightarrow\quad \frac{\text{time}}{x} = a + b\,\bar n, \qquad
          \bar n = \frac{\int n/\tau(n)\,du}{\int 1/\tau(n)\,du},

exactly, where the mean is over its steps and not over its seconds; as it depends on
:math:`\tau`, the fit is repeated until it does not change (our own derivation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls
from scipy.special import stdtrit

from thinkqueue.arrays import Array
from thinkqueue.calibration.tables import MeasurementError
from thinkqueue.checks import floats
from thinkqueue.errors import WorkloadError
from thinkqueue.workload.token_time import TokenTime

FORMS = {
    "steps": ("queries", "seconds"),
    "sweep": ("throughput", "latency", "tokens"),
    "log": ("start", "end", "tokens"),
}
MANY = 2.0
"""Batches of fewer than this on average are one user's, and say nothing about many."""

SPREAD = 1.5
"""The largest batch over the smallest, below which a slope is a guess."""

FAR = 2.0
"""How many times the largest batch measured a line may be asked for."""

BEND_LEVEL = 0.01
"""Probability of an objection where the rate is concave and rises."""

MOST_CLASSES = 24
"""How many batch sizes are told apart when it is asked whether the rate bends upwards."""

_SETTLED, _MOST_STEPS, _ROUNDING = 1e-10, 100, 1e-9


@dataclass(frozen=True, eq=False)
class TokenTimeFit:
    r"""A line through measured token times.

    Attributes
    ----------
    token_time : TokenTime
        :math:`a` and :math:`b`, ready for a :class:`~thinkqueue.Batching` server.
    base_error, per_query_error : float
        Their standard errors in s; infinite where two rows leave nothing to judge by, 0 for a
        parameter that had to be held at 0.
    covariance : ndarray, (2, 2)
        Of the two, in s².
    queries, seconds : ndarray, (R,)
        The rows that were fitted, by increasing batch: n and the time of a token.
    residuals : ndarray, (R,)
        :math:`(a + bn)/t - 1`.
    objection : str
        Where the measured rate :math:`n/t` falls or bends upwards by more than the residuals
        explain; empty where it does not. There the line hides that the mean time need not be
        convex.
    """

    token_time: TokenTime
    base_error: float
    per_query_error: float
    covariance: Array
    queries: Array
    seconds: Array
    residuals: Array
    objection: str

    @property
    def rms_residual(self) -> float:
        """Root mean square of the relative residuals."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def worst_residual(self) -> float:
        """The relative residual that is largest in size."""
        return float(self.residuals[np.argmax(np.abs(self.residuals))])

    @property
    def concave(self) -> bool:
        """Whether nothing in the rows speaks against a rate that rises and is concave."""
        return not self.objection

    def seconds_at(self, n: ArrayLike) -> tuple[Array, Array]:
        r"""Return :math:`a + bn` and its standard error, in s, near what was measured.

        Parameters
        ----------
        n : array_like
            Queries in the batch.

        Raises
        ------
        WorkloadError
            If `n` is more than twice the largest batch measured.
        """
        at = floats("n", n)
        most = FAR * self.queries[-1]
        if not np.all((at >= 0) & (at <= most)):
            raise WorkloadError(
                f"n is {n!r}; batches of {self.queries[0]:.3g} to {self.queries[-1]:.3g} were "
                f"measured, and this line is trusted up to {most:.3g}. Measure larger ones.",
                parameter="n",
                value=n,
            )
        row = np.stack([np.ones_like(at), at], axis=-1)
        value = np.asarray(self.token_time.seconds_at(at))
        if not np.isfinite(self.covariance).all():
            return value, np.full_like(value, np.inf)
        return value, np.sqrt(np.einsum("...i,ij,...j->...", row, self.covariance, row))


def fit_token_time(rows: Any) -> TokenTimeFit:
    r"""Fit :math:`\tau(n) = a + bn` to measurements of a batching server.

    Parameters
    ----------
    rows : array_like, (R, 2), or mapping of columns, or sequence of mappings
        Pairs (n, seconds a token); or columns in one of three forms, others being left alone.
        ``queries, seconds``: the same. ``throughput, latency, tokens`` and, if wanted,
        ``first_token``: a row for each load of a benchmark, with queries answered a second, the
        mean time of a query in s, the tokens it got, and the mean time to its first token.
        ``start, end, tokens``: a row for each request, when it got its first and its last token, in
        s, and how many; every request that the server had must be there.

    Returns
    -------
    TokenTimeFit
        The line, with standard errors, residuals and what speaks against it.

    Raises
    ------
    ~thinkqueue.calibration.tables.MeasurementError
        If the rows cannot be read, or do not say how time grows with the batch: fewer than two
        batch sizes, all of about one user, or all about the same.

    Notes
    -----
    In a sweep without ``first_token`` the batch is everybody in the system and the time of the
    prompt is spread over the tokens; with it, only who decodes counts. Where arrivals are Poisson
    the time of a token is :math:`a + b(1 + E[N])` and not :math:`a + bE[N]`, so that `base` comes
    out larger by up to :math:`b`.

    Examples
    --------
    >>> fit = fit_token_time([(1, 7.6e-3), (8, 7.9e-3), (32, 8.8e-3), (128, 12.4e-3)])
    >>> f"{1e3 * fit.token_time.base:.2f} + {1e3 * fit.token_time.per_query:.4f} n ms"
    '7.58 + 0.0377 n ms'
    """
    form, columns = _columns(rows)
    if form == "log":
        return _fit_log(*columns)
    queries, seconds = columns if form == "steps" else _of_sweep(*columns)
    return _line(queries, seconds)


def _columns(rows: Any) -> tuple[str, list[Array]]:
    """Return which form the rows have, and its columns."""
    if isinstance(rows, Sequence) and rows and all(isinstance(row, Mapping) for row in rows):
        names = set(rows[0]).intersection(*rows[1:])
        rows = {name: [row[name] for row in rows] for name in names}
    if hasattr(rows, "keys"):
        for form, needed in FORMS.items():
            if set(needed) <= set(rows.keys()):
                more = [name for name in ("first_token",) if form == "sweep" and name in rows]
                return form, _same_length({name: rows[name] for name in (*needed, *more)})
        known = "; or ".join(", ".join(form) for form in FORMS.values())
        raise _refused(f"the columns are {', '.join(map(str, rows.keys()))}; needed are {known}")
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1] != 2:
        raise _refused("rows must be pairs (batch size, seconds a token) or columns with names")
    return "steps", _same_length({"queries": table[:, 0], "seconds": table[:, 1]})


def _same_length(columns: Mapping[str, Any]) -> list[Array]:
    found = []
    for name, values in columns.items():
        try:
            column = np.asarray(values, dtype=np.float64).ravel()
        except (TypeError, ValueError):
            raise _refused("what is there is not a list of numbers", column=name) from None
        least = column >= 0 if name in ("start", "first_token") else column > 0
        if not (least & np.isfinite(column)).all():
            row = int(np.argmin(least & np.isfinite(column)))
            raise _refused(f"{column[row]:g} is no size, rate or time", line=row + 1, column=name)
        found.append(column)
    if len({column.size for column in found}) != 1:
        sizes = ", ".join(str(column.size) for column in found)
        raise _refused(f"the columns {', '.join(columns)} have {sizes} entries")
    return found


def _of_sweep(
    throughput: Array, latency: Array, tokens: Array, first_token: Array | None = None
) -> tuple[Array, Array]:
    """Return who is there, by Little's law, and how long a token takes."""
    if first_token is None:
        return throughput * latency, latency / tokens
    decoding, steps = latency - first_token, tokens - 1
    for name, values in (("first_token", decoding), ("tokens", steps)):
        if not (values > 0).all():
            row = int(np.argmin(values > 0))
            raise _refused("nothing is generated after the first token", line=row + 1, column=name)
    return throughput * decoding, decoding / steps


def _fit_log(start: Array, end: Array, tokens: Array) -> TokenTimeFit:
    """Fit, count the steps of each request at the fitted speed, and fit again."""
    if not (end > start).all() or not (tokens > 1).all():
        row = int(np.argmin((end > start) & (tokens > 1)))
        raise _refused("a request must end after it starts, with two tokens or more", line=row + 1)
    times = np.unique(np.concatenate([start, end]))
    first, last = np.searchsorted(times, start), np.searchsorted(times, end)
    change = np.bincount(first, minlength=times.size) - np.bincount(last, minlength=times.size)
    present = np.maximum(np.cumsum(change)[:-1], 1).astype(np.float64)
    width, seconds = np.diff(times), (end - start) / (tokens - 1)
    steps = width  # at first: a second is a second
    fit = None
    for _ in range(_MOST_STEPS):
        total, queries = (
            np.diff(np.concatenate([[0.0], np.cumsum(part)])[np.stack([first, last])], axis=0)[0]
            for part in (steps, steps * present)
        )
        before, fit = fit, _line(queries / total, seconds)
        pair = np.array([fit.token_time.base, fit.token_time.per_query])
        if before is not None:
            old = np.array([before.token_time.base, before.token_time.per_query])
            if np.abs(pair - old).max() <= _SETTLED * pair.sum():
                break
        steps = width / fit.token_time.seconds_at(present)
    assert fit is not None
    return fit


def _line(queries: Array, seconds: Array) -> TokenTimeFit:
    """Fit the line, or say why there is none."""
    _check_spread(queries)
    order = np.argsort(queries, kind="stable")
    n, t = queries[order], seconds[order]
    design = np.stack([1 / t, n / t], axis=1)
    scale = np.linalg.norm(design, axis=0)
    (a, b), _ = nnls(design / scale, np.ones_like(t))
    a, b = a / scale[0], b / scale[1]
    residuals = (a + b * n) / t - 1
    free = np.array([a, b]) > 0
    covariance = np.zeros((2, 2))
    left = n.size - int(free.sum())
    variance = residuals @ residuals / left if left else np.inf
    inverse = np.linalg.inv((design / scale)[:, free].T @ (design / scale)[:, free])
    inverse = inverse / np.outer(scale[free], scale[free])
    covariance[np.ix_(free, free)] = variance * inverse if left else np.inf
    return TokenTimeFit(
        TokenTime(base=float(a), per_query=float(b)),
        float(np.sqrt(covariance[0, 0])),
        float(np.sqrt(covariance[1, 1])),
        covariance,
        n,
        t,
        residuals,
        _objection(n, t),
    )


def _check_spread(queries: Array) -> None:
    if queries.size < 2:
        raise _refused("there is one row or none; a line needs two batch sizes at least")
    least, most = float(queries.min()), float(queries.max())
    if most < MANY:
        raise _refused(
            f"all rows are of about one user (the largest batch is {most:.3g}), and from one user "
            "nothing follows about many. Measure with several at once, up to as many as there "
            "will be"
        )
    if most < SPREAD * least:
        raise _refused(
            f"all batches are about the same ({least:.3g} to {most:.3g}), so that a and b cannot "
            "be told apart. Measure smaller ones too"
        )


def _objection(n: Array, t: Array) -> str:
    r"""Say where :math:`\varphi = n/t` falls or bends upwards beyond what the noise explains."""
    place = _classes(n)
    count = np.bincount(place)
    sizes = np.bincount(place, weights=n) / count
    rate = sizes * np.bincount(place, weights=1 / t) / count
    limit = _noise(n, t, place, 2 * sizes.size - 1)
    spread = limit * rate / np.sqrt(count)
    sizes, rate, spread = (np.concatenate([[0.0], part]) for part in (sizes, rate, spread))
    gaps = np.diff(sizes)
    slopes = np.diff(rate) / gaps
    falls = -np.diff(rate) - np.hypot(spread[1:], spread[:-1])
    middle = spread[1:-1] * (1 / gaps[:-1] + 1 / gaps[1:])
    noise = np.sqrt((spread[:-2] / gaps[:-1]) ** 2 + middle**2 + (spread[2:] / gaps[1:]) ** 2)
    bends = np.diff(slopes) - noise
    if (falls > _ROUNDING * rate[1:]).any():
        i = int(np.argmax(falls / rate[1:]))
        return (
            f"all together get fewer tokens a second at {sizes[i + 1]:.4g} queries "
            f"({rate[i + 1]:.4g}) than at {sizes[i]:.4g} ({rate[i]:.4g})"
        )
    if (bends > _ROUNDING * slopes[0]).any():
        i = int(np.argmax(bends)) + 1
        return (
            f"beyond {sizes[i]:.4g} queries another one adds {slopes[i]:.4g} tokens a second, and "
            f"before only {slopes[i - 1]:.4g}"
        )
    return ""


def _classes(n: Array) -> NDArray[np.intp]:
    """Return the class of each row: those of one size, or of about one size if there are many."""
    place = np.unique(n, return_inverse=True)[1]
    if place.max() < MOST_CLASSES:
        return place
    return np.unique(place * MOST_CLASSES // (place.max() + 1), return_inverse=True)[1]


def _noise(n: Array, t: Array, place: NDArray[np.intp], tests: int) -> float:
    """Return how far, in proportion, noise moves a row where one of so many tests may fail.

    The noise is what a line or a parabola leaves, or the differences between rows of one class,
    whichever is least; the limit is Student's, at the level shared out over the tests. Of a jump
    that was measured once nobody can tell whether it is noise.
    """
    scaled = n / n.max()
    powers = np.stack([1 / t, scaled / t, scaled**2 / t], axis=1)
    rests = [
        (1 - x @ np.linalg.lstsq(x, np.ones_like(t), rcond=None)[0], x.shape[1])
        for x in (powers[:, :2], powers)
    ]
    level = np.bincount(place, weights=1 / t) / np.bincount(place, weights=1 / t**2)
    rests.append((1 - level[place] / t, level.size))
    return min(
        (
            float(-stdtrit(t.size - used, BEND_LEVEL / tests) * np.sqrt(x @ x / (t.size - used)))
            for x, used in rests
            if t.size > used
        ),
        default=0.0,
    )


def _refused(message: str, **where: Any) -> MeasurementError:
    return MeasurementError(f"{message}.", source="the rows", **where)
