"""The one door to the compiler, so that the rest of the library imports without it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from thinkqueue.errors import ThinkQueueError

Kernel = TypeVar("Kernel", bound=Callable[..., object])

try:
    import numba
    from numba.core.caching import IndexDataCacheFile
except ImportError as missing:
    raise ThinkQueueError(
        "Simulation needs the compiler Numba; install it with: pip install 'thinkqueue[simulate]'"
    ) from missing


@lru_cache
def fingerprint(folder: Path) -> str:
    """Return a hash of the text of all kernels in a folder: of every source file there.

    Parameters
    ----------
    folder : Path
        Such as the folder of the simulation.
    """
    digest = hashlib.sha256()
    for source in sorted(folder.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


class _Index(IndexDataCacheFile):
    """Where the machine code of one kernel lies.

    Numba reads all of an index before it looks at the stamp. An index that names a type which was
    renamed since, or that was not written whole, cannot be read: it is no index, and is replaced.
    """

    def _load_index(self) -> Any:
        try:
            return super()._load_index()  # type: ignore[no-untyped-call]
        except Exception:
            return {}


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
    the kernel's file, knows nothing; the stamp is therefore the text of them all: of the kernels
    here, and of those beside a kernel that is written elsewhere.
    """
    dispatcher: Any = numba.njit(cache=True, nogil=True, error_model="numpy")(kernel)
    cache = dispatcher._cache
    folders = Path(__file__).parent, Path(kernel.__code__.co_filename).parent
    stamp = tuple(fingerprint(folder) for folder in folders)
    base = cache._impl.filename_base
    cache._cache_file = _Index(cache.cache_path, base, stamp)  # type: ignore[no-untyped-call]
    return cast(Kernel, dispatcher)
