r"""Random numbers inside compiled code: xoshiro256++ and the ziggurat for exponentials.

Each replication owns one stream of period :math:`2^{256}-1` whose 256 bits of state come from
its own child of one ``numpy.random.SeedSequence``: what it draws depends on the seed and on its
number alone, never on how many workers there are or which of them runs it.

Sources: D. Blackman and S. Vigna, *Scrambled linear pseudorandom number generators*
(arXiv:1805.01407); G. Marsaglia and W. W. Tsang, *The ziggurat method for generating random
variables* (2000).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thinkqueue.arrays import Array
from thinkqueue.simulation.compiled import compiled

State = NDArray[np.uint64]

LAYERS = 256
TAIL = 7.69711747013104972
"""Where the lowest of the 256 layers of equal area passes into the tail."""


def _ziggurat() -> tuple[Array, Array]:
    """Return the widths of the layers (the first is the base with its tail) and exp(-width)."""
    area = (TAIL + 1) * math.exp(-TAIL)
    widths = np.zeros(LAYERS + 1)
    widths[0], widths[1] = area * math.exp(TAIL), TAIL
    for layer in range(1, LAYERS - 1):
        widths[layer + 1] = -math.log(area / widths[layer] + math.exp(-widths[layer]))
    heights = np.exp(-widths)
    heights[0] = 0.0
    return widths, heights


WIDTHS, HEIGHTS = _ziggurat()


def spawn_states(seed: int, replications: int) -> list[State]:
    """Return the initial state of the stream of each replication.

    Parameters
    ----------
    seed : int
        Any non-negative integer.
    replications : int
        How many streams; the first ones do not depend on how many there are.

    Returns
    -------
    list of ndarray of uint64, (4,)
    """
    children = np.random.SeedSequence(seed).spawn(replications)
    return [np.asarray(child.generate_state(4, np.uint64), np.uint64) for child in children]


@compiled
def words_of(stream: State) -> Any:
    """Return the state of a stream as four numbers, which a compiled loop keeps in registers."""
    return stream[0], stream[1], stream[2], stream[3]


@compiled
def keep_words(stream: State, words: Any) -> None:
    """Put the state back into the stream."""
    stream[0], stream[1], stream[2], stream[3] = words


@compiled
def next_bits(words: Any) -> Any:
    """Return 64 random bits and the state after them (xoshiro256++)."""
    s0, s1, s2, s3 = words
    total = s0 + s3
    bits = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return bits, (s0, s1, s2, s3)


@compiled
def fraction(bits: Any) -> Any:
    """Return the upper 53 of 64 bits as a number in [0, 1)."""
    return float(np.int64(bits >> np.uint64(11))) * 2.0**-53


@compiled
def exponential(words: Any) -> Any:
    """Return an exponential number of mean 1 and the state after it.

    One draw of 64 bits is enough in 99 cases of 100.
    """
    beyond = 0.0
    while True:
        bits, words = next_bits(words)
        layer = int(bits & np.uint64(255))
        x = fraction(bits) * WIDTHS[layer]
        if x < WIDTHS[layer + 1]:
            return beyond + x, words
        if layer == 0:
            beyond += TAIL  # the tail of an exponential is an exponential
        else:
            low, high = HEIGHTS[layer], HEIGHTS[layer + 1]
            bits, words = next_bits(words)
            if low + fraction(bits) * (high - low) < math.exp(-x):
                return beyond + x, words
