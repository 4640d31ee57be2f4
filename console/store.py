"""Connections to the results in ClickHouse, for many readers at once."""

import threading
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from schemas.errors import RetryLater, StopProcess
from sinks.clickhouse import ClickHouse, chdb_path
from streams.runtime.endpoints import find
from streams.runtime.settings import Settings

Row = TypeVar("Row")
Kind = TypeVar("Kind")
#: After this long it is worth asking again where nothing answered. Seconds.
AGAIN_S = 1.0
#: Two threads that show msgspec a struct for the first time at the same moment crash the process (0.22.0).
_converting = threading.Lock()


def shaped(value: object, kind: type[Kind], strict: bool = True) -> Kind:
    """Plain data as `kind`; `strict` as msgspec has it. For several threads. Raises msgspec.ValidationError."""
    with _converting:
        return msgspec.convert(value, kind, strict=strict)


class Results:
    """Reads rows as structs. Safe for several threads: each query has a connection to itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[ClickHouse] = []
        self._lock = threading.Lock()

    def read(self, row: type[Row], sql: str, **parameters: object) -> list[Row]:
        """The rows of a query, `row`'s fields taken from the columns of their names. Blocks.

        ClickHouse itself binds `parameters`, at `{name:Type}`. Raises RetryLater while ClickHouse is away, StopProcess
        if it refuses the query.
        """
        names, rows = self._table(sql, parameters)
        found = [dict(zip(names, values, strict=True)) for values in rows]
        return shaped(found, list[row])  # type: ignore[valid-type]  # a value here, a type only for msgspec

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _table(self, sql: str, parameters: Mapping[str, object]) -> tuple[list[str], list[tuple[Any, ...]]]:
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._open()
        try:
            answer = connection.table(sql, parameters)
        except (RetryLater, StopProcess):
            # The others may lead to where nothing is any more: a run that was started again has another port.
            connection.close()
            self.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return answer

    def _open(self) -> ClickHouse:
        dsn = self._settings.clickhouse_dsn
        if chdb_path(dsn) is not None:
            # Never the folder itself: chDB takes one process at a time, and that is the sink.
            run = find(self._settings)
            if run is None or not run.clickhouse:
                where = self._settings.data_dir.absolute()
                raise RetryLater(f"nothing runs in {where}: start `corredor run`, or set CORREDOR_CLICKHOUSE", AGAIN_S)
            dsn = run.clickhouse
        return ClickHouse.open(dsn, create=False)
