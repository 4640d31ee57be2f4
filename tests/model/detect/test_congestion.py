"""Detectors of congestion and blockage fed with buckets: what they tell, and that a restart changes nothing."""

from math import log

import msgspec
import numpy as np
import pytest

from streams.model.detect.blockage import BlockageDetector, Blocked
from streams.model.detect.congestion import PileUpDetector, WaitDetector
from streams.model.detect.tuning import Tuning
from streams.model.detect.watch import Counts

TUNING = Tuning()
MONDAY = 1_767_571_200
DAY = 86_400
START = MONDAY + DAY


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


@pytest.mark.parametrize("patience", [60, 8000, 20_000])
def test_arrivals_are_decided_evenly_whoever_comes_in_between(patience: int) -> None:
    random, detector = np.random.default_rng(29), BlockageDetector("default", "a", patience, TUNING)
    start = MONDAY
    for _ in range(1200):
        start += 10 * int(random.choice([1, 1, 2, 60]))
        app, web = int(random.poisson(1)), int(random.poisson(4))
        pairs = {("device", "app"): (app, 0), ("device", "web"): (web, 0)}
        detector.feed(start, app + web, 0, pairs)
        until = start + 10 - patience
        for piece in (piece for item in detector.state.undecided for piece in item.came):
            assert piece.end > until
            assert piece.decided == max(piece.n * (until - piece.start) // (piece.end - piece.start), 0)
