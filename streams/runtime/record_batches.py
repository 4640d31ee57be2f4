"""Record batches that cannot be read must not stop the worker: their records come out as `UnreadableValue`.

aiokafka raises in the middle of a fetch when a batch's codec is unknown or its payload is broken, and would meet the
same batch again after every restart. Here the records read so far are kept; for each of the others comes a record with
the right offset, which ingest turns into a rejection. The first of them has the raw batch as its value, the others have
no bytes and point to it: a copy of the batch for every record would be the square of its size.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.record.memory_records import MemoryRecords

from streams.model.decode import UnreadableValue

#: Bytes in front of a record batch's length field, and of the field itself (Kafka's record batch format, v2).
_LENGTH_AT = 8
_HEADER = 12


class UnreadableRecord(NamedTuple):
    """Stands in for one record of an unreadable batch."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes
    checksum: int | None
    headers: tuple[tuple[str, bytes | None], ...]


class ReadableBatch:
    """A record batch that can always be iterated. Everything else is answered by aiokafka's own batch."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        records: list[Any] = []
        try:
            # `extend` keeps what it read before an exception.
            records.extend(self._batch)
        except Exception as error:  # noqa: BLE001 - whatever the codec raises, the batch is unreadable
            records.extend(self._stand_ins(len(records), error))
        return iter(records)

    def _stand_ins(self, read: int, error: Exception) -> Iterator[UnreadableRecord]:
        what = f"the record batch cannot be read (compression {self._batch.compression_type}): {error!r}"
        value = UnreadableValue(self._raw)
        value.detail = what
        base = self._batch.base_offset
        timestamp = max(self._batch.max_timestamp or 0, 0)
        for offset in range(base + read, self._batch.next_offset):
            yield UnreadableRecord(offset, timestamp, 0, None, value, None, ())
            if value:
                value = UnreadableValue()
                value.detail = f"{what}; its bytes are kept with offset {offset}"


class ReadableMemoryRecords:
    """aiokafka's `MemoryRecords` with batches that can always be iterated."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._records = MemoryRecords(data)

    def size_in_bytes(self) -> int:
        """Size of the fetched bytes."""
        return int(self._records.size_in_bytes())

    def has_next(self) -> bool:
        """Whether a whole batch is left."""
        return bool(self._records.has_next())

    def next_batch(self) -> ReadableBatch | None:
        """The next whole batch."""
        batch = self._records.next_batch()
        if batch is None:
            return None
        start = self._at
        length = int.from_bytes(self._data[start + _LENGTH_AT : start + _HEADER], "big")
        self._at = start + _HEADER + length
        return ReadableBatch(batch, self._data[start : self._at])
