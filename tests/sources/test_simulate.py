"""The simulated corridor: the same for a seed, in the contract, at the rate asked for."""

import statistics
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise, takewhile
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from schemas.errors import UsageError
from schemas.event import MAX_EVENT_BYTES, TouchpointEvent
from schemas.loader import load_map
from sources.publish import encode
from sources.simulate import simulate
from sources.simulator.corridor import ENTRIES, EVENTS_PER_JOURNEY, PLACES
from sources.simulator.faults import KINDS, parse_fault
from sources.simulator.journey import Behaviour
from sources.simulator.normal import normal
from sources.simulator.population import SEGMENTS
from sources.simulator.rhythm import BUSIEST, load
from sources.simulator.steady import begin

#: Monday, 2026-11-16, 00:00 UTC.
START = 1_794_787_200.0
WEEK_S = 7 * 86400.0
RETAIL = Path(__file__).resolve().parents[2] / "schemas" / "maps" / "retail.yaml"
Published = tuple[float, TouchpointEvent]


def some(count: int = 5000, seed: int = 1, rate: float = 200.0, **options: Any) -> list[Published]:
    return list(islice(simulate(seed, START, rate, **options), count))


def until(seconds: float, events: Iterator[Published]) -> list[Published]:
    return list(takewhile(lambda one: one[0] < START + seconds, events))


def test_the_same_seed_gives_the_same_events() -> None:
    assert some(2000) == some(2000)
    assert [event for _, event in some(200)] != [event for _, event in some(200, seed=2)]


def test_two_simulations_share_no_id() -> None:
    first = {event.id for _, event in some(500)}
    assert not first & {event.id for _, event in some(500, seed=2)}
    assert not first & {event.id for _, event in islice(simulate(1, START + 60, 200.0), 500)}


def test_every_event_keeps_the_contract() -> None:
    decoder = msgspec.json.Decoder(TouchpointEvent)
    for _, event in some(20_000):
        wire = encode(event)
        assert len(wire) <= MAX_EVENT_BYTES
        assert decoder.decode(wire) == event


def test_events_come_in_the_order_of_publication_and_never_before_they_happened() -> None:
    events = some()
    assert all(first[0] <= second[0] for first, second in pairwise(events))
    for published, event in events:
        assert event.recordedtime is not None
        assert event.time <= event.recordedtime
        assert event.recordedtime.timestamp() <= published


def test_the_names_are_those_of_the_retail_map() -> None:
    retail = load_map(RETAIL)
    assert set(PLACES) == {touchpoint.name for touchpoint in retail.touchpoints}
    assert {segment.name: segment.values for segment in retail.segments} == SEGMENTS
    assert {way.to for place in PLACES.values() for way in (*place.ways, *place.failed, *place.given_up)} <= set(PLACES)
    assert {name for name, _ in ENTRIES} <= set(PLACES)
    assert {name for kind in KINDS.values() for name in kind.touchpoints} <= set(PLACES)


def test_the_table_is_a_corridor_whose_shares_leave_nobody_over() -> None:
    for place in PLACES.values():
        for ways in (place.ways, place.failed, place.given_up):
            assert sum(way.calm for way in ways) <= 1.0
            assert sum(way.upset for way in ways) <= 1.0
    assert sum(share for _, share in ENTRIES) == pytest.approx(1.0)


def test_every_touchpoint_source_and_segment_value_occurs() -> None:
    events = [event for _, event in some(40_000)]
    assert {event.data.touchpoint for event in events} == set(PLACES)
    couriers = {f"/courier/{carrier}" for carrier in SEGMENTS["carrier"]}
    others = {"/web", "/app", "/pos", "/helpdesk", "/survey", "/social", "/partner/lockers"}
    assert {event.source for event in events} == couriers | others
    seen = {(key, value) for event in events for key, value in (event.data.segment or {}).items()}
    assert seen == {(key, value) for key, values in SEGMENTS.items() for value in values}


def test_deliveries_and_surveys_come_from_the_first_seconds_on() -> None:
    first = Counter(event.data.touchpoint for _, event in until(20, simulate(1, START, 200.0, flat=True)))
    assert first["delivery.handover"] > 100
    assert first["survey.nps"] > 20


def test_the_mean_events_of_a_journey_are_those_of_the_table() -> None:
    rng = Random(11)
    behaviour = Behaviour(rng, (), 0.0)
    count = 0
    for _ in range(40_000):
        journey = begin(rng, "j")
        while (place := journey.place) is not None:
            behaviour.contact(journey, place, 0.0, 1.0)
            count += 1
    assert count / 40_000 == pytest.approx(EVENTS_PER_JOURNEY, rel=0.02)


