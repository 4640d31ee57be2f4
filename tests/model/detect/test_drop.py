"""The drop detector fed with buckets: what it tells, when it is silent, and that a restart changes nothing."""

from collections.abc import Iterator
from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incident import Incident
from streams.model.detect.causes import Pair
from streams.model.detect.drop import DropDetector
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Watched

TUNING = Tuning()
MONDAY = 1_767_571_200
DAY = 86_400
START = MONDAY + DAY
Bucket = tuple[int, int, int, dict[Pair, tuple[int, int]]]


def traffic(start: int, buckets: int, swift: float, other: float, seed: int, per_bucket: int = 500) -> Iterator[Bucket]:
    """Events and bad ones; three tenths are carrier swift's, with shares of bad events of their own."""
    random = np.random.default_rng(seed)
    for index in range(buckets):
        a, b = int(random.poisson(0.3 * per_bucket)), int(random.poisson(0.7 * per_bucket))
        x, y = int(random.binomial(a, swift)), int(random.binomial(b, other))
        yield start + 10 * index, a + b, x + y, {("carrier", "swift"): (a, x), ("carrier", "norte"): (b, y)}


@cache
def learned(per_minute: int = 3000) -> bytes:
    """A drop detector that has seen a day of 2 % negatives, a minute at a time."""
    detector = DropDetector("default", "web.checkout", TUNING)
    for index, (_, n, bad, pairs) in enumerate(traffic(MONDAY, DAY // 60, 0.02, 0.02, 1, per_minute)):
        assert detector.feed(MONDAY + 60 * index, n, bad, pairs) == []
    return msgspec.json.encode(detector.state)


def drop_detector(saved: bytes | None = None) -> DropDetector:
    state = msgspec.json.decode(saved or learned(), type=Watched)
    return DropDetector("default", "web.checkout", TUNING, state)


def run(detector: DropDetector, buckets: Iterator[Bucket]) -> list[Incident]:
    return [message for bucket in buckets for message in detector.feed(*bucket)]


def test_a_drop_is_found_told_again_and_resolved() -> None:
    detector = drop_detector()
    told = run(detector, traffic(START, 30, 0.2, 0.2, 2))
    opened = told[0]
    assert (opened.kind, opened.status, opened.severity, opened.unit) == ("drop", "open", "page", "share")
    assert opened.touchpoint == "web.checkout"
    assert (opened.since, opened.detected_at) == (START, START + 10)
    assert opened.before == pytest.approx(0.02, rel=0.1)
    assert opened.now == pytest.approx(0.2, rel=0.3)
    assert opened.depth == opened.now - opened.before
    assert [message.version for message in told] == list(range(1, len(told) + 1))
    assert {message.id for message in told} == {opened.id}
    assert 4 <= len(told) <= 6
    told = run(detector, traffic(START + 300, 60, 0.02, 0.02, 3))
    resolved = told[-1]
    assert (resolved.status, resolved.id) == ("resolved", opened.id)
    assert resolved.ended_at == START + 300
    assert START + 360 <= resolved.resolved_at <= START + 420
    assert resolved.hurt == pytest.approx(0.18 * 15_000, rel=0.1)
    fault = list(traffic(START, 30, 0.2, 0.2, 2))
    assert resolved.n == sum(n for _, n, _, _ in fault)
    assert resolved.bad == sum(bad for _, _, bad, _ in fault)
    assert detector.state.incident is None


def test_one_fault_in_a_segment_is_one_incident_that_names_it() -> None:
    told = run(drop_detector(), traffic(START, 30, 0.3, 0.02, 4))
    assert len({message.id for message in told}) == 1
    last = told[-1]
    assert (last.segment, last.segment_value) == ("carrier", "swift") or last.segment == ""
    assert (last.causes[0].segment, last.causes[0].value) == ("carrier", "swift")
    assert last.causes[0].explained == pytest.approx(1.0, abs=0.1)
    assert last.causes[0].rate_effect > 10 * abs(last.causes[0].mix_effect)


def test_a_drop_everywhere_names_no_segment() -> None:
    last = run(drop_detector(), traffic(START, 30, 0.2, 0.2, 5))[-1]
    assert last.segment == ""
    assert last.causes == ()


def test_usual_traffic_tells_nothing() -> None:
    assert run(drop_detector(), traffic(START, 8640, 0.02, 0.02, 6)) == []


@given(st.integers(1, 60), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_a_constant_stream_never_alarms(n: int, share: float) -> None:
    detector = DropDetector("default", "t", TUNING)
    bad = round(n * share)
    for index in range(2000):
        assert detector.feed(MONDAY + 60 * index, n, bad, {}) == []


def test_bad_events_at_night_are_no_incident() -> None:
    detector = drop_detector(learned(30))
    for index, bad in enumerate((1, 1, 1)):
        assert detector.feed(START + 600 * index, 1, bad, {}) == []
    # Not because it would not wake up at all.
    assert run(detector, traffic(START + 3600, 60, 0.9, 0.9, 7, 10))


def test_an_incident_needs_four_bad_events() -> None:
    impatient = Tuning(false_alarm_s=3600.0)
    detector = DropDetector("default", "t", impatient)
    for index in range(2880):
        detector.feed(MONDAY + 60 * index, 10, int(index % 20 == 0), {})
    at = MONDAY + 2 * DAY
    told = [detector.feed(at + 10 * index, 1, 1, {}) for index in range(4)]
    assert told[:3] == [[], [], []]
    assert told[3][0].bad == 4


def test_segments_that_are_new_may_come_in_any_order() -> None:
    one, other = (DropDetector("default", "t", TUNING) for _ in range(2))
    for start, n, bad, pairs in traffic(MONDAY, 10, 0.02, 0.02, 24):
        one.feed(start, n, bad, pairs)
        other.feed(start, n, bad, dict(reversed(pairs.items())))
    assert one.state == other.state


def test_nothing_is_told_before_the_usual_is_known() -> None:
    detector = DropDetector("default", "t", TUNING)
    assert run(detector, traffic(MONDAY, 30, 0.5, 0.5, 8)) == []


def test_a_good_moment_does_not_close_an_incident() -> None:
    detector = drop_detector()
    told = run(detector, traffic(START, 30, 0.2, 0.2, 9))
    for index in range(20):
        at = START + 300 + 40 * index
        told += run(detector, traffic(at, 1, 0.02, 0.02, index))
        told += run(detector, traffic(at + 10, 3, 0.2, 0.2, index))
    assert {message.status for message in told} == {"open"}
    assert len({message.id for message in told}) == 1


def test_an_incident_does_not_become_usual() -> None:
    detector = drop_detector()
    run(detector, traffic(START, 3 * 360, 0.2, 0.2, 10))
    run(detector, traffic(START + 10_800, 60, 0.02, 0.02, 11))
    assert detector.state.incident is None
    run(detector, traffic(START + 11_400, 360, 0.02, 0.02, 12))
    baseline = detector.state.series[0].baseline
    assert baseline.upto > START - 3600
    assert baseline.s / baseline.n == pytest.approx(0.02, rel=0.02)
    assert sum(piece.s for piece in baseline.pending) / sum(piece.n for piece in baseline.pending) < 0.025


def test_the_buckets_of_an_incident_are_taken_out_of_what_will_be_learned() -> None:
    detector, buckets = drop_detector(), list(traffic(START, 3, 0.2, 0.2, 25))
    (opened,) = detector.feed(*buckets[0])
    assert opened.since == START
    incident = detector.state.incident
    assert incident is not None
    assert {(tally.segment, tally.value): (tally.n, tally.s) for tally in incident.tallies} == {
        ("", ""): buckets[0][1:3],
        **buckets[0][3],
    }
    for series in detector.state.series:
        assert all(piece.end <= START for piece in series.baseline.pending)


def test_a_ticket_becomes_a_page_at_once_and_never_the_other_way() -> None:
    detector = drop_detector()
    told = run(detector, traffic(START, 12, 0.05, 0.05, 12))
    assert {message.severity for message in told} == {"ticket"}
    told = run(detector, traffic(START + 120, 12, 0.4, 0.4, 13))
    first = next(message for message in told if message.severity == "page")
    assert first.updated_at < START + 120 + 60
    after = run(detector, traffic(START + 240, 600, 0.04, 0.04, 14))
    assert after[-1].depth < TUNING.page_points
    assert {message.severity for message in after} == {"page"}


def test_empty_buckets_change_nothing() -> None:
    plain, padded = drop_detector(), drop_detector()
    told, same = [], []
    for start, n, bad, pairs in traffic(START, 40, 0.1, 0.1, 15):
        told += plain.feed(start * 2 - START, n, bad, pairs)
        same += padded.feed(start * 2 - START, n, bad, {**pairs, ("carrier", "none"): (0, 0)})
        same += padded.feed(start * 2 - START + 10, 0, 0, {})
    assert told
    assert same == told
    assert padded.state == plain.state


@given(st.integers(0, 60), st.integers(0, 60), st.randoms())
@settings(max_examples=20, deadline=None)
def test_a_restart_anywhere_and_any_order_of_segments_tell_the_same(
    first: int, second: int, random: np.random.RandomState
) -> None:
    buckets = [
        *traffic(START, 20, 0.02, 0.02, 16),
        *traffic(START + 200, 20, 0.15, 0.02, 17),
        *traffic(START + 400, 60, 0.02, 0.02, 18),
    ]
    plain, restarted = drop_detector(), drop_detector()
    told, same = [], []
    for index, (start, n, bad, pairs) in enumerate(buckets):
        told += plain.feed(start, n, bad, pairs)
        if index in (first, second):
            restarted = drop_detector(msgspec.json.encode(restarted.state))
        items = list(pairs.items())
        random.shuffle(items)
        same += restarted.feed(start, n, bad, dict(items))
    assert [message.status for message in told][-1] == "resolved"
    assert same == told
    assert restarted.state == plain.state
