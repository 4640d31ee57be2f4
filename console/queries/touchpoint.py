"""One touchpoint: scores by window, what they are made of, who fares worst, single bad moments."""

import msgspec

from console.queries.incidents import Listed, at_touchpoint
from console.queries.series import SPANS, Point, history
from console.store import Results

WINDOW_S = {"5m": 300, "1h": 3600, "24h": 86400}
NOW = """
SELECT window, toInt64(at) AS at, n, scored, score, score_low, score_high, negative, negative_low, negative_high,
    neutral, positive, gap, gap_broken, gap_n, nps, nps_low, nps_high, nps_n, csat, csat_low, csat_high, csat_n,
    ces, ces_low, ces_high, ces_n, apdex, wait_n
FROM corredor.experience_scores FINAL
WHERE tenant = {tenant:String} AND scope = 'touchpoint' AND name = {touchpoint:String}
  AND segment = '' AND at > toDateTime({at:Int64} - 1200, 'UTC')
ORDER BY window, at DESC
LIMIT 1 BY window
"""
SEGMENTS = """
SELECT segment, segment_value, n, score, score_low, score_high, negative
FROM corredor.experience_scores FINAL
WHERE tenant = {tenant:String} AND scope = 'touchpoint' AND name = {touchpoint:String}
  AND segment != '' AND window = {window:String} AND at > toDateTime({at:Int64} - 1200, 'UTC') AND isNotNull(score)
ORDER BY segment, segment_value, at DESC
LIMIT 1 BY segment, segment_value
"""
COMPONENTS = """
SELECT
    arrayJoin([
        ('outcome', avg(x_outcome), count(x_outcome)), ('promise', avg(x_promise), count(x_promise)),
        ('rating', avg(x_rating), count(x_rating)), ('sentiment', avg(x_sentiment), count(x_sentiment)),
        ('effort', avg(x_effort), count(x_effort)), ('wait', avg(x_wait), count(x_wait))
    ]) AS one, one.1 AS name, one.2 AS mean, one.3 AS n
FROM corredor.events
WHERE tenant = {tenant:String} AND touchpoint = {touchpoint:String}
  AND time >= toDateTime({since:Int64}, 'UTC') AND time < toDateTime({at:Int64}, 'UTC')
"""
WORST = """
SELECT toFloat64(time) AS at, subject, journey, outcome, x, x_outcome, x_promise, x_rating, x_sentiment, x_effort,
    x_wait, gap, toInt64(wait_ms) AS wait_ms, segment
FROM corredor.events
WHERE tenant = {tenant:String} AND touchpoint = {touchpoint:String} AND isNotNull(x)
  AND time >= toDateTime({since:Int64}, 'UTC') AND time < toDateTime({at:Int64}, 'UTC')
ORDER BY x, time DESC
LIMIT 10
"""
#: How recent the worst moments are. Seconds.
RECENT_S = 3600
WORST_SEGMENTS = 10


class Now(msgspec.Struct, frozen=True):
    """The newest score of one window; the units are those of `schemas.score.Score`."""

    window: str
    at: int
    n: int
    scored: int
    score: float | None
    score_low: float | None
    score_high: float | None
    negative: float | None
    negative_low: float | None
    negative_high: float | None
    neutral: float | None
    positive: float | None
    gap: float | None
    gap_broken: float | None
    gap_n: int
    nps: float | None
    nps_low: float | None
    nps_high: float | None
    nps_n: int
    csat: float | None
    csat_low: float | None
    csat_high: float | None
    csat_n: int
    ces: float | None
    ces_low: float | None
    ces_high: float | None
    ces_n: int
    apdex: float | None
    wait_n: int


class SegmentNow(msgspec.Struct, frozen=True):
    """The newest score of one segment pair."""

    segment: str
    segment_value: str
    n: int
    score: float
    score_low: float | None
    score_high: float | None
    negative: float | None


class Component(msgspec.Struct, frozen=True):
    """Mean of one component, 0 to 1, over the events that have it."""

    name: str
    mean: float | None
    n: int


class Moment(msgspec.Struct, frozen=True):
    """One bad contact; the units are those of corredor.events."""

    at: float
    subject: str
    journey: str
    outcome: str
    x: float
    x_outcome: float | None
    x_promise: float | None
    x_rating: float | None
    x_sentiment: float | None
    x_effort: float | None
    x_wait: float | None
    gap: float | None
    wait_ms: int | None
    segment: dict[str, str]

    @property
    def lowest(self) -> str:
        """The component that pulled it down most."""
        parts = {name: getattr(self, f"x_{name}") for name in COMPONENT_NAMES}
        return min((value, name) for name, value in parts.items() if value is not None)[1]


COMPONENT_NAMES = ("outcome", "promise", "rating", "sentiment", "effort", "wait")


class Page(msgspec.Struct, frozen=True):
    """What is read anew every second."""

    windows: dict[str, Now]
    points: list[Point]
    segments: list[SegmentNow]
    incidents: list[Listed]


class Moments(msgspec.Struct, frozen=True):
    """What is read from single events."""

    components: list[Component]
    worst: list[Moment]


def page(results: Results, tenant: str, touchpoint: str, window: str, at: int) -> Page:
    """The scores of a touchpoint at `at` (epoch seconds), in one window; the worst segments first."""
    place = {"tenant": tenant, "touchpoint": touchpoint, "at": at}
    span, step = SPANS[window]
    segments = results.read(SegmentNow, SEGMENTS, **place, window=window)
    return Page(
        windows={one.window: one for one in results.read(Now, NOW, **place)},
        points=history(results, tenant, touchpoint, window, at - span, at, step),
        segments=sorted(segments, key=lambda one: one.score)[:WORST_SEGMENTS],
        incidents=at_touchpoint(results, tenant, touchpoint),
    )


def moments(results: Results, tenant: str, touchpoint: str, window: str, at: int) -> Moments:
    """What the scores of a window are made of, and the worst contacts of the last hour."""
    place = {"tenant": tenant, "touchpoint": touchpoint, "at": at}
    components = results.read(Component, COMPONENTS, **place, since=at - WINDOW_S[window])
    worst = results.read(Moment, WORST, **place, since=at - RECENT_S)
    return Moments([one for one in components if one.n], worst)
