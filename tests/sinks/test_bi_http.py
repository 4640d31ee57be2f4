"""BI tools on the embedded run: clickhouse-connect, SQLAlchemy as Superset uses it, curl; and what is refused."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
import sqlalchemy

from schemas.errors import UsageError
from sinks.clickhouse import ClickHouse
from sinks.http_query import Engine, QueryServer, create_app
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import as_environment
from tests.sinks.rows import NOON, lines, score, scored

ELSEWHERE = ("203.0.113.9", 50000)


def from_elsewhere(
    folder: Path, password: str, headers: dict[str, str], params: dict[str, str] | None = None
) -> httpx.Response:
    """The answer to `SELECT 1` as another machine gets it."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Engine(folder), password), client=ELSEWHERE)
        async with httpx.AsyncClient(transport=transport, base_url="http://corredor") as client:
            return await client.post("/", content="SELECT 1", headers=headers, params=params)

    return asyncio.run(ask())


@pytest.fixture
def address(queries: QueryServer, store: ClickHouse, eventually: Callable[[Callable[[], bool]], None]) -> Iterator[str]:
    eventually(lambda: queries._server.started)
    store.insert("touchpoint_events", lines(*(scored(offset) for offset in range(5))))
    store.insert("experience_scores", lines(score(n=40, scored=40, score=71.5)))
    yield f"127.0.0.1:{queries.port}"


@pytest.fixture
def alchemy(address: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(f"clickhousedb://{address}/corredor")
    yield engine
    engine.dispose()


def test_sqlalchemy_lists_databases_tables_and_views(alchemy: sqlalchemy.Engine) -> None:
    found = sqlalchemy.inspect(alchemy)
    assert "corredor" in found.get_schema_names()
    tables = found.get_table_names("corredor")
    assert {"touchpoint_events", "experience_slices", "corridor_map"} <= set(tables)
    # Superset shows tables and views; which of the two lists has a view is the dialect's business.
    assert {"events", "slices", "touchpoint_scores_now"} <= {*tables, *found.get_view_names("corredor")}


def test_sqlalchemy_reflects_columns_with_types_and_comments(alchemy: sqlalchemy.Engine) -> None:
    columns = {column["name"]: column for column in sqlalchemy.inspect(alchemy).get_columns("scores", "corredor")}
    assert columns["score"]["comment"] == "Score, 0 to 100; NULL is unknown (too few events)"
    assert columns["at"]["type"].python_type is datetime
    assert columns["score"]["type"].python_type is float


def test_sqlalchemy_selects_from_a_reflected_table_as_a_chart_does(alchemy: sqlalchemy.Engine) -> None:
    events = sqlalchemy.Table("events", sqlalchemy.MetaData(schema="corredor"), autoload_with=alchemy)
    query = (
        sqlalchemy.select(events.c.touchpoint, sqlalchemy.func.count().label("n"), sqlalchemy.func.avg(events.c.x))
        .where(events.c.time >= datetime.fromtimestamp(NOON, UTC))
        .group_by(events.c.touchpoint)
        .order_by(sqlalchemy.desc("n"))
        .limit(10)
    )
    with alchemy.connect() as connection:
        assert [tuple(row) for row in connection.execute(query)] == [("checkout", 5, 0.875)]


def test_sqlalchemy_is_refused_a_write(alchemy: sqlalchemy.Engine, store: ClickHouse) -> None:
    for sql in ("INSERT INTO corredor.touchpoint_events (tenant) VALUES ('a')", "DROP TABLE corredor.events"):
        with alchemy.connect() as connection, pytest.raises(sqlalchemy.exc.DatabaseError, match="READONLY"):
            connection.execute(sqlalchemy.text(sql))
    assert store.rows("SELECT count() FROM corredor.events") == [(5,)]


def test_clickhouse_connect_reads_frames_and_streams(address: str) -> None:
    host, port = address.split(":")
    client = clickhouse_connect.get_client(host=host, port=int(port), username="ana", database="corredor")
    try:
        frame = client.query_df("SELECT touchpoint, x, time FROM events ORDER BY time")
        assert list(frame["x"]) == [0.875] * 5
        assert client.query_arrow("SELECT touchpoint, x FROM events").num_rows == 5
        with client.query_rows_stream("SELECT x FROM events") as rows:
            assert len(list(rows)) == 5
    finally:
        client.close()


def test_curl_reads_and_is_refused_a_write(address: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")

    def ask(*arguments: str) -> str:
        return subprocess.run([curl, "-sS", *arguments], capture_output=True, text=True, timeout=30, check=True).stdout

    url = f"http://{address}/"
    assert ask(url, "--data-binary", "SELECT count() FROM corredor.events") == "5\n"
    assert ask(f"{url}?query=SELECT+1+AS+a+FORMAT+JSONEachRow") == '{"a":1}\n'
    assert ask("-u", "ana:x", url, "-d", "SELECT currentDatabase()", "-H", "X-ClickHouse-Database: corredor") == (
        "corredor\n"
    )
    assert "(READONLY)" in ask(url, "-d", "INSERT INTO corredor.journeys (tenant) VALUES ('a')")


@pytest.mark.parametrize(
    "sql",
    [
        "WITH 1 AS a INSERT INTO corredor.journeys (tenant) SELECT 'a'",
        "INSERT INTO TABLE FUNCTION null('a Int8') VALUES (1)",
        "EXPLAIN PIPELINE INSERT INTO corredor.journeys (tenant) SELECT 'a'",
        "CREATE TEMPORARY TABLE a (x Int8)",
        "CREATE FUNCTION f AS x -> x",
        "EXECUTE AS default DROP TABLE corredor.journeys",
        "GRANT ALL ON *.* TO default",
        "KILL QUERY WHERE 1",
        "OPTIMIZE TABLE corredor.journeys FINAL",
        "DELETE FROM corredor.journeys WHERE 1",
        "UPDATE corredor.journeys SET tenant = 'a' WHERE 1",
        "RENAME TABLE corredor.journeys TO corredor.j",
        "DETACH TABLE corredor.journeys",
        "SYSTEM STOP MERGES",
        "SYSTEM SHUTDOWN",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'a String')",
        "SELECT * FROM (SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'a String') SETTINGS readonly = 0)",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM executable('ls', 'TSV', 'a String', (SELECT 1))",
        "SELECT * FROM sqlite('x.db', 't')",
        "SELECT * FROM '/etc/hostname'",
        "SELECT * APPLY(file) FROM (SELECT '/etc/hostname')",
        "SELECT * APPLY `f\\x69le` FROM (SELECT '/etc/hostname')",
        "SELECT COLUMNS('a') APPLY/**/(x -> file(x)) FROM (SELECT '/etc/hostname' AS a)",
        "SELECT aiGenerate('hello')",
        "SELECT (SELECT sum(number) FROM numbers(10) SETTINGS max_execution_time = 0)",
        "SELECT * FROM (SELECT 1 SETTINGS additional_result_filter = 'file(\\'/etc/hostname\\') = 1')",
        "SELECT 1 SETTINGS max_threads = 1",
    ],
)
def test_what_writes_or_reaches_outside_in_a_sneaky_way_is_refused(address: str, sql: str) -> None:
    answer = httpx.post(f"http://{address}/", content=sql)
    assert answer.headers["x-clickhouse-exception-code"] == "164", answer.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("additional_table_filters", "{'system.one': 'startsWith(file(\\'/etc/hostname\\'), \\'a\\')'}"),
        ("additional_result_filter", "startsWith(file('/etc/hostname'), 'a')"),
        ("dialect", "prql"),
        ("implicit_select", "1"),
        ("format_template_resultset", "/etc/hostname"),
        ("output_format_schema", "written.capnp"),
        ("input_format_record_errors_file_path", "written.txt"),
    ],
)
def test_settings_that_hold_expressions_or_files_are_refused(address: str, name: str, value: str) -> None:
    answer = httpx.post(f"http://{address}/", params={name: value}, content="SELECT * FROM system.one")
    assert answer.headers["x-clickhouse-exception-code"] == "164", answer.text
    assert name in answer.text


