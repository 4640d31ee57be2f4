"""Detectors fed with buckets: what they tell, when they are silent, and that a restart changes nothing."""

from collections.abc import Iterator
from functools import cache
from math import log

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.incident import Incident
from streams.model.detect.blockage import BlockageDetector, Blocked
from streams.model.detect.causes import Pair
from streams.model.detect.congestion import PileUpDetector, WaitDetector
from streams.model.detect.drop import DropDetector
from streams.model.detect.silence import SilenceDetector, Silent
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Counts, Watched

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


def waits(n: int, median_ms: float, random: np.random.Generator) -> Counts:
    logs = random.normal(log(median_ms), 0.8, n)
    return Counts(n, float(logs.sum()), float((logs**2).sum()))


def test_congestion_of_a_transition_is_found_with_its_segment() -> None:
    random, told = np.random.default_rng(19), []
    detector = WaitDetector("default", "web.cart", "web.payment", TUNING)
    for index in range(1500):
        slow = 180_000.0 if index >= 1440 else 60_000.0
        a, b = waits(90, slow, random), waits(210, 60_000.0, random)
        whole = Counts(*(x + y for x, y in zip(a, b, strict=True)))
        told += detector.feed(MONDAY + 60 * index, whole, {("device", "app"): a, ("device", "web"): b})
    opened = told[0]
    assert (opened.kind, opened.touchpoint, opened.following) == ("congestion", "web.cart", "web.payment")
    assert opened.since >= MONDAY + DAY
    assert opened.detected_at <= MONDAY + DAY + 180
    last = told[-1]
    assert (last.causes[0].segment, last.causes[0].value) == ("device", "app")
    assert last.causes[0].now / last.causes[0].before == pytest.approx(3.0, rel=0.1)
    assert last.unit == "ms"
    assert 60_000 * 0.9 < last.before < 60_000 * 1.1


def test_one_absurd_wait_proves_nothing() -> None:
    random = np.random.default_rng(20)
    detector = WaitDetector("default", "a", "b", TUNING)
    for index in range(1440):
        detector.feed(MONDAY + 60 * index, waits(30, 60_000.0, random), {})
    month = log(30 * 86_400_000.0)
    assert detector.feed(START, Counts(1, month, month**2), {}) == []
    assert detector.feed(START + 10, Counts(2, 2 * log(60_000.0), 2 * log(60_000.0) ** 2), {}) == []
    # Real congestion is found by as few.
    told = [
        detector.feed(START + 20 + 10 * index, Counts(1, log(500_000.0), log(500_000.0) ** 2), {}) for index in range(9)
    ]
    assert any(told)


def test_a_pile_up_is_found_and_says_by_how_much_work_grew() -> None:
    random, told = np.random.default_rng(21), []
    detector = PileUpDetector("default", "delivery", TUNING)
    for index in range(1500):
        departures = 150 if index >= 1440 else 300
        told += detector.feed(MONDAY + 60 * index, int(random.poisson(300)), int(random.poisson(departures)), {})
    opened = told[0]
    assert (opened.kind, opened.unit, opened.following) == ("congestion", "arrivals_per_departure", "")
    assert opened.before == pytest.approx(1.0, abs=0.05)
    assert opened.detected_at <= MONDAY + DAY + 300
    assert told[-1].now == pytest.approx(2.0, abs=0.2)
    assert told[-1].hurt == pytest.approx(150 * 60, rel=0.1)


def test_a_blockage_is_found() -> None:
    random, told = np.random.default_rng(22), []
    detector = BlockageDetector("default", "web.payment", 600, TUNING)
    for index in range(1500):
        stops = 0.4 if index >= 1440 else 0.1
        # Those who came ten minutes ago stall, and arrivals double meanwhile.
        came = 300 if index < 1435 else 600
        decided = 0 if index < 10 else 300 if index < 1445 else 600
        told += detector.feed(MONDAY + 60 * index, came, int(random.binomial(decided, stops)), {})
    assert (told[0].kind, told[0].since) == ("blockage", START)
    assert told[-1].before == pytest.approx(0.1, rel=0.1)
    assert told[-1].now == pytest.approx(0.4, rel=0.1)


