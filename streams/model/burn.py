"""Burn rates of the past: how fast objectives spent their error budgets, and when their alerts would have fired.

Burn rate = share of negative contacts / (1 - target), after Google's SRE Workbook (Beyer et al. 2018, chapter 5). The
live rules say the same in PromQL. A contact counts from the end of its 10-second bucket on, and is in a window w at the
time t if that end lies in (t - w, t]. So what a window holds changes only when a bucket enters or leaves it: these are
the only times that are looked at, and a quiet year costs nothing.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.objective import Objective, Tier
from schemas.slice import BUCKET_S
from streams.model.detect.settled import Contacts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
#: Weights are whole millionths, so that sums are exact.
_UNIT = 1_000_000
#: Of a target, so that 1 - 0.95 is 0.05.
_DECIMALS = 12


class Span(NamedTuple):
    """A time in which an alert fires without a break. Epoch seconds; `until` is exclusive."""

    since: int
    until: int
    #: Whether it still fires at the end of what was looked at.
    open: bool
    #: The highest burn rate of the long window in that time.
    burn_rate: float


class Sums(NamedTuple):
    """What windows hold: contacts with a score, negative ones, and the same by weight, in whole units of no meaning."""

    contacts: Ints
    negative: Ints
    weight: Ints
    bad: Ints

    def share(self) -> Floats:
        """The weighted share of negative contacts, 0 to 1; nan where there are none."""
        shares: Floats = np.full(self.weight.shape, np.nan)
        np.divide(self.bad, self.weight, out=shares, where=self.weight > 0)
        return shares


class Series:
    """The contacts that one objective is about, by the end of their bucket."""

    def __init__(self, ends: Ints, contacts: Ints, negative: Ints, weights: Ints) -> None:
        """One entry for each bucket and place, in the order of time; `weights` are whole numbers of 0 or more."""
        self.ends, first = np.unique(ends, return_index=True)
        columns = (contacts, negative, contacts * weights, negative * weights)
        sums = [np.add.reduceat(column, first) if len(first) else column for column in columns]
        self._cumulated = [np.concatenate(([0], np.cumsum(column))) for column in sums]

    def sums(self, after: Ints, until: Ints) -> Sums:
        """Of the buckets that end in (after, until], for each pair of these."""
        low = np.searchsorted(self.ends, after, side="right")
        high = np.searchsorted(self.ends, until, side="right")
        return Sums(*(cumulated[high] - cumulated[low] for cumulated in self._cumulated))

    def between(self, since: int, until: int) -> Sums:
        """Of the buckets that lie between two times, as arrays of one."""
        return self.sums(np.array([since]), np.array([until]))


class History:
    """Scored contacts of one tenant, by bucket, touchpoint and stage."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._ends, self._place, self._scored, self._negative = (array("q") for _ in range(4))

    def add(self, start: int, contacts: Iterable[Contacts]) -> None:
        """Count the contacts of the bucket from `start` (epoch seconds); each bucket once, in the order of time."""
        for here in contacts:
            place = (here.touchpoint, here.stage)
            self._ends.append(start + BUCKET_S)
            self._place.append(self._places.setdefault(place, len(self._places)))
            self._scored.append(here.scored)
            self._negative.append(here.negative)

    def series(self, objective: Objective | None, importance: Mapping[str, float]) -> Series:
        """Those that an objective is about; None: all, each counting once.

        `importance` weighs the contacts of a journey objective; a touchpoint it does not name has 1.
        """
        weights = np.array([_weight(objective, *place, importance) for place in self._places], dtype=np.int64)
        columns = (self._ends, self._scored, self._negative, self._place)
        ends, scored, negative, place = (np.array(column, dtype=np.int64) for column in columns)
        weighted = weights[place] if len(place) else place
        kept = (weighted > 0) & (scored > 0)
        return Series(ends[kept], scored[kept], negative[kept], weighted[kept])


def _weight(objective: Objective | None, touchpoint: str, stage: str, importance: Mapping[str, float]) -> int:
    if objective is None or objective.scope == "corridor":
        return 1
    if objective.scope == "journey":
        return round(importance.get(touchpoint, 1.0) * _UNIT)
    return int(objective.of == (touchpoint if objective.scope == "touchpoint" else stage))


def alerts(series: Series, tier: Tier, share: float, minimum_bad: int, since: int, until: int) -> list[Span]:
    """When a tier of an objective fires between two times (epoch seconds), contacts before `since` being known.

    It does while both windows burn faster than its rate and the long one has at least `minimum_bad` negative contacts.
    `share` is the target, 0 to 1.
    """
    allowed = _allowed(share)
    long, short = max(BUCKET_S, round(tier.long)), max(BUCKET_S, round(tier.short))
    ends = series.ends
    changes = np.unique(np.concatenate((ends, ends + short, ends + long)))
    at = np.concatenate(([since], changes[(changes > since) & (changes < until)]))
    evidence, still = series.sums(at - long, at), series.sums(at - short, at)
    fires = evidence.negative >= minimum_bad
    for window in (evidence, still):
        fires &= window.bad > tier.burn_rate * allowed * window.weight
    edges = np.flatnonzero(np.diff(np.concatenate(([False], fires, [False])).astype(np.int8)))
    times = np.append(at, until)
    rates = evidence.share() / allowed
    return [
        Span(int(times[begin]), int(times[end]), bool(end == len(at)), float(rates[begin:end].max()))
        for begin, end in edges.reshape(-1, 2)
    ]


def union(spans: Iterable[Span]) -> list[Span]:
    """The times in which at least one fires, in order; spans that touch are one."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and span.since <= joined[-1].until:
            last = joined[-1]
            joined[-1] = Span(
                last.since,
                max(last.until, span.until),
                last.open or span.open,
                max(last.burn_rate, span.burn_rate),
            )
        else:
            joined.append(span)
    return joined


def budget_spent(series: Series, share: float, since: int, until: int) -> float:
    """How much of the error budget of a time its contacts have spent; 1: all of it, 0 without contacts."""
    found = float(series.between(since, until).share()[0])
    return 0.0 if np.isnan(found) else found / _allowed(share)


def most_spent(series: Series, share: float, over: float, since: int, until: int) -> float | None:
    """The most that was spent in any `over` seconds within a time; None if the time is shorter than that."""
    length = round(over)
    if until - since < length:
        return None
    changes = np.concatenate((series.ends, series.ends + length, [since + length, until]))
    at = changes[(changes >= since + length) & (changes <= until)]
    shares = series.sums(at - length, at).share()
    known = shares[~np.isnan(shares)]
    return float(known.max()) / _allowed(share) if len(known) else 0.0


def _allowed(share: float) -> float:
    """The share of contacts that may be negative."""
    return round(1.0 - share, _DECIMALS)
