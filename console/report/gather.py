"""All that the report says of a period, read and reckoned."""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from console.queries.incidents import RECOVERY, Recovery
from console.report import queries
from console.report.bands import BANDS, Band, Spent, band
from console.report.compare import Compared, Sums, compare, limit
from console.report.habituation import BINS, Bin, Habituation, fit
from console.report.queries import Group, Incident, Money, Store, read
from schemas.corridor import CorridorMap
from schemas.errors import StopProcess, UsageError

#: So many incidents are listed, and touchpoints on each side.
MOST_INCIDENTS, MOST_MOVES = 12, 5
DAY_S = 86400
#: Years that ClickHouse's DateTime holds whole.
_YEARS = range(1971, 2106)


class Period(NamedTuple):
    """Whole days, first and last, in the zone of the corridor map; epoch seconds of period and of the one before."""

    first: date
    last: date
    before: int
    since: int
    until: int


class Lived(NamedTuple):
    """An incident, and how many with a bad contact had a good one later; None where it is not a drop."""

    incident: Incident
    recovery: Recovery | None


class Learned(NamedTuple):
    """How customers got used to a change; `bins` are what was fitted, `ended` seconds after the launch."""

    touchpoint: str
    change: str
    at: float
    ended: float
    bins: list[Bin]
    curve: Habituation


class Report(NamedTuple):
    """What stands on the page."""

    tenant: str
    period: Period
    whole: Compared
    stages: list[Compared]
    improved: list[Compared]
    fell: list[Compared]
    #: How many touchpoints could be compared, and how many standard errors it took to be told.
    comparisons: int
    z: float
    incidents: list[Lived]
    incident_count: int
    money: list[Money]
    learned: list[Learned]
    bands: list[Band]
    currencies: list[str]
    horizon_days: int
    #: Customers needed for a score or a share.
    fewest: int


def period(first: date, last: date, zone: str, horizon_days: int) -> Period:
    """The days from `first` to `last`, both included. Raises UsageError for days that cannot be."""
    if last < first:
        raise UsageError(f"--to {last} is before --from {first}; both days belong to the period")
    days = (last - first).days + 1
    try:
        edges = [first - timedelta(days), first, last + timedelta(1), first - timedelta(horizon_days)]
    except OverflowError:
        edges = []
    if not edges or any(edge.year not in _YEARS for edge in edges):
        raise UsageError(f"--from {first} --to {last}: period, the one before and horizon must lie within 1971 to 2105")
    before, since, until = (int(datetime.combine(day, time(), ZoneInfo(zone)).timestamp()) for day in edges[:3])
    return Period(first, last, before, since, until)


def gather(
    store: Store,
    chart: CorridorMap,
    asked: Period,
    tenant: str | None,
    horizon_days: int,
    doing: Callable[[str], None] = lambda _: None,
) -> Report:
    """Read everything. `tenant` None is the one with the most contacts; `doing` hears what is read.

    Raises StopProcess where nothing happened in the period, UsageError for a tenant that is none, and as the
    store does.
    """
    doing("contacts")
    tenant = _tenant(store, asked, tenant, chart.detection.time_zone)
    fewest = chart.defaults.minimum_n
    place = {"tenant": tenant, "since": asked.since, "until": asked.until}

    def compared(group: Group) -> list[Compared]:
        rows = read(store, queries.SumsRow, queries.sums(group), **{**place, "since": asked.before}, middle=asked.since)
        sides: tuple[dict[str, Sums], dict[str, Sums]] = ({}, {})
        for one in rows:
            sides[one.now][one.name] = Sums(one.n, one.sum_x, one.customers, one.ss, one.sk, one.kk)
        return compare(*sides, fewest)

    whole, stages, places = compared("''"), compared("stage"), compared("touchpoint")
    order = ("before", "during", "after")
    stages.sort(key=lambda one: order.index(one.name) if one.name in order else len(order))
    told = [(one.difference.value, one) for one in places if one.told and one.difference]
    comparisons = sum(one.difference is not None for one in places)
    doing("incidents")
    incidents = read(store, Incident, queries.INCIDENTS, **place)
    lived = [Lived(one, _recovery(store, tenant, one)) for one in incidents[:MOST_INCIDENTS]]
    doing("money")
    money = read(store, Money, queries.MONEY, **place)
    doing("changes")
    learned = _learned(store, tenant, asked)
    doing("customers who came again")
    bands, currencies = _bands(store, tenant, asked, horizon_days, fewest)
    return Report(
        tenant,
        asked,
        whole[0] if whole else Compared("", None, None, None, told=False),
        stages,
        _moved((-change, one) for change, one in told),
        _moved(told),
        comparisons,
        limit(comparisons),
        lived,
        len(incidents),
        money,
        learned,
        bands,
        currencies,
        horizon_days,
        fewest,
    )


