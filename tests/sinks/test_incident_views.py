"""Who was hurt by a drop, and who of them was better off later."""

from typing import Any

import pytest

from schemas.incident import Incident
from schemas.links import links
from sinks.clickhouse import ClickHouse
from tests.sinks.rows import NOON, lines, scored


def incident(**changes: Any) -> Incident:
    fields: dict[str, Any] = {
        "id": "0123456789abcdef",
        "kind": "drop",
        "measure": "negative",
        "tenant": "default",
        "touchpoint": "checkout",
        "status": "resolved",
        "severity": "page",
        "since": NOON,
        "detected_at": NOON + 40,
        "updated_at": NOON + 900,
        "resolved_at": NOON + 900,
        "ended_at": NOON + 600,
        "before": 0.02,
        "now": 0.2,
        "unit": "share",
        "depth": 0.18,
        "n": 100,
        "bad": 20,
        "hurt": 18,
        "version": 3,
    }
    return Incident(**(fields | changes))


@pytest.fixture
def clean(store: ClickHouse) -> ClickHouse:
    for table in ("incidents", "touchpoint_events"):
        store.command(f"TRUNCATE TABLE corredor.{table}")
    return store


def contact(number: int, subject: str, at: int, band: str, **changes: Any) -> Any:
    fields = {"id": f"{subject}-{number}", "subject": subject, "journey": f"order-{subject}", "time": float(NOON + at)}
    return scored(number, **{**fields, "band": band, "segment": {"carrier": "acme"}, **changes})


def recovery(store: ClickHouse) -> list[dict[str, Any]]:
    names, rows = store.table("SELECT * FROM corredor.incident_recovery")
    return [dict(zip(names, row, strict=True)) for row in rows]


EVENTS = (
    contact(1, "ana", 10, "negative"),
    contact(2, "ana", 20, "negative"),
    contact(3, "ana", 320, "positive", touchpoint="support"),
    contact(4, "ben", 30, "negative", segment={"carrier": "swift"}),
    contact(5, "ben", 30 + 4 * 86_400, "positive"),
    contact(6, "cleo", 40, "negative", gap=-1.0),
    contact(7, "dan", 50, "positive"),
    contact(8, "eva", -10, "negative"),
    contact(9, "fay", 700, "negative"),
    contact(10, "gus", 60, "negative", touchpoint="support"),
    contact(11, "cleo", 50, "positive", journey="another order"),
)


def test_the_hurt_are_customers_with_a_bad_contact_there_and_then(clean: ClickHouse) -> None:
    clean.insert("touchpoint_events", lines(*EVENTS))
    clean.insert("incidents", lines(incident()))
    (row,) = recovery(clean)
    assert (row["hurt_customers"], row["recovered_customers"], row["lasted_s"]) == (3, 1, 600)
    assert row["recovered_share"] == pytest.approx(1 / 3)


def test_an_open_drop_of_one_segment_counts_what_it_names_up_to_now(clean: ClickHouse) -> None:
    clean.insert("touchpoint_events", lines(*EVENTS))
    named = {"segment": "carrier", "segment_value": "swift"}
    clean.insert("incidents", lines(incident(status="open", resolved_at=0, ended_at=0, **named)))
    (row,) = recovery(clean)
    assert (row["hurt_customers"], row["recovered_customers"], row["lasted_s"]) == (1, 0, 900)
    assert row["median_recovery_s"] is None


def test_broken_promises_hurt_too_and_other_kinds_are_left_out(clean: ClickHouse) -> None:
    clean.insert("touchpoint_events", lines(*EVENTS))
    clean.insert(
        "incidents", lines(incident(measure="broken_promise"), incident(id="f" * 16, kind="congestion", measure="wait"))
    )
    (row,) = recovery(clean)
    assert (row["measure"], row["hurt_customers"]) == ("broken_promise", 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"measure": "broken_promise", "segment": "carrier", "segment_value": "it's \\ one"},
        {"kind": "congestion", "measure": "wait", "following": "delivery", "unit": "ms"},
        {"kind": "blockage", "measure": "stopped"},
        {"kind": "silence", "measure": "rate", "touchpoint": "/shop'; DROP TABLE corredor.incidents; --"},
    ],
)
def test_the_query_that_an_incident_links_runs(clean: ClickHouse, changes: dict[str, Any]) -> None:
    found = links(incident(**changes), "https://wiki.example/runbooks/")
    kind = changes.get("kind", "drop").capitalize()
    assert found["runbook"] == f"https://wiki.example/runbooks/Corredor{kind}.md"
    assert clean.table(found["sql"].replace(" FROM ", " FROM corredor.", 1))[1] == []
    clean.insert("touchpoint_events", lines(*EVENTS))
    rows = clean.table(links(incident(), "")["sql"].replace(" FROM ", " FROM corredor.", 1))[1]
    assert len(rows) == 4, "ana twice, ben and cleo"


def test_a_drop_that_hurt_nobody_yet_is_shown(clean: ClickHouse) -> None:
    clean.insert("incidents", lines(incident()))
    (row,) = recovery(clean)
    assert (row["hurt_customers"], row["recovered_share"]) == (0, None)
