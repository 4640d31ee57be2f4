from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import clickhouse_connect
import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.errors import UsageError
from sinks import http_query
from sinks.clickhouse import ClickHouse
from sinks.http_query import QueryServer
from tests.sinks.rows import lines, scored


@pytest.fixture
def http(queries: QueryServer, eventually: Callable[[Callable[[], bool]], None]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{queries.port}", timeout=30) as client:
        eventually(lambda: queries._server.started)
        yield client


def test_ping_and_an_empty_request_say_ok(http: httpx.Client) -> None:
    assert http.get("/ping").text == "Ok.\n"
    assert http.get("/").text == "Ok.\n"


def test_a_query_comes_in_the_address_or_the_body_or_half_in_each(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "SELECT 1 + 1"}).text == "2\n"
    assert http.post("/", content="SELECT 1 + 2").text == "3\n"
    assert http.post("/", params={"query": "SELECT 1"}, content="+ 3").text == "4\n"


def test_the_format_is_the_querys_own_or_the_default_asked_for(http: httpx.Client) -> None:
    plain = http.get("/", params={"query": "SELECT 1 AS a", "default_format": "JSONEachRow"})
    assert (plain.json(), plain.headers["x-clickhouse-format"]) == ({"a": 1}, "JSONEachRow")
    own = http.get("/", params={"query": "SELECT 1 AS a FORMAT CSVWithNames", "default_format": "JSON"})
    assert (own.text, own.headers["x-clickhouse-format"]) == ('"a"\n1\n', "CSVWithNames")
    assert own.headers["content-type"].startswith("text/csv")
    assert "read_rows" in own.headers["x-clickhouse-summary"]


def test_database_and_parameters_are_taken(http: httpx.Client) -> None:
    params = {"database": "corredor", "param_who": "it's", "query": "SELECT {who:String}, currentDatabase()"}
    assert http.get("/", params=params).text == "it\\'s\tcorredor\n"


def test_settings_in_the_address_are_applied_but_never_those_that_guard(http: httpx.Client) -> None:
    query = "SELECT getSetting('max_threads'), getSetting('readonly'), getSetting('max_execution_time')"
    params = {"query": query, "max_threads": "3", "readonly": "0", "max_execution_time": "999999"}
    assert http.get("/", params=params).text == "3\t1\t60\n"


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE corredor.x (a UInt8) ENGINE = Memory",
        "DROP TABLE corredor.touchpoint_events",
        "TRUNCATE TABLE corredor.touchpoint_events",
        "INSERT INTO corredor.touchpoint_events (tenant) VALUES ('a')",
        "/* SELECT */ INSERT INTO corredor.touchpoint_events (tenant) SELECT 'a'",
        "ALTER TABLE corredor.touchpoint_events DELETE WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 INTO OUTFILE 'out.txt'",
        "INSERT INTO FUNCTION file('out.txt') SELECT 1",
        "SELECT * FROM file('/etc/hostname', 'LineAsString')",
        "SELECT file('/etc/hostname')",
        "SELECT `file`('/etc/hostname')",
        "WITH a AS (SELECT FILE('/etc/hostname') AS b) SELECT b FROM a",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')",
        "SELECT * FROM python(sys)",
        "SYSTEM FLUSH LOGS",
        "BACKUP DATABASE corredor TO File('x')",
    ],
)
def test_what_writes_or_reaches_outside_is_refused_with_code_164(
    http: httpx.Client, store: ClickHouse, sql: str
) -> None:
    store.insert("touchpoint_events", lines(scored()))
    answer = http.post("/", content=sql)
    assert answer.status_code == 500
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert "(READONLY)" in answer.text
    assert store.rows("SELECT count() FROM corredor.events") == [(1,)]
    assert not Path("out.txt").exists()


def test_several_statements_at_once_are_refused(http: httpx.Client) -> None:
    for sql in ("SELECT 1; SELECT 2", "SELECT 1; DROP TABLE corredor.touchpoint_events"):
        answer = http.post("/", content=sql)
        assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (400, "62")
    assert http.post("/", content="SELECT 1;").text == "1\n"


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELEC 1", 400, "62"),
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELECT * FROM corredor.events WHERE a", 404, "47"),
    ],
)
def test_errors_come_with_clickhouses_status_and_code(http: httpx.Client, sql: str, status: int, code: str) -> None:
    answer = http.get("/", params={"query": sql})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (status, code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_too_large_a_result_is_refused(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(http_query.LIMITS, "max_result_bytes", 100_000)
    answer = http.get("/", params={"query": "SELECT number FROM numbers(1000000)"})
    assert answer.headers["x-clickhouse-exception-code"] == "396"


def test_too_long_a_query_is_ended(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(http_query.LIMITS, "max_execution_time", 1)
    answer = http.get("/", params={"query": "SELECT count() FROM numbers(1000000000000) WHERE number % 7 = 3"})
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (408, "159")


def test_rows_can_be_written_while_a_query_runs(http: httpx.Client, store: ClickHouse) -> None:
    answers: list[str] = []
    slow = Thread(target=lambda: answers.append(http.get("/", params={"query": "SELECT sleep(1.5)"}).text))
    slow.start()
    store.insert("touchpoint_events", lines(scored()))
    assert answers == []
    slow.join()
    assert answers == ["0\n"]


def test_clickhouse_connect_connects_reads_and_is_refused_a_write(
    http: httpx.Client, queries: QueryServer, store: ClickHouse
) -> None:
    store.insert("touchpoint_events", lines(*(scored(offset) for offset in range(5))))
    client = clickhouse_connect.get_client(host="127.0.0.1", port=queries.port, database="corredor")
    try:
        result = client.query(
            "SELECT subject, x, segment, time FROM events WHERE touchpoint = {t:String}", {"t": "checkout"}
        )
        assert len(result.result_rows) == 5
        assert result.result_rows[0][1:3] == (0.875, {"location": "Madrid", "device": "phone"})
        assert client.command("SELECT count() FROM events") == 5
        assert client.query("SELECT * FROM slices LIMIT 0").column_names[:2] == ("tenant", "touchpoint")
        assert client.query("SELECT length({t:String})", {"t": "x" * 100_000}).result_rows == [(100_000,)]
        with pytest.raises(DatabaseError) as refused:
            client.command("TRUNCATE TABLE touchpoint_events")
        assert refused.value.code == 164
    finally:
        client.close()


def test_a_port_that_is_taken_is_named(queries: QueryServer, folder: Path) -> None:
    with pytest.raises(UsageError, match=f"127.0.0.1:{queries.port}.*--query-port"):
        QueryServer(folder, queries.port)
