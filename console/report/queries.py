"""What the report asks ClickHouse. All times are epoch seconds, the end of a period is exclusive."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

import msgspec

Row = TypeVar("Row")
Group = Literal["stage", "touchpoint", "''"]


class Store(Protocol):
    """What reads: a connection of `sinks.clickhouse`."""

    def table(
        self, sql: str, parameters: Mapping[str, object] | None = None
    ) -> tuple[Sequence[str], Sequence[tuple[Any, ...]]]:
        """Column names and rows of a query."""


_IN_PERIOD = """tenant = {tenant:String} AND time >= toDateTime({since:Int64}, 'UTC')
    AND time < toDateTime({until:Int64}, 'UTC')"""
TENANTS = """
SELECT tenant, count() AS n
FROM corredor.events
WHERE time >= toDateTime({since:Int64}, 'UTC') AND time < toDateTime({until:Int64}, 'UTC')
GROUP BY tenant
ORDER BY n DESC, tenant
"""
#: When there is anything at all, by tenant.
KNOWN = """
SELECT tenant, toFloat64(min(time)) AS first, toFloat64(max(time)) AS last
FROM corredor.touchpoint_events
GROUP BY tenant
ORDER BY last DESC, tenant
"""
_SUMS = """
SELECT name, now, sum(k) AS n, sum(s) AS sum_x, count() AS customers,
    sum(s * s) AS ss, sum(s * k) AS sk, sum(k * k) AS kk
FROM
(
    SELECT {group} AS name, time >= toDateTime({{middle:Int64}}, 'UTC') AS now, subject, count() AS k, sum(x) AS s
    FROM corredor.events
    WHERE {period} AND isNotNull(x)
    GROUP BY name, now, subject
)
GROUP BY name, now
"""
INCIDENTS = """
SELECT id, kind, measure, touchpoint, following, segment, segment_value, status, severity, toInt64(i.since) AS since,
    toInt64(if(status = 'open', updated_at, ended_at)) AS until, hurt,
    if(empty(causes), '', causes[1].segment) AS cause, if(empty(causes), '', causes[1].value) AS cause_value
FROM corredor.all_incidents AS i
WHERE tenant = {tenant:String} AND i.since < toDateTime({until:Int64}, 'UTC')
    AND (status = 'open' OR ended_at >= toDateTime({since:Int64}, 'UTC'))
ORDER BY severity = 'page' DESC, hurt DESC, i.since, id
"""
#: Each journey counts once for each currency, with the largest amount that one of its contacts of the period named: a
#: source that repeats the value of an order at each contact does not multiply it.
MONEY = """
SELECT pair.1 AS currency,
    sumIf(pair.2, bad > 0) AS negative,
    sumIf(pair.2, status IN ('open', 'stalled')) AS open,
    sumIf(pair.2, status = 'abandoned') AS abandoned,
    sumIf(pair.2, bad > 0 OR status IN ('open', 'stalled', 'abandoned')) AS at_stake,
    sum(pair.2) AS total,
    uniqExactIf(subject, bad > 0 OR status IN ('open', 'stalled', 'abandoned')) AS customers
FROM
(
    SELECT subject, journey, countIf(band = 'negative') AS bad,
        maxMapIf([ifNull(currency, '')], [abs(ifNull(amount_minor, 0))], isNotNull(amount_minor)) AS amounts
    FROM corredor.events
    WHERE <period>
    GROUP BY subject, journey
) AS seen
INNER JOIN
(
    SELECT subject, journey, status FROM corredor.journeys_now WHERE tenant = {tenant:String}
) AS j ON j.subject = seen.subject AND j.journey = seen.journey
ARRAY JOIN arrayZip(amounts.1, amounts.2) AS pair
GROUP BY currency
ORDER BY currency
""".replace("<period>", _IN_PERIOD)
#: A change is launched with its first marked event; one at two touchpoints is two.
LAUNCHES = """
SELECT touchpoint, assumeNotNull(change) AS change, toFloat64(min(time)) AS at
FROM corredor.events
WHERE tenant = {tenant:String} AND isNotNull(change) AND change != '' AND time < toDateTime({until:Int64}, 'UTC')
GROUP BY touchpoint, change
ORDER BY touchpoint, at, change
"""
#: All contacts there since the launch, in bins of `width` seconds.
BINS = """
SELECT avg(toFloat64(time) - {launch:Float64}) AS t, count() AS n, sum(x) AS sum_x, sum(x * x) AS sum_xx
FROM corredor.events
WHERE tenant = {tenant:String} AND touchpoint = {touchpoint:String} AND isNotNull(x)
    AND toFloat64(time) >= {launch:Float64} AND toFloat64(time) < {until:Float64}
    AND time >= toDateTime({since:Int64}, 'UTC')
