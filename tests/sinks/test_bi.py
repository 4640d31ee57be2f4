"""What BI finds: comments on everything, and the corridor map as a table and a dictionary."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.corridor import Label, Touchpoint
from schemas.duration import Duration
from schemas.loader import load_map
from sinks import bi
from sinks.bi_access import statements
from sinks.clickhouse import ClickHouse
from sinks.corridor_map import DICTIONARY, write_map
from streams.runtime.settings import DEFAULT_MAP

RETAIL = load_map(DEFAULT_MAP)
LABEL = Label("x", "x")


@pytest.fixture
def clean(store: ClickHouse) -> Iterator[ClickHouse]:
    store.command("TRUNCATE TABLE corredor.corridor_map")
    yield store
    store.command(f"DROP DICTIONARY IF EXISTS {DICTIONARY}")


def labels(store: ClickHouse) -> list[tuple[str, ...]]:
    return store.rows("SELECT touchpoint, label_es FROM corredor.touchpoints")


def test_no_column_of_a_table_or_view_is_without_a_comment(engine: ClickHouse) -> None:
    # ClickHouse has no comments on the attributes of a dictionary; it has the columns of corredor.touchpoints.
    bare = """
        SELECT table, name FROM system.columns WHERE database = 'corredor' AND comment = '' AND table NOT IN
        (SELECT name FROM system.tables WHERE database = 'corredor' AND engine = 'Dictionary')
    """
    assert engine.rows(bare) == []


def test_a_column_that_a_view_takes_from_a_table_says_the_same_there(engine: ClickHouse) -> None:
    pairs = [
        ("events", "touchpoint_events"),
        ("rejections", "rejected_events"),
        ("scores", "experience_scores"),
        ("touchpoint_scores_now", "experience_scores"),
        ("journeys_now", "journeys"),
        ("all_incidents", "incidents"),
        ("touchpoints", "corridor_map"),
    ]
    for view, table in pairs:
        differing = f"""
            SELECT v.name, v.comment, t.comment FROM system.columns AS v INNER JOIN system.columns AS t USING name
            WHERE v.database = 'corredor' AND t.database = 'corredor' AND v.table = '{view}' AND t.table = '{table}'
                AND v.comment != t.comment
        """
        assert engine.rows(differing) == [], view


def test_the_map_is_there_as_a_table_with_its_defaults_filled_in(clean: ClickHouse) -> None:
    assert write_map(clean, RETAIL)
    assert [name for name, _ in labels(clean)] == [place.name for place in RETAIL.touchpoints]
    columns, rows = clean.table("SELECT * FROM corredor.touchpoints WHERE touchpoint = 'web.checkout'")
    found = dict(zip(columns, rows[0], strict=True))
    place = next(place for place in RETAIL.touchpoints if place.name == "web.checkout")
    assert place.target_score is None
    assert found["target_score"] == RETAIL.defaults.target_score
    assert (found["label_es"], found["stage"], found["channel"]) == (place.label.es, "during", "web")
    assert (found["objective_target"], found["objective_days"]) == (0.95, 30.0)
    assert found["leads_to"] == [way.to for way in RETAIL.transitions if way.origin == "web.checkout"]
    goals = clean.rows("SELECT touchpoint FROM corredor.touchpoints WHERE goal ORDER BY touchpoint")
    assert [name for (name,) in goals] == sorted(place.name for place in RETAIL.touchpoints if place.goal)


def test_the_same_map_is_not_written_twice_and_a_changed_one_is_followed(clean: ClickHouse) -> None:
    assert write_map(clean, RETAIL)
    assert not write_map(clean, RETAIL)
    first, second, *others = RETAIL.touchpoints
    moved = replace(first, label=Label("Search", "Buscar"), patience=Duration(60))
    new = Touchpoint("kiosk", LABEL, "store", "before")
    changed = replace(RETAIL, touchpoints=(moved, *others, new), transitions=(), objectives=())
    assert write_map(clean, changed)
    found = labels(clean)
    assert found[0] == (first.name, "Buscar")
    assert found[-1] == ("kiosk", "x")
    assert second.name not in [name for name, _ in found]
    assert clean.rows(f"SELECT dictGet('{DICTIONARY}', 'patience_s', '{first.name}')") == [(60.0,)]
    assert clean.rows(f"SELECT dictHas('{DICTIONARY}', '{second.name}')") == [(False,)]
    assert not write_map(clean, changed)
    assert write_map(clean, RETAIL)
    assert second.name in [name for name, _ in labels(clean)]


def test_the_dictionary_says_what_the_table_says(clean: ClickHouse) -> None:
    write_map(clean, RETAIL)
    differing = f"""
        SELECT touchpoint FROM corredor.touchpoints WHERE
        dictGet('{DICTIONARY}', ('position', 'label_en', 'label_es', 'channel', 'stage', 'contact', 'goal',
            'importance', 'target_score', 'minimum_n', 'tolerable_wait_s', 'patience_s'), toString(touchpoint))
        != (position, label_en, label_es, channel, stage, contact, goal, importance, target_score, minimum_n,
            tolerable_wait_s, patience_s)
    """
    assert clean.rows(differing) == []
    assert clean.rows(f"SELECT count() FROM {DICTIONARY}") == [(len(RETAIL.touchpoints),)]


def test_a_dictionary_that_is_there_already_is_filled_but_not_replaced(clean: ClickHouse) -> None:
    clean.command(
        f"CREATE DICTIONARY {DICTIONARY} (touchpoint String, label_en String) PRIMARY KEY touchpoint "
        "SOURCE(CLICKHOUSE(DB 'corredor' TABLE 'touchpoints')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0) COMMENT 'mine'"
    )
    write_map(clean, RETAIL)
    comment = "SELECT comment FROM system.tables WHERE database = 'corredor' AND name = 'touchpoint'"
    assert clean.rows(comment) == [("mine",)]
    assert clean.rows(f"SELECT count() FROM {DICTIONARY}") == [(len(RETAIL.touchpoints),)]


def test_what_a_server_does_not_let_us_make_is_a_warning(
    clean: ClickHouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sinks.corridor_map._CREATE", f"CREATE DICTIONARY {DICTIONARY} (a String) PRIMARY KEY b")
    assert write_map(clean, RETAIL)
    assert "join corredor.touchpoints instead" in caplog.text
    assert len(labels(clean)) == len(RETAIL.touchpoints)


def test_chdb_has_no_access_control_and_that_is_said_and_no_error(clean: ClickHouse) -> None:
    first, second = bi.prepare(clean, RETAIL)
    assert "corridor map `retail`" in first
    assert "no role bi_reader" in second and "docs/bi.md" in second
    assert len(bi.prepare(clean, RETAIL)) == 1


def test_every_table_with_rows_of_tenants_gets_a_policy_for_readers_and_one_for_all_others(engine: ClickHouse) -> None:
    said = statements({"experience_slices": True, "rejected_events": False, "corridor_map": False})
    policies = [statement for statement in said if "POLICY" in statement]
    assert [statement.split()[5] for statement in policies] == ["bi_reader", "not_bi_reader"] * 2
    assert not any("corridor_map" in statement for statement in said), "it has no rows of tenants"
    for statement in said:
        # The engine's own parser: chDB cannot run them, but it can read them.
        assert engine.rows(f"SELECT formatQuery($sql${statement}$sql$)")


USERS = """
<clickhouse>
  <profiles><default/></profiles><quotas><default/></quotas>
  <roles><bi_tenant_north/><bi_all_tenants/></roles>
  <users>
    <default>
      <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
      <grants><query>GRANT ALL ON *.*</query>{granted}</grants>
      <databases><corredor>{filters}</corredor></databases>
    </default>
  </users>
