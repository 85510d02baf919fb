"""The symbols of the model as arrays, for one workload or many, and the ranges they may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array, Scalar
from thinkqueue.checks import LARGEST, SMALLEST
from thinkqueue.errors import WorkloadError
from thinkqueue.names import shown
from thinkqueue.workload.accuracy import Curve
from thinkqueue.workload.service import Service

SHARE_TOLERANCE = 1e-9
"""How far from 1 the shares may add up."""


class Parameters(Protocol):
    """The symbols of the model, for one workload or for many.

    One workload has scalars λ, α and arrays of shape (N,); a grid of workloads has arrays that
    broadcast against (..., N), also inside its curves and its service.
    """

    @property
    def share(self) -> Array:
        """π."""
        ...

    @property
    def curves(self) -> Curve:
        """What the tokens of each type buy."""
        ...

    @property
    def service(self) -> Service:
        """How long a query of each type is worked on."""
        ...

    @property
    def max_tokens(self) -> Array:
        """ℓ_max."""
        ...

    @property
    def weight(self) -> Array:
        """The weight w of the type's accuracy."""
        ...

    @property
    def arrival_rate(self) -> Scalar:
        """λ, 1/s."""
        ...

    @property
    def accuracy_weight(self) -> Scalar:
        """α, s."""
        ...

    @property
    def server(self) -> object:
        """What serves them."""
        ...


@dataclass(frozen=True)
class Grid:
    """Many workloads at once: arrays that broadcast against (..., N), unchecked.

    Parameters
    ----------
    share, max_tokens, weight : ndarray
        π, ℓ_max, w.
    curves, service : Curve, Service
        With arrays of such shapes for fields.
    arrival_rate, accuracy_weight : ndarray, (..., 1)
        λ and α.
    server : object
        What serves all of them.
    """

    share: Array
    max_tokens: Array
    weight: Array
    curves: Curve
    service: Service
    arrival_rate: Scalar
    accuracy_weight: Scalar
    server: object


# (parameter, smallest value, largest value)
RANGES: tuple[tuple[str, float, float], ...] = (
    ("share", 0.0, 1.0),
    ("gain", 0.0, 1.0),
    ("rate", SMALLEST, LARGEST),
    ("baseline", 0.0, 1.0),
    ("base_time", 0.0, LARGEST),
    ("time_per_token", SMALLEST, LARGEST),
    ("variation", 0.0, LARGEST),
    ("answer_tokens", 0.0, LARGEST),
    ("prompt_time", 0.0, LARGEST),
    ("prompt_tokens", 0.0, LARGEST),
    ("max_tokens", 0.0, LARGEST),
    ("weight", 0.0, LARGEST),
)
SCALARS = {
    "arrival_rate": ("arrival_rate", SMALLEST, LARGEST),
    "accuracy_weight": ("accuracy_weight", 0.0, LARGEST),
}
CURVE, SERVICE = ("gain", "rate", "baseline"), ("base_time", "time_per_token")
GENERATED = ("answer_tokens", "prompt_time", "prompt_tokens")
"""What is asked of a server that answers many at once, in place of the service time."""
VARYING = (*SERVICE, "variation")
"""What is told of service times whose lengths vary."""
FIELDS = tuple(name for name, *_ in RANGES if name not in (*GENERATED, "variation"))
"""What each task type has one value of, if its curve saturates and its service is affine."""
OWN = tuple(name for name in FIELDS if name not in CURVE + SERVICE)


def check_ranges(parameters: Mapping[str, Array | float], name: Callable[[int], str]) -> None:
    """Refuse values that no workload can have.

    Parameters
    ----------
    parameters : mapping
        Values by the names of :data:`RANGES`; the last axis is that of the types.
    name : callable
        Gives the name of the type at an index.

    Raises
    ------
    WorkloadError
        With the first parameter, value and task type at fault.
    """

    def refuse(parameter: str, values: Array, good: NDArray[np.bool_], demand: str) -> None:
        if good.all():
            return
        where = np.unravel_index(int(np.argmin(good)), good.shape)
        task = name(int(where[-1])) if parameter not in SCALARS else None
        of = f" of task type {shown(task)}" if task is not None else ""
        raise WorkloadError(
            f"{parameter}{of} is {values[where]:.12g}; it must be {demand}.",
            parameter=parameter,
            value=float(values[where]),
            task=task,
        )

    for field, smallest, largest in (*RANGES, *SCALARS.values()):
        if field not in parameters:
            continue
        values = np.atleast_1d(np.asarray(parameters[field], dtype=np.float64))
        low = "positive" if smallest == SMALLEST else f"at least {smallest:g}"
        within = (values >= smallest) & (values <= largest)
        refuse(field, values, within, f"{low} and at most {largest:g}")
    if "gain" in parameters:
        top = np.asarray(parameters["gain"]) + np.asarray(parameters["baseline"])
        refuse("gain + baseline", top, top <= 1 + 1e-12, "at most 1, as an accuracy must be")
    if "share" not in parameters:  # the numbers of a curve alone
        return
    mass = np.asarray(parameters["share"]).sum(axis=-1)
    if (np.abs(mass - 1) > SHARE_TOLERANCE).any():
        worst = float(np.ravel(mass)[np.argmax(np.abs(mass - 1))])
        remedy = f"divide each by {worst:.12g}" if worst > 0 else "give some type a share"
        raise WorkloadError(
            f"The shares add up to {worst:.12g} and not to 1; {remedy}.",
            parameter="share",
            value=worst,
        )
