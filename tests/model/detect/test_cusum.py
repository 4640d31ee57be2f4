"""Thresholds against exact and simulated run lengths, and buckets against single events."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.run_length import lattice_shift, mean_events
from streams.model.detect.cusum import Line, Run, add, at_zero, damped, mean_line, reverse, share_line, worse


@pytest.mark.parametrize("gamma", [2e4, 2e6, 1e8])
@pytest.mark.parametrize(("p0", "multiple"), [(0.005, 160), (0.005, 100), (0.02, 38), (0.02, 20), (0.1, 5)])
def test_a_share_line_alarms_falsely_as_often_as_the_knob_says(p0: float, multiple: int, gamma: float) -> None:
    line = share_line(p0, lattice_shift(p0, multiple), gamma)
    assert 0.9 < mean_events(line, p0) / gamma < 1.15


@pytest.mark.parametrize("p0", [0.005, 0.05, 0.2])
@pytest.mark.parametrize("ratio", [1.6, 3.0, 8.0])
def test_a_threshold_is_below_the_classic_bound(p0: float, ratio: float) -> None:
    assert share_line(p0, worse(p0, ratio), 1e6).threshold < log(1e6)


@pytest.mark.parametrize("d", [0.3, 0.8, 2.0])
def test_a_wait_line_alarms_falsely_as_often_as_the_knob_says(d: float) -> None:
    gamma, streams, random = 2000.0, 500, np.random.default_rng(7)
    line = mean_line(5.0, 0.5, 0.5 * d, gamma)
    value, alarms, steps = np.zeros(streams), 0, 8000
    for _ in range(steps):
        value = np.maximum(value + line.slope * random.normal(5.0, 0.5, streams) - line.cost, 0.0)
        hit = value >= line.threshold
        alarms += int(hit.sum())
        value[hit] = 0.0
    assert 0.9 < streams * steps / alarms / gamma < 1.15


def test_an_exact_run_length_needs_a_lattice() -> None:
    with pytest.raises(ValueError, match="no whole multiple"):
        mean_events(Line(1.0, 0.3, 5.0), 0.1)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=20), min_size=1, max_size=20), st.randoms())
@settings(deadline=None)
def test_a_bucket_never_lifts_the_statistic_above_that_of_its_single_events(
    buckets: list[list[bool]], random: np.random.RandomState
) -> None:
    line = share_line(0.1, 0.3, 1000.0)
    bucketed, single = Run(), Run()
    for start, events in enumerate(buckets):
        bucketed.add(start, len(events), float(sum(events)), line)
        random.shuffle(events)
        for event in events:
            single.add(start, 1, float(event), line)
        assert bucketed.value <= single.value + 1e-9


def test_a_run_knows_since_when_and_what_it_has_seen() -> None:
    line, run = share_line(0.1, 0.3, 1000.0), Run()
    run.add(10, 9, 0.0, line)
    assert (run.value, run.since, run.n) == (0.0, -1, 0)
    run.add(20, 10, 5.0, line)
    run.add(30, 10, 4.0, line)
    assert (run.since, run.n, run.total) == (20, 20, 9.0)


def test_a_line_that_is_off_stays_at_zero() -> None:
    line, runs = share_line(0.1, 0.3, 1000.0), [Run(), Run()]
    assert add(runs, [line, line], 0, 100, 90.0) == [0, 1]
    assert add(runs, [None, line], 10, 100, 90.0) == [1]
    assert runs[0] == Run()


def test_a_reversed_line_rises_while_all_is_as_usual() -> None:
    line, run = reverse(share_line(0.1, 0.3, 1000.0), 3.0), Run()
    assert not run.add(0, 100, 30.0, line)
    assert run.value == 0.0
    assert run.add(10, 100, 10.0, line)


def test_clustered_events_are_less_evidence() -> None:
    line, plain, clustered = share_line(0.1, 0.3, 1000.0), Run(), Run()
    plain.add(0, 10, 5.0, line)
    clustered.add(0, 10, 5.0, damped(line, 2.0))
    assert clustered.value == pytest.approx(plain.value / 2.0)


@given(st.floats(1e-6, 0.95), st.floats(1.01, 20.0), st.integers(1, 1000))
def test_without_a_bad_event_a_share_that_is_zero_stays_so(p0: float, ratio: float, n: int) -> None:
    runs = [Run()]
    assert add(runs, [share_line(p0, worse(p0, ratio), 1e6)], 0, n, 0.0) == []
    assert at_zero(runs)
    assert runs == [Run()]
