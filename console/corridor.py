"""The corridor as it is now, from counts, map, scores and incidents: for the console and `corredor status`.

Times are event time: "now" is the newest bucket of the tenant's transitions, so that a replay of history shows too.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from console.figures import Figures
from schemas.corridor import CorridorMap
from schemas.transition import ABANDONED, GOAL, STALLED, START

#: What "recent" is for work in progress, and for transitions, waits and the share going on. Seconds.
RECENT_S = 300
PERIOD_S = 3600
#: Work in progress grows: more stay than elsewhere, by so many standard deviations.
GROWS_SD = 3.0
#: A transition is long where it holds this share of all waiting in the corridor, or more.
LONG_SHARE = 0.2


class Flow(NamedTuple):
    """Counts of one transition: of all time, of the last `PERIOD_S`, of the last `RECENT_S`."""

    touchpoint: str
    following: str
    n: int
    resumed: int
    period_n: int = 0
    period_resumed: int = 0
    recent_n: int = 0
    recent_resumed: int = 0
    #: Of the last `PERIOD_S`.
    wait_ms_sum: int = 0
    median_ms: float | None = None
    p95_ms: float | None = None


class OpenIncident(Struct, frozen=True):
    """What the map shows of an open incident; the fields of `schemas.incident.Incident`."""

    kind: str
    severity: str
    touchpoint: str
    following: str
    segment: str
    segment_value: str
    #: Epoch seconds.
    since: int
    #: Journeys or events hurt beyond what is usual.
    hurt: int
    #: Segment and value that explain most of it, `carrier=norte`; empty where none stands out.
    first_cause: str = ""
    id: str = ""


class Place(Struct, frozen=True, kw_only=True):
    """One touchpoint. None is unknown: fewer events than the map's minimum n."""

    touchpoint: str
    #: Empty where the map does not name the touchpoint.
    stage: str
    #: Of the 5-minute window: 0 to 100 with its 95 % interval, and the scored events.
    score: float | None
    score_low: float | None
    score_high: float | None
    scored: int
    #: Contacts in the last hour.
    arrivals: int
    #: Journeys whose last contact is here, and that have neither ended nor stalled; its change in the last 5 minutes.
    in_progress: int
    change: int
    #: More of those who came in the last 5 minutes stay than elsewhere, beyond chance.
    grows: bool
    #: Share of those who left in the last hour that went on or reached a goal, 0 to 1.
    going_on: float | None


class Way(Struct, frozen=True, kw_only=True):
    """One transition between two touchpoints, in the last hour. Waits are milliseconds, off by at most 2 %."""

    touchpoint: str
    following: str
    n: int
    wait_median_ms: float | None
    wait_p95_ms: float | None
    #: Its share of all waiting between touchpoints, 0 to 1.
    waiting_share: float
    #: Journeys spend a large part of their time here.
    long: bool


class Corridor(Struct, frozen=True, kw_only=True):
    """The corridor of one tenant: places by stage as in the map, ways by count, incidents by severity and age."""

    tenant: str
    tenants: list[str]
    #: End of the newest bucket, epoch seconds; 0 where nothing has come yet.
    at: int
    places: list[Place]
    ways: list[Way]
    incidents: list[OpenIncident]


