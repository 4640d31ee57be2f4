"""The life of an incident: opened, told again, resolved once proven back.

It closes by a CUSUM with its parts exchanged: the log odds of "as usual" against "still worse by this ratio", never
below zero, has to reach ln(recovery_odds), over at least `recovery_hold_s`. A good minute inside an incident lifts it
a little, the next bad one takes it back to zero: that is the hysteresis.
"""

from collections.abc import Callable
from typing import NamedTuple

import xxhash
from msgspec import Struct
from msgspec.structs import replace

from schemas.incident import Cause, Incident, Kind, Measured, Unit
from schemas.slice import BUCKET_S
from streams.model.detect.cusum import Run
from streams.model.detect.lines import Lines
from streams.model.detect.tuning import Tuning


class Place(NamedTuple):
    """What a detector watches. `following` is empty for a touchpoint."""

    tenant: str
    touchpoint: str
    following: str = ""


class Measure(NamedTuple):
    """How a kind of incident speaks about its level."""

    kind: Kind
    measured: Measured
    unit: Unit
    #: A level (share, mean log wait) in the incident's unit.
    shown: Callable[[float], float]
    #: Whether depth is a difference in points; else it is a ratio.
    points: bool
    #: Whether s counts bad events; for waits it does not.
    counts_bad: bool
    #: How many are hurt: from events n, their sum s and the sum that was to be expected.
    hurt: Callable[[int, float, float], float]

    def depth(self, before: float, now: float) -> float:
        """How far it fell, from levels in the incident's unit."""
        return now - before if self.points else now / before

    def pages(self, depth: float, tuning: Tuning) -> bool:
        """Whether somebody is woken."""
        return depth >= (tuning.page_points if self.points else tuning.page_ratio)


class Tally(Struct, array_like=True, gc=False):
    """Sums of one series since the incident began."""

    segment: str
    value: str
    n: int
    s: float


class Open(Struct):
    """An open incident: what was last told, and what has been counted since it began."""

    told: Incident
    #: Which line raised it, of the series that the incident names.
    line: int
    #: The usual level when it began, as the lines see it.
    level: float
    n: int
    s: float
    expected: float
    #: Start of the next bucket after the last one counted.
    upto: int
    tallies: list[Tally]
    #: The recovery statistic, and the sum that was to be expected since it left zero.
    back: Run
    back_expected: float = 0.0

    def add(self, start: int, n: int, s: float, lines: Lines, tuning: Tuning) -> bool:
        """Count a bucket of the series that the incident names; whether it is proven back now."""
        self.n += n
        self.s += s
        self.expected += n * lines.level
        proven = self.back.add(start, n, s, lines.back(self.line))
        self.back_expected = self.back_expected + n * lines.level if self.back.since >= 0 else 0.0
        return proven and start + BUCKET_S - self.back.since >= tuning.recovery_hold_s

    def tell(self, measure: Measure, causes: tuple[Cause, ...], tuning: Tuning, *, resolved: bool = False) -> Incident:
        """The next message about it."""
        n, s, expected = self.n, self.s, self.expected
        if resolved and self.back.n < n:
            n, s, expected = n - self.back.n, s - self.back.total, expected - self.back_expected
        told = self.told
        now = measure.shown(s / n)
        depth = measure.depth(told.before, now)
        self.told = replace(
            told,
            status="resolved" if resolved else "open",
            severity="page" if told.severity == "page" or measure.pages(depth, tuning) else "ticket",
            updated_at=self.upto,
            resolved_at=self.upto if resolved else 0,
            ended_at=self.back.since if resolved else 0,
            now=now,
            depth=depth,
            n=n,
            bad=round(s) if measure.counts_bad else 0,
            hurt=max(0, round(measure.hurt(n, s, expected))),
            causes=causes,
            version=told.version + 1,
        )
        return self.told

    def is_due(self, measure: Measure, tuning: Tuning) -> bool:
        """Whether it is time to tell it again: after `update_s`, or when a ticket becomes a page."""
        if self.upto - self.told.updated_at >= tuning.update_s:
            return True
        depth = measure.depth(self.told.before, measure.shown(self.s / self.n))
        return self.told.severity == "ticket" and measure.pages(depth, tuning)


def blank(measure: Measure, place: Place, pair: tuple[str, str], since: int, at: int, before: float) -> Incident:
    """A new incident about which nothing is known but its place and time; `Open.tell` fills in the rest."""
    return Incident(
        id=identity(measure.measured, place, pair, since),
        kind=measure.kind,
        measure=measure.measured,
        tenant=place.tenant,
        touchpoint=place.touchpoint,
        following=place.following,
        segment=pair[0],
        segment_value=pair[1],
        status="open",
        severity="ticket",
        since=since,
        detected_at=at,
        updated_at=at,
        before=before,
        now=before,
        unit=measure.unit,
        depth=0.0,
        n=0,
        bad=0,
        hurt=0,
        version=0,
    )


def identity(measured: Measured, place: Place, pair: tuple[str, str], since: int) -> str:
    """The id of an incident: 16 hexadecimal digits, the same after a restart."""
    return xxhash.xxh3_64_hexdigest("\x1f".join((measured, *place, *pair, str(since))).encode())
