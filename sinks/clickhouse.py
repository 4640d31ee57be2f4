"""ClickHouse, reached the same way whether it is a server or chDB, the engine inside this process.

`chdb:///path` opens the engine on a folder; `http://user:password@host:8123/corredor` (or https) a server. Errors
steer: `StoreAway` (try later), `RejectEvent` (the data is refused), `StopProcess` (a person must look).
"""

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import ClickHouseError, ProgrammingError

from schemas.errors import CorredorError, RejectEvent, RetryLater, StopProcess, UsageError
from schemas.forget import ForgetRequest
from schemas.rejection import Reason
from sinks import forget
from sinks.retriable import FIRST_S, REFUSING, RETRIABLE

DATABASE = "corredor"
#: Below Kafka's max.poll.interval.ms, so that a hanging insert cannot cost the sink its partitions. Seconds.
INSERT_TIMEOUT_S = 60
_INSERT_SETTINGS = {
    # The answer must mean written, whatever the server's default.
    "async_insert": "0",
    # NULL where a value is due is a broken row, not a default value.
    "input_format_null_as_default": "0",
    "input_format_skip_unknown_fields": "1",
    "input_format_json_read_objects_as_strings": "1",
    "date_time_input_format": "basic",
    # Replayed history touches many months in one batch; refusing it (code 252) would be retried for ever.
    "throw_on_max_partitions_per_insert_block": "0",
    # Merging replaced rows at once costs a third of an insert; the views merge when read, the engine in the background.
    "optimize_on_insert": "0",
}
#: Rows that were stored once: they are taken as they are, also the same ones again.
_BLOCK_SETTINGS = {
    "async_insert": "0",
    "throw_on_max_partitions_per_insert_block": "0",
    "optimize_on_insert": "0",
    "insert_deduplicate": "0",
}
#: Bytes of a result that are in memory at once, at least.
_BLOCK = 1024 * 1024

#: Of the engine in this process: merging parts in the background gives way to inserts and queries (Linux nice value).
_ENGINE = {"os_threads_nice_value_merge_mutate": 10}
#: With FINAL, conditions on the sorting key are checked before rows are merged: a tenth of the CPU where few are left.
FINAL_READS_LESS = "optimize_move_to_prewhere_if_final = 1"

#: From here on the engine's message tells of its own files and steps, not of the data.
_WHERE = re.compile(r":?\s*\(in file/uri|: While executing")


