"""The partition of the detect agent: what it tells depends on the log alone, whatever crashes in between."""

import random
from collections.abc import Iterable, Iterator

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.corridor import CorridorMap, Defaults, Duration
from schemas.corridor import Detection as DetectionRules
from schemas.incident import Incident
from schemas.slice import BUCKET_S, Progress, Slice
from schemas.transition import STALLED, START, TransitionSlice
from streams.model.detect import partition as module
from streams.model.detect import tenant as tenants
from streams.model.detect.partition import Detection
from tests.builders import corridor

MONDAY = 1_767_571_200
LANES = ("events/0", "events/1")
#: Sensitive, so that short stories have something to tell.
RULES = DetectionRules(false_alarm_time=Duration(3600), minimum_bad=4)
Message = tuple[bytes, bytes]
MAP: CorridorMap = msgspec.structs.replace(
    corridor(), detection=RULES, defaults=Defaults(patience=Duration(120), minimum_n=1)
)
_encode = msgspec.json.encode


def felt(bucket: int, n: int, negative: int, segment: tuple[str, str] = ("", ""), lane: str = LANES[0]) -> Message:
    made = Slice(
        tenant="default",
        touchpoint="web.payment",
        channel="web",
        stage="during",
        actor="buyer",
        contact="direct",
        segment=segment[0],
        segment_value=segment[1],
        bucket=bucket,
        origin=lane,
        part=0,
        version=1,
        n=n,
        scored=n,
        negative=negative,
        positive=n - negative,
    )
    return made.key, _encode(made)


def went(bucket: int, following: str, n: int, wait_ln: float = 8.0, touchpoint: str = "web.payment") -> Message:
    waits = 0 if following.startswith("@") or touchpoint == START else n
    made = TransitionSlice(
        tenant="default",
        touchpoint=touchpoint,
        following=following,
        segment="",
        segment_value="",
        bucket=bucket,
        origin=LANES[0],
        part=0,
        version=1,
        n=n,
        wait_n=waits,
        wait_log_sum=waits * wait_ln,
        wait_log_sum2=waits * (wait_ln**2 + 0.25),
    )
    return made.key, _encode(made)


def progress(lane: str, watermark: float | None) -> Message:
    return b"progress " + lane.encode(), _encode(Progress(lane, 1, watermark))


def passed(watermark: float | None) -> list[Message]:
    return [progress(lane, watermark) for lane in LANES]


def story(buckets: int, bad_from: int | None, seed: int = 1, good_from: int = 10**9) -> Iterator[Message]:
    """20 events in 10 s, one of twenty negative; from a bucket to another six of the ten with carrier `acme`."""
    chance = random.Random(seed)
    for index in range(buckets):
        start = MONDAY + index * BUCKET_S
        bad = bad_from is not None and bad_from <= index < good_from
        counts = {
            carrier: sum(chance.random() < (0.6 if bad and carrier == "acme" else 0.05) for _ in range(10))
            for carrier in ("acme", "swift")
        }
        messages = [felt(start, 20, sum(counts.values()))]
        messages += [felt(start, 10, count, ("carrier", carrier)) for carrier, count in counts.items()]
        messages += [went(start, "delivery.home", 5), went(start, "web.payment", 5, touchpoint=START)]
        chance.shuffle(messages)
        yield from messages
        yield from passed(float(start + BUCKET_S))


def take(detection: Detection, offset: int, message: Message) -> None:
    detection.apply(offset, *message)
    while detection.settle():
        pass


def told(detection: Detection, messages: Iterable[Message]) -> list[Incident]:
    for offset, (key, value) in enumerate(messages, detection.applied + 1):
        take(detection, offset, (key, value))
    return detection.take_told()


def test_a_drop_is_told_with_place_segment_and_cause() -> None:
    detection, found = Detection(MAP, LANES), list[Incident]()
    for offset, (key, value) in enumerate(story(1200, 900)):
        take(detection, offset, (key, value))
        found += detection.take_told()
    first = found[0]
    assert (first.kind, first.touchpoint, first.status, first.version) == ("drop", "web.payment", "open", 1)
    assert 0 <= first.detected_at - (MONDAY + 900 * BUCKET_S) <= 120
    assert [(cause.segment, cause.value) for cause in first.causes] == [("carrier", "acme")]
    assert {incident.id for incident in found} == {first.id}
    assert found[-1].severity == "page"


def test_nothing_is_told_of_a_usual_day() -> None:
    assert told(Detection(MAP, LANES), story(1200, None)) == []


def test_a_blockage_and_a_congestion_are_told() -> None:
    detection = Detection(MAP, LANES)
    messages: list[Message] = []
    for index in range(900):
        start = MONDAY + index * BUCKET_S
        blocked = index >= 600
        messages += [went(start, "web.payment", 10, touchpoint=START)]
        messages += [went(start, "delivery.home", 5 if blocked else 9, 9.5 if blocked else 8.0)]
        messages += [went(start, STALLED, 5 if index >= 612 else 1)]
        messages += passed(float(start + BUCKET_S))
    found = {(incident.kind, incident.touchpoint, incident.following) for incident in told(detection, messages)}
    assert {("congestion", "web.payment", "delivery.home"), ("blockage", "web.payment", "")} <= found
    assert {incident.kind for incident in detection.open()} >= {"congestion", "blockage"}


