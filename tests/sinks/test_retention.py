"""Tables keep their rows as long as the setting says: on chDB, with rows of yesterday and of long ago."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import UsageError
from schemas.retention import TABLES, parse, text
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrations
from sinks.retention import changes, keep
from streams.runtime.settings import load_settings

DAY = 86_400
MIGRATE = "import typer; from command.migrate import command; typer.run(command)"


def ttl(store: ClickHouse, table: str) -> str | None:
    ((engine,),) = store.rows(f"SELECT engine_full FROM system.tables WHERE database = 'corredor' AND name = '{table}'")
    found = re.search(r" TTL (.+?) SETTINGS", engine)
    return found and found[1]


@pytest.fixture
def restored(store: ClickHouse) -> Iterator[ClickHouse]:
    """The engine, its tables as they were afterwards: other tests use it too."""
    before = {table: ttl(store, table) for table in TABLES}
    yield store
    for table, was in before.items():
        if ttl(store, table) != was:
            store.command(f"ALTER TABLE corredor.{table} MODIFY TTL {was}")


def insert_incident(store: ClickHouse, name: str, age_days: int) -> None:
    row = f"('t', '{name}', 1, now() - {age_days * DAY})"
    store.command(f"INSERT INTO corredor.incidents (tenant, id, version, inserted_at) VALUES {row}")


def incidents(store: ClickHouse) -> list[str]:
    return [name for (name,) in store.rows("SELECT id FROM corredor.incidents ORDER BY id")]


def test_the_tables_of_the_setting_are_those_whose_rows_end() -> None:
    found = {}
    for migration in migrations():
        for statement in migration.statements:
            table = re.search(r"CREATE TABLE IF NOT EXISTS corredor\.(\w+)", statement)
            column = re.search(r"^TTL (?:toDateTime\()?(\w+)", statement, re.MULTILINE)
            if table and column:
                found[table[1]] = column[1]
    assert found == dict(TABLES)


def test_without_a_setting_nothing_is_touched(store: ClickHouse) -> None:
    assert changes(store, {}) == []
    assert ttl(store, "touchpoint_events") == "toDateTime(received_at) + toIntervalDay(400)"


def test_what_is_there_already_is_not_set_again(store: ClickHouse) -> None:
    assert changes(store, parse({name: "90d" if name == "rejected_events" else "400d" for name in TABLES})) == []


def test_rows_older_than_the_retention_go_and_younger_ones_stay(restored: ClickHouse) -> None:
    for name, age in (("new", 0), ("week", 6), ("old", 8), ("older", 300)):
        insert_incident(restored, name, age)
    assert incidents(restored) == ["new", "old", "older", "week"]
    (change,) = keep(restored, parse("incidents=7d"))
    assert (change.table, change.before, change.after) == ("incidents", "400d", "7d")
    restored.command("ALTER TABLE corredor.incidents MATERIALIZE TTL SETTINGS mutations_sync = 2")
    restored.command("OPTIMIZE TABLE corredor.incidents FINAL")
    assert incidents(restored) == ["new", "week"]
    assert keep(restored, parse("incidents=7d")) == []


def test_forever_ends_no_row_and_can_be_ended_again(restored: ClickHouse) -> None:
    (change,) = keep(restored, parse("incidents=forever"))
    assert (change.before, change.after) == ("400d", "forever")
    assert ttl(restored, "incidents") is None
    assert keep(restored, parse("incidents=forever")) == []
    insert_incident(restored, "ancient", 5000)
    restored.command("OPTIMIZE TABLE corredor.incidents FINAL")
    assert incidents(restored) == ["ancient"]
    (change,) = keep(restored, parse("incidents=400d"))
    assert change.before == "forever"


@pytest.mark.parametrize("table", TABLES)
def test_every_table_takes_another_time(restored: ClickHouse, table: str) -> None:
    kept = parse({table: "36h"})
    assert [change.table for change in keep(restored, kept)] == [table]
    assert ttl(restored, table) == f"toDateTime({TABLES[table]}) + toIntervalSecond(129600)"
    assert changes(restored, kept) == []


def test_a_ttl_that_somebody_wrote_is_replaced_only_if_it_is_named(restored: ClickHouse) -> None:
    restored.command("ALTER TABLE corredor.incidents MODIFY TTL toDateTime(inserted_at) + toIntervalMonth(3)")
    assert changes(restored, parse("journeys=400d")) == []
    (change,) = keep(restored, parse("incidents=90d"))
    assert change.before == "toDateTime(inserted_at) + toIntervalMonth(3)"


# -- the setting -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere=7d", "no topic or table nowhere; there are touchpoint.events, .*, incidents"),
        ("corredor.state.ingest=7d", "corredor.state.ingest is compacted"),
        ("touchpoint.events=forever", "`forever` is for tables"),
        ("touchpoint.events=10min", "touchpoint.events=10min is shorter than the pipeline needs; give at least 1h"),
        ("experience.slices=12h", "experience.slices=12h is shorter than the pipeline needs; give at least 1d"),
        ("corredor.forget=7d", "give at least 30d"),
        ("journeys=1h", "give at least 1d"),
        ("journeys=40000d", "longer than 30 years"),
        ("journeys=soon", "journeys: `soon` is no duration; .*, or forever"),
        ("journeys=-1d", "journeys: `-1d` is no duration"),
        ("journeys", "`journeys` is no name=duration pair"),
        ("journeys=2d,journeys=3d", "journeys is given twice"),
        ('{"journeys": 7}', "journeys: `7` is no duration"),
        ("{", "is no JSON"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("CORREDOR_RETENTION", value)
    with pytest.raises(UsageError, match=f"CORREDOR_RETENTION: .*{said}"):
        load_settings()


def test_it_may_be_text_json_or_a_table_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = "touchpoint.events=36h,journeys=forever"
    monkeypatch.setenv("CORREDOR_CONFIG", str(tmp_path / "corredor.toml"))
    (tmp_path / "corredor.toml").write_text('[retention]\n"touchpoint.events" = "36h"\njourneys = "forever"\n')
    assert load_settings().retention == expected
    monkeypatch.setenv("CORREDOR_RETENTION", '{"journeys": "8d"}')
    assert load_settings().retention == "journeys=8d"
    monkeypatch.setenv("CORREDOR_RETENTION", " touchpoint.events = 36h , journeys=forever,")
    assert load_settings().retention == expected
    assert text(parse(expected)) == expected
    assert load_settings(retention="").retention == ""


def test_migrate_shows_it_then_does_it_once(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "CORREDOR_CLICKHOUSE": f"chdb://{tmp_path}/chdb",
        "CORREDOR_RETENTION": "journeys=30d,incidents=forever,touchpoint.events=2d",
        "COLUMNS": "200",
    }

    def migrate(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", MIGRATE, *options], env=environment, capture_output=True, timeout=120, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    first = migrate()
    assert re.search("journeys.* 30d.* 400d", first) and re.search("incidents.* forever.* 400d", first)
    assert "30d" not in migrate()
    environment["CORREDOR_RETENTION"] = "journeys=60d"
    shown = migrate("--dry-run")
    assert "ALTER TABLE corredor.journeys MODIFY TTL toDateTime(inserted_at) + toIntervalSecond(5184000);" in shown
    assert shown.count("ALTER") == 1
