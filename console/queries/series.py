"""The line of a score over time, thinned for a chart."""

import msgspec

from console.store import Results

#: Per window: how far back its chart goes, and the distance of its points. Seconds.
SPANS = {"5m": (3 * 3600, 60), "1h": (24 * 3600, 300), "24h": (14 * 86400, 3600)}
HISTORY = """
SELECT toInt64(at) AS at, n, score, score_low, score_high, negative
FROM corredor.score_history
WHERE tenant = {tenant:String} AND scope = 'touchpoint' AND name = {touchpoint:String}
  AND segment = {segment:String} AND segment_value = {value:String} AND window = {window:String}
  AND at > toDateTime({since:Int64}, 'UTC') AND at <= toDateTime({until:Int64}, 'UTC')
ORDER BY at DESC
LIMIT 1 BY intDiv(toInt64(at), {step:Int64})
"""


class Point(msgspec.Struct, frozen=True):
    """A score at a moment (epoch seconds, the end of its window). None is unknown."""

    at: int
    n: int
    score: float | None
    score_low: float | None
    score_high: float | None
    negative: float | None


def history(
    results: Results,
    tenant: str,
    touchpoint: str,
    window: str,
    since: int,
    until: int,
    step: int,
    segment: str = "",
    value: str = "",
) -> list[Point]:
    """The newest score of each `step` seconds between `since` and `until`, oldest first."""
    points = results.read(
        Point,
        HISTORY,
        tenant=tenant,
        touchpoint=touchpoint,
        window=window,
        since=since,
        until=until,
        step=step,
        segment=segment,
        value=value,
    )
    return points[::-1]