class StoreAway(RetryLater):
    """ClickHouse cannot take this right now. `name` is its error's name, or NETWORK."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message, FIRST_S)
        self.name = name


class Store(Protocol):
    """Where rows go."""

    def insert(self, table: str, lines: bytes) -> None:
        """Write JSON objects, one after another; on return they are stored. May block up to 60 s.

        Raises StoreAway if it may succeed later, RejectEvent if a row is refused (none of the lines counts as written
        then), StopProcess if a person must look.
        """

    def erase(self, request: ForgetRequest) -> None:
        """Have every row with this subject erased; ClickHouse does so in the background. Raises as `insert` does."""


class ClickHouse:
    """A connection; not for use by several threads at once. Open one for each thread: they are cheap."""

    def __init__(self, client: Any, dsn: str) -> None:
        self._client = client
        self.dsn = dsn

    @classmethod
    def open(cls, dsn: str, *, create: bool = True) -> "ClickHouse":
        """Connect, and create the database if it is not there and `create` is set.

        Raises StoreAway if nothing answers, UsageError if the DSN is wrong or another process has the chDB folder.
        """
        path = chdb_path(dsn)
        if path is not None:
            if create:
                path.mkdir(parents=True, exist_ok=True)
            _refuse_foreign_lock(path)
        else:
            _check_server_dsn(dsn)
        try:
            if path is not None:
                client = clickhouse_connect.get_client(dsn=f"chdb://{path}", chdb_options=_ENGINE)
            else:
                client = clickhouse_connect.get_client(
                    dsn=dsn,
                    database="system",
                    connect_timeout=5,
                    send_receive_timeout=INSERT_TIMEOUT_S,
                    query_retries=0,
                    autogenerate_session_id=False,
                )
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"opening {shown(dsn)}") from error
        store = cls(client, dsn)
        if path is not None:
            store.command(f"SET {FINAL_READS_LESS}")
        known = store.rows(f"SELECT 1 FROM system.databases WHERE name = '{DATABASE}'")
        if not known and create:
            store.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        if known or create:
            client.database = DATABASE
        return store

    def insert(self, table: str, lines: bytes) -> None:
        """See `Store.insert`."""
        try:
            self._client.raw_insert(
                f"{DATABASE}.{table}", insert_block=lines, fmt="JSONEachRow", settings=_INSERT_SETTINGS
            )
        except (ClickHouseError, OSError) as error:
            if getattr(error, "code", None) in REFUSING:
                raise RejectEvent(Reason.REFUSED_BY_STORE, _WHERE.split(str(error))[0].strip()) from error
            raise _steer(error, f"writing to {DATABASE}.{table}") from error

    def erase(self, request: ForgetRequest) -> None:
        """See `Store.erase`."""
        for statement in forget.statements(request):
            self.command(statement)

    def command(self, sql: str) -> None:
        """Run a statement that gives no rows."""
        try:
            self._client.command(sql)
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"running: {sql[:80]}") from error

    def rows(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query, as Python values."""
        return self.table(sql, parameters)[1]

    def table(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Column names and rows of a query, as Python values; ClickHouse binds `parameters` at `{name:Type}`."""
        try:
            result = self._client.query(sql, parameters=parameters)
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"running: {sql[:80]}") from error
        return list(result.column_names), list(result.result_rows)

    def formatted(self, sql: str, fmt: str | None) -> bytes:
        """The result of a query in a ClickHouse output format; None leaves the choice to the query's own FORMAT."""
        try:
            return bytes(self._client.raw_query(sql, fmt=fmt))
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"running: {sql[:80]}") from error

    def blocks(self, sql: str) -> Iterator[bytes]:
        """The result of a query in the format Native, piece by piece."""
        try:
            stream = self._client.raw_stream(sql, fmt="Native")
            try:
                while block := stream.read(_BLOCK):
                    yield bytes(block)
            finally:
                stream.close()
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"running: {sql[:80]}") from error

    def insert_blocks(self, table: str, blocks: Iterator[bytes]) -> None:
        """Write what `blocks` gave into a table with the same columns, or more."""
        try:
            self._client.raw_insert(f"{DATABASE}.{table}", insert_block=blocks, fmt="Native", settings=_BLOCK_SETTINGS)
        except (ClickHouseError, OSError) as error:
            raise _steer(error, f"writing to {DATABASE}.{table}") from error

    def read_only(self) -> "ClickHouse":
        """Make this connection refuse every write (code 164) from now on."""
        self.command("SET readonly = 1")
        return self

    def close(self) -> None:
        """Close the connection; the last one on a chDB folder releases the folder."""
        self._client.close()


def chdb_path(dsn: str) -> Path | None:
    """The folder of a `chdb://` DSN, links resolved (the engine compares paths as text); None for a server."""
    if not dsn.startswith("chdb:"):
        return None
    parts = urlsplit(dsn)
    if parts.netloc or not parts.path.strip("/"):
        raise UsageError(f"CORREDOR_CLICKHOUSE: `{dsn}` names no folder; write chdb:///path/to/folder")
    return Path(os.path.realpath(parts.path))


def shown(dsn: str) -> str:
    """The DSN as it may be printed: without the password."""
    parts = urlsplit(dsn)
    return dsn.replace(f":{parts.password}@", ":***@") if parts.password else dsn


def _check_server_dsn(dsn: str) -> None:
    parts = urlsplit(dsn)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"CORREDOR_CLICKHOUSE: `{shown(dsn)}` is no ClickHouse address; write chdb:///path or "
            f"http://user:password@host:8123/{DATABASE}"
        )
    if parts.path.strip("/") not in ("", DATABASE):
        raise UsageError(
            f"CORREDOR_CLICKHOUSE: the database is always called `{DATABASE}`, not `{parts.path.strip('/')}`; "
            f"end the address with /{DATABASE}"
        )


def holder(path: Path) -> str | None:
    """The id of the other process that has the chDB folder open, or None.

    The engine locks the file `status` in its folder and writes its process id there.
    """
    status = path / "status"
    if not status.exists():
        return None
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = next((line.split()[1] for line in file.read().decode().splitlines() if line.startswith("PID")), "?")
            return owner if owner != str(os.getpid()) else None
    return None


def _refuse_foreign_lock(path: Path) -> None:
    owner = holder(path)
    if owner is not None:
        raise UsageError(
            f"the ClickHouse folder {path} is in use by process {owner}, and chDB takes one process at a time; "
            f"query through that process (`corredor query` does, over HTTP) or stop it first"
        )


def _steer(error: Exception, doing: str) -> CorredorError:
    """The error of ours that says what to do about one of ClickHouse's."""
    code = getattr(error, "code", None)
    message = f"ClickHouse, {doing}: {error}"
    if code in RETRIABLE:
        return StoreAway(message, RETRIABLE[code])
    if code is None and not isinstance(error, ProgrammingError):
        return StoreAway(message, "NETWORK")
    return StopProcess(message)
