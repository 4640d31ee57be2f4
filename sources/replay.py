"""Replays exports: reads the files of a mapping, puts the events into the order of their times, publishes them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from schemas.errors import RejectEvent, StopProcess
from schemas.event import TouchpointEvent
from schemas.rejection import Reason
from sources.mapping import Mapping
from sources.mapping_order import Record, TimeOrder
from sources.privacy import Edge
from sources.publish import HEADERS, Publisher, encode
from sources.tables import SourceFile, find_files, read_rows
from sources.tables_joined import columns_read, enrichers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
#: How many skipped rows are kept as examples, for each reason.
_EXAMPLES = 5
#: Rows between two reports of progress; Ctrl-C is noticed in between anyway.
_REPORT_ROWS = 2000
_decode = msgspec.json.Decoder(TouchpointEvent).decode

OnSkipped = Callable[["Skipped"], None]
Speed = float | Literal["max"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that could not be mapped: where (line, for Parquet the row), and why."""

    file: Path
    line: int
    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}: {self.detail}"


@dataclass(slots=True)
class Tally:
    """What reading has come to. `rows` counts the rows of tables with events, `skipped` rows of any table."""

    rows: int = 0
    events: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    examples: list[Skipped] = field(default_factory=list)


def collect(
    files: Iterable[str | Path],
    mapping: Mapping,
    *,
    tally: Tally | None = None,
    strict: bool = False,
    tenant: str | None = None,
    on_skipped: OnSkipped | None = None,
    on_progress: Callable[[Tally], None] | None = None,
    order: TimeOrder | None = None,
    edge: Edge | None = None,
) -> TimeOrder:
    """Read and map everything, encoded and in time order. Events of one time keep the order of tables, files and rows.

    A row that cannot be mapped is counted, kept as an example, and given to `on_skipped`; with `strict` it raises
    StopProcess. So is one whose events must not pass the `edge`. Raises UsageError for files that do not fit the
    mapping.
    """
    tally = tally if tally is not None else Tally()
    order = order if order is not None else TimeOrder()
    sources = find_files(mapping, files)

    def skip(file: SourceFile, line: int, error: RejectEvent) -> None:
        skipped = Skipped(file.path, line, error.reason, error.detail)
        if strict:
            raise StopProcess(f"a row cannot be mapped (--strict): {skipped}")
        if tally.skipped[error.reason] < _EXAMPLES:
            tally.examples.append(skipped)
        tally.skipped[error.reason] += 1
        if on_skipped is not None:
            on_skipped(skipped)

    for table, compiled in mapping.tables.items():
        mine = [source for source in sources if source.table == table]
        if not mine or not compiled.events:
            continue
        enrich = enrichers(mapping, table, sources, skip)
        needed = columns_read(mapping, table)
        for source in mine:
            for line, row in read_rows(source.path, needed):
                tally.rows += 1
                if on_progress is not None and tally.rows % _REPORT_ROWS == 0:
                    on_progress(tally)
                try:
                    if isinstance(row, RejectEvent):
                        raise row
                    for add in enrich:
                        add(row)
                    events = mapping.events(table, row)
                    if tenant is not None:
                        events = [msgspec.structs.replace(event, tenant=tenant) for event in events]
                    encoded = [(event, *_passed(event, edge)) for event in events]
                except RejectEvent as error:
                    skip(source, line, error)
                    continue
                except ValueError as error:
                    bad_text = isinstance(error, UnicodeError)
                    reason = Reason.INVALID_UTF8 if bad_text else Reason.TOO_LARGE
                    skip(source, line, RejectEvent(reason, str(error)))
                    continue
                for event, key, value in encoded:
                    order.add((event.time - EPOCH) // _US, key, value)
                tally.events += len(encoded)
    if on_progress is not None:
        on_progress(tally)
    return order


def _passed(event: TouchpointEvent, edge: Edge | None) -> tuple[bytes, bytes]:
    """Key and value, as they may be published."""
    key, value = event.subject.encode(), encode(event)
    return (key, value) if edge is None else edge.protect(key, value, HEADERS)[:2]


def read_events(
    files: Iterable[str | Path], mapping: Mapping, *, tally: Tally | None = None, strict: bool = False
) -> Iterator[TouchpointEvent]:
    """Every event of the files, validated, in time order. Arguments and errors as for `collect`."""
    order = collect(files, mapping, tally=tally, strict=strict)
    try:
        for record in order:
            yield _decode(record.value)
    finally:
        order.close()


def shift(order: TimeOrder, speed: Speed, now: datetime) -> timedelta:
    """What `--shift-to-now` adds to every time.

    At real time (speed 1) the first event is now, and each one is published when it happens. At any other speed the
    last event is now: otherwise most would lie in the future, and events of the future are rejected.
    """
    anchor = order.first_us if speed == 1 else order.last_us
    return timedelta() if anchor is None else now - (EPOCH + anchor * _US)


def shifted(record: Record, by: timedelta) -> Record:
    """The same event, its times moved."""
    if not by:
        return record
    event = _decode(record.value)
    recorded = None if event.recordedtime is None else event.recordedtime + by
    event = msgspec.structs.replace(event, time=event.time + by, recordedtime=recorded)
    return record._replace(time_us=record.time_us + by // _US, value=encode(event))


def publish(
    records: Iterable[Record],
    publisher: Publisher,
    speed: Speed,
    on_event: Callable[[Record], None] | None = None,
) -> None:
    """Send the records, `speed` times as fast as they happened (`max`: as fast as Kafka takes them).

    Does not wait for the last acknowledgements: leave that to `publisher.flush`.
    """
    started: float | None = None
    first_us = 0
    for record in records:
        if speed != "max":
            if started is None:
                started, first_us = time.monotonic(), record.time_us
            due = started + (record.time_us - first_us) / 1e6 / speed
            while (left := due - time.monotonic()) > 0:
                publisher.poll(min(left, 0.2))
        publisher.send(record.key, record.value)
        if on_event is not None:
            on_event(record)
