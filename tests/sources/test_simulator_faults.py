"""Faults: how they are written, and that each hurts where it should and nowhere else."""

import math
import statistics
from functools import cache
from itertools import takewhile

import pytest

from schemas.errors import UsageError
from schemas.event import TouchpointData, TouchpointEvent
from sources.simulate import simulate
from sources.simulator.faults import KINDS, parse_fault

START = 1_794_787_200.0
SWITCH_S, END_S = 40.0, 80.0


def felt(data: TouchpointData) -> float:
    """Outcome, promise, rating, sentiment and wait (against two minutes for people, four seconds for pages)."""
    parts = []
    if data.rating is None and data.sentiment is None:
        parts.append({"success": 1.0, "partial": 0.5}.get(data.outcome, 0.0))
    if data.expectation is not None:
        gap = (data.expectation.expected - data.expectation.actual) / (data.expectation.tolerance or 1)
        parts.append(0.7 + 0.3 * (1 - math.exp(-gap)) if gap >= 0 else 0.7 * math.exp(gap))
    if data.rating is not None:
        parts.append((data.rating.value - data.rating.min) / (data.rating.max - data.rating.min))
    if data.sentiment is not None:
        parts.append((data.sentiment + 1) / 2)
    if data.wait_ms is not None:
        tolerable_ms = 4000 if data.touchpoint.startswith(("web", "app")) else 120_000
        parts.append(math.exp(-math.log(2) * data.wait_ms / tolerable_ms))
    return statistics.fmean(parts)


@cache
def events(fault: str) -> list[tuple[float, TouchpointEvent]]:
    stream = simulate(1, START, 250.0, [parse_fault(fault)], flat=True, late_share=0.0, duplicate_share=0.0)
    return list(takewhile(lambda one: one[0] < START + END_S, stream))


def mean(fault: str, touchpoint: str, key: str, value: str, *, inside: bool, after: bool) -> float:
    found = [
        felt(event.data)
        for _, event in events(fault)
        if event.data.touchpoint == touchpoint
        and ((event.data.segment or {}).get(key) == value) is inside
        and (event.time.timestamp() >= START + SWITCH_S) is after
    ]
    assert len(found) >= 20, "not enough events to judge by"
    return statistics.fmean(found)


@pytest.mark.parametrize(
    ("name", "touchpoint", "key", "value"),
    [
        ("delivery.delay", "delivery.handover", "carrier", "norte"),
        ("delivery.failures", "delivery.attempt", "carrier", "urbano"),
        ("delivery.damage", "delivery.handover", "region", "centre"),
        ("checkout.errors", "web.checkout", "device", "mobile"),
        ("checkout.errors", "app.checkout", "region", "centre"),
        ("payment.failures", "web.payment", "payment", "card"),
        ("search.slow", "web.search", "device", "desktop"),
        ("callcentre.congestion", "support.contact", "region", "centre"),
        ("support.unresolved", "support.resolution", "region", "centre"),
        ("store.queues", "store.checkout", "region", "centre"),
        ("social.storm", "social.mention", "region", "centre"),
    ],
)
def test_a_fault_hurts_its_touchpoint_at_once_and_only_in_its_segment(
    name: str, touchpoint: str, key: str, value: str
) -> None:
    fault = f"{name}[{key}={value}]@{SWITCH_S:g}s"
    before = mean(fault, touchpoint, key, value, inside=True, after=False)
    after = mean(fault, touchpoint, key, value, inside=True, after=True)
    assert before - after > 0.15
    before = mean(fault, touchpoint, key, value, inside=False, after=False)
    after = mean(fault, touchpoint, key, value, inside=False, after=True)
    assert abs(before - after) < 0.1


def test_every_kind_of_fault_but_silence_is_judged_above() -> None:
    table = test_a_fault_hurts_its_touchpoint_at_once_and_only_in_its_segment.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[0] for row in table} == set(KINDS) - {"source.silent"}


def test_the_first_handovers_after_a_delay_begins_are_late_already() -> None:
    fault = f"delivery.delay@{SWITCH_S:g}s"
    late = [
        event.data.expectation.actual > event.data.expectation.expected + 24
        for _, event in events(fault)
        if event.data.touchpoint == "delivery.handover"
        and event.data.expectation is not None
        and START + SWITCH_S <= event.time.timestamp() < START + SWITCH_S + 5
    ]
    assert len(late) > 20
    assert statistics.fmean(late) > 0.8


