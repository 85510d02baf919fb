r"""Drawing the type of a query in constant time, whatever the number of types.

The alias method of A. J. Walker (1977), built in linear time as M. D. Vose (1991) does, over more
columns than there are types: all but about N of them then hold a single type, and the processor
guesses the comparison right almost always.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from thinkqueue.arrays import Array, Index
from thinkqueue.simulation.compiled import compiled

FEWEST_COLUMNS = 256


class AliasTable(NamedTuple):
    """Columns of equal probability, each shared by at most two types.

    Attributes
    ----------
    keep : ndarray, (K,)
        The probability with which a column yields its first type; K is a power of two.
    first, other : ndarray of int64, (K,)
        The two types of a column.
    """

    keep: Array
    first: Index
    other: Index


@compiled
def alias_table(share: Array) -> AliasTable:
    """Return the table that :func:`types_of` reads, in O(N).

    Parameters
    ----------
    share : ndarray, (N,)
        Probabilities.
    """
    types = share.size
    columns = FEWEST_COLUMNS
    while columns < 2 * types:
        columns *= 2
    keep, first = np.ones(columns), np.zeros(columns, np.int64)
    # whole columns first; they leave at least N columns for the N remainders
    rest = np.zeros(columns)
    filled = 0
    for k in range(types):
        mass = share[k] / share.sum() * columns if types == 1 else share[k] * columns
        whole = int(share[k] * (columns - types))
        rest[k] = mass - whole
        for column in range(filled, filled + whole):
            first[column] = k
        filled += whole
    other = first.copy()
    # remainders: column filled + k belongs to type k, columns beyond belong to nobody
    small, large = np.empty(columns, np.int64), np.empty(columns, np.int64)
    smalls = larges = 0
    for k in range(columns - filled):
        first[filled + k] = other[filled + k] = min(k, types - 1)
        if rest[k] < 1.0:
            small[smalls] = k
            smalls += 1
        else:
            large[larges] = k
            larges += 1
    while smalls > 0 and larges > 0:
        smalls -= 1
        k, donor = small[smalls], large[larges - 1]
        keep[filled + k], other[filled + k] = rest[k], donor
        rest[donor] -= 1.0 - rest[k]
        if rest[donor] < 1.0:
            larges -= 1
            small[smalls] = donor
            smalls += 1
    # what rounding leaves over is a full column, or goes to the most frequent type
    for place in range(smalls):
        k = small[place]
        if rest[k] < 0.5:
            keep[filled + k], other[filled + k] = 0.0, np.argmax(share)
    return AliasTable(keep, first, other)


@compiled
def types_of(uniform: Array, table: AliasTable, kinds: Index) -> None:
    """Turn uniform numbers into types with the probabilities of the table.

    Parameters
    ----------
    uniform : ndarray, (n,)
        In [0, 1).
    table : AliasTable
        Of the shares.
    kinds : ndarray of int64, (n,)
        Where the types go.
    """
    for i in range(uniform.size):
        place = uniform[i] * table.keep.size
        column = int(place)
        # what is left of the number within its column is uniform again
        split = place - column >= table.keep[column]
        kinds[i] = table.other[column] if split else table.first[column]
