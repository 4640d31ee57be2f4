"""Sources under watch: silence is told by the log's own clock, and the same after a restart."""

from collections.abc import Iterator

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.heard import Heard
from schemas.incident import Incident
from schemas.slice import Progress
from streams.model.detect import sources as module
from streams.model.detect.partition import Detection
from streams.model.detect.sources import Sources, SourcesState
from streams.model.detect.tuning import Tuning
from tests.builders import corridor

MONDAY = 1_767_571_200
TUNING = Tuning(false_alarm_s=30 * 86_400.0)
HOUR = 3600


def heard(version: int, counts: dict[str, dict[str, int]], origin: str = "events/0") -> Heard:
    return Heard("default", origin, version, counts)


def story(seconds: int, silent: tuple[int, int] = (0, 0), step: int = 10) -> Iterator[tuple[int, Heard]]:
    """Two sources, one event a second each; `shop` says nothing between two times. Clock and message at each step."""
    shop = desk = 0
    for at in range(0, seconds, step):
        shop += sum(not silent[0] <= second < silent[1] for second in range(at, at + step))
        desk += step
        counts = {"shop": {"web.cart": shop}, "desk": {"web.cart": desk // 5, "support.call": desk - desk // 5}}
        yield MONDAY + at + step, heard(at + step, counts)


def told(watched: Sources, messages: Iterator[tuple[int, Heard]]) -> list[Incident]:
    found: list[Incident] = []
    for clock, message in messages:
        watched.hear(message)
        found += watched.advance(clock)
    return found


def test_a_silent_source_is_told_with_what_it_feeds_and_resolved_once_it_is_back() -> None:
    watched = Sources("default", TUNING)
    quiet = (3 * HOUR, 3 * HOUR + 1800)
    found = told(watched, story(3 * HOUR + 600, quiet))
    first = found[0]
    assert (first.kind, first.touchpoint, first.status, first.severity) == ("silence", "shop", "open", "page")
    assert first.since == MONDAY + quiet[0]
    assert 60 <= first.detected_at - first.since <= 120
    assert {incident.touchpoint for incident in found} == {"shop"}
    assert list(watched.cut_off()) == [("default", "shop", "web.cart")], "most of it came from there"

    for clock, message in list(story(3 * HOUR + 3600, quiet))[(3 * HOUR + 600) // 10 :]:
        watched.hear(message)
        found += watched.advance(clock)
    assert (found[-1].id, found[-1].status) == (first.id, "resolved")
    assert list(watched.open()) == []
    assert list(watched.cut_off()) == []


@settings(max_examples=20, deadline=None)
@given(st.integers(60, 20_000))
def test_history_read_in_large_steps_has_no_silence(step: int) -> None:
    assert told(Sources("default", TUNING), story(4 * 86_400 // step * step, step=step)) == []


def test_a_message_that_is_not_newer_says_nothing() -> None:
    watched = Sources("default", TUNING)
    watched.hear(heard(100, {"shop": {"web.cart": 50}}))
    watched.hear(heard(90, {"shop": {"web.cart": 45}}))
    watched.hear(heard(110, {"shop": {"web.cart": 60}}))
    assert watched.state.fed == {"web.cart": {"shop": 60}}


def test_counts_that_began_again_count_whole() -> None:
    watched = Sources("default", TUNING)
    watched.hear(heard(100, {"shop": {"web.cart": 50}}))
    watched.hear(heard(110, {"shop": {"web.cart": 7}}))
    assert watched.state.fed == {"web.cart": {"shop": 57}}


def test_more_sources_than_are_watched_are_counted() -> None:
    watched = Sources("default", TUNING)
    watched.hear(heard(1, {f"shop-{number}": {"": 1} for number in range(module.MOST_SOURCES + 3)}))
    assert watched.left_out == 3


@settings(max_examples=20, deadline=None)
@given(st.sets(st.integers(1, 1400), max_size=5))
def test_crashes_change_nothing(crashes: set[int]) -> None:
    messages = list(story(14_000, (12_000, 13_000)))
    whole, watched = Sources("default", TUNING), Sources("default", TUNING)
    expected, found = told(whole, iter(messages)), list[Incident]()
    assert expected[-1].status == "resolved"
    for number, (clock, message) in enumerate(messages):
        watched.hear(message)
        found += watched.advance(clock)
        if number in crashes:
            state = msgspec.msgpack.decode(watched.pack(), type=SourcesState)
            watched = Sources("default", TUNING, state)
            watched.hear(message)
    assert found == expected
    assert watched.state == whole.state


# -- with the lanes ----------------------------------------------------------------------------------------------------

LANES = ("events/0", "rekeyed/0")


def progress(origin: str, watermark: float | None, clock: float | None = None) -> tuple[bytes, bytes]:
    return b"progress " + origin.encode(), msgspec.json.encode(Progress(origin, 1, watermark, clock))


def after_all_fell_silent(clocks: bool) -> Detection:
    """Three hours of two sources, and then a quarter of an hour in which both lanes are idle."""
    detection = Detection(corridor(), LANES)
    messages = [progress("rekeyed/0", None)]
    for clock, message in story(3 * HOUR):
        messages += [(message.key, msgspec.json.encode(message)), progress("events/0", float(clock))]
    for clock in range(MONDAY + 3 * HOUR + 10, MONDAY + 3 * HOUR + 900, 5):
        messages += [progress(origin, None, float(clock) if clocks else None) for origin in LANES]
    for offset, (key, value) in enumerate(messages):
        detection.apply(offset, key, value)
    return detection


def test_when_all_is_silent_the_wall_clock_tells() -> None:
    detection = after_all_fell_silent(clocks=True)
    assert {incident.touchpoint for incident in detection.open()} == {"shop", "desk"}
    assert ("default", "desk", "support.call") in detection.cut_off()
    again = Detection(corridor(), LANES)
    again.restore({key: value for key, value in detection.snapshot(detection.take_told()) if value is not None})
    assert again.open() == detection.open()
    assert again.cut_off() == detection.cut_off()


def test_after_replayed_history_nobody_is_silent() -> None:
    assert after_all_fell_silent(clocks=False).open() == []


def test_the_clock_begins_once_every_lane_has_said_something() -> None:
    detection = Detection(corridor(), LANES)
    for offset, (clock, message) in enumerate(list(story(30)) * 2):
        detection.apply(3 * offset, message.key, msgspec.json.encode(message))
        detection.apply(3 * offset + 1, *progress("events/0", float(clock)))
        if offset >= 3:
            detection.apply(3 * offset + 2, *progress("rekeyed/0", None))
    assert detection._tenants["default"].sources.state.upto == MONDAY + 30
    assert detection._tenants["default"].sources.state.silent["shop"].upto == MONDAY + 30