def test_a_bucket_waits_for_every_lane() -> None:
    detection = Detection(MAP, LANES)
    told(detection, [felt(MONDAY, 1, 0), progress(LANES[0], MONDAY + 60.0)])
    told(detection, [felt(MONDAY, 1, 0, lane=LANES[1])])
    assert detection.too_late == 0
    told(detection, [progress(LANES[1], MONDAY + 10.0), felt(MONDAY, 2, 0, lane=LANES[1])])
    assert detection.too_late == 1


def test_a_bucket_is_settled_once_all_lanes_have_long_been_idle() -> None:
    detection = Detection(MAP, LANES)
    told(detection, [felt(MONDAY, 1, 0), *passed(None), *passed(None), felt(MONDAY, 2, 0)])
    assert detection.too_late == 0
    told(detection, [*passed(None), felt(MONDAY, 3, 0)])
    assert detection.too_late == 1


def test_an_older_version_replaces_nothing() -> None:
    newer, older = Detection(MAP, LANES), Detection(MAP, LANES)
    key, value = felt(MONDAY, 5, 1)
    old = _encode(msgspec.structs.replace(msgspec.json.decode(value, type=Slice), version=0, n=9, scored=9))
    told(newer, [(key, value), *passed(MONDAY + 10.0)])
    told(older, [(key, value), (key, old), *passed(MONDAY + 10.0)])
    assert (
        dict(newer.snapshot([]))[b"b" + msgspec.msgpack.encode(["default", MONDAY])]
        == (dict(older.snapshot([]))[b"b" + msgspec.msgpack.encode(["default", MONDAY])])
    )


def test_more_places_and_pairs_than_are_watched_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "MOST_PAIRS", 1)
    detection = Detection(MAP, LANES)
    told(detection, story(3, None))
    assert detection.left_out == 3, "of two carriers one is watched"


#: An incident that is opened and closed, and then some time.
STORY = list(story(900, 500, seed=7, good_from=620))
WHOLE = Detection(MAP, LANES)
EXPECTED = told(WHOLE, STORY)
assert EXPECTED[0].status == "resolved"


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, len(STORY) - 1), max_size=6), st.booleans())
def test_crashes_at_any_point_change_nothing(crashes: list[int], soon: bool) -> None:
    """State is stored now and then; after a crash the log is read again from where the state was stored."""
    least = module._LEAST_SETTLED
    module._LEAST_SETTLED = 20 if soon else least
    try:
        stored: dict[bytes, bytes] = {}
        published: list[Incident] = []
        detection = Detection(MAP, LANES)
        crashes = sorted(crashes)
        while detection.applied < len(STORY) - 1:
            until = crashes.pop(0) if crashes else len(STORY)
            for offset in range(detection.applied + 1, until):
                take(detection, offset, STORY[offset])
                if offset % 97 == 0:
                    new = detection.take_told()
                    _store(stored, detection.snapshot(new))
                    published += new
            if until == len(STORY):
                break
            detection = Detection(MAP, LANES)
            detection.restore(stored)
            published += detection.take_told()
        published += detection.take_told()
    finally:
        module._LEAST_SETTLED = least
    assert {incident.id: incident for incident in published} == {incident.id: incident for incident in EXPECTED}
    assert _states(detection) == _states(WHOLE), "and goes on as if nothing had been"


#: The same buckets, settled by the last two messages at once.
HISTORY = [message for message in STORY if not message[0].startswith(b"progress")] + STORY[-2:]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 899), max_size=4, unique=True), st.booleans())
def test_crashes_while_much_is_settled_at_once_change_nothing(crashes: list[int], stored_before: bool) -> None:
    stored: dict[bytes, bytes] = {}
    published: list[Incident] = []
    detection = Detection(MAP, LANES)
    settled = 0
    while detection.position[0] < len(HISTORY):
        for offset in range(detection.position[0], len(HISTORY)):
            detection.apply(offset, *HISTORY[offset])
            if stored_before and offset == len(HISTORY) - 2:
                _store(stored, detection.snapshot([]))
            while detection.settle():
                settled += 1
                if settled in crashes:
                    break
            else:
                continue
            assert detection.position[0] == offset, "not read as long as buckets are due"
            new = detection.take_told()
            _store(stored, detection.snapshot(new))
            detection = Detection(MAP, LANES)
            detection.restore(stored)
            published += detection.take_told()
            break
    published += detection.take_told()
    assert {incident.id: incident for incident in published} == {incident.id: incident for incident in EXPECTED}
    assert _states(detection) == _states(WHOLE), "and goes on as if nothing had been"


def _states(detection: Detection) -> list[tuple[bytes, bytes]]:
    detectors = detection._tenants["default"].detectors
    detectors._changed.update(detectors._detectors)
    return list(detectors.changed())


def _store(stored: dict[bytes, bytes], records: Iterable[tuple[bytes, bytes | None]]) -> None:
    for key, value in records:
        if value is None:
            stored.pop(key, None)
        else:
            stored[key] = value


def test_what_was_stored_and_not_published_is_told_again() -> None:
    detection, stored = Detection(MAP, LANES), dict[bytes, bytes]()
    for offset, message in enumerate(STORY):
        take(detection, offset, message)
        if new := detection.take_told():
            _store(stored, detection.snapshot(new))
            break
    again = Detection(MAP, LANES)
    again.restore(stored)
    assert again.take_told() == new
