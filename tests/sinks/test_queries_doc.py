"""Every query of docs/queries.md, run on chDB over two hours of customers."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.queries.incidents import RECOVERY
from sinks.clickhouse import ClickHouse
from sinks.corridor_map import DICTIONARY
from tests.sinks.bi_data import TABLES, fill

DOC = Path(__file__).resolve().parents[2] / "docs" / "queries.md"
_BLOCK = re.compile(r"^### (.+)\n(?:(?!#|```).*\n)*```sql\n((?:(?!```).*\n)+)```", re.MULTILINE)
QUERIES = dict(_BLOCK.findall(DOC.read_text(encoding="utf-8")))
#: They hold nothing: what is written to them is decoded on its way into rejected_events.
EMPTY = {"rejected_events_landing", "rejected_events_decoder"}


@pytest.fixture(scope="module")
def filled(engine: ClickHouse) -> Iterator[ClickHouse]:
    fill(engine, int(time.time()))
    yield engine
    engine.command(f"DROP DICTIONARY {DICTIONARY}")
    for table in TABLES:
        engine.command(f"TRUNCATE TABLE corredor.{table}")


def test_every_block_is_found_under_its_question() -> None:
    assert len(QUERIES) == DOC.read_text(encoding="utf-8").count("```sql")
    assert len(QUERIES) >= 20


@pytest.mark.parametrize("question", QUERIES)
def test_a_query_returns_rows_and_no_column_without_any_value(filled: ClickHouse, question: str) -> None:
    columns, rows = filled.table(QUERIES[question])
    assert rows, "no rows"
    values = dict(zip(columns, zip(*rows, strict=True), strict=True))
    empty = {name for name, column in values.items() if all(value is None for value in column)}
    # No rejection is repaired here, and there are too few days and customers for some intervals.
    assert {name for name in empty if not re.search(r"_low$|_high$|^usual_share$|^repaired_at$|^ces$", name)} == set()


def test_the_recovery_of_one_incident_is_that_of_the_view(filled: ClickHouse) -> None:
    query = QUERIES["Who was hurt by one incident, and who came back?"]
    view = "SELECT hurt_customers, recovered_customers FROM corredor.incident_recovery WHERE id = '{}'"
    for id in ("a" * 16, "b" * 16):
        found = filled.rows(query.replace("b" * 16, id))
        assert found == filled.rows(view.format(id))
        assert 0 < found[0][1] < found[0][0]


def test_the_console_sees_the_recovery_that_the_view_sees(filled: ClickHouse) -> None:
    columns = "hurt_customers, recovered_customers, recovered_share, median_recovery_s"
    where = "tenant, touchpoint, measure, segment, segment_value, toInt64(since), toInt64(until)"
    seen = filled.rows(f"SELECT {columns}, {where} FROM corredor.incident_recovery WHERE status != ''")
    names = ("tenant", "touchpoint", "measure", "name", "value", "since", "until")
    assert len(seen) > 1
    for row in seen:
        assert filled.rows(RECOVERY, dict(zip(names, row[4:], strict=True))) == [row[:4]]


def test_every_table_view_and_dictionary_is_asked(filled: ClickHouse) -> None:
    there = {name for (name,) in filled.rows("SELECT name FROM system.tables WHERE database = 'corredor'")}
    asked = set(re.findall(r"corredor\.(\w+)", "\n".join(QUERIES.values())))
    assert there - asked - EMPTY == set()
    assert asked <= there