</clickhouse>
"""
ASK = """
import json, sys, chdb
connection = chdb.connect(sys.argv[1])
for sql in json.loads(sys.argv[2]):
    print(connection.query(sql, "JSONCompactEachRow").bytes().decode().strip())
connection.close()
"""


def visible(folder: Path, granted: str, counted: list[str]) -> list[Any]:
    """What the engine lets its user see of each table or view, with the conditions of our policies in its users file.

    chDB makes no policies by SQL, but it obeys those of a users file: so the conditions are tried for real.
    """
    wanted = {
        statement.split(" FOR ")[0].rpartition(".")[2]: statement.partition(" USING ")[2].rpartition(" TO ")[0]
        for statement in statements({"experience_slices": True, "rejected_events": False})
        if " POLICY OR REPLACE bi_reader " in statement
    }
    filters = "".join(f"<{table}><filter>{where}</filter></{table}>" for table, where in wanted.items())
    users = folder / "users.xml"
    users.write_text(USERS.format(granted=granted, filters=filters))
    config = folder / "config.xml"
    config.write_text(f"<clickhouse><users_config>{users}</users_config></clickhouse>")
    counts = [
        f"SELECT count(), groupUniqArray({column}) FROM corredor.{name}" for name, column in map(str.split, counted)
    ]
    done = subprocess.run(
        [sys.executable, "-c", ASK, f"{folder / 'db'}?config-file={config}", json.dumps(counts)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


MAKE = """
import sys
from sinks.clickhouse import ClickHouse
from sinks.migrate import migrate
from tests.sinks.rows import NOON, lines, slice_
store = ClickHouse.open("chdb://" + sys.argv[1])
migrate(store)
south = [slice_(tenant="south", bucket=NOON + 10 * step) for step in range(2)]
store.insert("experience_slices", lines(slice_(tenant="north"), *south))
store.command("INSERT INTO corredor.rejected_events (reason, raw, received_at) SELECT 'invalid_json', 'x', now64()")
store.close()
"""


def test_a_reader_sees_the_tenants_of_its_roles_in_tables_and_views_and_no_others(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / "db")], check=True, timeout=120)
    counted = ["experience_slices tenant", "slices tenant", "rejections reason"]
    north = visible(tmp_path, "<query>GRANT bi_tenant_north</query>", counted)
    assert north == [[1, ["north"]], [1, ["north"]], [0, []]]
    assert visible(tmp_path, "", counted) == [[0, []]] * 3
    everything = visible(tmp_path, "<query>GRANT bi_all_tenants</query>", counted)
    assert [count for count, _ in everything] == [3, 3, 1]