def test_more_arrivals_or_fewer_are_no_blockage() -> None:
    random, came = np.random.default_rng(26), []
    detector = BlockageDetector("default", "web.payment", 7200, TUNING)
    for index in range(3 * 1440):
        came.append(int(random.poisson(300 if index < 2000 else 30 if index < 3000 else 600)))
        stalled = int(random.binomial(came[index - 120], 0.1)) if index >= 120 else 0
        assert (
            detector.feed(MONDAY + 60 * index, came[index], stalled, {("device", "app"): (came[index], stalled)}) == []
        )
    assert len(detector.state.undecided[0].came) < 250


def test_a_restart_keeps_those_who_still_have_patience() -> None:
    random = np.random.default_rng(27)
    plain, restarted = (BlockageDetector("default", "a", 3600, TUNING) for _ in range(2))
    for index in range(200):
        numbers = int(random.poisson(50)), int(random.poisson(5))
        plain.feed(MONDAY + 60 * index, *numbers, {("device", "app"): numbers})
        if index == 77:
            state = msgspec.json.decode(msgspec.json.encode(restarted.state), type=Blocked)
            restarted = BlockageDetector("default", "a", 3600, TUNING, state)
        restarted.feed(MONDAY + 60 * index, *numbers, {("device", "app"): numbers})
    assert restarted.state == plain.state


def silent_after(hours: int, seed: int = 23, per_bucket: float = 5.0) -> SilenceDetector:
    random, detector = np.random.default_rng(seed), SilenceDetector("default", "pos", TUNING)
    for start in range(MONDAY, MONDAY + hours * 3600, 10):
        assert detector.feed(start, int(random.poisson(per_bucket))) == []
    return detector


def test_a_silence_is_told_and_resolved() -> None:
    detector, at, told = silent_after(6), MONDAY + 6 * 3600, []
    for until in range(at + 10, at + 600, 10):
        told += detector.advance(until)
    opened = told[0]
    assert (opened.kind, opened.severity, opened.now, opened.depth) == ("silence", "page", 0.0, 1.0)
    assert abs(opened.since - at) <= 10
    assert all(piece.end <= opened.since for piece in detector.state.baseline.pending)
    assert at + 60 <= opened.detected_at <= at + 180
    assert opened.before == pytest.approx(0.5, rel=0.1)
    for start in range(at + 600, at + 900, 10):
        told += detector.feed(start, 5)
    assert told[-1].status == "resolved"
    assert abs(told[-1].ended_at - (at + 600)) <= 10
    assert told[-1].hurt == pytest.approx(300, rel=0.1)
    assert detector.state.told is None


def test_a_silence_does_not_become_usual() -> None:
    detector, at = silent_after(6), MONDAY + 6 * 3600
    detector.advance(at + 3 * 3600)
    for start in range(at + 3 * 3600, at + 12 * 3600, 10):
        detector.feed(start, 5)
    baseline = detector.state.baseline
    assert detector.state.told is None
    assert baseline.upto > at + 3 * 3600
    assert baseline.s / baseline.n == pytest.approx(0.5, rel=0.05)


def test_a_slow_place_is_given_time() -> None:
    detector, at = silent_after(48, per_bucket=0.05), MONDAY + 48 * 3600
    assert detector.advance(at + 600) == []
    assert detector.advance(at + 4 * 3600)


def test_a_single_event_does_not_end_a_silence() -> None:
    detector, at = silent_after(6), MONDAY + 6 * 3600
    assert detector.advance(at + 600)
    told = detector.feed(at + 600, 1) + detector.advance(at + 1200)
    assert {message.status for message in told} == {"open"}


@given(st.integers(0, 120))
@settings(max_examples=20, deadline=None)
def test_a_restart_inside_a_silence_tells_the_same(after: int) -> None:
    saved, at = _silent(), MONDAY + 6 * 3600
    plain, restarted = (SilenceDetector("default", "pos", TUNING, _read(saved)) for _ in range(2))
    told, same = [], []
    for index in range(120):
        start, n = at + 10 * index, 5 if index >= 60 else 0
        told += plain.feed(start, n)
        if index == after:
            restarted = SilenceDetector("default", "pos", TUNING, _read(msgspec.json.encode(restarted.state)))
        same += restarted.feed(start, n)
    assert told[-1].status == "resolved"
    assert same == told
    assert restarted.state == plain.state


@cache
def _silent() -> bytes:
    return msgspec.json.encode(silent_after(6).state)


def _read(saved: bytes) -> Silent:
    return msgspec.json.decode(saved, type=Silent)