GROUP BY floor((toFloat64(time) - {launch:Float64}) / {width:Float64}) AS bin
ORDER BY bin
"""
#: The first journey of each customer whose last contact is in the period; the customer came again if another one began
#: after it, within the horizon.
_FIRST = """
    SELECT subject, argMin(memory_band, (last_at, journey)) AS band, min(last_at) AS ended
    FROM corredor.journeys_now
    WHERE tenant = {tenant:String} AND memory_band != 'unknown'
        AND last_at >= toDateTime({since:Int64}, 'UTC') AND last_at < toDateTime({until:Int64}, 'UTC')
    GROUP BY subject
"""
_LATER = """
    SELECT subject, journey, status, started_at FROM corredor.journeys_now WHERE tenant = {tenant:String}
"""
RETENTION = f"""
SELECT band, count() AS customers, countIf(again > 0) AS returned
FROM
(
    SELECT f.subject AS customer, any(f.band) AS band,
        countIf(l.started_at > f.ended AND l.started_at <= f.ended + toIntervalSecond({{horizon:Int64}})) AS again
    FROM ({_FIRST}) AS f
    INNER JOIN ({_LATER}) AS l ON l.subject = f.subject
    GROUP BY customer
)
GROUP BY band
"""
#: Of journeys that began after it, within the horizon, and reached a goal; amounts as in MONEY.
SPEND = f"""
SELECT band, currency, sum(spent) AS total, sum(spent * spent) AS squares
FROM
(
    SELECT f.subject AS customer, any(f.band) AS band, pair.1 AS currency, toFloat64(sum(pair.2)) AS spent
    FROM ({_FIRST}) AS f
    INNER JOIN ({_LATER}) AS l ON l.subject = f.subject
    INNER JOIN
    (
        SELECT subject, journey,
            maxMapIf([ifNull(currency, '')], [abs(ifNull(amount_minor, 0))], isNotNull(amount_minor)) AS amounts
        FROM corredor.events
        WHERE tenant = {{tenant:String}} AND time >= toDateTime({{since:Int64}}, 'UTC')
            AND time < toDateTime({{until:Int64}}, 'UTC') + toIntervalSecond({{horizon:Int64}})
        GROUP BY subject, journey
    ) AS e ON e.subject = f.subject AND e.journey = l.journey
    ARRAY JOIN arrayZip(amounts.1, amounts.2) AS pair
    WHERE l.status = 'reached' AND l.started_at > f.ended
        AND l.started_at <= f.ended + toIntervalSecond({{horizon:Int64}})
    GROUP BY customer, currency
)
GROUP BY band, currency
"""


class Tenant(msgspec.Struct, frozen=True):
    """A tenant with contacts in the period."""

    tenant: str
    n: int


class Known(msgspec.Struct, frozen=True):
    """First and last contact of a tenant."""

    tenant: str
    first: float
    last: float


class SumsRow(msgspec.Struct, frozen=True):
    """The fields of `compare.Sums` for one name; `now` or the period before."""

    name: str
    now: bool
    n: int
    sum_x: float
    customers: int
    ss: float
    sk: float
    kk: int


class Incident(msgspec.Struct, frozen=True):
    """An incident of the period; `until` is its end, or how far an open one is known."""

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
    until: int
    hurt: int
    cause: str
    cause_value: str


class Money(msgspec.Struct, frozen=True):
    """Value of journeys in one currency, minor units. A journey may be negative and open: `at_stake` counts it once."""

    currency: str
    negative: int
    open: int
    abandoned: int
    at_stake: int
    total: int
    customers: int


class Launch(msgspec.Struct, frozen=True):
    """The first event of a change at a touchpoint."""

    touchpoint: str
    change: str
    at: float


class BinRow(msgspec.Struct, frozen=True):
    """The fields of `habituation.Bin`."""

    t: float
    n: int
    sum_x: float
    sum_xx: float


class Returned(msgspec.Struct, frozen=True):
    """Customers of a band, and those of them who came again."""

    band: str
    customers: int
    returned: int


class SpentRow(msgspec.Struct, frozen=True):
    """Spend of the customers of a band in one currency: sums over customers, minor units."""

    band: str
    currency: str
    total: float
    squares: float


def sums(group: Group) -> str:
    """The query for `SumsRow`, by stage, touchpoint, or over all."""
    return _SUMS.format(group=group, period=_IN_PERIOD)


def read(store: Store, row: type[Row], sql: str, **parameters: object) -> list[Row]:
    """The rows of a query; ClickHouse itself binds `parameters`. Raises as `sinks.clickhouse` does."""
    names, rows = store.table(sql, parameters)
    found = [dict(zip(names, values, strict=True)) for values in rows]
    return msgspec.convert(found, list[row], strict=False)  # type: ignore[valid-type]
