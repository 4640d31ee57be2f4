"""The tables of ClickHouse, out and in again: each partition as one stream in ClickHouse's own format.

Native keeps every type as it is, and is read and written in blocks, so that memory is bounded, by a server and by chDB
alike. `BACKUP TABLE` of a server is faster where its disks are at hand; chDB has none.
"""

from collections.abc import Iterable, Iterator

from schemas.errors import UsageError
from schemas.sql import literal
from sinks.clickhouse import DATABASE, ClickHouse
from sinks.migrate import Migration, migrate, migrations, plan

#: Migrations make these; what they hold is not data.
_NOT_DATA = ("schema_migrations",)
#: Written by every start of the sink from the map; rows of it are no reason to refuse.
_FROM_MAP = ("corridor_map",)


def tables(store: ClickHouse) -> list[str]:
    """Tables with rows of ours."""
    names = store.rows(
        f"SELECT name FROM system.tables WHERE database = '{DATABASE}' AND endsWith(engine, 'MergeTree') ORDER BY name"
    )
    return [name for (name,) in names if name not in _NOT_DATA]


def partitions(store: ClickHouse, table: str) -> list[tuple[str, int]]:
    """The partitions of a table with their rows; replaced rows that are not merged yet count."""
    return [
        (str(partition), int(rows))
        for partition, rows in store.rows(
            f"SELECT _partition_id, count() FROM {DATABASE}.{table} GROUP BY _partition_id ORDER BY _partition_id"
        )
    ]


def blocks(store: ClickHouse, table: str, partition: str) -> Iterator[bytes]:
    """All rows of a partition as they lie there."""
    return store.blocks(f"SELECT * FROM {DATABASE}.{table} WHERE _partition_id = {literal(partition)}")


def applied(store: ClickHouse) -> tuple[Migration, ...]:
    """The migrations that the database has had; StopProcess if they are not this program's."""
    return plan(store).applied


def prepare(store: ClickHouse, schema: ClickHouse, count: int, names: Iterable[str], force: bool) -> None:
    """Make the tables as they were after `count` migrations, empty; `force` empties those that are not.

    `schema` is the connection for statements that make tables. Raises UsageError for tables that hold something.
    """
    known = migrations()
    if count > len(known):
        raise UsageError(
            f"the back-up has {count} migrations of ClickHouse and this version knows {len(known)}: a newer version "
            "made it; restore it with that version, or a newer one"
        )
    if len(applied(store)) < count:
        migrate(schema, known[:count])
    there = set(tables(store))
    for name in names:
        if name in there and partitions(store, name):
            if force or name in _FROM_MAP:
                schema.command(f"TRUNCATE TABLE IF EXISTS {DATABASE}.{name}")
            else:
                raise UsageError(
                    f"the table {DATABASE}.{name} already has rows; restore into an empty ClickHouse, or have the "
                    "tables emptied with --force"
                )


def insert(store: ClickHouse, table: str, rows: Iterator[bytes]) -> None:
    """Write what `blocks` gave."""
    store.insert_blocks(table, rows)


def finish(schema: ClickHouse) -> None:
    """Bring the tables to this version's schema."""
    migrate(schema)
