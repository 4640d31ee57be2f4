"""The summed fields of slices as rows of integers: exact under adding and subtracting, and fast in numpy.

A slice is kept as packed bytes. For adding, many packed slices become one matrix of int64: counts as they are, each
float sum (a multiple of 2^-32) as two columns, its floor and the rest in units of 2^-32. Integer arithmetic is exact
however large the sums grow, and a difference of two prefix sums is exact even where a prefix wraps around.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.slice import Slice, Sums

Rows = NDArray[np.int64]

_COUNTS = (
    *("n", "scored", "negative", "neutral", "positive", "gap_n", "gap_broken", "wait_n", "wait_satisfied"),
    *("wait_tolerating", "nps_n", "nps_promoters", "nps_detractors", "csat_n", "csat_top", "ces_n"),
)
_FLOATS = ("sum_x", "sum_xx", "gap_sum", "ces_sum", "ces_sum2")
#: Columns of a row of sums: counts, floors of the float sums, rests of the float sums.
WIDTH = len(_COUNTS) + 2 * len(_FLOATS)
_FLOORS = slice(len(_COUNTS), len(_COUNTS) + len(_FLOATS))
_RESTS = slice(_FLOORS.stop, WIDTH)
_UNIT = 2.0**-32
#: Columns of the numbers that the minimum n is about: one for each metric.
METRIC_COUNTS = [_COUNTS.index(name) for name in ("scored", "gap_n", "wait_n", "nps_n", "csat_n", "ces_n")]

#: A packed slice: the version, then the fields with the rarest last, because zeros at the end are not kept.
_LAYOUT = struct.Struct("<qqqddqqqqqqqdqqqqqqqdd")
_PACKED_COUNTS = [1, 2, 5, 6, 7, 11, 13, 8, 9, 10, 14, 15, 16, 17, 18, 19]
_PACKED_FLOATS = [3, 4, 12, 20, 21]


def pack(item: Slice) -> bytes:
    """The version and the summed fields of `item` that scores need, in as few bytes as its trailing zeros allow."""
    return _LAYOUT.pack(
        item.version,
        item.n,
        item.scored,
        item.sum_x,
        item.sum_xx,
        item.negative,
        item.neutral,
        item.positive,
        item.wait_n,
        item.wait_satisfied,
        item.wait_tolerating,
        item.gap_n,
        item.gap_sum,
        item.gap_broken,
        item.nps_n,
        item.nps_promoters,
        item.nps_detractors,
        item.csat_n,
        item.csat_top,
        item.ces_n,
        item.ces_sum,
        item.ces_sum2,
    ).rstrip(b"\0")


def packed_version(packed: bytes) -> int:
    """The version of a packed slice."""
    return int.from_bytes(packed[:8], "little", signed=True)


def rows(packed: Sequence[bytes]) -> Rows:
    """One row of sums for each packed slice; empty bytes stand for a slice without events."""
    size = _LAYOUT.size
    raw = np.frombuffer(b"".join([item.ljust(size, b"\0") for item in packed]), np.int64).reshape(len(packed), -1)
    floats = raw.view(np.float64)[:, _PACKED_FLOATS]
    floors = np.floor(floats)
    result = np.empty((len(packed), WIDTH), np.int64)
    result[:, : _FLOORS.start] = raw[:, _PACKED_COUNTS]
    result[:, _FLOORS] = floors
    result[:, _RESTS] = (floats - floors) / _UNIT
    return result


def sums(matrix: Rows) -> list[Sums]:
    """The rows of `matrix` as `Sums`: exact while a double can hold the sum, correctly rounded beyond."""
    floors = matrix[:, _FLOORS] + (matrix[:, _RESTS] >> 32)
    rests = matrix[:, _RESTS] & 0xFFFF_FFFF
    floats = floors + rests * _UNIT
    counts = matrix[:, : _FLOORS.start]
    return [_sums(*row) for row in zip(counts.tolist(), floats.tolist(), strict=True)]


def _sums(counts: list[int], floats: list[float]) -> Sums:
    n, scored, negative, neutral, positive, gap_n, gap_broken, wait_n, satisfied, tolerating, *answers = counts
    nps_n, promoters, detractors, csat_n, top, ces_n = answers
    x, xx, gap, ces, ces2 = floats
    # By position, in the order of the fields: by name would cost twice the time. Logarithms of waits are not kept.
    return Sums(
        *(n, scored, x, xx, negative, neutral, positive, gap_n, gap, gap_broken, wait_n, 0.0, 0.0),
        *(satisfied, tolerating, nps_n, promoters, detractors, csat_n, top, ces_n, ces, ces2),
    )
