"""What would have paged: settled slices of the past through the objectives and the detectors, as data."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from schemas.corridor import CorridorMap
from schemas.incident import Incident, Severity
from schemas.objective import Objective
from schemas.slice import BUCKET_S, Slice
from schemas.transition import TransitionSlice
from streams.model.burn import History, Series, Span, alerts, budget_spent, most_spent, union
from streams.model.detect.settled import settle
from streams.model.detect.tenant import Detectors, Rules

WEEK_S = 7 * 86_400
#: What came so long before the period teaches the detectors what is usual; older events would have faded.
LEARN_S = 8 * WEEK_S
#: The start of a bucket of event time (epoch seconds), and all its slices.
Bucket = tuple[int, list[Slice | TransitionSlice]]


class Source(NamedTuple):
    """Where the past is. Times are epoch seconds and lie between buckets."""

    name: str
    #: From the first to the last contact.
    since: int
    until: int
    #: The buckets from one time to another, in order; the number given now and then is the time reached.
    read: Callable[[int, int, Callable[[int], None]], Iterator[Bucket]]


class Alert(Struct, frozen=True):
    """One alert of an objective's tier. Times are epoch seconds, windows seconds."""

    tenant: str
    objective: str
    severity: Severity
    burn_rate: float
    long_s: float
    short_s: float
    since: int
    until: int
    #: Whether it still fires at the end of the period.
    open: bool
    #: The highest burn rate of the long window.
    worst: float


class TierPast(Struct, frozen=True):
    """How often a tier would have fired, and for how many seconds in all."""

    burn_rate: float
    long_s: float
    short_s: float
    severity: Severity
    alerts: int
    per_week: float
    alert_s: int


class ObjectivePast(Struct, frozen=True):
    """An objective over the period. Overlapping alerts of one severity are one page or ticket: it is told once."""

    tenant: str
    objective: Objective
    contacts: int
    negative: int
    #: Share of negative contacts, 0 to 1; of a journey objective weighted by importance.
    share: float
    #: Parts of the error budget (1: all of it): of the whole period, and the most in any `over` of the objective, which
    #: is None in a shorter period.
    budget_spent: float
    most_spent: float | None
    pages: int
    tickets: int
    #: Seconds in which at least one tier fires.
    alert_s: int
    tiers: list[TierPast]


class PlacePast(Struct, frozen=True):
    """All incidents of one kind at one place that were told in the period."""

    tenant: str
    kind: str
    measure: str
    touchpoint: str
    following: str
    incidents: int
    pages: int
    tickets: int
    #: Seconds of the period in which one was going on, from when it most likely began until it ended.
    incident_s: int
    hurt: int
    longest: Incident


class Past(Struct, frozen=True):
    """The whole backtest. Times are epoch seconds of event time."""

    source: str
    map: str
    since: int
    until: int
    weeks: float
    contacts: int
    pages: int
    tickets: int
    pages_per_week: float
    tickets_per_week: float
    objectives: list[ObjectivePast]
    alerts: list[Alert]
    places: list[PlacePast]
    incidents: list[Incident]


class Tested(NamedTuple):
    """The backtest, and the contacts behind it by tenant and objective (empty name: all contacts), for a chart."""

    past: Past
    series: dict[tuple[str, str], Series]


def backtest(
    corridor: CorridorMap, source: Source, since: int, until: int, progress: Callable[[int], None] = lambda _: None
) -> Tested:
    """What would have been told from `since` to `until` (epoch seconds, between buckets)."""
    contacts, incidents = _detected(corridor, source.read(since - LEARN_S, until, progress))
    told = sorted((one for one in incidents if one.detected_at > since), key=lambda one: (one.detected_at, one.id))
    importance = {touchpoint.name: touchpoint.importance for touchpoint in corridor.touchpoints}
    series: dict[tuple[str, str], Series] = {}
    objectives: list[ObjectivePast] = []
    fired: list[Alert] = []
    count = 0
    for tenant, here in sorted(contacts.items()):
        everything = series[tenant, ""] = here.series(None, importance)
        count += int(everything.between(since, until).contacts[0])
        for objective in corridor.objectives:
            line = series[tenant, objective.name] = here.series(objective, importance)
            one, new = _tried(tenant, objective, line, corridor.detection.minimum_bad, since, until)
            objectives.append(one)
            fired += new
    places = _places(told, since, until)
    weeks = (until - since) / WEEK_S
    pages, tickets = (
        sum(getattr(one, name) for one in objectives) + sum(getattr(one, name) for one in places)
        for name in ("pages", "tickets")
    )
    past = Past(
        source=source.name,
        map=corridor.corridor,
        since=since,
        until=until,
        weeks=weeks,
        contacts=count,
        pages=pages,
        tickets=tickets,
        pages_per_week=pages / weeks,
        tickets_per_week=tickets / weeks,
        objectives=objectives,
        alerts=sorted(fired, key=lambda alert: (alert.since, alert.tenant, alert.objective, -alert.burn_rate)),
        places=places,
        incidents=told,
    )
    return Tested(past, series)


