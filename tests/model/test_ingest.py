"""The ingest state machine of one partition: what a batch of events leads to."""

import json
import random
from math import isclose
from typing import Any
from unittest import mock

import msgspec
import pytest

from schemas.corridor import Duration
from schemas.event import TouchpointEvent
from schemas.rejection import RejectedEvent
from schemas.slice import Slice, Sums
from streams.model import buckets
from streams.model.decode import UnreadableValue
from streams.model.ingest import ORIGIN_HEADER, Ingest
from streams.model.slices import merge
from streams.model.windows import Windows
from tests import offline
from tests.builders import NOW, Record, corridor, event, record
from tests.model.partitions import EVENTS, REKEYED, new, scored, slices

DAY = 86_400.0
INTEGERS = tuple(name for name, kind in Sums.__annotations__.items() if kind is int)


def test_an_accepted_event_is_published_scored_under_its_subject() -> None:
    state = new()
    outcome = state.apply(
        EVENTS,
        [
            record(
                7,
                event(
                    NOW - 20,
                    recordedtime="2026-11-21T09:59:45Z",
                    tenant="brand",
                    data={
                        "outcome": "partial",
                        "journey": "order-1",
                        "expectation": {"expected": 3, "actual": 2, "unit": "d"},
                        "rating": {"value": 4, "min": 1, "max": 5, "instrument": "csat"},
                        "value": {"amount_minor": 1299, "currency": "EUR"},
                        "segment": {"region": "mars"},
                        "aspects": {"kindness": 0.5},
                    },
                ),
            )
        ],
    )
    assert outcome.scored[0]["key"] == b"customer-1"
    (row,) = scored(outcome)
    assert (row.tenant, row.touchpoint, row.channel, row.stage) == ("brand", "web.checkout", "web", "during")
    assert (row.subject, row.journey, row.source, row.id) == ("customer-1", "order-1", "shop", "id-1")
    assert (row.time, row.received_at, row.recorded_time) == (NOW - 20, NOW, NOW - 15)
    assert (row.source_partition, row.source_offset, row.mapped, row.late) == (0, 7, True, False)
    assert (row.x_outcome, row.x_rating, row.gap, row.band) == (0.5, 0.75, 1.0, "positive")
    assert (row.expected, row.actual, row.tolerance, row.unit, row.better) == (3, 2, None, "d", "lower")
    assert (row.rating, row.rating_min, row.rating_max, row.instrument) == (4, 1, 5, "csat")
    assert (row.amount_minor, row.currency) == (1299, "EUR")
    assert (row.segment, row.aspects) == ({"region": "mars"}, {"kindness": 0.5})
    assert outcome.lateness == [5.0]


def test_the_raw_event_travels_along_unchanged() -> None:
    value = json.dumps(event(extra=[1.50]), indent=2).encode()
    outcome = new().apply(EVENTS, [record(0, value)])
    assert bytes(scored(outcome)[0].raw) == value


def test_an_event_counts_in_the_slice_of_all_and_of_each_pair() -> None:
    state = new()
    state.apply(EVENTS, [record(0, event(data={"segment": {"region": "mars", "carrier": "swift", "x": "y"}}))])
    found = slices(state)
    assert sorted((item.segment, item.segment_value, item.n) for item in found) == [
        ("", "", 1),
        ("carrier", "swift", 1),
        ("region", "other", 1),
    ]
    assert {(item.bucket, item.origin, item.part, item.version) for item in found} == {(int(NOW), f"{EVENTS}/0", 0, 0)}


def test_a_slice_is_absolute_and_its_version_the_last_offset() -> None:
    state = new()
    state.apply(EVENTS, [record(3, event(id="a"))])
    assert [(item.n, item.part, item.version) for item in slices(state)] == [(1, 3, 3)]
    assert slices(state) == []
    state.apply(EVENTS, [record(5, event(id="b")), record(9, event(id="c"))])
    assert [(item.n, item.part, item.version) for item in slices(state)] == [(3, 3, 9)]


