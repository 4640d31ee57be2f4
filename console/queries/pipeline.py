"""Whether the pipeline itself is well, as far as ClickHouse knows."""

import msgspec

from console.store import Results

SOURCES = """
SELECT source, toFloat64(max(time)) AS last_at, toFloat64(max(received_at)) AS received_at, count() AS n
FROM corredor.touchpoint_events
WHERE time >= toDateTime({at:Int64} - 86400, 'UTC')
GROUP BY source
ORDER BY last_at, source
LIMIT 100
"""
REJECTIONS = """
SELECT reason, count() AS n, toFloat64(max(received_at)) AS last_at, argMax(detail, received_at) AS detail
FROM corredor.rejections
WHERE received_at >= now() - INTERVAL 1 DAY
GROUP BY reason
ORDER BY n DESC, reason
"""


class Source(msgspec.Struct, frozen=True):
    """A source of events in the last 24 hours of event time; times are epoch seconds."""

    source: str
    last_at: float
    received_at: float
    n: int


class Rejection(msgspec.Struct, frozen=True):
    """Rejected events of one reason in the last 24 hours."""

    reason: str
    n: int
    last_at: float
    detail: str


def sources(results: Results, at: int) -> list[Source]:
    """Sources, the one that has been silent longest first."""
    return results.read(Source, SOURCES, at=at)


def rejections(results: Results) -> list[Rejection]:
    """Rejections by reason, the most frequent first."""
    return results.read(Rejection, REJECTIONS)
