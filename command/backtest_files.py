"""The past from files: events, mapped as by `corredor replay`, through the ingest model of one partition in memory."""

import gzip
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from command.backtest_past import Bucket, Source, aligned
from schemas import topics
from schemas.corridor import CorridorMap
from schemas.errors import RejectEvent, UsageError
from schemas.heard import Heard
from schemas.slice import BUCKET_S, Slice
from schemas.transition import TransitionSlice
from sources.mapping import load_mapping
from sources.mapping_order import Record, TimeOrder
from sources.replay import EPOCH, Skipped, Tally, collect
from sources.tables import NDJSON
from streams.model.decode import check_times, decode
from streams.model.ingest import Ingest

#: Events between two looks at what is settled; rows between two reports of progress.
_AT_ONCE = 1_000
_REPORT_ROWS = 2_000
_EXAMPLES = 5
_US = 1_000_000
_message = msgspec.json.Decoder(Slice | TransitionSlice | Heard).decode


class _Arrived(NamedTuple):
    """A record of the event log: each event arrives when it happens."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def open_files(
    files: list[str],
    mapping: str | None,
    corridor: CorridorMap,
    order: TimeOrder,
    tally: Tally,
    report: Callable[[], None],
) -> Source:
    """Read the files into `order`. Without a mapping they are NDJSON, an event (CloudEvents) a line, plain or gzipped.

    Rows that are no events are in `tally`. Raises UsageError for files that cannot be used, or hold no event.
    """
    if mapping is not None:
        collect(files, load_mapping(mapping), tally=tally, on_progress=lambda _: report(), order=order)
    else:
        for file in _logs(files):
            _read_log(file, order, tally, report)
    if order.first_us is None or order.last_us is None:
        raise UsageError(f"{', '.join(files)}: no event in {tally.rows:,} rows; is it the right file, and mapping?")

    def read(since: int, until: int, progress: Callable[[int], None]) -> Iterator[Bucket]:
        upto = (record for record in order if record.time_us < until * _US)
        return (bucket for bucket in settled(upto, until, corridor, progress) if bucket[0] >= since)

    name = ", ".join(Path(file).name or file for file in files)
    return Source(name, aligned(order.first_us / _US), aligned(order.last_us / _US) + BUCKET_S, read)


def settled(
    records: Iterable[Record], until: int, corridor: CorridorMap, progress: Callable[[int], None]
) -> Iterator[Bucket]:
    """The settled buckets of events that come in the order of their times, each as soon as nothing can come for it.

    All events, and what silence amounts to, before `until` (epoch seconds, between buckets).
    """
    ingest = Ingest(0, corridor, lambda _: 0)
    waiting: dict[int, dict[bytes, Slice | TransitionSlice]] = {}
    complete, arrived = 0.0, 0.0
    log = (_Arrived(offset, one.time_us // 1000, one.key, one.value) for offset, one in enumerate(records))
    while chunk := list(islice(log, _AT_ONCE)):
        ingest.apply(topics.EVENTS.name, chunk)
        ingest.advance(None)
        _collect(ingest, waiting)
        complete = ingest.progress(topics.EVENTS.name, idle=False).watermark or complete
        arrived = chunk[-1].timestamp / 1000
        for start in sorted(start for start in waiting if start + BUCKET_S <= complete):
            yield start, list(waiting.pop(start).values())
        progress(int(complete))
    ingest.advance(arrived + until - complete)
    _collect(ingest, waiting)
    for start in sorted(start for start in waiting if start < until):
        yield start, list(waiting.pop(start).values())


def _collect(ingest: Ingest, waiting: dict[int, dict[bytes, Slice | TransitionSlice]]) -> None:
    """Put what changed where its bucket waits; the newest of each slice counts."""
    for _, key, value in ingest.snapshot().slices:
        part = _message(value)
        if not isinstance(part, Heard):
            waiting.setdefault(part.bucket, {})[key] = part


def _logs(files: list[str]) -> Iterator[Path]:
    for file in map(Path, files):
        if not file.exists():
            raise UsageError(f"there is no file or folder {file}; check the path")
        inside = sorted(file.iterdir()) if file.is_dir() else [file]
        logs = [one for one in inside if one.name.removesuffix(".gz").endswith(NDJSON)]
        if not logs:
            raise UsageError(
                f"{file} is no event log (NDJSON, an event a line); say how its rows become events: --mapping NAME"
            )
        yield from logs


def _read_log(file: Path, order: TimeOrder, tally: Tally, report: Callable[[], None]) -> None:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                tally.rows += 1
                if tally.rows % _REPORT_ROWS == 0:
                    report()
                try:
                    event = decode(_Arrived(number, 0, None, line))
                    check_times(event.time.timestamp(), event.time.timestamp())
                except RejectEvent as error:
                    if tally.skipped[error.reason] < _EXAMPLES:
                        tally.examples.append(Skipped(file, number, error.reason, error.detail))
                    tally.skipped[error.reason] += 1
                    continue
                order.add((event.time - EPOCH) // timedelta(microseconds=1), event.subject.encode(), line.rstrip())
                tally.events += 1
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None
