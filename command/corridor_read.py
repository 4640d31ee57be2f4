"""Reads the corridor from the views, over the connection that `corredor query` uses."""

from typing import TYPE_CHECKING

from console.corridor import PERIOD_S, RECENT_S, Corridor, Flow, OpenIncident, derive
from console.figures import Figures
from schemas.corridor import CorridorMap
from schemas.sql import literal

if TYPE_CHECKING:
    from sinks.clickhouse import ClickHouse

_BUCKET_S = 10


def read_corridor(store: "ClickHouse", chart: CorridorMap, figures: Figures, tenant: str | None) -> Corridor:
    """The corridor of a tenant, by default of the one with the most contacts. Blocks for the queries.

    Raises UsageError for a tenant that the results do not know, else as `ClickHouse.rows`.
    """
    from schemas.errors import UsageError

    known = store.rows(
        "SELECT tenant, toInt64(max(bucket)) AS newest, count() AS n FROM corredor.experience_slices "
        "WHERE kind = 'transition' AND segment = '' GROUP BY tenant ORDER BY n DESC, tenant"
    )
    newest = {name: at for name, at, _ in known}
    if tenant is not None and known and tenant not in newest:
        raise UsageError(f"--tenant {tenant}: no journeys of it; there are {', '.join(sorted(newest))}")
    chosen = tenant if tenant is not None else next(iter(newest), "default")
    at = newest.get(chosen, -_BUCKET_S) + _BUCKET_S
    flows = _flows(store, chosen, at) if chosen in newest else []
    return derive(chart, figures, flows, _incidents(store, chosen), chosen, sorted(newest), at)


def _flows(store: "ClickHouse", tenant: str, at: int) -> list[Flow]:
    where = f"segment = '' AND tenant = {literal(tenant)}"
    period, recent = (f"bucket >= toDateTime({at - seconds})" for seconds in (PERIOD_S, RECENT_S))
    waits = store.rows(
        "SELECT touchpoint, following, quantileExactWeighted(0.5)(wait_ms, n), quantileExactWeighted(0.95)(wait_ms, n) "
        f"FROM corredor.transition_waits WHERE {where} AND {period} GROUP BY touchpoint, following"
    )
    quantiles = {(row[0], row[1]): (row[2], row[3]) for row in waits}
    counts = store.rows(
        f"SELECT touchpoint, following, sum(n), sum(resumed), sumIf(n, {period}), sumIf(resumed, {period}), "
        f"sumIf(n, {recent}), sumIf(resumed, {recent}), sumIf(wait_ms_sum, {period}) "
        f"FROM corredor.transitions WHERE {where} GROUP BY touchpoint, following"
    )
    flows = []
    for row in counts:
        median, p95 = quantiles.get((row[0], row[1]), (None, None))
        flows.append(Flow(*row)._replace(median_ms=median, p95_ms=p95))
    return flows


def _incidents(store: "ClickHouse", tenant: str) -> list[OpenIncident]:
    """The open incidents; none where the database has no such view."""
    if not store.rows("SELECT 1 FROM system.tables WHERE database = 'corredor' AND name = 'open_incidents'"):
        return []
    rows = store.rows(
        "SELECT kind, severity, touchpoint, following, segment, segment_value, toInt64(since), hurt, first_cause, id "
        f"FROM corredor.open_incidents WHERE tenant = {literal(tenant)}"
    )
    return [OpenIncident(*row) for row in rows]
