"""Where to look next when there is an incident: its runbook, and a query that shows what it is made of."""

from schemas.incident import Incident, Kind
from schemas.sql import literal

#: The alert, and so the runbook page, of each kind of incident.
ALERTS: dict[Kind, str] = {
    "drop": "CorredorDrop",
    "congestion": "CorredorCongestion",
    "blockage": "CorredorBlockage",
    "silence": "CorredorSilence",
}


def links(incident: Incident, runbooks: str) -> dict[str, str]:
    """`runbook`: a page below `runbooks` (a folder or an address); `sql`: for `corredor query` or any client."""
    return {"runbook": runbook(ALERTS[incident.kind], runbooks), "sql": _sql(incident)}


def runbook(alert: str, runbooks: str) -> str:
    """The page of an alert."""
    return f"{runbooks.rstrip('/')}/{alert}.md"


def _sql(incident: Incident) -> str:
    until = incident.ended_at or incident.updated_at
    where = [f"tenant = {literal(incident.tenant)}"]
    if incident.kind == "silence":
        # What came before: from where it was, and when last.
        where += [f"source = {literal(incident.touchpoint)}", f"time < toDateTime({until})"]
        return f"SELECT time, touchpoint, subject FROM events WHERE {' AND '.join(where)} ORDER BY time DESC LIMIT 100"
    where.append(f"touchpoint = {literal(incident.touchpoint)}")
    if incident.kind == "drop":
        where += [f"time >= toDateTime({incident.since})", f"time < toDateTime({until})"]
        where.append("gap < 0" if incident.measure == "broken_promise" else "band = 'negative'")
        if incident.segment:
            where.append(f"segment[{literal(incident.segment)}] = {literal(incident.segment_value)}")
        columns = "time, subject, journey, outcome, round(x, 3) AS x, round(gap, 3) AS gap, segment"
        return f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY time DESC LIMIT 100"
    where += [f"bucket >= toDateTime({incident.since})", f"bucket < toDateTime({until})"]
    where.append(f"segment = {literal(incident.segment)} AND segment_value = {literal(incident.segment_value)}")
    if incident.following:
        where.append(f"following = {literal(incident.following)}")
    columns = "bucket, touchpoint, following, n, round(exp(wait_log_sum / wait_n)) AS mean_wait_ms"
    return f"SELECT {columns} FROM transitions WHERE {' AND '.join(where)} ORDER BY bucket DESC LIMIT 100"
