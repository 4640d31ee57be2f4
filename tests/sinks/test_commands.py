"""`corredor sink`, `migrate` and `query` as a user runs them."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet
import pytest

from command import migrate, query
from schemas import topics
from schemas.errors import StopProcess, UsageError
from sinks.clickhouse import ClickHouse
from sinks.http_query import QueryServer
from sinks.migrate import migrations
from streams.runtime import clients
from streams.runtime.settings import Settings
from tests.sinks.rows import encode, scored

ROOT = Path(__file__).resolve().parents[2]
#: The command with these three subcommands only: the others have nothing to do with the sink.
PROGRAM = """
import sys, typer
from command import migrate, query, sink
from command.output import err
from schemas.errors import CorredorError, StopProcess
app = typer.Typer()
for module in (migrate, query, sink):
    app.command(name=module.__name__.rpartition(".")[2])(module.command)
try:
    app(standalone_mode=False)
except CorredorError as error:
    err.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(error.exit_code if isinstance(error, StopProcess) else 1)
"""


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def corredor(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = start(folder, *arguments, **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@contextmanager
def sink(folder: Path, **environment: str) -> Iterator[dict[str, str]]:
    """A running sink and the addresses of its ready line; ended by SIGTERM, which must go well and in time."""
    process = start(folder, "sink", "--metrics-port", "0", "--query-port", "0", **environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("sink ready "), process.communicate(timeout=10)[1]
        yield dict(part.split("=", 1) for part in line.split()[2:])
    finally:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        err = process.communicate(timeout=20)[1]
    assert process.returncode == 0, err
    assert time.monotonic() - began < 8


@pytest.mark.kafka
def test_the_sink_writes_serves_queries_and_metrics_and_ends_cleanly(
    cluster: str, tmp_path: Path, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    environment = {"CORREDOR_KAFKA": cluster, "CORREDOR_KAFKA_PACED": "1", "CORREDOR_DATA_DIR": str(tmp_path)}
    producer = clients.producer(Settings(kafka=cluster))
    with sink(tmp_path, **environment) as places:
        for offset in range(100):
            producer.produce(topics.SCORED.name, key=str(offset), value=encode(scored(offset)))
        assert producer.flush(10) == 0
        question = {"query": "SELECT count() FROM corredor.events"}
        base = places["query"].removesuffix("/corredor")
        eventually(lambda: httpx.get(base, params=question).text == "100\n")
        metrics = httpx.get(places["metrics"]).text
        assert 'corredor_sink_rows_total{table="touchpoint_events"} 100.0' in metrics
        assert 'corredor_sink_end_to_end_seconds_count{table="touchpoint_events"}' in metrics
    code, out, err = corredor(tmp_path, "query", "SELECT uniqExact(id) FROM events", **environment)
    assert (code, out) == (0, "100\n"), err


@pytest.fixture(params=["folder", "http"])
def reach(
    request: pytest.FixtureRequest, engine: ClickHouse, queries: QueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways to the results: the folder itself, and the interface of the process that has it."""
    monkeypatch.setenv("CORREDOR_CLICKHOUSE", engine.dsn if request.param == "folder" else queries.dsn)


Capture = pytest.CaptureFixture[bytes]


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        (None, b"1\tb\n"),
        ("json", b'{"a":1,"c":"b"}\n'),
        ("csv", b'"a","c"\n1,"b"\n'),
        ("tsv", b"a\tc\n1\tb\n"),
        ("JSONCompactEachRow", b'[1, "b"]\n'),
    ],
)
def test_query_prints_in_the_format_asked_for(
    reach: None, capsysbinary: Capture, format_: str | None, expected: bytes
) -> None:
    query.command("SELECT 1 AS a, 'b' AS c", format_=format_)
    assert capsysbinary.readouterr().out.replace(b", ", b",") == expected.replace(b", ", b",")


def test_query_shows_a_view_by_its_name(reach: None, capsysbinary: Capture) -> None:
    query.command(None, view="journeys_now", format_="csv")
    assert capsysbinary.readouterr().out.startswith(b'"tenant","subject","journey"')
    query.command(None, view="list", format_="tsv")
    assert b"corridor_transitions\tThe corridor as a graph" in capsysbinary.readouterr().out


def test_query_knows_what_view_was_meant(reach: None) -> None:
    with pytest.raises(UsageError, match="no view `journey_now`: did you mean `journeys_now`"):
        query.command(None, view="journey_now")


@pytest.mark.parametrize(("sql", "view"), [(None, None), ("SELECT 1", "events")])
def test_query_asks_for_one_thing(sql: str | None, view: str | None) -> None:
    with pytest.raises(UsageError, match="give one query"):
        query.command(sql, view=view)


def test_query_draws_a_table(reach: None, capsysbinary: Capture) -> None:
    query.command("SELECT 0.123456789 AS share, NULL AS b", format_="table")
    out = capsysbinary.readouterr().out.decode()
    assert "share" in out
    assert "0.123457" in out
    assert "NULL" in out


def test_query_writes_parquet(reach: None, capsysbinary: Capture) -> None:
    query.command("SELECT number FROM numbers(3)", format_="parquet")
    table = pyarrow.parquet.read_table(io.BytesIO(capsysbinary.readouterr().out))
    assert table.column("number").to_pylist() == [0, 1, 2]


def test_a_format_in_the_query_wins(reach: None, capsysbinary: Capture) -> None:
    query.command("SELECT 1 AS a FORMAT JSONEachRow", format_="csv")
    assert capsysbinary.readouterr().out == b'{"a":1}\n'


def test_query_reads_standard_input(reach: None, capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count() FROM events"))
    query.command("-", format_=None)
    assert capsysbinary.readouterr().out.strip().isdigit()


@pytest.mark.parametrize(
    ("sql", "message"),
    [("SELECT * FROM nowhere", "UNKNOWN_TABLE"), ("SELEC 1", "SYNTAX_ERROR"), ("DROP TABLE scores", "READONLY")],
)
def test_errors_of_a_query_come_with_clickhouses_code_and_words(reach: None, sql: str, message: str) -> None:
    with pytest.raises(StopProcess, match=rf"(?s)[Cc]ode: \d+.*{message}") as error:
        query.command(sql)
    assert error.value.exit_code == 1


def test_no_query_is_unusable_input(reach: None) -> None:
    with pytest.raises(UsageError, match="no query given"):
        query.command(" ", format_=None)


def test_a_query_where_nothing_runs_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORREDOR_DATA_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=r"nothing runs here .* start `corredor run`"):
        query.command("SELECT 1", format_=None)


def test_migrate_lists_and_does_nothing_twice(
    engine: ClickHouse, capsysbinary: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORREDOR_CLICKHOUSE", engine.dsn)
    migrate.command(dry_run=False, list_=False)
    assert b"is up to date" in capsysbinary.readouterr().err.replace(b"\n", b" ")
    migrate.command(dry_run=True, list_=False)
    assert capsysbinary.readouterr().out == b""
    migrate.command(dry_run=False, list_=True)
    assert capsysbinary.readouterr().out.count(b"applied") == len(migrations())
