"""All rows of one scope in one window, as prefix sums over the window's hops.

A row ends at `at`, a multiple of the hop, and exists when its last hop [at - hop, at) has events: rows and hops with
events are the same list. With prefix sums a row is one difference, whatever the length of its window, and a late slice
is added to the hops after it in one numpy operation, never row by row.
"""

import numpy as np
from numpy.typing import NDArray

from streams.model.columns import WIDTH, Rows

Times = NDArray[np.int64]

_BEGINNING = -(2**62)
#: Before every time that a row can have, with room for a window before it.
EARLIEST = -(2**61)


class Series:
    """Rows of `length` seconds, named by their end `at` (epoch seconds). Rows before `first` are not given any more."""

    __slots__ = ("_ats", "_dirty", "_last", "_length", "_marked", "_prefix", "_size", "first")

    def __init__(self, length: int, first: int) -> None:
        self._length = length
        self.first = first
        # Entry 0 is no row: it holds the sums of everything before the first row.
        self._size = 1
        # No row before this position is marked.
        self._marked = 1
        self._last = _BEGINNING
        self._ats: Times = np.full(2, _BEGINNING, np.int64)
        self._prefix: Rows = np.zeros((2, WIDTH), np.int64)
        self._dirty = np.zeros(2, np.bool_)

    def __len__(self) -> int:
        return self._size - 1

    def add(self, ats: Times, sums: Rows) -> None:
        """Add `sums[i]` to the hop that ends at `ats[i]` (ascending, each once) and mark every row that changes."""
        if self.first - self._length >= int(ats[0]):
            needed = int(ats.searchsorted(self.first - self._length, "right"))
            ats, sums = ats[needed:], sums[needed:]
            if not len(ats):
                return
        start = int(ats[0])
        if start > self._last:
            self._append(ats, sums)
        elif start == self._last and len(ats) == 1:
            self._prefix[self._size - 1] += sums[0]
            self._dirty[self._size - 1] = start >= self.first
            self._marked = min(self._marked, self._size - 1)
        else:
            self._merge(ats, sums)

    def _append(self, ats: Times, sums: Rows) -> None:
        size, end = self._size, self._size + len(ats)
        self._reserve(end)
        self._ats[size:end] = ats
        self._prefix[size:end] = self._prefix[size - 1] + (sums if end == size + 1 else sums.cumsum(axis=0))
        self._dirty[size:end] = ats >= self.first
        self._size, self._last = end, int(ats[-1])

    def _merge(self, ats: Times, sums: Rows) -> None:
        start = int(self._ats[: self._size].searchsorted(ats[0]))
        self._marked = min(self._marked, start)
        tail = self._ats[start : self._size]
        merged = np.union1d(tail, ats)
        old = tail.searchsorted(merged, "right") + (start - 1)
        new = ats.searchsorted(merged, "right") - 1
        existed = self._ats[old] == merged
        # A row changes when the newest changed hop up to its end lies within its window.
        changed = (ats[new] > merged - self._length) & (merged >= self.first)
        prefix = self._prefix[old] + sums.cumsum(axis=0)[new]
        dirty = changed | (existed & self._dirty[old])
        end = start + len(merged)
        self._reserve(end)
        self._ats[start:end] = merged
        self._prefix[start:end] = prefix
        self._dirty[start:end] = dirty
        self._size, self._last = end, int(merged[-1])

    def take(self, until: int | None = None, newest: bool = False) -> tuple[Times, Rows]:
        """Ends and sums of the marked rows, and clear their marks.

        With `until`, only of rows that end before it, and with `newest` of the newest row too.
        """
        start, size = self._marked, self._size
        if start == size - 1 and self._dirty[start] and (until is None or newest or self._last < until):
            # The usual case, live: the newest row alone has changed.
            self._marked = size
            self._dirty[start] = False
            oldest = self._ats[:size].searchsorted(self._last - self._length, "right") - 1
            return self._ats[start:size], self._prefix[start:size] - self._prefix[oldest]
        end = size if until is None else max(start, int(self._ats[:size].searchsorted(until)))
        (marked,) = self._dirty[start:end].nonzero()
        marked += start
        if newest and end < size and self._dirty[size - 1]:
            marked = np.append(marked, size - 1)
        self._marked = end
        self._dirty[marked] = False
        ends = self._ats[marked]
        before = self._ats[:size].searchsorted(ends - self._length, "right") - 1
        return ends, self._prefix[marked] - self._prefix[before]

    def dirty(self) -> bool:
        """True while a row is marked."""
        return bool(self._dirty[self._marked : self._size].any())

    def window(self, at: int) -> Rows:
        """The sums over [at - length, at), whether a row ends there or not; `at` at or after `first`."""
        start, end = self._ats[: self._size].searchsorted([at - self._length, at], "right") - 1
        sums: Rows = self._prefix[end] - self._prefix[start]
        return sums

    def drop(self, first: int) -> None:
        """Give no row before `first` any more, and drop the hops that no row from `first` on covers."""
        self.first = first
        gone = int(self._ats[: self._size].searchsorted(first - self._length, "right")) - 1
        # Moving what stays costs as much as it is long: wait until as much can go.
        if gone and (2 * gone >= self._size or gone == self._size - 1):
            self._ats = self._ats[gone : self._size].copy()
            self._prefix = self._prefix[gone : self._size].copy()
            self._dirty = self._dirty[gone : self._size].copy()
            self._ats[0], self._dirty[0] = _BEGINNING, False
            self._size -= gone
            self._marked = max(1, self._marked - gone)
            self._last = int(self._ats[-1])

    def _reserve(self, size: int) -> None:
        if size > len(self._ats):
            more = size + size // 4 + 4 - len(self._ats)
            self._ats = np.concatenate([self._ats, np.zeros(more, np.int64)])
            self._prefix = np.concatenate([self._prefix, np.zeros((more, WIDTH), np.int64)])
            self._dirty = np.concatenate([self._dirty, np.zeros(more, np.bool_)])
