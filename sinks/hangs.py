"""An insert that never ends ends the sink, so that whoever started it starts it again.

ClickHouse being away or slow answers with an error in the end, and delivery waits for it. An insert that hangs inside
chDB, or behind a server whose answers trickle in for ever, answers nothing: only another thread can see it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from schemas.forget import ForgetRequest
from sinks.clickhouse import Store

#: How often the thread looks. Seconds.
LOOK_S = 0.5
#: An insert that takes this long makes the sink not ready. Seconds.
SLUGGISH_S = 5.0


class _Insert(NamedTuple):
    table: str
    size: int
    since: float


class WatchedStore:
    """A store whose inserts have to end within `limit_s` seconds; one that does not calls `end` with a message.

    Inserts come from one thread. `end` is called from another one, and ends the process.
    """

    def __init__(
        self,
        store: Store,
        limit_s: float,
        end: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._limit = limit_s
        self._end = end
        self._clock = clock
        self._insert: _Insert | None = None
        self._stopping = threading.Event()

    def insert(self, table: str, lines: bytes) -> None:
        """See `Store.insert`."""
        with self._watched(table, len(lines)):
            self._store.insert(table, lines)

    def erase(self, request: ForgetRequest) -> None:
        """See `Store.erase`."""
        with self._watched("(what erases rows)", 0):
            self._store.erase(request)

    @contextmanager
    def _watched(self, table: str, size: int) -> Iterator[None]:
        self._insert = _Insert(table, size, self._clock())
        try:
            yield
        finally:
            self._insert = None

    def start(self) -> None:
        """Watch from now on, in a thread of its own."""
        threading.Thread(target=self._watch, name="hangs", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopping.set()

    def reason(self) -> str | None:
        """Why rows do not flow, or None if they do. From any thread."""
        return self._still(min(SLUGGISH_S, self._limit))

    def look(self) -> None:
        """Look once; the thread does so every half second."""
        still = self._still(self._limit)
        if still is not None and not self._stopping.is_set():
            self._end(
                f"{still}: ClickHouse hangs. Nothing of it was acknowledged, a new start writes it again. If it hangs "
                "there too, restart the ClickHouse server, or see whether the disk under the chDB folder answers"
            )

    def _still(self, longer_s: float) -> str | None:
        insert = self._insert
        if insert is None:
            return None
        lasts = self._clock() - insert.since
        if lasts < longer_s:
            return None
        return f"an insert of {insert.size} bytes into {insert.table} has not ended for {lasts:.0f} s"

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()