def test_an_unmapped_touchpoint_is_scored_with_the_defaults_and_reported() -> None:
    outcome = new().apply(EVENTS, [record(0, event(data={"touchpoint": "kiosk"}))])
    (row,) = scored(outcome)
    assert (row.x, row.mapped, row.channel, row.stage) == (1.0, False, "unknown", "unknown")
    assert outcome.unmapped == {"kiosk": 1}


def test_a_late_event_is_flagged_and_corrects_its_own_bucket() -> None:
    state = new(allowed_lateness=60.0)
    times = [NOW, NOW - 60, NOW - 60.001, NOW - 30 * DAY, NOW]
    outcome = state.apply(EVENTS, [record(n, event(at, id=str(n))) for n, at in enumerate(times)])
    assert [row.late for row in scored(outcome)] == [False, False, True, True, False]
    assert outcome.late == 2
    by_bucket = {item.bucket: (item.n, item.late) for item in slices(state)}
    assert by_bucket == {
        int(NOW): (2, 0),
        int(NOW - 60): (1, 0),
        int(NOW - 70): (1, 1),
        int(NOW - 30 * DAY): (1, 1),
    }


def test_lateness_is_measured_against_the_event_s_own_source() -> None:
    state = new(allowed_lateness=60.0)
    items = [event(NOW, id="a", source="shop"), event(NOW - 500, id="b", source="store")]
    outcome = state.apply(EVENTS, [record(n, item) for n, item in enumerate(items)])
    assert [row.late for row in scored(outcome)] == [False, False]
    assert state.progress(EVENTS, idle=False).watermark == NOW - 500


def test_an_idle_lane_holds_no_watermark_back() -> None:
    state = new()
    assert state.progress(EVENTS, idle=False).watermark is None
    state.apply(EVENTS, [record(4, event())])
    told = state.progress(EVENTS, idle=True)
    assert (told.origin, told.applied, told.watermark) == (f"{EVENTS}/0", 4, None)
    assert state.progress(EVENTS, idle=False).watermark == NOW


@pytest.mark.parametrize(
    ("change", "duplicate"),
    [
        ({}, True),
        ({"time": "2026-11-21T09:00:00Z"}, True),
        ({"id": "id-2"}, False),
        ({"source": "app"}, False),
        ({"subject": "customer-2"}, False),
        ({"tenant": "brand"}, False),
        ({"data": {"journey": "order-1"}}, False),
        ({"data": {"journey": "customer-1"}}, True),
    ],
)
def test_the_same_source_and_id_in_one_journey_is_a_duplicate(change: dict[str, Any], duplicate: bool) -> None:
    outcome = new().apply(EVENTS, [record(0, event()), record(1, event(**change))])
    assert (len(outcome.scored), outcome.duplicates) == ((1, 1) if duplicate else (2, 0))


@pytest.mark.parametrize(("named", "horizon"), [({}, 900.0), ({"duplicate_horizon": Duration(60)}, 60.0)])
def test_a_duplicate_is_seen_until_the_horizon_and_not_after_it(named: dict[str, Any], horizon: float) -> None:
    state = new(**named)
    arrivals = [NOW, NOW + horizon, NOW + 2 * horizon + 1]
    outcome = state.apply(EVENTS, [record(n, event(), arrival) for n, arrival in enumerate(arrivals)])
    assert (len(outcome.scored), outcome.duplicates) == (2, 1)


def test_a_journey_in_use_is_not_let_go_however_many_checkpoints_there_are() -> None:
    state = new()
    for n in range(40):
        state.apply(EVENTS, [record(n, event(), NOW + 800 * n)])
        state.snapshot()
    outcome = state.apply(EVENTS, [record(40, event(), NOW + 800 * 40)])
    assert outcome.duplicates == 1