def _detected(corridor: CorridorMap, buckets: Iterable[Bucket]) -> tuple[dict[str, History], list[Incident]]:
    """Contacts by tenant, and every incident as it was told last."""
    rules = Rules(corridor)
    contacts: defaultdict[str, History] = defaultdict(History)
    detectors: dict[str, Detectors] = {}
    told: dict[str, Incident] = {}
    for start, slices in buckets:
        for tenant, settled in settle(start, slices).items():
            contacts[tenant].add(start, settled.contacts)
            here = detectors.get(tenant)
            if here is None:
                here = detectors[tenant] = Detectors(tenant, rules)
            told.update((incident.id, incident) for incident in here.feed(settled))
    return contacts, list(told.values())


def _tried(
    tenant: str, objective: Objective, series: Series, minimum_bad: int, since: int, until: int
) -> tuple[ObjectivePast, list[Alert]]:
    weeks = (until - since) / WEEK_S
    spans: defaultdict[Severity, list[Span]] = defaultdict(list)
    tiers, fired = [], []
    for tier in objective.alerts():
        found = alerts(series, tier, objective.share, minimum_bad, since, until)
        spans[tier.severity] += found
        windows = (tier.burn_rate, float(tier.long), float(tier.short))
        tiers.append(TierPast(*windows, tier.severity, len(found), len(found) / weeks, _length(found)))
        fired += [
            Alert(tenant, objective.name, tier.severity, *windows, span.since, span.until, span.open, span.burn_rate)
            for span in found
        ]
    whole = series.between(since, until)
    spent = budget_spent(series, objective.share, since, until)
    one = ObjectivePast(
        tenant=tenant,
        objective=objective,
        contacts=int(whole.contacts[0]),
        negative=int(whole.negative[0]),
        share=whole.share()[0].item() if whole.contacts[0] else 0.0,
        budget_spent=spent,
        most_spent=most_spent(series, objective.share, objective.over, since, until),
        pages=len(union(spans["page"])),
        tickets=len(union(spans["ticket"])),
        alert_s=_length(union(spans["page"] + spans["ticket"])),
        tiers=tiers,
    )
    return one, fired


def _places(incidents: list[Incident], since: int, until: int) -> list[PlacePast]:
    groups: defaultdict[tuple[str, str, str, str, str], list[Incident]] = defaultdict(list)
    for one in incidents:
        groups[one.tenant, one.kind, one.measure, one.touchpoint, one.following].append(one)
    places = []
    for place, group in sorted(groups.items()):
        spans = {one.id: Span(max(one.since, since), one.ended_at or until, not one.ended_at, 0.0) for one in group}
        pages = sum(one.severity == "page" for one in group)
        places.append(
            PlacePast(
                *place,
                incidents=len(group),
                pages=pages,
                tickets=len(group) - pages,
                incident_s=_length(union(spans.values())),
                hurt=sum(one.hurt for one in group),
                longest=max(group, key=lambda one: _length([spans[one.id]])),
            )
        )
    return sorted(places, key=lambda one: (-one.pages, -one.incident_s))


def _length(spans: Iterable[Span]) -> int:
    return sum(span.until - span.since for span in spans)


def aligned(at: float) -> int:
    """The border between buckets at or before a time (epoch seconds)."""
    return int(at // BUCKET_S) * BUCKET_S
