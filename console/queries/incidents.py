"""Incidents: the list, and one of them with what is known about it."""

import msgspec

from console.queries.series import Point, history
from console.store import Results, shaped
from schemas.incident import Incident

_LISTED = """
SELECT id, kind, measure, touchpoint, following, segment, segment_value, status, severity, toInt64(since) AS since,
    toInt64(detected_at) AS detected_at, toInt64(updated_at) AS updated_at, toInt64(resolved_at) AS resolved_at,
    before, now, unit, depth, hurt,
    if(empty(causes), '', concat(causes[1].segment, ' = ', causes[1].value)) AS first_cause
FROM corredor.all_incidents
WHERE tenant = {tenant:String}
"""
#: Open ones first, those that page before the others, then the newest.
LISTED = _LISTED + "ORDER BY status = 'open' DESC, severity = 'page' DESC, since DESC LIMIT 200"
AT_TOUCHPOINT = (
    _LISTED
    + "AND (touchpoint = {touchpoint:String} OR following = {touchpoint:String}) "
    + "ORDER BY status = 'open' DESC, since DESC LIMIT 10"
)
ONE = """
SELECT id, kind, measure, tenant, touchpoint, following, segment, segment_value, status, severity,
    toInt64(since) AS since, toInt64(detected_at) AS detected_at, toInt64(updated_at) AS updated_at,
    toInt64(resolved_at) AS resolved_at, toInt64(ended_at) AS ended_at, before, now, unit, depth, n, bad, hurt,
    arrayMap(c -> map('segment', c.segment, 'value', c.value), causes) AS names,
    arrayMap(c -> [c.explained, c.rate_effect, c.mix_effect, c.before, c.now, c.n], causes) AS numbers, version
FROM corredor.all_incidents
WHERE tenant = {tenant:String} AND id = {id:String}
"""
#: As the view `incident_recovery` says it, for one incident: only its touchpoint and time are read.
RECOVERY = """
WITH hurt AS
(
    SELECT subject, journey, min(time) AS hurt_at
    FROM corredor.events
    WHERE tenant = {tenant:String} AND touchpoint = {touchpoint:String}
        AND time >= toDateTime64({since:Int64}, 0, 'UTC') AND time < toDateTime64({until:Int64}, 0, 'UTC')
        AND ({name:String} = '' OR segment[{name:String}] = {value:String})
        AND if({measure:String} = 'negative', band = 'negative', gap < 0)
    GROUP BY subject, journey
)
SELECT
    uniqExact(h.subject) AS hurt_customers,
    uniqExactIf(h.subject, p.time > h.hurt_at AND p.time <= h.hurt_at + INTERVAL 3 DAY) AS recovered_customers,
    if(hurt_customers > 0, recovered_customers / hurt_customers, NULL) AS recovered_share,
    if(recovered_customers > 0, quantileIf(0.5)(dateDiff('second', h.hurt_at, p.time), p.time > h.hurt_at), NULL)
        AS median_recovery_s
FROM hurt AS h
ASOF LEFT JOIN
(
    SELECT subject, journey, time
    FROM corredor.events
    WHERE tenant = {tenant:String} AND band = 'positive' AND time >= toDateTime64({since:Int64}, 0, 'UTC')
        AND journey IN (SELECT journey FROM hurt)
) AS p ON p.subject = h.subject AND p.journey = h.journey AND p.time > h.hurt_at
"""
#: What the chart of an incident shows around it. Seconds.
AROUND_S = 1800


class Listed(msgspec.Struct, frozen=True):
    """An incident in a list; the units are those of `schemas.incident.Incident`."""

    id: str
    kind: str
    measure: str
    touchpoint: str
    following: str
    segment: str
    segment_value: str
    status: str
    severity: str
    since: int
    detected_at: int
    updated_at: int
    resolved_at: int
    before: float
    now: float
    unit: str
    depth: float
    hurt: int
    first_cause: str


class Recovery(msgspec.Struct, frozen=True):
    """Customers with a bad contact, and those of them with a good one in the same journey within three days."""

    hurt_customers: int
    recovered_customers: int
    recovered_share: float | None
    median_recovery_s: float | None


class Page(msgspec.Struct, frozen=True):
    """All that the page of an incident shows."""

    incident: Incident
    points: list[Point]
    recovery: Recovery | None


def listed(results: Results, tenant: str) -> list[Listed]:
    """The incidents of a tenant, open ones first, at most 200."""
    return results.read(Listed, LISTED, tenant=tenant)


def at_touchpoint(results: Results, tenant: str, touchpoint: str) -> list[Listed]:
    """The incidents at a touchpoint, or on a way that leads to it, at most ten."""
    return results.read(Listed, AT_TOUCHPOINT, tenant=tenant, touchpoint=touchpoint)


def page(results: Results, tenant: str, id: str) -> Page | None:
    """One incident, or None if there is none with this id."""
    found = results.read(dict, ONE, tenant=tenant, id=id)
    if not found:
        return None
    row = found[0]
    names = ("explained", "rate_effect", "mix_effect", "before", "now", "n")
    row["causes"] = [
        {**place, **dict(zip(names, numbers, strict=True))}
        for place, numbers in zip(row.pop("names"), row.pop("numbers"), strict=True)
    ]
    incident = shaped(row, Incident, strict=False)
    until = incident.ended_at or incident.updated_at
    points = history(
        results,
        tenant,
        incident.touchpoint,
        "5m",
        incident.since - AROUND_S,
        until + AROUND_S,
        10 if until - incident.since < 2 * AROUND_S else 60,
        incident.segment,
        incident.segment_value,
    )
    return Page(incident, points, _recovery(results, incident, until) if incident.kind == "drop" else None)


def _recovery(results: Results, incident: Incident, until: int) -> Recovery:
    (found,) = results.read(
        Recovery,
        RECOVERY,
        tenant=incident.tenant,
        touchpoint=incident.touchpoint,
        measure=incident.measure,
        name=incident.segment,
        value=incident.segment_value,
        since=int(incident.since),
        until=int(until),
    )
    return found