def _moved(changes: Iterable[tuple[float, Compared]]) -> list[Compared]:
    """Those whose change is below zero, the largest first."""
    return [one for change, one in sorted(changes, key=lambda pair: pair[0]) if change < 0][:MOST_MOVES]


def _tenant(store: Store, asked: Period, tenant: str | None, zone: str) -> str:
    there = [one.tenant for one in read(store, queries.Tenant, queries.TENANTS, since=asked.since, until=asked.until)]
    if there and tenant is None:
        return there[0]
    if tenant in there:
        return str(tenant)
    known = {one.tenant: one for one in read(store, queries.Known, queries.KNOWN)}
    if not known:
        raise StopProcess("there are no contacts yet: publish events, or `corredor demo` makes some")
    if tenant is not None and tenant not in known:
        raise UsageError(f"--tenant {tenant}: there are contacts of {', '.join(sorted(known))}")
    one = known[tenant] if tenant is not None else next(iter(known.values()))
    first, last = (datetime.fromtimestamp(at, ZoneInfo(zone)).date() for at in (one.first, one.last))
    raise StopProcess(
        f"nothing happened from {asked.first} to {asked.last}: the contacts of tenant {one.tenant} are from {first} to "
        f"{last} ({zone}); change --from and --to"
    )


def _recovery(store: Store, tenant: str, one: Incident) -> Recovery | None:
    if one.kind != "drop":
        return None
    pair = {"name": one.segment, "value": one.segment_value}
    span = {"since": one.since, "until": one.until}
    (found,) = read(
        store, Recovery, RECOVERY, tenant=tenant, touchpoint=one.touchpoint, measure=one.measure, **pair, **span
    )
    return found


def _learned(store: Store, tenant: str, asked: Period) -> list[Learned]:
    """Changes launched in the period or the one before; each lasts until the next at its touchpoint."""
    launches = read(store, queries.Launch, queries.LAUNCHES, tenant=tenant, until=asked.until)
    found = []
    for index, one in enumerate(launches):
        later = [
            other.at for other in launches[index + 1 :] if other.touchpoint == one.touchpoint and other.at > one.at
        ]
        ended = min([*later, float(asked.until)])
        span = ended - one.at
        if one.at < asked.before:
            continue
        rows = read(
            store,
            queries.BinRow,
            queries.BINS,
            tenant=tenant,
            touchpoint=one.touchpoint,
            launch=one.at,
            since=int(one.at),
            until=ended,
            width=span / BINS,
        )
        bins = [Bin(row.t, row.n, row.sum_x, row.sum_xx) for row in rows]
        # Nothing is known beyond the last contact: a launch of today says nothing about the rest of the month.
        seen = max((row.t for row in bins), default=span)
        found.append(Learned(one.touchpoint, one.change, one.at, seen, bins, fit(bins, 2 * span / BINS, seen)))
    return sorted(found, key=lambda one: one.at)


def _bands(store: Store, tenant: str, asked: Period, horizon_days: int, fewest: int) -> tuple[list[Band], list[str]]:
    """Of journeys that ended so long before the end of the period that their horizon is over by then."""
    horizon = horizon_days * DAY_S
    place = {"tenant": tenant, "since": asked.since - horizon, "until": asked.until - horizon, "horizon": horizon}
    counts = {one.band: one for one in read(store, queries.Returned, queries.RETENTION, **place)}
    spent = read(store, queries.SpentRow, queries.SPEND, **place)
    currencies = sorted({one.currency for one in spent})
    bands = []
    for name in BANDS:
        one = counts.get(name, queries.Returned(name, 0, 0))
        sums = {row.currency: Spent(row.total, row.squares) for row in spent if row.band == name}
        bands.append(band(name, one.customers, one.returned, sums, currencies, fewest))
    return bands, currencies