def derive(
    chart: CorridorMap,
    figures: Figures,
    flows: Iterable[Flow],
    incidents: Iterable[OpenIncident] = (),
    tenant: str = "default",
    tenants: Iterable[str] = (),
    at: int = 0,
) -> Corridor:
    """Put the corridor together. Places that the map does not name come last, by name."""
    flows = list(flows)
    stages = {touchpoint.name: touchpoint.stage for touchpoint in chart.touchpoints}
    order = {name: number for number, name in enumerate(stages)}
    seen = {name for flow in flows for name in (flow.touchpoint, flow.following) if _real(name)}
    names = sorted(
        order.keys() | seen,
        key=lambda name: (_STAGE_ORDER[stages[name]] if name in stages else 3, order.get(name, 0), name),
    )
    sums = {name: _Sums() for name in names}
    for flow in flows:
        if _real(flow.following):
            sums[flow.following].arrive(flow)
        if flow.touchpoint != START:
            sums[flow.touchpoint].leave(flow)
    leads_on = {transition.origin for transition in chart.transitions}
    open_ended = [name for name in names if not leads_on or name in leads_on or name not in stages]
    arrived = sum(sums[name].recent_in for name in open_ended)
    stay = max(sum(sums[name].change for name in open_ended) / arrived, 0.0) if arrived else 0.0
    minimum = chart.defaults.minimum_n
    return Corridor(
        tenant=tenant,
        tenants=list(tenants),
        at=at,
        places=[
            _place(
                name,
                stages.get(name, ""),
                sums[name],
                figures,
                tenant,
                minimum,
                sums[name].exceeds(stay, minimum) if name in open_ended else False,
            )
            for name in names
        ],
        ways=_ways(flows, minimum),
        incidents=sorted(incidents, key=lambda one: (one.severity != "page", one.since, one.touchpoint)),
    )


_STAGE_ORDER = {"before": 0, "during": 1, "after": 2}


class _Sums:
    """Arrivals and departures of one touchpoint. A departure is going on or an end; who resumes had left before."""

    def __init__(self) -> None:
        self.in_progress = self.change = 0
        self.period_in = self.period_out = self.period_on = 0
        self.recent_in = self.recent_out = 0

    def arrive(self, flow: Flow) -> None:
        self.in_progress += flow.n
        self.change += flow.recent_n
        self.period_in += flow.period_n
        self.recent_in += flow.recent_n

    def leave(self, flow: Flow) -> None:
        if not _real(flow.following) and flow.following not in (GOAL, ABANDONED, STALLED):
            return
        gone, recent_gone = flow.n - flow.resumed, flow.recent_n - flow.recent_resumed
        self.in_progress -= gone
        self.change -= recent_gone
        self.recent_out += recent_gone
        self.period_out += flow.period_n - flow.period_resumed
        if _real(flow.following) or flow.following == GOAL:
            self.period_on += flow.period_n - flow.period_resumed

    def exceeds(self, stay: float, minimum: int) -> bool:
        """Whether more stay than the share `stay`: arrivals and departures taken as Poisson counts."""
        if self.recent_in < minimum or self.change <= 0:
            return False
        return self.change - stay * self.recent_in > GROWS_SD * math.sqrt(self.recent_in + self.recent_out)


def _place(name: str, stage: str, sums: _Sums, figures: Figures, tenant: str, minimum: int, grows: bool) -> Place:
    now = figures.score(tenant, name)
    return Place(
        touchpoint=name,
        stage=stage,
        score=now.score,
        score_low=now.low,
        score_high=now.high,
        scored=int(now.events),
        arrivals=sums.period_in,
        in_progress=sums.in_progress,
        change=sums.change,
        grows=grows,
        going_on=sums.period_on / sums.period_out if sums.period_out >= minimum else None,
    )


def _ways(flows: list[Flow], minimum: int) -> list[Way]:
    between = [flow for flow in flows if flow.touchpoint != START and _real(flow.following) and flow.period_n > 0]
    waiting = sum(flow.wait_ms_sum for flow in between)
    shares = [flow.wait_ms_sum / waiting if waiting else 0.0 for flow in between]
    ways = [
        Way(
            touchpoint=flow.touchpoint,
            following=flow.following,
            n=flow.period_n,
            wait_median_ms=flow.median_ms,
            wait_p95_ms=flow.p95_ms,
            waiting_share=share,
            long=share >= LONG_SHARE and flow.period_n >= minimum,
        )
        for flow, share in zip(between, shares, strict=True)
    ]
    return sorted(ways, key=lambda way: (-way.n, way.touchpoint, way.following))


def _real(name: str) -> bool:
    """Whether it is a touchpoint: neither the start nor an end."""
    return name != START and not name.startswith("@")
