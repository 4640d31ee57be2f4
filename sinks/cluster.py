"""ClickHouse on a cluster: the statements that make tables and views, put on every server, with replicated engines.

The cluster has one shard and any number of replicas: each holds every row, so every view reads its own server alone.
Replicas find each other in Keeper below `/clickhouse/tables/corredor/<cluster>/<shard>/<table>`, by the macros `shard`
and `replica` that each server has in its configuration. The path goes by names, not by `{uuid}`: a replica that joins
later makes its tables from another one's `SHOW CREATE TABLE` and is in.
"""

import re
from typing import Any

from schemas.errors import StopProcess, UsageError
from schemas.sql import literal
from sinks.clickhouse import DATABASE, ClickHouse, chdb_path

#: A replica that is away makes up for the statements it missed when it is back: they wait in Keeper. Seconds.
_WAIT_S = 5
_SETTINGS: dict[str, Any] = {
    "distributed_ddl_task_timeout": _WAIT_S,
    "distributed_ddl_output_mode": "null_status_on_timeout",
}
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z))*")
_NAME = r"(?:\w+\.)?\w+"
#: What stands before ON CLUSTER in each statement of ours, in the order of ClickHouse's grammar.
_HEADS = tuple(
    re.compile(pattern)
    for pattern in (
        r"CREATE DATABASE (?:IF NOT EXISTS )?\w+",
        rf"CREATE (?:OR REPLACE )?(?:TABLE|VIEW|MATERIALIZED VIEW|DICTIONARY) (?:IF NOT EXISTS )?{_NAME}",
        rf"(?:ALTER TABLE|(?:DROP|TRUNCATE) (?:TABLE|VIEW|DICTIONARY)(?: IF EXISTS)?) {_NAME}",
        r"CREATE ROLE (?:IF NOT EXISTS )?\w+(?:, \w+)*",
        r"CREATE SETTINGS PROFILE (?:IF NOT EXISTS )?\w+",
        r"CREATE ROW POLICY (?:IF NOT EXISTS |OR REPLACE )?\w+",
        r"GRANT",
        r"SYSTEM RELOAD DICTIONARY",
    )
)
#: These change or read rows: one server is told, replication does the rest.
_ROWS = re.compile(r"(?:INSERT|SELECT|SET|WITH)\b")
_ENGINE = re.compile(r"^ENGINE = (\w*MergeTree)(?:\(([^()\n]*)\))?$", re.MULTILINE)
_TABLE = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(?:\w+\.)?(?P<table>\w+)")


def on_cluster(statement: str, cluster: str) -> str:
    """The statement for all servers of `cluster`, engines of the MergeTree family replicated.

    What changes or reads rows stays as it is. Raises StopProcess for a statement that is none of the known kinds, for
    it would be carried out on one server only.
    """
    comments = _COMMENTS.match(statement)
    start = comments.end() if comments is not None else 0
    said = statement[start:]
    if _ROWS.match(said):
        return statement
    head = next((found for pattern in _HEADS if (found := pattern.match(said)) is not None), None)
    if head is None:
        raise StopProcess(
            f"cannot be put on the cluster {cluster}: {said[:80]}; unset CORREDOR_CLICKHOUSE_CLUSTER, "
            "or have this statement added to sinks/cluster.py"
        )
    rest = said[head.end() :]
    table = _TABLE.match(said)
    if table is not None:
        rest = _ENGINE.sub(lambda engine: _replicated(engine, cluster, table["table"]), rest)
    return f"{statement[:start]}{head[0]} ON CLUSTER {literal(cluster)}{rest}"


def _replicated(engine: re.Match[str], cluster: str, table: str) -> str:
    if engine[1].startswith(("Replicated", "Shared")):
        return engine[0]
    place = f"'/clickhouse/tables/{DATABASE}/{cluster}/{{shard}}/{table}', '{{replica}}'"
    arguments = f"{place}, {engine[2]}" if engine[2] else place
    return f"ENGINE = Replicated{engine[1]}({arguments})"


class OnCluster(ClickHouse):
    """A connection whose statements are put on every server of a cluster; rows are read and written as ever."""

    def __init__(self, store: ClickHouse, cluster: str) -> None:
        super().__init__(store._client, store.dsn)
        self.cluster = cluster
        for name, value in _SETTINGS.items():
            self._client.set_client_setting(name, value)

    def command(self, sql: str) -> None:
        """Run a statement on every server; one that is away is waited for up to 5 s and told when it is back."""
        super().command(on_cluster(sql, self.cluster))


def spread(store: ClickHouse, cluster: str) -> ClickHouse:
    """The connection through which tables, views, roles and policies are made: `store` itself for the empty name.

    With a name the database is there on every server afterwards. Raises UsageError if the server knows no such
    cluster, or one of several shards, and for chDB; otherwise as `ClickHouse` does.
    """
    if not cluster:
        return store
    if chdb_path(store.dsn) is not None:
        raise UsageError(
            f"CORREDOR_CLICKHOUSE_CLUSTER: chDB runs in one process and has no cluster {cluster}; "
            "unset it, or set CORREDOR_CLICKHOUSE to a server of the cluster"
        )
    known = store.rows(f"SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = {literal(cluster)}")
    shards = known[0][0] if known else 0
    if shards != 1:
        has = f"has {shards} shards" if shards else "is not there"
        raise UsageError(
            f"CORREDOR_CLICKHOUSE_CLUSTER: the cluster {cluster} {has} (system.clusters of the server); "
            "name one with one shard: every replica holds all rows, and the views read one server"
        )
    everywhere = OnCluster(store, cluster)
    everywhere.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    return everywhere
