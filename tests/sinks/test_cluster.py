import re

import pytest
from typer.testing import CliRunner

from command.main import app
from schemas.errors import StopProcess, UsageError
from schemas.forget import ForgetRequest
from schemas.sql import literal
from sinks import bi_access, corridor_map, forget, migrate, retention
from sinks.clickhouse import ClickHouse
from sinks.cluster import OnCluster, on_cluster, spread
from streams.runtime.settings import Settings


class Server(ClickHouse):
    """A ClickHouse server that knows clusters by their number of shards, and remembers what it was told."""

    def __init__(self, shards: dict[str, int]) -> None:
        super().__init__(Client(), "http://sink@clickhouse-1:8123/corredor")
        self.shards = shards

    def rows(self, sql: str, parameters: object = None) -> list[tuple[int]]:
        if "system.clusters" not in sql:
            return []
        return [(next((n for name, n in self.shards.items() if literal(name) in sql), 0),)]


class Client:
    def __init__(self) -> None:
        self.told: list[str] = []
        self.settings: dict[str, object] = {}

    def command(self, sql: str) -> None:
        self.told.append(sql)

    def set_client_setting(self, name: str, value: object) -> None:
        self.settings[name] = value


def statements() -> list[str]:
    """Everything that makes or changes something in ClickHouse."""
    tables = {"touchpoint_events": True, "rejected_events": False}
    request = ForgetRequest(request="a", asked_at=1.0, salt="00" * 16, subject="ana")
    return [
        migrate._HISTORY.strip(),
        *(statement for migration in migrate.migrations() for statement in migration.statements),
        *bi_access.statements(tables),
        corridor_map._CREATE.strip(),
        f"SYSTEM RELOAD DICTIONARY {corridor_map.DICTIONARY}",
        f"ALTER TABLE corredor.journeys MODIFY TTL toDateTime({retention.TABLES['journeys']}) + toIntervalSecond(60)",
        "ALTER TABLE corredor.journeys REMOVE TTL",
        *forget.statements(request),
        "CREATE DATABASE IF NOT EXISTS corredor",
    ]


def tree(engine: ClickHouse, sql: str) -> str:
    """The statement in ClickHouse's own words, which it gives only of what it can read."""
    return str(engine.rows(f"SELECT formatQuery({literal(sql)})")[0][0])


def test_every_statement_goes_to_the_whole_cluster_and_still_parses(engine: ClickHouse) -> None:
    for statement in statements():
        written = tree(engine, on_cluster(statement, "corredor-1"))
        assert written.count("ON CLUSTER `corredor-1`") == 1, written
        alone = written.replace(" ON CLUSTER `corredor-1`", "")
        place = r"'/clickhouse/tables/corredor/corredor-1/\{shard\}/\w+', '\{replica\}'(, )?"
        alone = re.sub(place, "", alone).replace("ReplicatedReplacing", "Replacing").replace("MergeTree()", "MergeTree")
        assert alone == tree(engine, statement)


def test_every_table_that_stores_rows_is_replicated_below_its_own_name(engine: ClickHouse) -> None:
    stored = dict(engine.rows("SELECT name, engine FROM system.tables WHERE database = 'corredor'"))
    stored = {name: kind for name, kind in stored.items() if "MergeTree" in kind and not name.startswith(".")}
    created = {}
    for statement in statements():
        written = on_cluster(statement, "c")
        match = re.search(r"^ENGINE = (\w+MergeTree)\('([^']+)', '\{replica\}'", written, re.MULTILINE)
        if match is not None:
            created[match[2].rsplit("/", 1)[1]] = match[1]
    assert created == {name: f"Replicated{kind}" for name, kind in stored.items()}


def test_the_version_column_stays_the_engines_last_argument() -> None:
    written = on_cluster("CREATE TABLE IF NOT EXISTS corredor.t (a Int8)\nENGINE = ReplacingMergeTree(version)\n", "c")
    assert written == (
        "CREATE TABLE IF NOT EXISTS corredor.t ON CLUSTER 'c' (a Int8)\n"
        "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/corredor/c/{shard}/t', '{replica}', version)\n"
    )


def test_a_comment_before_a_statement_stays_before_it() -> None:
    assert on_cluster("-- why\nDROP VIEW IF EXISTS corredor.v", "c") == (
        "-- why\nDROP VIEW IF EXISTS corredor.v ON CLUSTER 'c'"
    )


def test_rows_are_written_and_read_on_one_server() -> None:
    for statement in ("INSERT INTO corredor.t VALUES (1)", "SELECT 1", "SET readonly = 1"):
        assert on_cluster(statement, "c") == statement


def test_a_statement_of_an_unknown_kind_is_refused_instead_of_reaching_one_server_only() -> None:
    with pytest.raises(StopProcess, match="RENAME TABLE a TO b; unset CORREDOR_CLICKHOUSE_CLUSTER"):
        on_cluster("RENAME TABLE a TO b", "c")


def test_without_the_setting_nothing_changes(engine: ClickHouse) -> None:
    assert spread(engine, "") is engine


def test_chdb_refuses_a_cluster_with_a_sentence(engine: ClickHouse) -> None:
    with pytest.raises(UsageError, match="CORREDOR_CLICKHOUSE_CLUSTER: chDB runs in one process and has no cluster c"):
        spread(engine, "c")


@pytest.mark.parametrize(("cluster", "told"), [("wide", "has 2 shards"), ("other", "is not there")])
def test_a_cluster_that_cannot_hold_all_rows_on_each_server_is_refused(cluster: str, told: str) -> None:
    with pytest.raises(UsageError, match=f"the cluster {cluster} {told} .* name one with one shard"):
        spread(Server({"wide": 2}), cluster)


def test_on_a_cluster_the_database_is_made_everywhere_and_an_absent_replica_holds_nobody_up() -> None:
    server = Server({"replicas": 1})
    everywhere = spread(server, "replicas")
    assert isinstance(everywhere, OnCluster)
    assert server._client.told == ["CREATE DATABASE IF NOT EXISTS corredor ON CLUSTER 'replicas'"]
    assert server._client.settings["distributed_ddl_output_mode"] == "null_status_on_timeout"


@pytest.fixture
def migrating(monkeypatch: pytest.MonkeyPatch) -> None:
    """`corredor migrate` finds an empty server that knows no cluster, and is to spread over the cluster `replicas`."""
    monkeypatch.setattr("sinks.clickhouse.ClickHouse.open", lambda dsn, create=True: Server({}))
    monkeypatch.setattr(Server, "close", lambda self: None)
    monkeypatch.setenv("CORREDOR_CLICKHOUSE", "http://sink@clickhouse-1:8123/corredor")
    monkeypatch.setenv("CORREDOR_CLICKHOUSE_CLUSTER", "replicas")


@pytest.mark.usefixtures("migrating")
def test_the_command_migrate_refuses_a_cluster_that_is_not_there() -> None:
    result = CliRunner().invoke(app, ["migrate"])
    assert isinstance(result.exception, UsageError)
    assert "the cluster replicas is not there" in str(result.exception)


@pytest.mark.usefixtures("migrating")
def test_a_dry_run_prints_the_statements_as_the_cluster_would_get_them() -> None:
    printed = CliRunner().invoke(app, ["migrate", "--dry-run"]).output
    statements = [each for migration in migrate.migrations() for each in migration.statements]
    assert printed.count(" ON CLUSTER 'replicas'") == len(statements)
    assert all(on_cluster(statement, "replicas") in printed for statement in statements)


def test_a_cluster_name_that_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="clickhouse_cluster"):
        Settings(clickhouse_cluster="a' SYNC")
