import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.errors import RejectEvent, StopProcess, UsageError
from sinks.clickhouse import ClickHouse, StoreAway, shown
from tests.sinks.rows import NOON, encode, lines, rejected, score, scored, slice_


def test_an_event_arrives_with_its_types(store: ClickHouse) -> None:
    store.insert("touchpoint_events", lines(scored(1, late=True, mapped=False), scored(2, x=None, segment={})))
    columns, rows = store.table(
        "SELECT toString(time), raw, x, segment, aspects, mapped, late, nps, wait_ms FROM "
        "(SELECT *, rating AS nps FROM corredor.events) ORDER BY source_offset"
    )
    assert columns[1] == "raw"
    assert rows[0] == (
        "2026-11-21 12:00:00.125000",
        '{"touchpoint":"checkout",\n "note":"café"}',
        0.875,
        {"location": "Madrid", "device": "phone"},
        {"kindness": 0.5},
        False,
        True,
        None,
        1200,
    )
    assert rows[1][2:4] == (None, {})
    assert rows[1][5:7] == (True, False)


def test_replayed_rows_replace_themselves(store: ClickHouse) -> None:
    for _ in range(3):
        store.insert("touchpoint_events", lines(*(scored(offset) for offset in range(20))))
        store.insert("rejected_events_landing", lines(*(rejected(offset) for offset in range(4))))
        store.insert("experience_slices", lines(slice_(version=7, n=5)))
        store.insert("experience_scores", lines(score(version=7, n=5)))
    assert store.rows("SELECT count(), uniqExact(source_offset) FROM corredor.events") == [(20, 20)]
    assert store.rows("SELECT count() FROM corredor.rejections") == [(4,)]
    assert store.rows("SELECT count(), sum(n) FROM corredor.slices") == [(1, 5)]
    assert store.rows("SELECT count(), sum(n) FROM corredor.scores") == [(1, 5)]


def test_rows_repeated_within_one_insert_are_shown_once_and_in_their_newest_version(store: ClickHouse) -> None:
    store.insert("touchpoint_events", lines(*(scored(offset % 5) for offset in range(20))))
    store.insert("experience_slices", lines(*(slice_(version=version, n=version) for version in (4, 8, 6, 8))))
    for _ in range(2):
        assert store.rows("SELECT count() FROM corredor.events") == [(5,)]
        assert store.rows("SELECT n FROM corredor.slices") == [(8,)]
        store.command("OPTIMIZE TABLE corredor.touchpoint_events FINAL")
        store.command("OPTIMIZE TABLE corredor.experience_slices FINAL")


def test_the_newest_version_wins_in_whatever_order_it_comes(store: ClickHouse) -> None:
    for version in (3, 9, 6):
        store.insert("experience_slices", lines(slice_(version=version, n=version)))
        store.insert("experience_scores", lines(score(version=version, n=version)))
    assert store.rows("SELECT n FROM corredor.slices") == [(9,)]
    assert store.rows("SELECT n, version FROM corredor.scores") == [(9, 9)]


def test_bytes_of_a_rejection_are_kept_as_they_came(store: ClickHouse) -> None:
    store.insert("rejected_events_landing", lines(rejected(), rejected(1, key=None, raw=None, headers={})))
    rows = store.rows("SELECT hex(key), hex(raw), hex(headers['ce_id']), headers['empty'] FROM corredor.rejections")
    assert sorted(rows, key=str) == sorted([("00FF", "7BFF00", "FE", None), (None, None, None, None)], key=str)


def test_events_of_many_months_fit_in_one_insert(store: ClickHouse) -> None:
    months = [scored(month, time=float(NOON - month * 31 * 86400)) for month in range(150)]
    store.insert("touchpoint_events", lines(*months))
    assert store.rows("SELECT count() FROM corredor.events") == [(150,)]


def test_events_older_than_the_retention_stay_when_they_have_just_arrived(store: ClickHouse) -> None:
    store.insert("touchpoint_events", lines(scored(time=1_480_000_000.0, received_at=float(NOON))))
    store.command("OPTIMIZE TABLE corredor.touchpoint_events FINAL")
    assert store.rows("SELECT toYear(time) FROM corredor.events") == [(2016,)]


def test_a_null_where_a_value_is_due_is_refused_and_nothing_is_written(store: ClickHouse) -> None:
    broken = encode(scored(1)).replace(b'"tenant":"default"', b'"tenant":null')
    with pytest.raises(RejectEvent, match="refused_by_store"):
        store.insert("touchpoint_events", encode(scored(0)) + b"\n" + broken)
    assert store.rows("SELECT count() FROM corredor.touchpoint_events") == [(0,)]


def test_a_missing_table_stops_the_process(store: ClickHouse) -> None:
    with pytest.raises(StopProcess, match="UNKNOWN_TABLE"):
        store.insert("no_such_table", b"{}")


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(StoreAway) as away:
        ClickHouse.open("http://default:secret@127.0.0.1:1/corredor")
    assert away.value.name == "NETWORK"
    assert "secret" not in str(away.value)


@pytest.mark.parametrize("dsn", ["chdb://", "chdb://memory/x", "tcp://host:9000", "http://host:8123/other"])
def test_an_address_that_cannot_be_used_is_refused_with_what_to_write(dsn: str) -> None:
    with pytest.raises(UsageError, match="CORREDOR_CLICKHOUSE"):
        ClickHouse.open(dsn)


def test_passwords_are_not_shown() -> None:
    assert shown("http://me:secret@host:8123/corredor") == "http://me:***@host:8123/corredor"


def test_a_folder_that_another_process_has_is_named_with_that_process(engine: ClickHouse, folder: Path) -> None:
    code = "import sys; from sinks.clickhouse import ClickHouse; ClickHouse.open(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, f"chdb://{folder}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert f"{folder} is in use by process {os.getpid()}" in done.stderr
