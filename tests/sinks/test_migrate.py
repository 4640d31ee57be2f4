import re
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from msgspec import Struct

from schemas.errors import StopProcess
from schemas.incident import Incident
from schemas.journey import Journey
from schemas.score import Score
from schemas.scored import ScoredEvent
from schemas.slice import Slice
from schemas.standing import Standing, Way
from schemas.transition import TransitionSlice
from sinks.clickhouse import ClickHouse
from sinks.migrate import Migration, migrate, migrations, plan


def test_migrating_twice_does_nothing_the_second_time(engine: ClickHouse) -> None:
    assert migrate(engine) == ()
    assert [migration.version for migration in plan(engine).applied] == list(range(1, len(migrations()) + 1))
    assert plan(engine).pending == ()


def test_every_table_view_and_column_has_a_comment(engine: ClickHouse) -> None:
    assert engine.rows("SELECT name FROM system.tables WHERE database = 'corredor' AND comment = ''") == []
    bare = """
        SELECT table, name FROM system.columns WHERE database = 'corredor' AND comment = '' AND table IN
        (SELECT name FROM system.tables WHERE database = 'corredor'
            AND engine NOT LIKE '%View' AND engine != 'Dictionary')
    """
    assert engine.rows(bare) == []


@pytest.mark.parametrize(
    ("table", "structs"),
    [
        ("touchpoint_events", [ScoredEvent]),
        ("experience_slices", [Slice, TransitionSlice]),
        ("experience_scores", [Score]),
        ("journeys", [Journey]),
        ("incidents", [Incident]),
        ("corridor", [Standing, Way]),
    ],
)
def test_columns_are_the_fields_of_the_messages(engine: ClickHouse, table: str, structs: list[type[Struct]]) -> None:
    query = f"SELECT name FROM system.columns WHERE database = 'corredor' AND table = '{table}'"
    tags = {struct.__struct_config__.tag_field for struct in structs}
    columns = {name for (name,) in engine.rows(query)} - {"inserted_at", *tags}
    assert columns == {name for struct in structs for name in struct.__struct_fields__}


def test_every_statement_can_be_run_again() -> None:
    again = re.compile(r"CREATE (TABLE|MATERIALIZED VIEW|DATABASE) IF NOT EXISTS|CREATE OR REPLACE VIEW|ALTER TABLE ")
    for migration in migrations():
        for statement in migration.statements:
            code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
            assert again.match(code), f"{migration.name}: {code[:80]}"


def test_a_migration_changed_after_it_was_applied_is_refused(engine: ClickHouse) -> None:
    first, *rest = migrations()
    with pytest.raises(StopProcess, match=r"001_tables\.sql was changed .* new migration"):
        migrate(engine, [replace(first, sql=first.sql + "-- edited"), *rest])


def test_a_database_ahead_of_the_program_is_refused(engine: ClickHouse) -> None:
    with pytest.raises(StopProcess, match=f"has migration {len(migrations()):03d}, which this version"):
        plan(engine, migrations()[:3])


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "002_late.sql").write_text("SELECT 1;\n")
    with pytest.raises(StopProcess, match="without gap"):
        migrations(tmp_path)


def test_a_semicolon_inside_a_line_ends_no_statement() -> None:
    assert Migration(1, "x", "SELECT ';' AS a;\n\nSELECT 2 -- b; c\n;\n").statements == [
        "SELECT ';' AS a",
        "SELECT 2 -- b; c",
    ]


def test_two_that_migrate_at_once_do_no_harm(engine: ClickHouse) -> None:
    engine.command("TRUNCATE TABLE corredor.schema_migrations")
    others = [ClickHouse.open(engine.dsn) for _ in range(2)]
    failures: list[BaseException] = []

    def run(store: ClickHouse) -> None:
        try:
            migrate(store)
        except StopProcess as error:
            failures.append(error)

    threads = [Thread(target=run, args=(store,)) for store in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in others:
        store.close()
    assert failures == []
    assert plan(engine).pending == ()
