"""The one door to the compiler, so that the rest of the library imports without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from thinkqueue.errors import ThinkQueueError

Kernel = TypeVar("Kernel", bound=Callable[..., object])

try:
    import numba
except ImportError as missing:
    raise ThinkQueueError(
        "Simulation needs the compiler Numba; install it with: pip install 'thinkqueue[simulate]'"
    ) from missing


def compiled(kernel: Kernel) -> Kernel:
    """Compile a kernel to machine code, once a machine, without changing its type.

    Strict IEEE arithmetic: no fast-math, so the same seed gives the same bits.

    Parameters
    ----------
    kernel : callable
        A function of scalars and arrays.

    Notes
    -----
    The code is cached beside the source file, or in the user's cache folder where that cannot be
    written. The cache looks at the kernel's own file only: who edits a kernel that other files
    inline removes their ``__pycache__`` too.
    """
    return cast(Kernel, numba.njit(cache=True, nogil=True, error_model="numpy")(kernel))
