"""An accepted event is one row of the view `events`, whichever lane it came through and however often it was stored."""

import itertools
from typing import Any, cast

import msgspec
import pytest

from schemas import topics
from schemas.scored import ScoredEvent
from sinks.clickhouse import ClickHouse
from streams.model.ingest import ORIGIN_HEADER, Ingest
from tests.builders import Record, corridor, event, record
from tests.sinks.rows import NOON, lines, scored

OWN, REKEYED = topics.EVENTS.name, topics.REKEYED.name


def handed_over(offset: int, origin: str, value: dict[str, Any]) -> Record:
    """A copy that was published elsewhere, as it comes back through the other lane."""
    copy = record(offset, value)
    return copy._replace(timestamp=copy.timestamp + 700, headers=((ORIGIN_HEADER, origin.encode()),))


def published(*batches: tuple[str, Record]) -> list[bytes]:
    """The scored events of a worker that gets these batches and then dies: nothing of its state is kept."""
    state = Ingest(0, corridor(), lambda _: 0)
    return [cast(bytes, message["value"]) for lane, item in batches for message in state.apply(lane, [item]).scored]


@pytest.mark.parametrize("merged", [False, True])
def test_an_event_that_comes_through_both_lanes_around_a_crash_appears_once(store: ClickHouse, merged: bool) -> None:
    """Two copies; which one counts depends on the order of the lanes, and that is another one after the crash."""
    twice = event(id="twice")
    own = record(3, twice)
    other = handed_over(8, "2:41", twice)
    before = published((OWN, own), (REKEYED, other))
    after = published((REKEYED, other), (OWN, own))
    rows = [msgspec.json.decode(value, type=ScoredEvent) for value in (*before, *after)]
    assert [(row.source_partition, row.source_offset) for row in rows] == [(0, 3), (2, 41)], "each counted once"
    assert rows[0].received_at != rows[1].received_at
    for value in (*before, *after):
        store.insert("touchpoint_events", value)
    if merged:
        store.command("OPTIMIZE TABLE corredor.touchpoint_events FINAL")
        assert store.rows("SELECT count() FROM corredor.touchpoint_events") == [(1,)]
    assert store.rows("SELECT count(), any(id), sum(x) = any(x) FROM corredor.events") == [(1, "twice", True)]


#: All that makes an event another one: what tells duplicates, and what they are looked for in.
IDENTITY: dict[str, Any] = {
    "source": "another",
    "id": "another",
    "subject": "another",
    "journey": "another",
    "tenant": "another",
    "touchpoint": "another",
    "time": NOON + 1e-6,
}


def test_events_that_differ_in_anything_of_their_identity_stay_apart(store: ClickHouse) -> None:
    same = {"source": "s", "id": "i", "subject": "c", "journey": "j", "touchpoint": "t", "time": NOON}
    several = [scored(**same), *(scored(**{**same, field: value}) for field, value in IDENTITY.items())]
    for row in several:
        store.insert("touchpoint_events", lines(row))
    store.command("OPTIMIZE TABLE corredor.touchpoint_events FINAL")
    fields = ", ".join(IDENTITY)
    assert store.rows(f"SELECT count(), uniqExact({fields}) FROM corredor.events") == [(8, 8)]


def test_what_does_not_identify_an_event_replaces_whatever_the_order(store: ClickHouse) -> None:
    """Place, arrival and scores of a copy may differ: a replay with another map replaces the row."""
    copies = [scored(1, source_partition=n, source_offset=n, received_at=NOON + n, x=n / 8) for n in range(3)]
    for order in itertools.permutations(copies):
        store.command("TRUNCATE TABLE corredor.touchpoint_events")
        for row in order:
            store.insert("touchpoint_events", lines(row))
        assert store.rows("SELECT count(), any(x) FROM corredor.events") == [(1, order[-1].x)], "the last one stored"


def test_the_sorting_key_is_the_identity_of_an_event(store: ClickHouse) -> None:
    key = "SELECT sorting_key FROM system.tables WHERE database = 'corredor' AND name = 'touchpoint_events'"
    ((found,),) = store.rows(key)
    assert sorted(found.split(", ")) == sorted(IDENTITY)
