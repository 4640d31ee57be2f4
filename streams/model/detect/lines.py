"""The CUSUM lines of one series as its baseline stands now: for shares of bad events, and for mean log waits."""

from collections.abc import Callable
from math import exp, log, sqrt
from typing import NamedTuple

from streams.model.detect.baseline import Baseline
from streams.model.detect.cusum import Line, damped, mean_line, reverse, share_line, worse
from streams.model.detect.tuning import Tuning

#: A bucket's mean log wait counts as at most this many standard errors beyond the largest design shift.
_MOST_ERRORS = 2.0
_HIGHEST_SHARE = 0.9


class Lines(NamedTuple):
    """What a bucket is held against. A line that is None is off: too little is known of what is usual."""

    #: The usual share or mean log wait.
    level: float
    up: tuple[Line | None, ...]
    #: Of each line of `up`, by its place there, the line that rises once things are as usual again.
    back: Callable[[int], Line]
    #: s of n events is cut to n level +- (n reach + sqrt(n) spread), so that a few absurd waits prove nothing.
    reach: float = float("inf")
    spread: float = 0.0

    def within(self, n: int, s: float) -> float:
        """`s` of `n` events, cut to what is believed."""
        middle, most = n * self.level, n * self.reach + sqrt(n) * self.spread
        return min(max(s, middle - most), middle + most)


Make = Callable[[Baseline, int, float, Tuning], Lines | None]


def share_lines(baseline: Baseline, hour: int, part: float, tuning: Tuning) -> Lines | None:
    """Lines for a share in an hour of the week, using `part` of the place's false alarms.

    None before `min_events`, and where nearly everything is bad already: it cannot get worse.
    """
    if baseline.n < tuning.min_events:
        return None
    level, dispersion = baseline.level(hour, tuning), baseline.dispersion
    if level.value > _HIGHEST_SHARE:
        return None
    up: list[Line | None] = []
    for ratio, weight in zip(tuning.share_ratios, tuning.line_weights, strict=True):
        gamma = _gamma(baseline, part * weight, tuning)

        def line(move: float, ratio: float = ratio, gamma: float = gamma) -> Line:
            p0 = worse(level.value, exp(move))
            return share_line(p0, worse(p0, ratio), gamma)

        up.append(_armed(line, log(ratio), level.variance, dispersion))

    def back(index: int) -> Line:
        still = worse(level.value, min(tuning.share_ratios[index], tuning.recovery_ratio))
        return damped(reverse(share_line(level.value, still, 1.0), log(tuning.recovery_odds)), dispersion)

    return Lines(level.value, tuple(up), back)


def wait_lines(baseline: Baseline, hour: int, part: float, tuning: Tuning) -> Lines | None:
    """Lines for the mean log wait in an hour of the week, with `part` as in `share_lines`."""
    if baseline.n < tuning.min_events:
        return None
    level, dispersion = baseline.level(hour, tuning), baseline.dispersion
    up: list[Line | None] = []
    for ratio, weight in zip(tuning.wait_ratios, tuning.line_weights, strict=True):
        gamma = _gamma(baseline, part * weight, tuning)

        def line(move: float, shift: float = log(ratio), gamma: float = gamma) -> Line:
            return mean_line(level.value + move, level.sigma, shift, gamma)

        up.append(_armed(line, log(ratio), level.variance, dispersion))

    def back(index: int) -> Line:
        shift = log(min(tuning.wait_ratios[index], tuning.recovery_ratio))
        return damped(reverse(mean_line(level.value, level.sigma, shift, 1.0), log(tuning.recovery_odds)), dispersion)

    reach = log(max(tuning.wait_ratios))
    return Lines(level.value, tuple(up), back, reach, _MOST_ERRORS * level.sigma)


def _gamma(baseline: Baseline, part: float, tuning: Tuning) -> float:
    """Events between false alarms of a line that may use `part` of them: the knob's time at the expected volume."""
    return tuning.false_alarm_s * baseline.per_second(baseline.n) / part


def _armed(line: Callable[[float], Line], shift: float, variance: float, dispersion: float) -> Line | None:
    """The line with its level moved up by h V / shift for the variance V of the baseline; None if that is too far."""
    move = line(0.0).threshold * variance / shift
    return damped(line(move), dispersion) if move <= shift / 2.0 else None
