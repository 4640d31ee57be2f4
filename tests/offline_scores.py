"""All window scores from offline slices: one numpy column for each number, built by DOMAIN.md's formulas.

A row stands for a scope and a window that ends at `at`, a multiple of the window's hop, and exists where the last hop
[at - hop, at) has events; of a segment pair only if at least one metric is known. Its sums run over the buckets of
[at - length, at).
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from schemas.slice import Cell

#: Name, length and hop of each window, seconds.
WINDOWS = {"5m": (300, 10), "1h": (3600, 60), "24h": (86400, 600)}
SUMMED = (
    *("n", "scored", "sum_x", "sum_xx", "negative", "neutral", "positive", "gap_n", "gap_sum", "gap_broken"),
    *("wait_n", "wait_satisfied", "wait_tolerating", "nps_n", "nps_promoters", "nps_detractors", "csat_n", "csat_top"),
    *("ces_n", "ces_sum", "ces_sum2"),
)
COUNTS = ("n", "scored", "gap_n", "nps_n", "csat_n", "ces_n", "wait_n")
Z = 1.959963984540054

#: Tenant, scope, name, segment, segment value.
Scope = tuple[str, str, str, str, str]
#: The scope's five, window, at.
Key = tuple[str, str, str, str, str, str, int]
Columns = dict[str, np.ndarray[Any, Any]]


class Scores(Mapping[Key, dict[str, Any]]):
    """Rows by key, made when asked for; `frame` gives a whole window. Unknown is None in rows, NaN in frames."""

    def __init__(self, scopes: list[Scope], windows: dict[str, Columns]) -> None:
        self._scopes = scopes
        self._windows = windows
        self._found: dict[str, dict[tuple[Scope, int], int]] = {}

    def _places(self, window: str) -> dict[tuple[Scope, int], int]:
        if window not in self._found:
            columns = self._windows[window]
            pairs = zip(columns["scope_number"].tolist(), columns["at"].tolist(), strict=True)
            self._found[window] = {(self._scopes[number], at): place for place, (number, at) in enumerate(pairs)}
        return self._found[window]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        *scope, window, at = key
        place = self._places(window)[tuple(scope), at]  # type: ignore[index]
        row = {}
        for name, column in self._windows[window].items():
            if name not in ("scope_number", "at"):
                value = column[place].item()
                row[name] = None if value != value else value
        return row

    def __iter__(self) -> Iterator[Key]:
        for window in self._windows:
            yield from ((*scope, window, at) for scope, at in self._places(window))

    def __len__(self) -> int:
        return sum(len(columns["at"]) for columns in self._windows.values())

    def frame(self, window: str) -> pd.DataFrame:
        """All rows of a window, sorted by tenant, scope, name, segment, segment value and at."""
        columns = dict(self._windows[window])
        numbers = columns.pop("scope_number")
        order = sorted(range(len(self._scopes)), key=self._scopes.__getitem__)
        parts = {
            name: pd.Categorical.from_codes(*_codes([scope[i] for scope in self._scopes], numbers))
            for i, name in enumerate(("tenant", "scope", "name", "segment", "segment_value"))
        }
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        table = pd.DataFrame({**parts, **columns})
        return table.iloc[np.lexsort((columns["at"], rank[numbers]))].reset_index(drop=True)


def _codes(texts: list[str], numbers: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], list[str]]:
    values = sorted(set(texts))
    code = {text: place for place, text in enumerate(values)}
    return np.array([code[text] for text in texts], np.int32)[numbers], values


def scores(slices: Mapping[tuple[Cell, int], Mapping[str, Any]], minimum_n: int) -> Scores:
    """Every row of every window, from what `tests.offline.slices` gives. A metric below `minimum_n` is unknown."""
    numbers: dict[Scope, int] = {}
    scope_of: list[int] = []
    buckets: list[int] = []
    rows: list[tuple[float, ...]] = []
    for (cell, bucket), sums in slices.items():
        row = tuple(sums[name] for name in SUMMED)
        for scope, name in (
            ("touchpoint", cell.touchpoint),
            ("channel", cell.channel),
            ("stage", cell.stage),
            ("corridor", ""),
        ):
            key = (cell.tenant, scope, name, cell.segment, cell.segment_value)
            scope_of.append(numbers.setdefault(key, len(numbers)))
            buckets.append(bucket)
            rows.append(row)
    if not rows:
        return Scores([], {})
    places, times, amounts = np.array(scope_of, np.int64), np.array(buckets, np.int64), np.array(rows)
    del rows
    split = np.array([bool(segment) for _, _, _, segment, _ in numbers])
    windows = {
        window: _known(_rows(places, times, amounts, length, hop, minimum_n), split, minimum_n)
        for window, (length, hop) in WINDOWS.items()
    }
    return Scores(list(numbers), windows)


def _known(columns: Columns, split: Any, minimum_n: int) -> Columns:
    """Without the rows of segment pairs in which every metric is unknown."""
    known = np.any([columns[name] >= max(minimum_n, 1) for name in COUNTS if name != "n"], axis=0)
    keep = ~split[columns["scope_number"]] | known
    return {name: column[keep] for name, column in columns.items()}


def _rows(places: Any, times: Any, amounts: Any, length: int, hop: int, minimum_n: int) -> Columns:
    ends = (times // hop + 1) * hop
    earliest = int(ends.min())
    span = int(ends.max()) - earliest + length + hop
    line = places * span + (ends - earliest)
    line, group = np.unique(line, return_inverse=True)
    order = np.argsort(group, kind="stable")
    hops = np.add.reduceat(amounts[order], np.searchsorted(group[order], np.arange(len(line))), axis=0)
    number, at = line // span, line % span + earliest
    # A window may reach before its scope's first hop, never into another scope's hops.
    first = np.searchsorted(line, np.maximum(line - length, number * span - 1), side="right")
    columns: Columns = {"scope_number": number, "at": at}
    sums = {}
    for index, name in enumerate(SUMMED):
        prefix = np.concatenate(([0], np.cumsum(hops[:, index], dtype=np.longdouble)))
        sums[name] = (prefix[1:] - prefix[first]).astype(np.float64)
    columns.update({name: sums[name].round().astype(np.int64) for name in COUNTS})
    with np.errstate(divide="ignore", invalid="ignore"):
        columns.update(_metrics(sums, max(minimum_n, 1)))
    return columns


def _metrics(s: dict[str, Any], least: int) -> Columns:
    found: Columns = {}

    def put(name: str, n: Any, *parts: Any) -> None:
        for suffix, part in zip(("", "_low", "_high"), parts, strict=False):
            found[name + suffix] = np.where(n >= least, part, np.nan)

    n = s["scored"]
    put("score", n, *(100 * part for part in _mean(n, s["sum_x"], s["sum_xx"], 0, 1)))
    for name in ("negative", "neutral", "positive"):
        put(name, n, *_wilson(n, s[name]))
    put("gap", s["gap_n"], s["gap_sum"] / s["gap_n"])
    put("gap_broken", s["gap_n"], s["gap_broken"] / s["gap_n"])
    n = s["nps_n"]
    p, d = s["nps_promoters"] / n, s["nps_detractors"] / n
    half = Z * np.sqrt(np.maximum(p + d - (p - d) ** 2, 0) / n)
    put("nps", n, 100 * (p - d), 100 * np.maximum(p - d - half, -1), 100 * np.minimum(p - d + half, 1))
    put("csat", s["csat_n"], *(100 * part for part in _wilson(s["csat_n"], s["csat_top"])))
    put("ces", s["ces_n"], *_mean(s["ces_n"], s["ces_sum"], s["ces_sum2"], 1, 7))
    put("apdex", s["wait_n"], (s["wait_satisfied"] + s["wait_tolerating"] / 2) / s["wait_n"])
    return found


def _mean(n: Any, total: Any, squares: Any, lowest: float, highest: float) -> tuple[Any, Any, Any]:
    """Mean with mean +- z s / sqrt(n), s the sample deviation, within the scale; of one value, the whole scale."""
    mean = total / n
    half = Z * np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1) / n)
    low, high = np.maximum(mean - half, lowest), np.minimum(mean + half, highest)
    return mean, np.where(n == 1, lowest, low), np.where(n == 1, highest, high)


def _wilson(n: Any, count: Any) -> tuple[Any, Any, Any]:
    p = count / n
    center = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return p, np.maximum(center - half, 0), np.minimum(center + half, 1)
