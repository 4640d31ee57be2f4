"""The corridor map: scores, ways and open incidents of one tenant."""

import hashlib

import msgspec

from console.corridor import PERIOD_S, RECENT_S, Corridor, Flow, OpenIncident, derive
from console.figures import Figures, ScoreNow
from console.store import Results
from schemas.corridor import CorridorMap

#: "Now" is the end of the tenant's newest window: replayed history shows like live events.
TENANTS = """
SELECT tenant, toInt64(max(at)) AS at
FROM corredor.experience_scores
WHERE scope = 'corridor' AND name = '' AND segment = '' AND segment_value = '' AND window = '5m'
GROUP BY tenant
ORDER BY at DESC, tenant
"""
#: A touchpoint without events for a window's length has no row: its score is unknown.
SCORES = """
SELECT name, scored, score, score_low, score_high, negative
FROM corredor.experience_scores FINAL
WHERE tenant = {tenant:String} AND scope = 'touchpoint' AND segment = '' AND window = '5m'
  AND at > toDateTime({at:Int64} - 300, 'UTC') AND at <= toDateTime({at:Int64}, 'UTC')
ORDER BY name, at DESC
LIMIT 1 BY name
"""
FLOWS = """
SELECT touchpoint, following, sum(n) AS period_n, sum(resumed) AS period_resumed,
    sumIf(n, bucket >= toDateTime({recent:Int64}, 'UTC')) AS recent_n,
    sumIf(resumed, bucket >= toDateTime({recent:Int64}, 'UTC')) AS recent_resumed,
    sum(wait_ms_sum) AS wait_ms
FROM corredor.transitions
WHERE tenant = {tenant:String} AND segment = '' AND bucket >= toDateTime({since:Int64}, 'UTC')
GROUP BY touchpoint, following
"""
WAITS = """
SELECT touchpoint, following,
    quantileExactWeighted(0.5)(wait_ms, n) AS median_ms, quantileExactWeighted(0.95)(wait_ms, n) AS p95_ms
FROM corredor.transition_waits
WHERE tenant = {tenant:String} AND segment = '' AND bucket >= toDateTime({since:Int64}, 'UTC')
GROUP BY touchpoint, following
"""
INCIDENTS = """
SELECT kind, severity, touchpoint, following, segment, segment_value, toInt64(since) AS since, hurt, first_cause, id
FROM corredor.open_incidents
WHERE tenant = {tenant:String}
"""


class Tenant(msgspec.Struct, frozen=True):
    """A tenant, and the end of its newest window of scores, epoch seconds."""

    tenant: str
    at: int


class _Score(msgspec.Struct):
    name: str
    scored: int
    score: float | None
    score_low: float | None
    score_high: float | None
    negative: float | None


class _Flow(msgspec.Struct):
    touchpoint: str
    following: str
    period_n: int
    period_resumed: int
    recent_n: int
    recent_resumed: int
    wait_ms: int


class _Wait(msgspec.Struct):
    touchpoint: str
    following: str
    median_ms: float
    p95_ms: float


class Snapshot(msgspec.Struct, frozen=True):
    """The corridor at one moment. Two snapshots that look alike have the same digest."""

    corridor: Corridor
    digest: str


def tenants(results: Results) -> list[Tenant]:
    """All tenants, those with the newest events first."""
    return results.read(Tenant, TENANTS)


def snapshot(results: Results, chart: CorridorMap, tenant: str) -> Snapshot:
    """The corridor of a tenant now; empty for one that has no scores. Work in progress is of the last hour only."""
    known = tenants(results)
    at = next((one.at for one in known if one.tenant == tenant), 0)
    flows, figures = [], Figures()
    if at:
        since = {"tenant": tenant, "since": at - PERIOD_S}
        waits = {(one.touchpoint, one.following): one for one in results.read(_Wait, WAITS, **since)}
        for flow in results.read(_Flow, FLOWS, **since, recent=at - RECENT_S):
            wait = waits.get((flow.touchpoint, flow.following))
            flows.append(
                Flow(
                    flow.touchpoint,
                    flow.following,
                    flow.period_n,
                    flow.period_resumed,
                    flow.period_n,
                    flow.period_resumed,
                    flow.recent_n,
                    flow.recent_resumed,
                    flow.wait_ms,
                    wait.median_ms if wait else None,
                    wait.p95_ms if wait else None,
                )
            )
        for score in results.read(_Score, SCORES, tenant=tenant, at=at):
            now = ScoreNow(score.scored, score.score, score.score_low, score.score_high, score.negative)
            figures.scores[tenant, "touchpoint", score.name] = {"5m": now}
    incidents = results.read(OpenIncident, INCIDENTS, tenant=tenant)
    corridor = derive(chart, figures, flows, incidents, tenant, sorted(one.tenant for one in known), at)
    return Snapshot(corridor, hashlib.sha256(msgspec.json.encode(corridor)).hexdigest()[:16])
