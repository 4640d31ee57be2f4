"""`corredor status` beside a run: its metrics come from a small server, ClickHouse from a list of rows."""

import io
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from rich.console import Console

from command import status
from schemas.errors import UsageError
from sinks.clickhouse import ClickHouse, StoreAway
from streams.runtime import endpoints
from streams.runtime.settings import load_settings
from tests.console.test_figures import PAGE

NOON = 1_795_262_400


class Answers(BaseHTTPRequestHandler):
    """What the run serves; a test may make it not ready."""

    ready = True

    def do_GET(self) -> None:
        code, text = (200, PAGE) if self.path == "/metrics" else (200, "ready") if self.ready else (503, "no lead")
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        return


class Rows:
    """Stands in for ClickHouse: two tenants, one transition, and a view of incidents if a test wants one."""

    incidents = False
    closed = 0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if "system.tables" in sql:
            return [(1,)] if self.incidents else []
        if "open_incidents" in sql:
            return [("drop", "page", "web.payment", "", "", "", NOON, 7, "")]
        if "transition_waits" in sql:
            return [("web.checkout", "web.payment", 1_500.0, 4_000.0)]
        if "experience_slices" in sql:
            return [("a", NOON, 50), ("b", NOON, 3)]
        return [
            ("", "web.checkout", 50, 0, 50, 0, 40, 0, 0),
            ("web.checkout", "web.payment", 45, 0, 45, 0, 35, 0, 70_000),
        ]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Rows:
    rows = Rows()
    monkeypatch.setattr(ClickHouse, "open", lambda dsn, create: rows)
    return rows


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Rows) -> Iterator[type[Answers]]:
    """A run in `tmp_path`."""

    class Own(Answers):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("CORREDOR_DATA_DIR", str(tmp_path))
    run = endpoints.Run(
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        kafka="127.0.0.1:9092",
        kafka_paced=True,
        clickhouse="http://127.0.0.1:8123/corredor",
        metrics=f"http://127.0.0.1:{server.server_port}",
        processes={"sink": "http://127.0.0.1:1"},
    )
    endpoints.write(load_settings(), run)
    yield Own
    server.shutdown()
    thread.join()
    server.server_close()


def shown(monkeypatch: pytest.MonkeyPatch, **options: Any) -> str:
    out = io.StringIO()
    monkeypatch.setattr(status, "out", Console(file=out, width=80))
    status.command(**({"corridor": True, "tenant": None, "lang": "en", "watch": None, "as_json": False} | options))
    return out.getvalue()


def test_status_shows_the_run_and_the_corridor_of_the_busiest_tenant(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, store: Rows
) -> None:
    text = shown(monkeypatch)
    assert text.startswith("ready\n")
    assert "accepted 30" in text
    assert "tenant a   2026-11-21 12:00:10 UTC   also: b (--tenant)" in text
    checkout = next(line for line in text.splitlines() if line.startswith(" Checkout on the web"))
    assert checkout.split()[-5:] == ["unknown", "5", "+5", "100", "%"]
    assert "45 ████████  1.5 s 4.0 s ◆" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert store.closed == 1


def test_another_tenant_and_language_can_be_asked_for(answers: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, tenant="b", lang="es")
    assert "marca b" in text
    assert "Finalización de compra" in text


def test_an_unknown_tenant_or_language_is_unusable_input(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, store: Rows
) -> None:
    with pytest.raises(UsageError, match="--tenant c: no journeys of it; there are a, b"):
        shown(monkeypatch, tenant="c")
    assert store.closed == 1
    with pytest.raises(UsageError, match="--lang fr: write en or es"):
        shown(monkeypatch, lang="fr")


def test_open_incidents_are_shown_where_there_is_such_a_view(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, store: Rows
) -> None:
    assert "incidents" not in shown(monkeypatch)
    store.incidents = True
    assert "● page drop  Payment  since 11-21 12:00  7 hurt" in shown(monkeypatch)


def test_without_the_corridor_all_scores_are_listed_and_clickhouse_is_not_asked(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, store: Rows
) -> None:
    text = shown(monkeypatch, corridor=False)
    assert [line.split()[1:3] for line in text.splitlines() if "touchpoint " in line] == [
        ["pay", "61.5"],
        ["shop", "unknown"],
        ["pay", "90.0"],
    ]
    assert "tenant" not in text
    assert store.closed == 0


def test_json_holds_the_same(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(monkeypatch, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["not_ready"] is None
    assert found["processes"]["worker-2"] == {"up": False, "restarts": 3}
    assert found["scores"][0] == {"tenant": "a", "scope": "touchpoint", "name": "pay", "5m": 61.5}
    corridor = found["corridor"]
    assert (corridor["tenant"], corridor["at"]) == ("a", NOON + 10)
    assert [(way["n"], way["wait_p95_ms"]) for way in corridor["ways"]] == [(45, 4_000.0)]
    assert len(corridor["places"]) > 20


def test_a_clickhouse_that_is_away_costs_only_the_corridor(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(dsn: str, create: bool) -> Rows:
        raise StoreAway("nothing answers at 8123", "NETWORK")

    monkeypatch.setattr(ClickHouse, "open", away)
    text = shown(monkeypatch)
    assert "no corridor map: nothing answers at 8123" in text
    assert "61.5" in text


def test_a_run_that_is_not_ready_ends_with_1(answers: type[Answers], monkeypatch: pytest.MonkeyPatch) -> None:
    answers.ready = False
    with pytest.raises(typer.Exit) as ended:
        shown(monkeypatch)
    assert ended.value.exit_code == 1


def test_watching_ends_with_the_run(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings()
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            endpoints.remove(settings)

    monkeypatch.setattr(status.time, "sleep", wait)
    shown(monkeypatch, watch=3.0, as_json=True)
    assert waited == [3.0, 3.0]
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["corridor"]["tenant"] for line in lines] == ["a", "a"]


def test_watching_without_a_terminal_prints_one_after_another(
    answers: type[Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status.time, "sleep", lambda _: endpoints.remove(load_settings()))
    assert shown(monkeypatch, watch=1.0).count("ready\n") == 1


def test_status_where_nothing_runs_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CORREDOR_DATA_DIR", str(tmp_path))
    with pytest.raises(UsageError, match=r"nothing runs in .* start it with `corredor run`"):
        shown(monkeypatch)
