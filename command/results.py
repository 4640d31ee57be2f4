"""Where the results are: a ClickHouse server, the running system, or the chDB folder when nothing runs."""

from schemas.errors import UsageError
from sinks.clickhouse import ClickHouse, chdb_path, holder
from streams.runtime.endpoints import find
from streams.runtime.settings import Settings


def connect(settings: Settings) -> ClickHouse:
    """A connection to the results, read-only on chDB. Raises UsageError if there are none."""
    dsn = settings.clickhouse_dsn
    path = chdb_path(dsn)
    if path is None:
        return ClickHouse.open(dsn, create=False)
    chosen = bool(settings.clickhouse.get_secret_value())
    run = find(settings)
    if run is not None and run.clickhouse and (not chosen or holder(path)):
        return ClickHouse.open(run.clickhouse, create=False)
    if not path.exists():
        raise UsageError(
            f"nothing runs here and there is no ClickHouse folder {path}; start `corredor run` or `corredor demo`, "
            f"or set CORREDOR_CLICKHOUSE"
        )
    return ClickHouse.open(dsn, create=False).read_only()
