"""A forgotten customer is nowhere in the state, what was counted stays counted, and crashes change neither."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topics
from schemas.forget import ForgetReceipt, ForgetRequest, digest
from streams.model.forget import FORGET_HEADER
from streams.model.ingest import ORIGIN_HEADER, Ingest
from tests.builders import NOW, Record, event, record
from tests.model.test_ingest_crash import (
    CORRIDOR,
    EVENTS,
    LIMITS,
    PARTITION,
    REKEYED,
    Log,
    Process,
    World,
    assert_same,
    logs,
    partition_of,
    restless,
    run_with_crashes,
    run_without,
)

GAPS = [0.0, 0.4, 11.0, 500.0, 2500.0, 90_000.0]


def request(offset: int, subject: str, arrival: float = NOW) -> Record:
    asked = ForgetRequest(request=f"r{offset}", subject=subject, salt="00ff", asked_at=arrival)
    return record(offset, msgspec.json.encode(asked), arrival, ((FORGET_HEADER, b"1"),), None)


@st.composite
def logs_with_requests(draw: st.DrawFn) -> tuple[Log, set[str]]:
    """Logs in which customers are forgotten in the middle and may come back; and who is forgotten at the very end."""
    log = draw(logs(GAPS, shared_journeys=True))
    found: Log = []
    moved = last = 0
    for lane, item in log:
        if lane == REKEYED:
            last = item.offset + moved
            item = item._replace(offset=last)
        found.append((lane, item))
        if draw(st.integers(0, 5)) == 0:
            moved, last = moved + 1, last + 1
            found.append((REKEYED, request(last, draw(st.sampled_from("ab")), item.timestamp / 1000)))
    at_the_end = draw(st.sets(st.sampled_from("ab")))
    for number, subject in enumerate(sorted(at_the_end), 1):
        found.append((REKEYED, request(last + number, subject, log[-1][1].timestamp / 1000)))
    return found, at_the_end


def held(world: World) -> bytes:
    """Everything that the changelog holds once it is compacted, without what deleted keys leave."""
    newest = dict(world.changelog)
    return b"\n".join(key + value for key, value in newest.items() if value is not None)


@LIMITS
@given(logs_with_requests(), st.data())
def test_crashes_leave_no_trace_where_customers_are_forgotten(drawn: tuple[Log, set[str]], data: st.DataObject) -> None:
    log, forgotten = drawn
    with restless(data, 3):
        crashed, smooth = run_with_crashes(log, data, shuffled=False), run_without(log)
    assert_same(crashed, smooth)
    assert crashed.transitions() == smooth.transitions()
    asked = {name for name in "ab" if any(name in str(item.value) for lane, item in log if _is_request(item))}
    for key, walk in smooth.walks().items():
        if walk.subject not in asked:
            assert crashed.walks()[key] == walk
    for world in (crashed, smooth):
        assert not any(walk.subject == "" for walk in world.journeys.values())
        for subject in forgotten:
            assert f'"{subject}"'.encode() not in held(world)


def _is_request(item: Record) -> bool:
    return [name for name, _ in item.headers] == [FORGET_HEADER]


@LIMITS
@given(logs(GAPS, shared_journeys=True), st.data())
def test_what_was_counted_stays_counted(log: Log, data: st.DataObject) -> None:
    """Journeys end, stall and are gone as they would have: nothing is left standing in the corridor."""
    last = max([item.offset for lane, item in log if lane == REKEYED], default=0)
    arrival = log[-1][1].timestamp / 1000
    offset = max([item.offset for lane, item in log if lane == EVENTS], default=0) + 1
    later = [
        (EVENTS, record(offset + n, event(arrival + 90_000 * n, subject="c", id=str(n)), arrival + 90_000 * n))
        for n in range(3)
    ]
    requests = [(REKEYED, request(last + n, subject, arrival)) for n, subject in enumerate(["a", "b", "x", "y"], 1)]
    with restless(data, 3):
        forgotten, remembered = run_without([*log, *requests, *later]), run_without([*log, *later])
    assert forgotten.sums() == remembered.sums()
    assert forgotten.transitions() == remembered.transitions()


def test_a_customer_who_comes_back_begins_a_new_journey() -> None:
    world = World()
    log = [
        (EVENTS, record(0, event(NOW, id="1", subject="a"))),
        (REKEYED, request(0, "a", NOW + 1)),
        (EVENTS, record(1, event(NOW + 2, id="2", subject="a"), NOW + 2)),
    ]
    process = Process(world, log)
    process.apply(1)
    process.begin_checkpoint().run()
    process.apply(2)
    process.begin_checkpoint().run()
    (journey,) = world.journeys.values()
    assert (journey.subject, journey.contacts) == ("a", 1)
    assert b'j["default","a","a"]' in dict(world.changelog)


@pytest.mark.parametrize(
    ("lane", "headers"),
    [
        (topics.EVENTS.name, ((FORGET_HEADER, b"1"),)),
        (topics.REKEYED.name, ((FORGET_HEADER, b"1"), (ORIGIN_HEADER, b"1:1"))),
    ],
    ids=["published by a source", "handed over from another partition"],
)
def test_nobody_who_may_publish_events_can_have_a_customer_forgotten(
    lane: str, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    state = Ingest(PARTITION, CORRIDOR, partition_of)
    state.apply(EVENTS, [record(0, event(NOW, id="1", subject="a"))])
    outcome = state.apply(lane, [request(7, "a")._replace(headers=headers)])
    assert outcome.forgotten == 0
    assert len(outcome.rejected) == 1


def test_a_torn_request_is_rejected_and_stops_nothing() -> None:
    state = Ingest(PARTITION, CORRIDOR, partition_of)
    outcome = state.apply(REKEYED, [request(0, "a")._replace(value=b'{"request":')])
    assert (outcome.forgotten, len(outcome.rejected)) == (0, 1)


def test_a_receipt_says_whose_it_is_only_to_whoever_knows() -> None:
    receipt = ForgetReceipt(
        request="r", asked_at=1.0, done_at=2.0, salt="00ff", digest=digest("00ff", "a"), rows={}, records={}
    )
    assert receipt.is_of("a")
    assert not receipt.is_of("b")