def test_records_applied_before_are_skipped() -> None:
    state = new()
    items = [record(n, event(id=str(n))) for n in range(5)]
    state.apply(EVENTS, items[:3])
    outcome = state.apply(EVENTS, items)
    assert (outcome.replayed, len(outcome.scored)) == (3, 2)


def test_an_event_of_another_partition_is_handed_over_and_counted_there() -> None:
    state = new()
    item = record(0, event(subject="foreign"))
    outcome = state.apply(EVENTS, [item])
    assert (outcome.rekeyed, outcome.scored, slices(state)) == ([(b"foreign", item)], [], [])
    there = new(partition=1)
    handed = Record(4, item.timestamp, b"foreign", item.value, ((ORIGIN_HEADER, b"0:0"),))
    (row,) = scored(there.apply(REKEYED, [handed]))
    assert (row.source_partition, row.source_offset, row.received_at) == (0, 0, NOW)
    assert [item.origin for item in slices(there)] == [f"{REKEYED}/1"]


def test_the_same_event_in_both_lanes_is_a_duplicate() -> None:
    state = new()
    state.apply(EVENTS, [record(0, event())])
    assert state.apply(REKEYED, [record(0, event(), headers=((ORIGIN_HEADER, b"2:9"),))]).duplicates == 1


def test_a_forged_origin_header_does_no_harm() -> None:
    headers = ((ORIGIN_HEADER, b"\xff no place"), (ORIGIN_HEADER, b"2:9"))
    (row,) = scored(new().apply(REKEYED, [record(0, event(), headers=headers)]))
    assert (row.source_partition, row.source_offset) == (2, 9)


def test_a_rejection_keeps_everything() -> None:
    headers = (("trace", b"\x00\xff"), ("none", None))
    outcome = new().apply(EVENTS, [record(6, b"\xffnot json", headers=headers, key=b"k")])
    (message,) = outcome.rejected
    assert message["key"] == b"touchpoint.events/0/6"
    found = msgspec.json.decode(message["value"], type=RejectedEvent)  # type: ignore[arg-type]
    assert (found.reason, found.topic, found.partition, found.offset) == ("invalid_utf8", EVENTS, 0, 6)
    assert (found.key, found.raw, found.headers, found.received_at) == (b"k", b"\xffnot json", dict(headers), NOW)
    assert outcome.reasons == {"invalid_utf8": 1}


@pytest.mark.parametrize("part", ["value", "headers", "key"])
def test_a_rejection_too_large_to_publish_is_cut(part: str) -> None:
    huge = b"x" * 9_000_000
    built = {
        "value": record(0, huge),
        "headers": record(0, b"x", headers=(("h", huge),)),
        "key": record(0, b"x", key=huge),
    }[part]
    (message,) = new().apply(EVENTS, [built]).rejected
    assert len(message["value"]) < 8_000_000  # type: ignore[arg-type]
    found = msgspec.json.decode(message["value"], type=RejectedEvent)  # type: ignore[arg-type]
    assert "cut" in found.detail
    assert built.value is not None and found.raw is not None and built.value.startswith(found.raw)


def test_an_unreadable_record_is_rejected_with_its_batch() -> None:
    value = UnreadableValue(b"batch")
    outcome = new().apply(EVENTS, [record(0, event()), record(1, value), record(2, event(id="2"))])
    found = msgspec.json.decode(outcome.rejected[0]["value"], type=RejectedEvent)  # type: ignore[arg-type]
    assert (found.reason, found.raw, found.offset, len(outcome.scored)) == ("unknown_compression", b"batch", 1, 2)


