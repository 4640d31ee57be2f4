"""The silence detector fed with buckets: what it tells, and that a restart changes nothing."""

from functools import cache

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.model.detect.silence import SilenceDetector, Silent
from streams.model.detect.tuning import Tuning

TUNING = Tuning()
MONDAY = 1_767_571_200


def silent_after(hours: int, seed: int = 23, per_bucket: float = 5.0) -> SilenceDetector:
    random, detector = np.random.default_rng(seed), SilenceDetector("default", "pos", TUNING)
    for start in range(MONDAY, MONDAY + hours * 3600, 10):
        assert detector.hear(start + 10, int(random.poisson(per_bucket))) == []
    return detector


def test_a_silence_is_told_and_resolved() -> None:
    detector, at, told = silent_after(6), MONDAY + 6 * 3600, []
    for until in range(at + 10, at + 600, 10):
        told += detector.hear(until, 0)
    opened = told[0]
    assert (opened.kind, opened.severity, opened.now, opened.depth) == ("silence", "page", 0.0, 1.0)
    assert abs(opened.since - at) <= 10
    assert all(piece.end <= opened.since for piece in detector.state.baseline.pending)
    assert at + 60 <= opened.detected_at <= at + 180
    assert opened.before == pytest.approx(0.5, rel=0.1)
    for start in range(at + 600, at + 900, 10):
        told += detector.hear(start + 10, 5)
    assert told[-1].status == "resolved"
    assert abs(told[-1].ended_at - (at + 600)) <= 10
    assert told[-1].hurt == pytest.approx(300, rel=0.1)
    assert detector.state.told is None


def test_a_silence_does_not_become_usual() -> None:
    detector, at = silent_after(6), MONDAY + 6 * 3600
    detector.hear(at + 3 * 3600, 0)
    for start in range(at + 3 * 3600, at + 12 * 3600, 10):
        detector.hear(start + 10, 5)
    baseline = detector.state.baseline
    assert detector.state.told is None
    assert baseline.upto > at + 3 * 3600
    assert baseline.s / baseline.n == pytest.approx(0.5, rel=0.05)


def test_a_slow_place_is_given_time() -> None:
    detector, at = silent_after(48, per_bucket=0.05), MONDAY + 48 * 3600
    assert detector.hear(at + 600, 0) == []
    assert detector.hear(at + 4 * 3600, 0)


def test_a_single_event_does_not_end_a_silence() -> None:
    detector, at = silent_after(6), MONDAY + 6 * 3600
    assert detector.hear(at + 600, 0)
    told = detector.hear(at + 610, 1) + detector.hear(at + 1200, 0)
    assert {message.status for message in told} == {"open"}


@given(st.integers(0, 120))
@settings(max_examples=20, deadline=None)
def test_a_restart_inside_a_silence_tells_the_same(after: int) -> None:
    saved, at = _silent(), MONDAY + 6 * 3600
    plain, restarted = (SilenceDetector("default", "pos", TUNING, _read(saved)) for _ in range(2))
    told, same = [], []
    for index in range(120):
        start, n = at + 10 * index, 5 if index >= 60 else 0
        told += plain.hear(start + 10, n)
        if index == after:
            restarted = SilenceDetector("default", "pos", TUNING, _read(msgspec.json.encode(restarted.state)))
        same += restarted.hear(start + 10, n)
    assert told[-1].status == "resolved"
    assert same == told
    assert restarted.state == plain.state


@cache
def _silent() -> bytes:
    return msgspec.json.encode(silent_after(6).state)


def _read(saved: bytes) -> Silent:
    return msgspec.json.decode(saved, type=Silent)
