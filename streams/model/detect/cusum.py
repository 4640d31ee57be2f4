"""CUSUM lines: sequential tests for an upward shift of a share or of a mean log wait, and their thresholds.

A line sums log-likelihood ratios of "shifted by so much" against "as usual" and never falls below zero (Page 1954).
It alarms at h. Several lines with different design shifts run side by side; each may use a part of the allowed false
alarms, so that together they keep the knob (the alarm rates of lines add up at most).

**Buckets.** Events of one bucket have no known order. The whole bucket is one step: S = max(0, S + its log-likelihood
ratio). The statistic of the same events taken one by one, in any order, is at least as high at the bucket's end,
since it could also start inside the bucket. So a threshold that is right for single events is right, and on the safe
side, for buckets: the worst order for false alarms (all good events first) never has to be assumed.

**Threshold.** With gamma the mean number of events between false alarms and I0, I1 the Kullback-Leibler divergences
of an event (I0: mean fall of S per usual event, I1: mean rise per shifted event),

    gamma = (e^(h + c) - (h + c) - 1) / I0

which is Siegmund's corrected diffusion approximation (Sequential Analysis, 1985, ch. II.6 and X); c corrects for the
overshoot over h and under 0 and is minus twice the log of zeta, the limit of E1 exp(-overshoot), times I1/I0. For
shares the walk goes down by one size only, so zeta is known in closed form by Wiener-Hopf factorisation: with b the
fall per good event, zeta = (I0 / I1) (1 - e^-b) / b, and c = ln(I1 / I0) + 2 ln(b / (1 - e^-b)). For a normal mean
with d = shift / sd, zeta = (2 / d^2) exp(-2 sum_n Phi(-d sqrt(n) / 2) / n), about e^(-0.583 d). The classic h = ln
gamma (Lorden 1971) is safe as well, but up to 6 too high for small shifts of small shares: it would double the delay.
"""

from collections.abc import Sequence
from math import erfc, expm1, log, log1p, sqrt
from typing import NamedTuple

from msgspec import Struct

#: Lines never alarm below this, whatever the volume.
_LOWEST_THRESHOLD = 1.0


class Line(NamedTuple):
    """One line: a bucket of n events with sum s raises the statistic by slope s - cost n. It alarms at `threshold`."""

    slope: float
    cost: float
    threshold: float


def worse(p: float, ratio: float) -> float:
    """The share whose odds are `ratio` times those of `p`, both in (0, 1)."""
    return ratio * p / (1.0 - p + ratio * p)


def share_line(p0: float, p1: float, gamma: float) -> Line:
    """The line for shares of bad events going from `p0` up to `p1`, false alarms every `gamma` events; s counts bad."""
    a = log(p1 / p0)
    b = log1p(-p0) - log1p(-p1)
    down = (1.0 - p0) * b - p0 * a
    up = p1 * a - (1.0 - p1) * b
    correction = log(up / down) + 2.0 * log(b / -expm1(-b))
    return Line(a + b, b, _threshold(gamma * down, correction))


def mean_line(mu: float, sigma: float, shift: float, gamma: float) -> Line:
    """The line for means of normal values (s: their sum) going from `mu` up by `shift`, sd `sigma` as before."""
    d = shift / sigma
    slope = d / sigma
    return Line(slope, slope * (mu + shift / 2.0), _threshold(gamma * d * d / 2.0, -2.0 * _log_zeta(d)))


def reverse(line: Line, threshold: float) -> Line:
    """The same two levels with their parts exchanged: rises while events are as usual."""
    return Line(-line.slope, -line.cost, threshold)


def damped(line: Line, dispersion: float) -> Line:
    """The line for events that come in clusters: their variance is `dispersion` times that of independent ones."""
    return Line(line.slope / dispersion, line.cost / dispersion, line.threshold)


def _threshold(mean_falls: float, correction: float) -> float:
    """h with e^(h + c) - (h + c) - 1 = gamma I0, by Newton from above."""
    h = log1p(mean_falls + sqrt(2.0 * mean_falls))
    for _ in range(50):
        rise = expm1(h)
        step = (rise - h - mean_falls) / rise
        h -= step
        if abs(step) < 1e-12:
            break
    return max(h - correction, _LOWEST_THRESHOLD)


def _log_zeta(d: float) -> float:
    """ln E exp(-overshoot) of the log-likelihood walk of a normal mean shifted by d standard deviations."""
    if d < _SMALL_SHIFT:
        return -0.583 * d
    place = (d - _SMALL_SHIFT) / _SHIFT_STEP
    below = int(place)
    if below + 1 >= len(_TAILS):
        return log(2.0 / (d * d)) - _tail(d)
    part = place - below
    return log(2.0 / (d * d)) - (1.0 - part) * _TAILS[below] - part * _TAILS[below + 1]


def _tail(d: float) -> float:
    # Further terms are below 1e-14.
    terms = int((16.0 / d) ** 2) + 1
    return sum(erfc(d * sqrt(n / 8.0)) / n for n in range(1, terms + 1))


#: `_tail` from the smallest shift on, between which it is interpolated: for small ones it takes a thousand terms.
_SMALL_SHIFT, _SHIFT_STEP = 0.5, 0.02
_TAILS = tuple(_tail(_SMALL_SHIFT + _SHIFT_STEP * step) for step in range(200))


class Run(Struct, gc=False):
    """One line's statistic, where it last left zero (-1: it is zero), and the events and their sum since then."""

    value: float = 0.0
    since: int = -1
    n: int = 0
    total: float = 0.0

    def add(self, start: int, n: int, total: float, line: Line) -> bool:
        """Take in the bucket that starts at `start`; whether the statistic is at or above the threshold now."""
        value = self.value + line.slope * total - line.cost * n
        if value <= 0.0:
            self.clear()
            return False
        if self.since < 0:
            self.since = start
        self.value = value
        self.n += n
        self.total += total
        return value >= line.threshold

    def clear(self) -> None:
        """Back to zero."""
        self.value, self.since, self.n, self.total = 0.0, -1, 0, 0.0


def at_zero(runs: Sequence[Run]) -> bool:
    """Whether all of them are zero."""
    return all(run.since < 0 for run in runs)


def add(runs: Sequence[Run], lines: Sequence[Line | None], start: int, n: int, total: float) -> list[int]:
    """Take one bucket into all lines; which are at or above their thresholds. A line that is None is off and zero."""
    found = []
    for index, (run, line) in enumerate(zip(runs, lines, strict=True)):
        if line is None:
            run.clear()
        elif run.add(start, n, total, line):
            found.append(index)
    return found