def test_a_silent_source_starts_again_after_a_day_at_whatever_moment_checkpoints_come() -> None:
    late = []
    for checkpoint in (False, True):
        state = new(allowed_lateness=60.0)
        state.apply(EVENTS, [record(0, event(NOW, id="a", source="quiet"), NOW)])
        state.apply(EVENTS, [record(1, event(NOW, id="b"), NOW + DAY + 1)])
        if checkpoint:
            state.snapshot()
        outcome = state.apply(EVENTS, [record(2, event(NOW - 100, id="c", source="quiet"), NOW + DAY + 2)])
        late.append([row.late for row in scored(outcome)])
    assert late == [[False], [False]]


# -- against the offline computation ------------------------------------------------------------------------------


def random_events(count: int, seed: int = 1) -> list[Record]:
    pick = random.Random(seed)
    items = []
    for n in range(count):
        data: dict[str, Any] = {
            "touchpoint": pick.choice(["web.checkout", "delivery.handover", "survey.answer", "kiosk"]),
            "outcome": pick.choice(["success", "partial", "failure", "abandoned", "pending"]),
            "actor": pick.choice(["buyer", "employee"]),
        }
        if pick.random() < 0.5:
            data["wait_ms"] = pick.choice([0, 1, int(pick.lognormvariate(9, 2))])
        if pick.random() < 0.4:
            data["expectation"] = {"expected": pick.random(), "actual": pick.random(), "tolerance": 0.3}
        if pick.random() < 0.4:
            instrument = pick.choice(["nps", "csat", "ces", "stars"])
            data["rating"] = {"value": pick.randint(1, 7), "min": 1, "max": 7, "instrument": instrument}
        if pick.random() < 0.3:
            data["sentiment"] = pick.uniform(-1, 1)
        if pick.random() < 0.3:
            data["attempts"] = pick.randint(0, 4)
        if pick.random() < 0.8:
            data["segment"] = {"region": pick.choice(["north", "south", "west"]), "carrier": pick.choice("ab")}
        at = NOW + n / 2 - pick.choice([0, 0, 5, 150, 4000])
        customer = f"c{pick.randint(0, 50)}"
        items.append(record(n, event(at, id=str(pick.randint(0, count)), subject=customer, data=data), NOW + n / 2))
    return items


def test_slices_and_scores_equal_the_offline_computation() -> None:
    chart = corridor(allowed_lateness=3600.0, minimum_n=3)
    state = Ingest(0, chart, lambda key: 0)
    items = random_events(1500)
    state_slices: dict[bytes, Slice] = {}
    with mock.patch.object(buckets, "BUCKET_AGE", 2):
        for start in range(0, len(items), 50):
            state.apply(EVENTS, items[start : start + 50])
            state_slices.update({item.key: item for item in slices(state)})
    events: list[offline.Event] = [
        (0, item.offset, item.timestamp / 1000, msgspec.json.decode(item.value or b"", type=TouchpointEvent))
        for item in items
    ]
    expected = offline.slices(events, chart)
    found: dict[tuple[Any, int], Sums] = {}
    for item in state_slices.values():
        merge(found.setdefault((item.cell, item.bucket), Sums()), item)
    assert len(state_slices) > len(found), "some buckets must have come in parts"
    assert found.keys() == expected.keys()
    for place, sums in found.items():
        for name, value in expected[place].items():
            actual = getattr(sums, name)
            assert actual == value if name in INTEGERS or name == "waits" else abs(actual - value) < 1e-9 * sums.n
    assert sum(sums.n for (cell, _), sums in found.items() if not cell.segment) == len(offline.accepted(events))

    windows = Windows(0, 3)
    for item in state_slices.values():
        windows.apply(item)
    rows = {
        (row.tenant, row.scope, row.name, row.segment, row.segment_value, row.window, row.at): row
        for row in windows.take_dirty()
    }
    offline_rows = offline.scores(expected, 3)
    assert rows.keys() == set(offline_rows) and len(rows) == len(offline_rows)
    for key, row in rows.items():
        for name, value in offline_rows[key].items():
            actual = getattr(row, name)
            assert (actual is None and value is None) or isclose(actual, value, rel_tol=1e-7, abs_tol=1e-7), name