def test_a_fault_ends_after_its_length_and_half_the_intensity_hurts_less() -> None:
    def failures(fault: str, since: float, until: float) -> float:
        return statistics.fmean(
            event.data.outcome == "failure"
            for _, event in events(fault)
            if event.data.touchpoint == "web.payment" and since <= event.time.timestamp() - START < until
        )

    assert failures("payment.failures@20s+20s", 20, 40) > 0.5
    assert failures("payment.failures@20s+20s", 45, 80) < 0.1
    assert 0.2 < failures("payment.failures@20s*0.5", 20, 80) < 0.45


def test_congestion_shows_in_queue_depth_and_in_callers_who_hang_up() -> None:
    fault = f"callcentre.congestion@{SWITCH_S:g}s"
    contacts = [event for _, event in events(fault) if event.data.touchpoint == "support.contact"]
    before = [event.data for event in contacts if event.time.timestamp() < START + SWITCH_S]
    after = [event.data for event in contacts if event.time.timestamp() >= START + SWITCH_S]
    assert statistics.median(data.queue_depth or 0 for data in after) > 3 * statistics.median(
        data.queue_depth or 0 for data in before
    )
    assert statistics.fmean(data.outcome == "abandoned" for data in after) > 0.3
    assert {data.servers for data in before} == {18}


def test_a_silent_source_is_silent_and_the_others_are_not() -> None:
    silenced = [one for one in events("source.silent:/courier@40s") if one[0] >= START + SWITCH_S]
    assert len(silenced) > 5000
    assert not any(event.source.startswith("/courier") for _, event in silenced)
    norte = {event.source for at, event in events("source.silent:/courier/norte@40s") if at >= START + SWITCH_S}
    assert "/courier/swift" in norte
    assert "/courier/norte" not in norte


def test_what_a_silent_source_held_back_comes_late_once_it_is_back() -> None:
    fault = "source.silent:/courier@20s+20s"
    held = [
        (at, event)
        for at, event in events(fault)
        if event.source.startswith("/courier") and 25 <= event.time.timestamp() - START < 38
    ]
    assert len(held) > 300
    assert all(START + 40 <= at < START + 44 for at, _ in held)


def test_a_fault_is_read_with_all_its_parts() -> None:
    fault = parse_fault("delivery.delay[carrier=norte,region=north]@2min+30s*0.5")
    assert (fault.kind.name, fault.start, fault.end, fault.intensity) == ("delivery.delay", 120.0, 150.0, 0.5)
    assert fault.segment == (("carrier", "norte"), ("region", "north"))
    assert parse_fault("checkout.errors*2@0s[device=mobile]").start == 0.0
    assert parse_fault("payment.failures").end == math.inf
    assert parse_fault("source.silent:/courier/norte@5s").source == "/courier/norte"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write it as NAME"),
        ("delivery.delay at 5s", "write it as NAME"),
        ("delivery.delays@5s", "there is no fault `delivery.delays`; there are delivery.delay, "),
        ("delivery.delay@soon", "`soon` is no duration"),
        ("delivery.delay@5", "`5` is no duration"),
        ("delivery.delay@5s+0s", "a duration must be longer than 0"),
        ("delivery.delay@-5s", "is no duration"),
        ("delivery.delay*much", "the intensity is a number above 0, up to 5"),
        ("delivery.delay*0", "the intensity is a number above 0"),
        ("delivery.delay*nan", "the intensity is a number above 0"),
        ("delivery.delay[carrier]", "write KEY=VALUE"),
        ("delivery.delay[store=s01]", "cannot be narrowed by `store`, only by carrier, region"),
        ("delivery.delay[carrier=north]", "there is no carrier `north`; there are swift, norte, urbano, postal"),
        ("delivery.delay[carrier=norte,carrier=swift]", "`carrier` is named twice"),
        ("delivery.delay@5s@6s", "comes on top of another when"),
        ("delivery.delay:/courier", "only source.silent takes a source"),
        ("source.silent@5s", "name the source that falls silent"),
        ("source.silent:/courier[region=north]", "cannot be narrowed by `region`, by no segment"),
    ],
)
def test_a_fault_that_is_written_wrong_says_which_part_and_what_is_possible(text: str, message: str) -> None:
    with pytest.raises(UsageError) as problem:
        parse_fault(text)
    assert message in str(problem.value)
    assert f"--fault `{text}`" in str(problem.value)