def test_a_flat_rate_is_the_rate_asked_for_from_the_start() -> None:
    events = until(400, simulate(3, START, 100.0, flat=True))
    assert len(events) / 400 == pytest.approx(100, rel=0.05)
    halves = Counter(published < START + 200 for published, _ in events)
    assert halves[True] == pytest.approx(halves[False], rel=0.07)


def test_over_a_week_the_mean_rate_is_the_rate_asked_for() -> None:
    events = until(WEEK_S, simulate(3, START, 0.08))
    assert len(events) / WEEK_S == pytest.approx(0.08, rel=0.05)


def test_the_evening_is_busier_than_the_night() -> None:
    hours = Counter(int((published - START) // 3600) % 24 for published, _ in until(WEEK_S, simulate(3, START, 0.08)))
    assert hours[20] > 6 * hours[3]
    assert statistics.fmean(load(START + 600 * step) for step in range(7 * 144)) == pytest.approx(1.0, abs=0.01)
    assert max(load(START + 600 * step) for step in range(7 * 144)) <= BUSIEST


def test_a_journey_keeps_its_customer_and_its_order() -> None:
    journeys: dict[str, list[TouchpointEvent]] = {}
    for _, event in some(40_000, late_share=0.0, duplicate_share=0.0):
        journeys.setdefault(event.data.journey or "", []).append(event)
    assert max(len(events) for events in journeys.values()) > 10
    for events in journeys.values():
        assert len({event.subject for event in events}) == 1
        names = [event.data.touchpoint for event in sorted(events, key=lambda event: event.time)]
        if "delivery.handover" in names and "delivery.dispatch" in names:
            assert names.index("delivery.dispatch") < names.index("delivery.handover")


def test_a_broken_promise_lowers_the_rating_that_follows() -> None:
    late: dict[str, bool] = {}
    ratings: dict[bool, list[float]] = {True: [], False: []}
    for _, event in some(60_000):
        data, journey = event.data, event.data.journey or ""
        if data.touchpoint == "delivery.handover" and data.expectation is not None:
            late[journey] = data.expectation.actual > data.expectation.expected + 24
        elif data.touchpoint == "survey.nps" and data.rating is not None and journey in late:
            ratings[late[journey]].append(data.rating.value)
    assert statistics.fmean(ratings[False]) - statistics.fmean(ratings[True]) > 2


def test_duplicates_come_as_often_as_asked_and_repeat_source_and_id() -> None:
    events = [event for _, event in some(30_000, duplicate_share=0.1)]
    distinct = {(event.source, event.id) for event in events}
    assert (len(events) - len(distinct)) / len(distinct) == pytest.approx(0.1, abs=0.01)
    alone = [event.id for _, event in some(duplicate_share=0.0)]
    assert len(alone) == len(set(alone))


def test_late_events_come_as_often_as_asked_seconds_to_minutes_late() -> None:
    events = until(600, simulate(1, START, 50.0, flat=True, late_share=0.2, duplicate_share=0.0))
    lateness = [(event.recordedtime - event.time).total_seconds() for _, event in events if event.recordedtime]
    assert sum(seconds > 7 for seconds in lateness) / len(lateness) == pytest.approx(0.2 * 0.9, abs=0.025)
    assert 60 < max(lateness) < 905


def test_noise_comes_only_when_asked_for_and_breaks_the_contract() -> None:
    decoder = msgspec.json.Decoder(TouchpointEvent)
    broken = [event for _, event in some(20_000, invalid_share=0.05) if event.id.endswith(".x")]
    assert len(broken) / 20_000 == pytest.approx(0.05 / 1.055, abs=0.006)
    refused = 0
    for event in broken:
        try:
            decoder.decode(encode(event))
        except (msgspec.ValidationError, ValueError):
            refused += 1
    # The others are well formed, but happen a year ahead.
    assert refused / len(broken) == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.0}, "--rate 0"),
        ({"pace": 0.5}, "--pace 0.5"),
        ({"late_share": 1.5}, "--late-share 1.5"),
        ({"duplicate_share": -0.1}, "--duplicate-share -0.1"),
        ({"pace": 1.0, "rate": 5000.0, "flat": True}, "lower the rate, or raise the pace"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        some(1, **options)


def test_a_fault_changes_nothing_before_it_starts() -> None:
    calm = until(30, simulate(1, START, 100.0))
    faulty = until(30, simulate(1, START, 100.0, [parse_fault("payment.failures@30s")]))
    assert calm == faulty


def test_the_table_of_normal_numbers_is_standard_normal() -> None:
    rng = Random(5)
    numbers = [normal(rng.random) for _ in range(20_000)]
    assert statistics.fmean(numbers) == pytest.approx(0, abs=0.03)
    assert statistics.stdev(numbers) == pytest.approx(1, abs=0.03)
