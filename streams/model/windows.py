"""Rolling window scores from slices: a state machine without clock and without I/O.

Slices come in any order, late, more than once, from several origins that progress unevenly. The newest version of each
slice counts, and every row that it touches is given again, with its whole sums. What the rows are: `schemas.score`.
"""

from itertools import count
from math import ceil
from typing import NamedTuple

import numpy as np

from schemas.score import WINDOWS, Score, Window
from schemas.slice import Slice
from streams.model.columns import METRIC_COUNTS, Rows, pack, packed_version, rows, sums
from streams.model.newest import Newest
from streams.model.scores import ScopeKey, score
from streams.model.series import EARLIEST, Series

#: So many slices wait before they are added together; adding many at once is what makes it fast.
_MOST_PENDING = 16_384
#: A slice belongs to this many scopes: its touchpoint, channel, stage and the corridor.
_SCOPES = 4


class _Scope(NamedTuple):
    key: ScopeKey
    #: One for each of WINDOWS.
    series: tuple[Series, ...]


class _Cell(NamedTuple):
    number: int
    scopes: tuple[int, ...]


class Windows:
    """Window scores of every scope, kept up to date from slices.

    `minimum_n` is the map's: below it a metric is unknown. `version` is the one before the next score's; it may be
    raised at any time, so that versions also increase from one owner of the slices to the next. The events of an
    identity (cell, bucket, origin, part) never get fewer from version to version.
    """

    def __init__(self, version: int, minimum_n: int) -> None:
        self.version = version
        #: Slices that came too late for any row that is still kept, and were ignored.
        self.too_late = 0
        self._minimum_n = minimum_n
        self._first = [EARLIEST for _ in WINDOWS]
        self._oldest_bucket = float("-inf")
        self._numbers = count()
        self._cells: dict[tuple[str, ...], _Cell] = {}
        self._scope_numbers: dict[ScopeKey, int] = {}
        self._scopes: dict[int, _Scope] = {}
        self._origins: dict[str, int] = {}
        self._newest = Newest()
        self._pending_new: list[bytes] = []
        self._pending_old: list[bytes] = []
        self._pending_buckets: list[int] = []
        self._pending_scopes: list[int] = []
        # For each of WINDOWS, the scopes whose series have marked rows.
        self._dirty: list[set[int]] = [set() for _ in WINDOWS]
        self._ready: list[Score] = []

    def apply(self, item: Slice) -> None:
        """Count `item` if it is newer than what is known of its identity, and mark the rows that it changes."""
        bucket = item.bucket
        if bucket < self._oldest_bucket:
            self.too_late += 1
            return
        if not item.n:
            return
        key = (
            item.tenant,
            item.touchpoint,
            item.channel,
            item.stage,
            item.segment,
            item.segment_value,
            item.actor,
            item.contact,
        )
        cell = self._cells.get(key) or self._add_cell(key)
        known = self._newest.of(bucket)
        identity = (cell.number, self._origins.setdefault(item.origin, len(self._origins)), item.part)
        old = known.get(identity, b"")
        if old and packed_version(old) >= item.version:
            return
        new = known[identity] = pack(item)
        self._pending_new.append(new)
        self._pending_old.append(old)
        self._pending_buckets.append(bucket)
        self._pending_scopes.extend(cell.scopes)
        if len(self._pending_new) >= _MOST_PENDING:
            self._add_pending()

    def take_dirty(self, settled: float | None = None, windows: int = len(WINDOWS)) -> list[Score]:
        """Marked rows, absolute, once, each with a new version; and clear their marks.

        With `settled` (epoch seconds) only rows that end by then, and the newest row of each scope; the others stay
        marked until their time comes. So a replay whose partitions progress unevenly gives each row about once.
        A row of a segment pair in which every metric is unknown is left out. Events never get fewer, so a row once
        given stays known. Only the first `windows` of WINDOWS, the shortest, are looked at.
        """
        self._add_pending()
        ready, self._ready = self._ready, []
        for position in range(windows):
            if settled is None:
                ready += self._take(position)
                self._dirty[position].clear()
            else:
                ready += self._take(position, int(settled) + 1, newest=True)
                self._dirty[position] = {number for number in self._dirty[position] if self._is_dirty(number, position)}
        return ready

    def current(self, now: float) -> list[Score]:
        """The score of every scope and window over the window that ends at `now` (epoch seconds, rounded up).

        Also where the last hop had no events: a scope without events in the window is unknown, with n = 0. `now` must
        not lie before what was forgotten.
        """
        self._add_pending()
        keys: list[tuple[ScopeKey, Window, int]] = []
        found: list[Rows] = []
        for position, window in enumerate(WINDOWS):
            at = ceil(now / window.hop_s) * window.hop_s
            for scope in self._scopes.values():
                keys.append((scope.key, window, at))
                found.append(scope.series[position].window(at))
        return self._scores(keys, np.stack(found)) if found else []

    def forget(self, before: float) -> None:
        """Drop what no row that ends at or after `before` (epoch seconds) can need.

        Rows that end earlier and are marked by now are still given by the next `take_dirty`, and never corrected again.
        From now on slices of buckets that matter to no later row are `too_late`: the newest slice of each identity is
        kept for all other buckets, compressed where the bucket itself lies before that time. Scopes without anything
        left are dropped. The limit only ever moves forward.
        """
        self._add_pending()
        self._first = [
            max(first, ceil(before / window.hop_s) * window.hop_s)
            for first, window in zip(self._first, WINDOWS, strict=True)
        ]
        needed = min(first - window.length_s for first, window in zip(self._first, WINDOWS, strict=True))
        self._oldest_bucket = max(self._oldest_bucket, needed)
        for position, first in enumerate(self._first):
            self._ready += self._take(position, first)
        self._newest.drop(self._oldest_bucket)
        self._newest.stow(before)
        for number, scope in list(self._scopes.items()):
            for series, first in zip(scope.series, self._first, strict=True):
                series.drop(first)
            if not any(scope.series):
                del self._scopes[number], self._scope_numbers[scope.key]
        self._dirty = [
            {number for number in numbers if self._is_dirty(number, position)}
            for position, numbers in enumerate(self._dirty)
        ]
        self._cells = {
            key: cell for key, cell in self._cells.items() if all(scope in self._scopes for scope in cell.scopes)
        }

    def _is_dirty(self, number: int, position: int) -> bool:
        return number in self._scopes and self._scopes[number].series[position].dirty()

    def _add_cell(self, key: tuple[str, ...]) -> _Cell:
        tenant, touchpoint, channel, stage, segment, value, *_ = key
        scopes = (
            ScopeKey(tenant, "touchpoint", touchpoint, segment, value),
            ScopeKey(tenant, "channel", channel, segment, value),
            ScopeKey(tenant, "stage", stage, segment, value),
            ScopeKey(tenant, "corridor", "", segment, value),
        )
        cell = self._cells[key] = _Cell(next(self._numbers), tuple(self._scope_number(scope) for scope in scopes))
        return cell

    def _scope_number(self, key: ScopeKey) -> int:
        number = self._scope_numbers.get(key)
        if number is None:
            number = self._scope_numbers[key] = next(self._numbers)
            series = tuple(Series(window.length_s, first) for window, first in zip(WINDOWS, self._first, strict=True))
            self._scopes[number] = _Scope(key, series)
        return number

    def _add_pending(self) -> None:
        """Add the differences of all pending slices, first summed by scope and hop, to their series."""
        if not self._pending_new:
            return
        differences = rows(self._pending_new) - rows(self._pending_old)
        buckets = np.repeat(np.array(self._pending_buckets, np.int64), _SCOPES)
        scopes = np.array(self._pending_scopes, np.int64)
        for position, window in enumerate(WINDOWS):
            ends = (buckets // window.hop_s + 1) * window.hop_s
            order = np.lexsort((ends, scopes))
            by_scope, by_end = scopes[order], ends[order]
            new_scope = np.diff(by_scope, prepend=-1) != 0
            starts = np.flatnonzero(new_scope | (np.diff(by_end, prepend=-1) != 0))
            totals = np.add.reduceat(differences[order // _SCOPES], starts, axis=0)
            ats = by_end[starts]
            limits = [*np.flatnonzero(new_scope[starts]).tolist(), len(starts)]
            numbers = by_scope[starts[limits[:-1]]].tolist()
            for number, start, end in zip(numbers, limits, limits[1:], strict=False):
                self._scopes[number].series[position].add(ats[start:end], totals[start:end])
                self._dirty[position].add(number)
        for pending in (self._pending_new, self._pending_old, self._pending_buckets, self._pending_scopes):
            pending.clear()

    def _take(self, position: int, until: int | None = None, newest: bool = False) -> list[Score]:
        window = WINDOWS[position]
        keys: list[tuple[ScopeKey, Window, int]] = []
        found: list[Rows] = []
        for number in self._dirty[position]:
            scope = self._scopes[number]
            ends, totals = scope.series[position].take(until, newest)
            found.append(totals)
            keys += [(scope.key, window, at) for at in ends.tolist()]
        if not keys:
            return []
        totals = np.concatenate(found)
        # For all at once: most scopes have a row or two, and numpy costs by the call.
        known = set(np.flatnonzero((totals[:, METRIC_COUNTS] >= max(1, self._minimum_n)).any(axis=1)).tolist())
        given = [number for number, (key, _, _) in enumerate(keys) if number in known or not key.segment]
        return self._scores([keys[number] for number in given], totals[given])

    def _scores(self, keys: list[tuple[ScopeKey, Window, int]], totals: Rows) -> list[Score]:
        first, self.version = self.version + 1, self.version + len(keys)
        return [
            score(key, window, at, version, total, self._minimum_n)
            for version, ((key, window, at), total) in enumerate(zip(keys, sums(totals), strict=True), first)
        ]
