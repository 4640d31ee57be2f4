"""What is usual: learned late, with its rhythm, and with its uncertainty."""

from math import inf, pi, sin

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.model.detect.baseline import Baseline
from streams.model.detect.calendar import hour_of_week
from streams.model.detect.tuning import Tuning

TUNING = Tuning()
#: Monday, 2026-01-05, midnight UTC.
MONDAY = 1_767_571_200


def grown(days: float, share: float = 0.02, swing: float = 0.0, cluster: int = 1, n: int = 3000) -> Baseline:
    """A baseline fed a minute at a time; the share swings over the day, bad events come `cluster` at once."""
    random, baseline = np.random.default_rng(11), Baseline(kind="share")
    for start in range(MONDAY, MONDAY + int(days * 86_400), 60):
        p = share * (1.0 + swing * sin(2 * pi * start / 86_400))
        bad = float(random.binomial(n // cluster, p)) * cluster
        baseline.add(start, start + 60, hour_of_week(start, "UTC"), n, bad, 0.0, TUNING)
        baseline.learn(start, TUNING)
    return baseline


def test_a_share_is_learned() -> None:
    level = grown(1).level(0, TUNING)
    assert level.value == pytest.approx(0.02, rel=0.05)


def test_the_volume_is_learned() -> None:
    baseline = grown(0.5)
    assert baseline.per_second(baseline.n) == pytest.approx(50.0, rel=0.01)


def test_nothing_is_learned_before_its_time() -> None:
    baseline = grown(2)
    assert baseline.upto <= MONDAY + 2 * 86_400 - TUNING.learn_delay_s
    assert sum(piece.n for piece in baseline.pending) >= 50 * TUNING.learn_delay_s
    assert len(baseline.pending) < TUNING.learn_delay_s / TUNING.chunk_s + 20


def test_what_belongs_to_an_incident_is_never_learned() -> None:
    baseline, since = grown(1), MONDAY + 86_400 - 3600
    before = baseline.level(0, TUNING)
    taken = baseline.cut(since)
    assert sum(piece.n for piece in taken) == pytest.approx(50 * 3600, rel=0.1)
    assert all(piece.end <= since for piece in baseline.pending)
    assert baseline.level(0, TUNING) == before


def test_a_rhythm_is_found_and_used() -> None:
    baseline = grown(9, swing=0.5)
    assert baseline.level(6, TUNING).value == pytest.approx(0.02 * 1.5, rel=0.07)
    assert baseline.level(18, TUNING).value == pytest.approx(0.02 * 0.5, rel=0.12)
    assert baseline.rhythm is not None
    assert baseline.rhythm > 0.05


def test_where_there_is_no_rhythm_its_doubt_fades() -> None:
    early, late = grown(0.2), grown(3)
    assert early.rhythm is not None
    assert late.rhythm is not None
    assert late.rhythm < early.rhythm / 3 < TUNING.rhythm_variance / 3
    assert late.level(100, TUNING).variance < early.level(100, TUNING).variance


def test_clusters_show_as_dispersion() -> None:
    assert grown(2).dispersion == pytest.approx(1.0, abs=0.05)
    assert grown(2, cluster=4).dispersion == pytest.approx(4.0, rel=0.3)


def test_a_place_without_bad_events_has_the_smallest_share_that_matters() -> None:
    level = grown(0.5, share=0.0).level(0, TUNING)
    assert level.value == TUNING.min_share


def test_a_restored_baseline_goes_on_as_if_nothing_had_been() -> None:
    baseline = grown(0.3)
    restored = msgspec.json.decode(msgspec.json.encode(baseline), type=Baseline)
    assert restored == baseline
    for start in range(MONDAY + 25_920, MONDAY + 40_000, 60):
        for each in (baseline, restored):
            each.add(start, start + 60, 3, 100, 5.0, 0.0, TUNING)
            each.learn(start, TUNING)
    assert restored == baseline


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 30)), min_size=1, max_size=80))
@settings(deadline=None, max_examples=60)
def test_before_it_is_ripe_nothing_would_be_learned(buckets: list[tuple[int, int]]) -> None:
    baseline, start, ripe = Baseline(kind="share"), MONDAY, -inf
    for gap, n in buckets:
        start += 10 * gap
        baseline.add(start, start + 10, hour_of_week(start, "UTC"), n, n / 2, 0.0, TUNING)
        early = baseline.settled(start, TUNING) < ripe
        assert not (baseline.learn(start, TUNING) and early)
        if not early:
            ripe = baseline.ripe(TUNING)


def test_hours_of_the_week_move_with_daylight_saving() -> None:
    # Madrid's clocks went from 02:00 to 03:00 on Sunday, 2026-03-29, at 01:00 UTC.
    before, after = 1_774_602_000 - 3600, 1_774_602_000 + 7 * 86_400 - 3600
    assert hour_of_week(before, "UTC") == hour_of_week(after, "UTC")
    assert hour_of_week(after, "Europe/Madrid") == (hour_of_week(before, "Europe/Madrid") + 1) % 168
    assert hour_of_week(MONDAY, "UTC") == 0
