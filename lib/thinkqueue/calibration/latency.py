r"""Service time from measured latencies: :math:`s(\ell) = t_0 + c\,\ell`, robustly.

Latencies have outliers (a pause, a retry) and a spread that grows with the answer's length. So the
line is fitted in three steps: a Huber fit without weights; a spread :math:`\sigma(\ell) = a +
b\ell` fitted to its absolute residuals; and a bisquare fit weighted by :math:`1/\sigma`, whose
standard errors are sandwich ones and hold even where the model of the spread does not.

That needs rows to judge a spread by. Fewer than twenty get ordinary least squares with the sandwich
of unbiased leverage (HC2) and Student intervals whose degrees of freedom match its mean and
variance (Bell and McCaffrey 2002, Survey Methodology 28; Imbens and Kolesár 2016, Review of
Economics and Statistics 98): exact for three rows of even spread, and wide, as they should be. Two
rows say nothing of their error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy.special import pdtrc, stdtr, stdtrit

from thinkqueue.arrays import Array
from thinkqueue.calibration.intervals import Interval

_HUBER = 1.345
_BISQUARE = 4.685
_CONSISTENT = 1.4826
"""Median absolute deviation of a normal sample, as a multiple of its standard deviation."""
_MOST_STEPS = 100
_WELL_CONDITIONED = 1e6
"""Normal equations of such a condition lose half of the digits at most, and are five times as fast
as an orthogonal decomposition."""
_MATERIAL = 0.05
"""A bend of less than this share of the longest service time changes no budget that matters."""
_FASTEST_STREAM, _SLOWEST_STREAM = 1 / 400, 1.0
"""Seconds a token out of which a time is hardly that of one stream on a present machine."""
_FEW = 20
"""Rows below which no spread and no outlier can be told."""
_ENOUGH, _LOPSIDED, _LONG_WAIT = 50, 2.0, 0.2
"""Waiting is asked after from so many rows, if the upper half spreads so many times as far as the
lower, and so far in shares of a typical latency. Normal noise gives 1, waits at a load of a half
or more beyond 2.4."""


class LatencyVerdict(StrEnum):
    """What the latencies say of the service time."""

    AFFINE = "affine"
    CURVED = "curved"
    BATCHED = "batched"
    NOT_IDENTIFIED = "not identified"


@dataclass(frozen=True, eq=False)
class LatencyFit:
    """An affine service time.

    Attributes
    ----------
    base_time, time_per_token : float
        Intercept in s and slope in s/token; 0 and 0 where they are not identified.
    line : ndarray, (2,)
        The two before an intercept below 0 is held there.
    covariance : ndarray, (2, 2)
        Of ``line``, from the sandwich.
    degrees : ndarray, (2,)
        Degrees of freedom of their Student intervals; 0 where nothing tells an error.
    used, batched, outliers : int
        Rows fitted, rows left out as batched, and rows fitted with almost no weight.
    curvature : float
        Coefficient of ℓ² if one is added, in s/token².
    curvature_p : float
        Probability of so large a coefficient if the service time is affine; 1 where not testable.
    bend : float
        What that coefficient adds to the longest service time measured, as a share of it, beyond
        the best line.
    verdict : LatencyVerdict
        The conclusion.
    words : str
        The conclusion in a sentence.
    """

    base_time: float
    time_per_token: float
    line: Array
    covariance: Array
    degrees: Array
    used: int
    batched: int
    outliers: int
    curvature: float
    curvature_p: float
    bend: float
    verdict: LatencyVerdict
    words: str

    @property
    def identified(self) -> bool:
        """Whether there is a service time to use."""
        return self.time_per_token > 0

    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return intervals for base time and time per token by Student's t.

        Parameters
        ----------
        level : float, optional
            Nominal coverage.
        """
        known = self.degrees > 0
        width = np.full(2, np.inf)
        errors = np.sqrt(np.diag(self.covariance))
        width[known] = errors[known] * stdtrit(self.degrees[known], (1 + level) / 2)
        # cut to what is possible, an interval of the line covers as before; where the data reject
        # every possible intercept, the one in use is the nearest
        ends = np.maximum(self.line + np.stack([-width, width]), 0.0)
        names = ("base_time", "time_per_token")
        return {
            name: Interval(
                min(float(low), getattr(self, name)), max(float(high), getattr(self, name)), level,
                high_open=bool(np.isinf(high)),
            )
            for name, low, high in zip(names, *ends, strict=True)
        }  # fmt: skip

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Return base times and times per token of new experiments like this one, (count, 2).

        Normal about the estimate, each with its intercept held at 0 as the estimate's is; a slope
        is at least a hundredth of the estimate.

        Parameters
        ----------
        count : int
            How many.
        rng : numpy.random.Generator
            The source of randomness.
        """
        centre = np.array([self.base_time, self.time_per_token])
        base, slope = rng.multivariate_normal(centre, self.covariance, size=count, method="eigh").T
        if self.covariance[0, 0] > 0:
            # what the slope is if the intercept is not below 0
            slope = slope - np.minimum(base, 0.0) * self.covariance[0, 1] / self.covariance[0, 0]
        return np.stack([np.maximum(base, 0.0), np.maximum(slope, centre[1] / 100)], axis=-1)


def fit_latency(tokens: Array, latency: Array) -> LatencyFit:
    """Fit an affine service time to latencies of single queries.

    Parameters
    ----------
    tokens : ndarray, (R,)
        Tokens that each query used.
    latency : ndarray, (R,)
        Seconds that it took, alone on the server.
    """
    in_batch = batched_rows(tokens, latency)
    batched = int(in_batch.sum())
    x, y = tokens[~in_batch], latency[~in_batch]
    if np.unique(x).size < 2:
        if batched:
            words = (
                f"{batched} of {tokens.size} latencies are those of whole batches, and too few are "
                "left to fit a line: measure queries one at a time."
            )
            return _nothing(LatencyVerdict.BATCHED, batched, words)
        words = "A line needs latencies at two or more different token counts."
        return _nothing(LatencyVerdict.NOT_IDENTIFIED, batched, words)
    few = x.size < _FEW
    weights, robust, line = _least_squares(x, y) if few else _robust_line(x, y)
    design = np.stack([np.ones_like(x), x], axis=1)
    if few:
        covariance, degrees = _small_sandwich(design, y - design @ line)
    else:
        covariance, degrees = _sandwich(design, y, weights, line), np.full(2, x.size - 2.0)
    coefficients = line
    held = line[0] < 0
    if held:
        through_zero = (
            _weighted(design[:, 1:], y, weights)
            if few
            else _reweighted(design[:, 1:], y, weights)[1]
        )
        coefficients = np.concatenate([[0.0], through_zero])
    slope_error = float(np.sqrt(covariance[1, 1]))
    if coefficients[1] <= 0 or (slope_error > 0 and coefficients[1] < 2 * slope_error):
        words = "Latency does not grow with the tokens beyond its noise, so it has no slope to use."
        return _nothing(LatencyVerdict.NOT_IDENTIFIED, batched, words)
    curvature, probability, bend = _curvature_test(x, y, weights)
    curved = probability < 0.01 and abs(bend) > _MATERIAL
    verdict = LatencyVerdict.CURVED if curved else LatencyVerdict.AFFINE
    return LatencyFit(
        base_time=float(coefficients[0]),
        time_per_token=float(coefficients[1]),
        line=line,
        covariance=covariance,
        degrees=degrees,
        used=int(x.size),
        batched=batched,
        outliers=int(np.sum(robust < 0.1)),
        curvature=curvature,
        curvature_p=probability,
        bend=bend,
        verdict=verdict,
        words=_words(verdict, coefficients, x, y, batched, held, bend),
    )


def batched_rows(tokens: Array, latency: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which rows carry the time of a whole batch instead of their own.

    Queries that ran together are often logged with one latency. A row is suspect if another row has
    exactly its latency and other tokens; the suspects are taken for batches if there are more such
    pairs than rounding would give, counted from pairs that differ by one to fifty of the smallest
    recorded steps, beyond one chance in a million.

    Parameters
    ----------
    tokens, latency : ndarray, (R,)
        The rows.
    """
    order = np.lexsort((tokens, latency))
    seconds, used = latency[order], tokens[order]
    gaps = np.diff(seconds)
    suspects = np.zeros(latency.size, dtype=bool)
    positive = gaps[gaps > 1e-9]
    if positive.size == 0:
        # one latency for all rows: a batch if the tokens differ, and no line in any case
        suspects[:] = np.unique(tokens).size > 1
        return suspects
    step = float(positive.min())
    starts, stops = _runs(gaps <= 1e-9)
    # rows of one latency come in the order of their tokens: they differ if the ends do
    mixed = used[starts] != used[stops - 1]
    starts, stops = starts[mixed], stops[mixed]
    same = int(np.sum((stops - starts) * (stops - starts - 1) // 2))
    edges = np.zeros(latency.size + 1, dtype=int)
    edges[starts] += 1
    edges[stops] -= 1
    suspects[order] = np.cumsum(edges[:-1]) > 0
    reach = np.searchsorted(seconds, seconds + 50.5 * step, side="right")
    coincident = np.searchsorted(seconds, seconds + 0.5 * step, side="right")
    expected = float(np.sum(reach - coincident)) / 50
    if same == 0 or pdtrc(same - 1, expected + 1e-3) > 1e-6:
        suspects[:] = False
    return suspects


def _runs(
    same: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return start and stop of each run of two or more equal neighbours, stop excluded."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(int)))
    return edges[::2], edges[1::2] + 1


def _least_squares(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return even precision, even weights and the line of least squares."""
    even = np.ones_like(y)
    return even, even, _weighted(np.stack([even, x], axis=1), y, even)


def _small_sandwich(design: Array, residual: Array) -> tuple[Array, Array]:
    r"""Return the covariance of least squares and its degrees of freedom, honest for few rows.

    With :math:`e = (I - H)\varepsilon` the variance of a coefficient is estimated by
    :math:`\sum_i g_i^2 e_i^2 / (1 - h_i)`, a quadratic form in :math:`\varepsilon`; for even
    spread its degrees of freedom are :math:`(\operatorname{tr} K)^2 / \operatorname{tr} K^2`.
    """
    columns = design.shape[1]
    if residual.size == columns:
        return np.zeros((columns, columns)), np.zeros(columns)
    scale = np.sqrt((design**2).sum(axis=0))
    scaled = design / scale
    spread = np.linalg.pinv(scaled)  # coefficients are this times y
    leftover = np.eye(residual.size) - scaled @ spread
    free = np.maximum(np.diag(leftover), 1e-9)
    covariance = (spread * residual**2 / free) @ spread.T / np.outer(scale, scale)
    degrees = np.empty(columns)
    for j, row in enumerate(spread):
        root = leftover * (row / np.sqrt(free))
        form = root.T @ root
        degrees[j] = np.trace(form) ** 2 / np.sum(form**2)
    return np.asarray(covariance), degrees


def _robust_line(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return precision weights, bisquare weights and the line (intercept, slope)."""
    design = np.stack([np.ones_like(x), x], axis=1)
    line = np.linalg.lstsq(design, y, rcond=None)[0]
    for _ in range(_MOST_STEPS):
        residual = y - design @ line
        scale = _scale(residual, y)
        weight = np.minimum(1.0, _HUBER / np.maximum(np.abs(residual) / scale, 1e-12))
        line, before = _weighted(design, y, weight), line
        if np.max(np.abs(design @ (line - before))) <= 1e-10 * np.max(np.abs(y)):
            break
    spread = _spread(x, np.abs(y - design @ line), scale)
    precision = 1 / spread**2
    robust, line = _reweighted(design, y, precision)
    return precision, robust, line


def _spread(x: Array, size: Array, scale: float) -> Array:
    """Return σ(ℓ) = a + bℓ, a and b at least 0, from absolute residuals cut at four scales."""
    design = np.stack([np.ones_like(x), x / max(float(x.max()), 1e-300)], axis=1)
    cut = np.minimum(size, 4 * scale)
    fitted = design @ np.linalg.lstsq(design, cut, rcond=None)[0]
    if fitted[np.argmax(x)] < fitted[np.argmin(x)] or fitted[np.argmin(x)] < 0:
        flat, steep = np.full_like(cut, cut.mean()), x * (x @ cut) / (x @ x)
        fitted = min((flat, steep), key=lambda line: float(np.sum((cut - line) ** 2)))
    floor = max(0.05 * float(fitted.max()), 1e-3 * scale)
    return np.asarray(np.maximum(fitted, floor))


def _reweighted(design: Array, y: Array, precision: Array) -> tuple[Array, Array]:
    """Return bisquare weights and coefficients, by iteration from the weighted fit."""
    root = np.sqrt(precision)
    coefficients = _weighted(design, y, precision)
    weight = np.ones_like(y)
    for _ in range(_MOST_STEPS):
        residual = (y - design @ coefficients) * root
        ratio = residual / (_BISQUARE * _scale(residual, y * root))
        weight = np.where(np.abs(ratio) < 1, (1 - np.minimum(ratio**2, 1)) ** 2, 0.0)
        updated = _weighted(design, y, precision * weight)
        change = np.max(np.abs(design @ (updated - coefficients)))
        coefficients = updated
        if change <= 1e-10 * np.max(np.abs(y)):
            break
    return weight, coefficients


def _weighted(design: Array, y: Array, weight: Array) -> Array:
    """Return the coefficients of weighted least squares."""
    product = design.T @ (design * weight[:, None])
    unit = 1 / np.sqrt(np.maximum(np.diag(product), 1e-300))
    scaled = product * np.outer(unit, unit)
    if np.linalg.cond(scaled) < _WELL_CONDITIONED:
        return np.asarray(unit * np.linalg.solve(scaled, unit * (design.T @ (weight * y))))
    root = np.sqrt(weight)[:, None]
    return np.asarray(np.linalg.lstsq(design * root, y * root[:, 0], rcond=None)[0])


def _scale(residual: Array, y: Array) -> float:
    """Return a robust standard deviation, never quite zero."""
    spread = _CONSISTENT * float(np.median(np.abs(residual - np.median(residual))))
    return max(spread, 1e-9 * float(np.max(np.abs(y))), 1e-300)


def _sandwich(design: Array, y: Array, precision: Array, coefficients: Array) -> Array:
    """Return the covariance of bisquare coefficients, robust to any spread.

    The M-estimator's sandwich with the mean derivative of the bisquare in the bread (Huber 1981)
    and residuals enlarged by their leverage as in HC3.
    """
    root = np.sqrt(precision)
    residual = (y - design @ coefficients) * root
    ratio = np.minimum((residual / (_BISQUARE * _scale(residual, y * root))) ** 2, 1.0)
    derivative = max(float(np.mean((1 - ratio) * (1 - 5 * ratio))), 0.1)
    bread = np.linalg.pinv(design.T @ (design * precision[:, None]))
    leverage = np.minimum(np.einsum("ij,jk,ik->i", design, bread, design) * precision, 0.999)
    score = root * (1 - ratio) ** 2 * residual / (1 - leverage)
    meat = design.T @ (design * score[:, None] ** 2)
    return np.asarray(bread @ meat @ bread / derivative**2)


def _curvature_test(x: Array, y: Array, precision: Array) -> tuple[float, float, float]:
    """Return the coefficient of ℓ², its two-sided p-value, and the bend it stands for."""
    if np.unique(x).size < 4:
        return 0.0, 1.0, 0.0
    longest = float(x.max())
    scaled = x / longest
    design = np.stack([np.ones_like(x), scaled, scaled**2], axis=1)
    robust, coefficients = _reweighted(design, y, precision)
    error = float(np.sqrt(_sandwich(design, y, precision, coefficients)[2, 2]))
    probability = 1.0
    if error > 0 and np.sum(robust > 0) > 3:
        probability = 2 * float(stdtr(np.sum(robust > 0) - 3, -abs(coefficients[2]) / error))
    curve = design @ coefficients
    line = design[:, :2] @ _weighted(design[:, :2], curve, precision * robust)
    bend = (curve - line)[int(np.argmax(x))] / max(float(np.max(curve)), 1e-300)
    return float(coefficients[2] / longest**2), probability, float(bend)


def _nothing(verdict: LatencyVerdict, batched: int, words: str) -> LatencyFit:
    none = np.zeros(2)
    return LatencyFit(
        0.0, 0.0, none, np.zeros((2, 2)), none, 0, batched, 0, 0.0, 1.0, 0.0, verdict, words
    )


def _words(
    verdict: LatencyVerdict,
    line: Array,
    x: Array,
    y: Array,
    batched: int,
    held: bool,
    bend: float,
) -> str:
    parts = ["Service time is affine in the tokens, as far as these data can tell."]
    if verdict is LatencyVerdict.CURVED:
        way = "faster" if bend > 0 else "slower"
        parts = [
            f"Service time grows {way} than a line: the longest query is {abs(bend):.0%} off. Fit "
            "the range of budgets that you will use."
        ]
    if x.size == 2:
        parts.append("Two rows fix a line and say nothing of its error: measure more.")
    if batched:
        parts.append(f"{batched} rows carry the time of a batch and were left out.")
    if held:
        parts.append("The intercept came out below 0 and is held at 0.")
    if line[1] < _FASTEST_STREAM:
        parts.append(
            f"{1 / line[1]:,.0f} tokens a second is no single stream's speed: these look like "
            "times shared by a batch, and the queue of the model needs single-stream times."
        )
    if line[1] > _SLOWEST_STREAM:
        parts.append(
            f"{line[1]:,.4g} s a token is slower than any stream: are the latencies in "
            "milliseconds? They must be in seconds."
        )
    if _lopsided(y - line[0] - line[1] * x, y):
        parts.append(
            "The latencies lie far above the line more often than below: do they hold time in a "
            "queue or beside other queries? The model needs the time alone on the server; a column "
            "'sent' would show which rows had it to themselves."
        )
    return " ".join(parts)


def _lopsided(residual: Array, y: Array) -> bool:
    """Return whether residuals spread upwards as waits do, and far enough to matter."""
    if residual.size < _ENOUGH:
        return False
    low, middle, high = np.quantile(residual, [1 / 8, 1 / 2, 7 / 8])
    far = high - middle > _LONG_WAIT * float(np.median(y))
    return bool(far and high - middle > _LOPSIDED * (middle - low))
