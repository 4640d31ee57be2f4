"""CUSUM lines on simulated single events, many streams at once: mean events to detection, and false alarms.

A share line can only rise at a bad event, so a step of the simulation is the way from one bad event to the next.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams.model.detect.cusum import Line

Floats = NDArray[np.float64]
Random = np.random.Generator
#: Streams side by side where false alarms are counted: each long against its memory, so that its start hides nothing.
_STREAMS = 1000


def share_delay(p: float, lines: Sequence[Line], min_bad: int, streams: int, random: Random) -> float:
    """Mean events until one of the lines alarms, from zero, if each event is bad with chance `p`."""
    state = _Shares(lines, min_bad, streams)
    total = 0.0
    while state.streams:
        hit = state.step(random.geometric(p, state.streams))
        total += float(state.events[hit].sum())
        state.drop(hit)
    return total / streams


def share_alarms(p: float, lines: Sequence[Line], events: float, random: Random) -> tuple[int, float]:
    """False alarms, and over how many events: streams begun anew after each alarm, without a minimum of evidence."""
    state = _Shares(lines, 0, _STREAMS)
    alarms, seen = 0, 0.0
    while seen < events:
        gaps = random.geometric(p, _STREAMS)
        seen += float(gaps.sum())
        hit = state.step(gaps)
        alarms += int(hit.sum())
        state.reset(hit)
    return alarms, seen


def wait_delay(mean: float, sigma: float, lines: Sequence[Line], min_n: int, streams: int, random: Random) -> float:
    """Mean waits until one of the lines alarms, from zero, for log waits of that mean and sd."""
    state = _Waits(lines, min_n, streams)
    total = 0.0
    while state.streams:
        hit = state.step(random.normal(mean, sigma, state.streams))
        total += float(state.events[hit].sum())
        state.drop(hit)
    return total / streams


def wait_alarms(sigma: float, lines: Sequence[Line], events: float, random: Random) -> tuple[int, float]:
    """False alarms, and over how many waits; log waits have the mean 0."""
    state = _Waits(lines, 0, _STREAMS)
    alarms, seen = 0, 0.0
    while seen < events:
        hit = state.step(random.normal(0.0, sigma, _STREAMS))
        seen += _STREAMS
        alarms += int(hit.sum())
        state.reset(hit)
    return alarms, seen


class _Streams:
    """Statistics of all lines (rows) and streams (columns); events since the alarm, evidence since the last zero."""

    def __init__(self, lines: Sequence[Line], least: int, streams: int) -> None:
        self.slope = np.array([[line.slope] for line in lines])
        self.cost = np.array([[line.cost] for line in lines])
        self.threshold = np.array([[line.threshold] for line in lines])
        self.least = least
        self.value = np.zeros((len(lines), streams))
        self.since = np.zeros((len(lines), streams))
        self.events = np.zeros(streams)

    @property
    def streams(self) -> int:
        """Streams that are still running."""
        return len(self.events)

    def drop(self, hit: NDArray[np.bool_]) -> None:
        """Go on without these streams."""
        self.value, self.since, self.events = self.value[:, ~hit], self.since[:, ~hit], self.events[~hit]

    def reset(self, hit: NDArray[np.bool_]) -> None:
        """Begin these streams anew."""
        if hit.any():
            self.value[:, hit] = 0.0
            self.since[:, hit] = 0.0
            self.events[hit] = 0.0

    def alarms(self) -> NDArray[np.bool_]:
        """Streams in which a line alarms."""
        enough = (self.value >= self.threshold) & (self.since >= self.least)
        found: NDArray[np.bool_] = np.logical_or.reduce(enough, axis=0)
        return found


class _Shares(_Streams):
    def step(self, gaps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """On to the next bad event, `gaps` events on; `since` counts the bad ones."""
        self.events += gaps
        self.value -= self.cost * (gaps - 1)
        self.since[self.value <= 0.0] = 0.0
        np.maximum(self.value, 0.0, out=self.value)
        self.value += self.slope - self.cost
        self.since += 1.0
        return self.alarms()


class _Waits(_Streams):
    def step(self, logs: Floats) -> NDArray[np.bool_]:
        """One more wait in each stream."""
        self.events += 1.0
        self.value += self.slope * logs - self.cost
        self.since += 1.0
        self.since[self.value <= 0.0] = 0.0
        np.maximum(self.value, 0.0, out=self.value)
        return self.alarms()