def test_columns_can_be_named_by_apply(address: str) -> None:
    answer = httpx.post(f"http://{address}/", content="SELECT * APPLY(max) FROM (SELECT x FROM corredor.events)")
    assert answer.text == "0.875\n"


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({"authorization": "Basic YW5hOm9wZW4tc2VzYW1l"}, {}),
        ({"X-ClickHouse-User": "ana", "X-ClickHouse-Key": "open-sesame"}, {}),
        ({}, {"user": "ana", "password": "open-sesame"}),
    ],
)
def test_other_machines_give_the_password_in_any_of_clickhouses_ways(
    store: ClickHouse, folder: Path, headers: dict[str, str], params: dict[str, str]
) -> None:
    answer = from_elsewhere(folder, "open-sesame", headers, params)
    assert (answer.status_code, answer.text) == (200, "1\n")


@pytest.mark.parametrize("password", ["open-sesame", ""])
@pytest.mark.parametrize(
    "headers",
    [{}, {"X-ClickHouse-Key": "wrong"}, {"authorization": "Basic !"}, {"authorization": "Bearer open-sesame"}],
)
def test_other_machines_get_nothing_without_it(
    store: ClickHouse, folder: Path, headers: dict[str, str], password: str
) -> None:
    answer = from_elsewhere(folder, password, headers)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (403, "516")
    assert "open-sesame" not in answer.text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", ""])
def test_it_does_not_listen_elsewhere_without_a_password(folder: Path, host: str) -> None:
    with pytest.raises(UsageError, match="CORREDOR_QUERY_PASSWORD"):
        QueryServer(folder, 0, host)


def test_a_name_instead_of_an_address_and_an_address_of_another_machine_are_the_users_error(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"`example\.org` is no IP address"):
        QueryServer(folder, 0, "example.org", "x")
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1"):
        QueryServer(folder, 0, "192.0.2.1", "x")


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2"])
def test_it_listens_on_loopback_too(
    store: ClickHouse, folder: Path, host: str, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    server = QueryServer(folder, 0, host, "open-sesame")
    server.start()
    try:
        eventually(lambda: server._server.started)
        for address in ("127.0.0.1", "127.0.0.2"):
            assert httpx.post(f"http://{address}:{server.port}/", content="SELECT 1").text == "1\n"
    finally:
        assert server.stop(5)


def test_the_password_reaches_the_child_and_no_print(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CORREDOR_QUERY_PASSWORD", "open-sesame")
    settings = load_settings(query_host="0.0.0.0")
    assert "open-sesame" not in repr(settings)
    assert as_environment(settings)["CORREDOR_QUERY_PASSWORD"] == "open-sesame"
