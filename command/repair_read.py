"""Open rejections from ClickHouse, batch by batch, and which of the repaired events it has already."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from schemas.errors import StopProcess, UsageError
from schemas.rejection import Reason, RejectedEvent
from schemas.sql import literal
from schemas.topics import EVENTS
from sinks.clickhouse import ClickHouse

#: One batch is read, published and marked at a time: rejections, and bytes of their values.
_ROWS, _BYTES = 2_000, 8 * 1024 * 1024
#: Keys that are listed at a time.
_KEYS = 20_000
#: Text of identities in one question: ClickHouse's HTTP interface takes a query of 1 MiB. Characters.
_QUESTION = 200_000
# Where 64-bit numbers come as text (older servers), they are read as well.
_read = msgspec.json.Decoder(RejectedEvent, strict=False)
#: Partition, offset and arrival (epoch microseconds). A cluster made anew has the same offsets again.
Key = tuple[int, int, int]


class Wanted(NamedTuple):
    """Which rejections. Times are of arrival, epoch seconds; `until` is exclusive."""

    reason: Reason
    source: str | None = None
    since: float | None = None
    until: float | None = None

    def sql(self) -> str:
        """The condition on the view `rejections_open`."""
        parts = [f"topic = {literal(EVENTS.name)}", f"reason = {literal(self.reason.value)}"]
        if self.source is not None:
            parts.append(f"source = {literal(self.source)}")
        if self.since is not None:
            parts.append(f"received_at >= fromUnixTimestamp64Micro({_micro(self.since)})")
        if self.until is not None:
            parts.append(f"received_at < fromUnixTimestamp64Micro({_micro(self.until)})")
        return " AND ".join(parts)


class Rejections:
    """The open rejections that are wanted, by partition and offset."""

    def __init__(self, store: ClickHouse, wanted: Wanted) -> None:
        """Raises UsageError if these results know no repairs yet."""
        self._store = store
        self._where = wanted.sql()
        if not store.rows("SELECT 1 FROM system.tables WHERE database = 'corredor' AND name = 'rejections_open'"):
            raise UsageError("these results are of an older version; `corredor migrate` brings them up to date")

    def count(self) -> int:
        """How many there are."""
        return int(self._store.rows(f"SELECT count() FROM corredor.rejections_open WHERE {self._where}")[0][0])

    def batches(self, limit: int | None) -> Iterator[list[RejectedEvent]]:
        """All of them, or the first `limit`, with their bytes; each batch fits into memory."""
        batch: list[Key] = []
        size = 0
        for key, length in islice(self._keys(), limit):
            if batch and (len(batch) == _ROWS or size + length > _BYTES):
                yield self._whole(batch)
                batch, size = [], 0
            batch.append(key)
            size += length
        if batch:
            yield self._whole(batch)

    def _keys(self) -> Iterator[tuple[Key, int]]:
        """Keys in order, and the length of each value in bytes."""
        after: Key = (-(2**31), 0, 0)
        while True:
            rows = self._store.rows(
                "SELECT partition, offset, toUnixTimestamp64Micro(received_at) AS at, length(ifNull(raw, '')) "
                f"FROM corredor.rejections_open WHERE {self._where} AND (partition, offset, at) > {after} "
                f"ORDER BY partition, offset, at LIMIT {_KEYS}"
            )
            for *key, length in rows:
                after = (key[0], key[1], key[2])
                yield after, length
            if len(rows) < _KEYS:
                return

    def _whole(self, keys: list[Key]) -> list[RejectedEvent]:
        places = ", ".join(str(key[:2]) for key in keys)
        body = self._store.formatted(
            "SELECT reason, detail, topic, partition, offset, base64Encode(key) AS key, base64Encode(raw) AS raw, "
            "toUnixTimestamp64Micro(received_at) / 1e6 AS received_at, "
            "mapApply((name, value) -> (name, base64Encode(value)), headers) AS headers FROM corredor.rejections_open "
            f"WHERE topic = {literal(EVENTS.name)} AND (partition, offset) IN ({places})",
            "JSONEachRow",
        )
        try:
            found = _read.decode_lines(body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise StopProcess(f"a rejection in ClickHouse cannot be read: {error}") from None
        by_key = {(one.partition, one.offset, _micro(one.received_at)): one for one in found}
        return [by_key[key] for key in keys if key in by_key]


def accepted(store: ClickHouse, identities: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the events (`source`, `id`) that are accepted already."""
    found: set[tuple[str, str]] = set()
    for part in _parts(identities):
        ids = ", ".join(literal(event_id) for _, event_id in part)
        pairs = ", ".join(f"({literal(source)}, {literal(event_id)})" for source, event_id in part)
        found |= {
            (source, event_id)
            for source, event_id in store.rows(
                "SELECT DISTINCT source, id FROM corredor.touchpoint_events "
                f"WHERE id IN ({ids}) AND (source, id) IN ({pairs})"
            )
        }
    return found


def _parts(identities: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    part: list[tuple[str, str]] = []
    size = 0
    for source, event_id in identities:
        part.append((source, event_id))
        size += len(source) + 2 * len(event_id)
        if size > _QUESTION:
            yield part
            part, size = [], 0
    if part:
        yield part


def _micro(seconds: float) -> int:
    return round(seconds * 1_000_000)
