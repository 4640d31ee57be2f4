"""The past from ClickHouse: the slices that the workers counted, in the order of time."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from command.backtest_past import Bucket, Source
from schemas.errors import UsageError
from schemas.slice import BUCKET_S, Slice
from schemas.transition import TransitionSlice
from sinks.clickhouse import ClickHouse, shown

#: Rows that are read at once, at least where an hour has so many.
_AT_ONCE = 200_000
_HOUR_S = 3600
_FELT = ("scored", "sum_x", "sum_xx", "negative", "gap_n", "gap_broken")
_WENT = ("n", "resumed", "wait_n", "wait_log_sum", "wait_log_sum2")


def open_results(store: ClickHouse) -> Source:
    """The slices of a ClickHouse. Raises UsageError if it has none; reading raises as `ClickHouse.rows` does."""
    name = shown(store.dsn)
    if not store.rows("SELECT 1 FROM system.tables WHERE database = 'corredor' AND name = 'experience_slices'"):
        raise UsageError(f"{name} has no results of corredor; `corredor migrate` makes the tables")
    since, last, count = store.rows(
        "SELECT toInt64(min(bucket)), toInt64(max(bucket)), count() FROM corredor.experience_slices "
        "WHERE kind = 'touchpoint'"
    )[0]
    if not count:
        raise UsageError(
            f"{name} has no contacts yet: publish or `corredor replay` events first, or name files: --from"
        )

    def read(since: int, until: int, progress: Callable[[int], None]) -> Iterator[Bucket]:
        for begin, end in _pieces(store, since, until):
            yield from _buckets(store, begin, end)
            progress(end)

    return Source(name, since, last + BUCKET_S, read)


def _pieces(store: ClickHouse, since: int, until: int) -> Iterator[tuple[int, int]]:
    """Times that have few rows enough to be read at once; whole hours."""
    hours = store.rows(
        f"SELECT intDiv(toInt64(bucket), {_HOUR_S}) AS hour, count() FROM corredor.experience_slices "
        f"WHERE {_within(since, until)} GROUP BY hour ORDER BY hour"
    )
    begin, rows = since, 0
    for hour, count in hours:
        if rows and rows + count > _AT_ONCE:
            yield begin, hour * _HOUR_S
            begin, rows = hour * _HOUR_S, 0
        rows += count
    if rows:
        yield begin, until


def _buckets(store: ClickHouse, since: int, until: int) -> Iterator[Bucket]:
    found: defaultdict[int, list[Slice | TransitionSlice]] = defaultdict(list)
    for row in _summed(store, "touchpoint", ("stage", *_FELT), since, until):
        found[row["bucket"]].append(Slice(**row, channel="", actor="", contact="", origin="", part=0, version=0))
    for row in _summed(store, "transition", ("following", *_WENT), since, until):
        found[row["bucket"]].append(TransitionSlice(**row, origin="", part=0, version=0))
    yield from sorted(found.items())


def _summed(store: ClickHouse, kind: str, columns: tuple[str, ...], since: int, until: int) -> Iterator[dict[str, Any]]:
    """Sums by bucket, tenant, touchpoint, segment pair and the first of `columns`; of each slice its newest version."""
    place, *sums = columns
    keys = ("tenant", "touchpoint", "segment", "segment_value", place)
    rows = store.rows(
        f"SELECT toInt64(s.bucket), {', '.join((*keys, *(f'sum(s.{name})' for name in sums)))} "
        f"FROM corredor.experience_slices AS s FINAL WHERE kind = '{kind}' AND {_within(since, until)} "
        f"GROUP BY s.bucket, {', '.join(keys)}"
    )
    return (dict(zip(("bucket", *keys, *sums), row, strict=True)) for row in rows)


def _within(since: int, until: int) -> str:
    return f"bucket >= toDateTime({max(since, 0)}) AND bucket < toDateTime({until})"
