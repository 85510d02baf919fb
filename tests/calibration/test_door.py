"""Whatever is given to ``calibrate`` ends in a calibration or in one short sentence."""

import contextlib
import io
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from thinkqueue.calibration import Calibration, calibrate
from thinkqueue.errors import ThinkQueueError

LONGEST = 500
EXTREME = [0, 1e-9, 1e12, 1e-6, 1e9]
TAME = {
    "budget": [0, 250, 500, "1000", 2000, 4000, 8000, *EXTREME],
    "tokens": [0, 200, 480.5, 900, 1500, 2500, *EXTREME],
    "correct": [0, 1, True, "no", 0.5],
    "accuracy": [0, 1, 0.5, "0.25", 0.333],
    "total": [1, 2, 10, 300, "30", 10**7],
    "latency": [0.1, 2, 5.25, 11, "40", 81.5, *EXTREME],
    "sent": [0, 10, 100, 1000.5, *EXTREME],
}
ODD = [
    None, "", " ", "NA", "nan", "inf", "-1", -0.0, -5, "x", "1,5", "1_0", "٣", "1e400", "0x10", "½",
    float("nan"), float("inf"), 1e308, 1e-320, 10**400, 10**5000, -(10**20), 12345678901234567890,
    np.float32(2), np.int8(3), np.longdouble("1e4000"), np.ma.masked, np.ma.masked_array(1, True),
    np.array(3.0), np.array([1.0, 2.0]), np.datetime64("2024-01-01"), np.timedelta64(5, "s"),
    np.complex128(1 + 2j), 1j, b"7", b"\xff", Decimal(3), Decimal("sNaN"), Fraction(7, 2), pd.NA,
    pd.NaT, pd.Timestamp("2024-01-01"), object(), [], {}, {1}, "q" * 9000, "\x1b[31m", "\ud800",
]  # fmt: skip
NAMES = ["math", "logic", "math", "logic", "math", 7, "m" * 90, "ü", "[red]", "$x_{$"]
ODD_NAMES = [*ODD, "m" * 5000, "a\nb", "\x00"]


def outcome(source, **options):
    """The calibration, or the message of one of our errors; anything else fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = calibrate(source, simulations=39, **options)
        except ThinkQueueError as error:
            message = str(error)
        else:
            return well_formed(found)
    assert 0 < len(message) < LONGEST
    return message


def well_formed(found):
    """The calibration, once its estimates are seen to lie in their intervals."""
    assert isinstance(found, Calibration)
    for task in found.tasks:
        for interval, value in intervals_of(task):
            assert np.isfinite(value)
            assert interval.low <= value * (1 + 1e-6) + 1e-12
            assert interval.high >= value * (1 - 1e-6) - 1e-12
    return found


def intervals_of(task):
    """Every interval of a task beside its estimate."""
    if task.accuracy:
        for name in ("gain", "rate", "baseline"):
            yield task.accuracy.intervals[name], getattr(task.accuracy, name)
    if task.latency and task.latency.identified:
        for name, interval in task.latency.intervals().items():
            yield interval, getattr(task.latency, name)


def wild_table(rng):
    """Columns that make sense, with odd cells in every other table."""
    size = int(rng.integers(0, 14))
    scored = rng.choice(["correct", "accuracy", "latency"])
    names = [*rng.permutation(["budget", "tokens", "total", "latency", "sent"])[: rng.integers(6)]]
    odd = rng.choice([0.0, 0.0, 0.03, 0.3])
    columns = {}
    for name in ["task", str(scored), *map(str, names)]:
        tame, strange = (NAMES, ODD_NAMES) if name == "task" else (TAME[name], ODD)
        columns[name.upper() if rng.random() < 0.1 else name] = [
            strange[rng.integers(len(strange))] if rng.random() < odd
            else tame[rng.integers(len(tame))]
            for _ in range(size)
        ]  # fmt: skip
    return columns


def spoilt(rng, data):
    """The bytes with some of them changed, cut off or doubled."""
    data = bytearray(data)
    for _ in range(rng.integers(0, 4)):
        if data:
            at = int(rng.integers(len(data)))
            match rng.integers(3):
                case 0:
                    data[at] = rng.integers(256)
                case 1:
                    del data[at : at + int(rng.integers(1, 30))]
                case _:
                    data[at:at] = data[at : at + 20]
    return bytes(data)


def shown(cell):
    return "9" * 5000 if isinstance(cell, int) and abs(cell) > 10**400 else str(cell)[:50]


def as_csv(columns, rng):
    separator = str(rng.choice([",", ";", "\t"]))
    lines = [separator.join(columns)]
    lines += [
        separator.join(shown(c) for c in cells) for cells in zip(*columns.values(), strict=True)
    ]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def as_parquet(columns, rng):
    kinds = [pa.float64(), pa.int64(), pa.string(), pa.binary(), pa.decimal128(12, 3)]
    arrays = {}
    for name, cells in columns.items():
        kind = pa.string() if name == "task" else kinds[rng.integers(len(kinds))]
        tame = [shown(c) if kind == pa.string() else c for c in cells]
        try:
            arrays[name] = pa.array(tame, type=kind)
        except (pa.ArrowException, Warning, TypeError, ValueError, OverflowError):
            arrays[name] = pa.array([1] * len(cells))
    stream = io.BytesIO()
    pq.write_table(pa.table(arrays), stream)
    return stream.getvalue()


def as_frame(columns, rng):
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    if rng.random() < 0.3:
        with contextlib.suppress(UnicodeEncodeError):  # pandas keeps no lone surrogate
            return frame.convert_dtypes()
    return frame


def as_masked(columns, rng):
    tame = {name: [c if isinstance(c, float | int) and abs(c) < 1e300 else 1 for c in cells] for
            name, cells in columns.items()}  # fmt: skip
    masked = {
        name: np.ma.masked_array(np.array(cells, float), rng.random(len(cells)) < 0.2)
        for name, cells in tame.items()
    }
    return masked | {"task": ["math"] * len(next(iter(columns.values())))}


def hostile(seed, folder):
    """One source out of many kinds."""
    rng = np.random.default_rng(seed)
    columns = wild_table(rng)
    match seed % 6:
        case 0:
            path = folder / "measured.csv"
            path.write_bytes(spoilt(rng, as_csv(columns, rng)))
            return path
        case 1:
            path = folder / "measured.parquet"
            path.write_bytes(spoilt(rng, as_parquet(columns, rng)))
            return path
        case 2:
            return [
                dict(zip(columns, cells, strict=True))
                for cells in zip(*columns.values(), strict=True)
            ]
        case 3:
            return as_frame(columns, rng)
        case 4:
            return as_masked(columns, rng)
        case _:
            return columns


@pytest.mark.parametrize("seed", range(60))
def test_hostile_tables_end_well(seed, tmp_path):
    outcome(hostile(seed, tmp_path))
