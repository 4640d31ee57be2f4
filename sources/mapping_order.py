"""Puts events of many files into the order of their times, in bounded memory: an external merge sort.

Events are held as bytes. When a run is full it is sorted and spilled to a temporary file without a name, which goes
away with the process. Equal times keep the order in which the events were added.
"""

import heapq
import struct
import tempfile
from collections.abc import Iterator
from typing import IO, NamedTuple

#: Bytes of events that are held before a run is spilled.
RUN_BYTES = 128 * 1024 * 1024
#: What an event costs in memory beside its bytes, roughly.
_OVERHEAD = 300
_HEAD = struct.Struct("<qqII")
_BUFFER = 1024 * 1024


class Record(NamedTuple):
    """An encoded event: event time in microseconds since 1970, its place in the input, Kafka key and value."""

    time_us: int
    sequence: int
    key: bytes
    value: bytes


class TimeOrder:
    """Collects events, then gives them back in order, as often as asked. Close it to drop the temporary files."""

    def __init__(self, run_bytes: int = RUN_BYTES) -> None:
        self._run_bytes = run_bytes
        self._run: list[Record] = []
        self._held = 0
        self._spilled: list[IO[bytes]] = []
        self.count = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def add(self, time_us: int, key: bytes, value: bytes) -> None:
        """Take one more event. Raises OSError when the disk for temporary files is full."""
        self._run.append(Record(time_us, self.count, key, value))
        self.count += 1
        self.first_us = time_us if self.first_us is None else min(self.first_us, time_us)
        self.last_us = time_us if self.last_us is None else max(self.last_us, time_us)
        self._held += len(key) + len(value) + _OVERHEAD
        if self._held >= self._run_bytes:
            self._spill()

    def __iter__(self) -> Iterator[Record]:
        self._run.sort()
        runs = [_read(run) for run in self._spilled]
        return heapq.merge(*runs, self._run) if runs else iter(self._run)

    def close(self) -> None:
        """Drop everything."""
        for run in self._spilled:
            run.close()
        self._spilled.clear()
        self._run.clear()

    def _spill(self) -> None:
        self._run.sort()
        file = tempfile.TemporaryFile(prefix="corredor-sort-", buffering=_BUFFER)  # noqa: SIM115
        self._spilled.append(file)
        for time_us, sequence, key, value in self._run:
            file.write(_HEAD.pack(time_us, sequence, len(key), len(value)) + key + value)
        file.flush()
        self._run.clear()
        self._held = 0


def _read(run: IO[bytes]) -> Iterator[Record]:
    run.seek(0)
    while head := run.read(_HEAD.size):
        time_us, sequence, key, value = _HEAD.unpack(head)
        yield Record(time_us, sequence, run.read(key), run.read(value))
