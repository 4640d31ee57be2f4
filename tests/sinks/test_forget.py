"""A forgotten customer's rows are erased, those of others are not, and no statement of ours names anybody."""

import json

import pytest

from schemas import topics
from schemas.forget import ForgetReceipt, ForgetRequest, digest
from schemas.journey import Journey
from sinks import forget
from sinks.clickhouse import ClickHouse
from sinks.lane import TABLES
from tests.conftest import wait_until
from tests.sinks.rows import lines, rejected, scored

SUBJECT = 'zoë-"1"'
REQUEST = ForgetRequest(request="r1", subject=SUBJECT, salt="00112233445566778899aabbccddeeff", asked_at=1.0)


def journey(subject: str) -> Journey:
    return Journey("default", subject, "order", 1, "o/0", "open", 1.0, 2.0, "a", "b", 2, 1.0)


@pytest.fixture
def filled(store: ClickHouse) -> ClickHouse:
    quoted, ascii_only = json.dumps(SUBJECT, ensure_ascii=False).encode(), json.dumps(SUBJECT).encode()
    other = SUBJECT + "2"
    store.insert("touchpoint_events", lines(scored(1, subject=SUBJECT), scored(2, subject=other)))
    store.insert("journeys", lines(journey(SUBJECT), journey(other)))
    broken = (
        rejected(1, key=SUBJECT.encode(), raw=b"{"),
        rejected(2, key=None, raw=b'{"subject": ' + quoted + b', "data": '),
        rejected(3, key=None, raw=b'{"subject": ' + ascii_only + b"}"),
        rejected(4, key=None, raw=b"{}", headers={"ce_subject": SUBJECT.encode(), "other": None}),
        rejected(5, key=other.encode(), raw=b'{"subject": ' + json.dumps(other).encode() + b"}"),
        rejected(6, key=None, raw=None),
        rejected(7, key=b"\xff\xfe", raw=b"\x00\xff"),
    )
    store.insert(TABLES[topics.REJECTED.name], lines(*broken))
    return store


def test_exactly_the_rows_of_the_subject_are_erased(filled: ClickHouse) -> None:
    assert dict(filled.rows(forget.count(REQUEST))) == {"touchpoint_events": 1, "journeys": 1, "rejected_events": 4}
    filled.erase(REQUEST)
    wait_until(lambda: filled.rows(forget.unfinished()) == [(0,)])
    assert dict(filled.rows(forget.count(REQUEST))) == dict.fromkeys(forget.TABLES, 0)
    assert filled.rows("SELECT count() FROM corredor.touchpoint_events") == [(1,)]
    assert filled.rows("SELECT count() FROM corredor.journeys") == [(1,)]
    assert filled.rows("SELECT offset FROM corredor.rejected_events ORDER BY offset") == [(5,), (6,), (7,)]


def test_every_column_that_holds_the_subject_is_looked_at(filled: ClickHouse) -> None:
    """A table added later that holds subjects fails here until `sinks.forget` knows it."""
    filled.erase(REQUEST)
    wait_until(lambda: filled.rows(forget.unfinished()) == [(0,)])
    columns = filled.rows(
        "SELECT table, name FROM system.columns WHERE database = 'corredor' "
        "AND table IN (SELECT name FROM system.tables WHERE database = 'corredor' AND engine LIKE '%MergeTree')"
    )
    for table, column in columns:
        found = f"match(toString({column}), 'zo(ë|.u00eb)') AND position(toString({column}), '2') = 0"
        assert filled.rows(f"SELECT count() FROM corredor.{table} WHERE {found}") == [(0,)], (table, column)


def test_no_statement_names_the_subject(filled: ClickHouse) -> None:
    filled.erase(REQUEST)
    assert filled.rows("SELECT count() FROM system.mutations WHERE position(command, 'zo') > 0") == [(0,)]
    assert not any("zo" in text for text in (forget.count(REQUEST), *forget.statements(REQUEST)))


def test_a_receipt_can_be_checked_in_sql_by_whoever_knows_the_subject(store: ClickHouse) -> None:
    receipt = ForgetReceipt(
        request="r1",
        asked_at=1.0,
        done_at=2.0,
        salt=REQUEST.salt,
        digest=digest(REQUEST.salt, SUBJECT),
        rows={"journeys": 2},
        records={topics.EVENTS.name: 3},
    )
    store.insert(TABLES[topics.FORGOTTEN.name], lines(receipt))
    digest_of = "lower(hex(SHA256(concat(unhex(salt), {who:String}))))"
    sql = f"SELECT rows, records FROM corredor.forgotten WHERE digest = {digest_of}"
    assert store.rows(sql, {"who": SUBJECT}) == [({"journeys": 2}, {topics.EVENTS.name: 3})]
    assert store.rows(sql, {"who": "another"}) == []
