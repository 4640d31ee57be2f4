"""Lines as a baseline stands: off, armed and moved by what is not known."""

from math import exp, log

import pytest

from streams.model.detect.baseline import Baseline, Hour
from streams.model.detect.cusum import share_line, worse
from streams.model.detect.lines import share_lines, wait_lines
from streams.model.detect.tuning import Tuning

TUNING = Tuning()


def shares(bad: float, share: float = 0.02, rhythm: float = 1e-4) -> Baseline:
    """A baseline that has seen so many bad events at 10 events a second, all in hour 3."""
    n = bad / share
    seen = Hour(n, bad)
    return Baseline(
        kind="share", first=0, upto=0, span=n / 10.0, n=n, s=bad, hours={3: seen}, week=Hour(n, bad), rhythm=rhythm
    )


def test_the_finer_a_shift_the_more_must_be_known() -> None:
    armed = []
    for bad in (5, 15, 50, 1000):
        lines = share_lines(shares(bad), 3, 1.0, TUNING)
        assert lines is not None
        armed.append([line is not None for line in lines.up])
    assert armed == [[False, False, False], [False, False, True], [False, True, True], [True, True, True]]


def test_an_unknown_rhythm_keeps_fine_lines_off_in_hours_never_seen() -> None:
    baseline = shares(1000, rhythm=0.05)
    lines = share_lines(baseline, 4, 1.0, TUNING)
    assert lines is not None
    assert lines.up[0] is None


def test_a_line_is_moved_up_by_what_is_not_known() -> None:
    baseline = shares(1000)
    lines, level = share_lines(baseline, 3, 1.0, TUNING), baseline.level(3, TUNING)
    assert lines is not None
    gamma = TUNING.false_alarm_s * 10.0 / TUNING.line_weights[1]
    still = share_line(level.value, worse(level.value, 3.0), gamma)
    moved = worse(level.value, exp(still.threshold * level.variance / log(3.0)))
    assert lines.up[1] == share_line(moved, worse(moved, 3.0), gamma)
    assert moved > level.value


def test_a_part_of_the_false_alarms_means_a_higher_threshold() -> None:
    whole, part = (share_lines(shares(10_000), 3, part, TUNING) for part in (1.0, 0.1))
    assert whole is not None
    assert part is not None
    for high, low in zip(part.up, whole.up, strict=True):
        assert high is not None
        assert low is not None
        assert high.threshold == pytest.approx(low.threshold + log(10.0), abs=0.1)


def test_what_is_nearly_all_bad_cannot_get_worse() -> None:
    assert share_lines(shares(1000, share=0.93), 3, 1.0, TUNING) is None
    assert share_lines(shares(1000, share=0.85), 3, 1.0, TUNING) is not None


def test_too_few_events_make_no_lines() -> None:
    assert share_lines(shares(3), 3, 1.0, TUNING) is None
    assert wait_lines(Baseline(kind="wait"), 3, 1.0, TUNING) is None


def test_waits_are_cut_to_what_is_believed() -> None:
    n, mean = 10_000.0, 11.0
    baseline = Baseline(kind="wait", first=0, upto=0, span=1e4, n=n, s=n * mean, ss=n * (mean**2 + 0.64))
    lines = wait_lines(baseline, 3, 1.0, TUNING)
    assert lines is not None
    assert lines.within(100, 100 * 11.5) == 100 * 11.5
    most = log(6.0) + 2.0 * 0.8
    assert lines.within(1, 30.0) == pytest.approx(11.0 + most)
    assert lines.within(1, 0.0) == pytest.approx(11.0 - most)
