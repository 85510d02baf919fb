"""The one door to the compiler, so that the rest of the library imports without it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from thinkqueue.errors import ThinkQueueError

Kernel = TypeVar("Kernel", bound=Callable[..., object])

try:
    import numba
except ImportError as missing:
    raise ThinkQueueError(
        "Simulation needs the compiler Numba; install it with: pip install 'thinkqueue[simulate]'"
    ) from missing


def fingerprint(folder: Path = Path(__file__).parent) -> str:
    """Return a hash of the text of all kernels: of every source file in a folder.

    Parameters
    ----------
    folder : Path, optional
        By default the folder of the simulation, where all kernels of the library are.
    """
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


KERNELS = fingerprint()


def inlined(kernel: Kernel) -> Kernel:
    """Compile a part of the kernels that call it, of whose code it becomes a part.

    Parameters
    ----------
    kernel : callable
        A function of scalars and arrays, short or called from one place.
    """
    return cast(Kernel, numba.njit(nogil=True, error_model="numpy", forceinline=True)(kernel))


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
    written. A kernel inlines kernels of other files, of whose edits Numba's own stamp, the age of
    the kernel's file, knows nothing; the stamp is therefore the text of them all.
    """
    dispatcher: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(kernel)
    dispatcher._cache._cache_file._source_stamp = KERNELS
    return cast(Kernel, dispatcher)
