"""Journeys and transitions once more: plain, offline, from a list of contacts and the clock's last value.

Nothing of `streams.model` is used but `exact` (so that sums can be compared bit for bit). It assumes what the agreed
meaning asks for: no duplicates, and every contact came within the allowed lateness.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.corridor import CorridorMap, Touchpoint
from schemas.journey import Goal
from streams.model.exact import exact

GROWTH = 1.02 / 0.98


class Visit(NamedTuple):
    """One contact. `time` is in epoch seconds, `identity` any number that no other contact of the journey has."""

    tenant: str
    subject: str
    journey: str
    time: float
    identity: int
    touchpoint: str
    outcome: str
    #: As the event says; None: the map's.
    channel: str | None = None
    initiator: str | None = None
    #: Segment pairs that the map names, with the values it lists.
    pairs: tuple[tuple[str, str], ...] = ()
    x: float | None = None
    active_ms: int | None = None
    wait_ms: int | None = None
    attempts: int | None = None
    transfers: int | None = None
    amount_minor: int | None = None
    currency: str | None = None


#: Tenant, from, to, segment, value, bucket.
Cell = tuple[str, str, str, str, str, int]


class Offline:
    """What the map says about journeys; `keep_ended` as in `streams.model.journey.Journeys`."""

    def __init__(self, corridor: CorridorMap, keep_ended: float | None = None) -> None:
        self.corridor = corridor
        self.touchpoints: dict[str, Touchpoint] = {touchpoint.name: touchpoint for touchpoint in corridor.touchpoints}
        self.keep_ended = keep_ended

    def patience(self, visit: Visit) -> float:
        touchpoint = self.touchpoints.get(visit.touchpoint)
        own = touchpoint.patience if touchpoint is not None else None
        return float(own if own is not None else self.corridor.defaults.patience)

    def end(self, visit: Visit) -> str | None:
        if visit.outcome == "abandoned":
            return "@abandoned"
        touchpoint = self.touchpoints.get(visit.touchpoint)
        if touchpoint is not None and touchpoint.goal and visit.outcome in ("success", "partial"):
            return "@goal"
        return None

    def walks(self, visits: Iterable[Visit]) -> dict[tuple[str, str, str], list[list[Visit]]]:
        """The walks of each journey, in order: a contact too long after the one before it begins another walk."""
        found: dict[tuple[str, str, str], list[list[Visit]]] = {}
        for visit in sorted(visits, key=lambda visit: (visit.time, visit.identity)):
            walks = found.setdefault((visit.tenant, visit.subject, visit.journey), [])
            if walks and visit.time <= self._over_at(walks[-1][-1]):
                walks[-1].append(visit)
            else:
                walks.append([visit])
        return found

    def _over_at(self, visit: Visit) -> float:
        if self.end(visit) is None:
            return visit.time + 2 * self.patience(visit)
        return visit.time + (self.patience(visit) if self.keep_ended is None else self.keep_ended)

    # -- transitions ---------------------------------------------------------------------------------------------

    def transitions(self, visits: Iterable[Visit], clock: float) -> dict[Cell, dict[str, Any]]:
        """The sums of `schemas.transition.TransitionSums` by cell; cells without a transition are left out."""
        found: dict[Cell, dict[str, Any]] = {}
        for walks in self.walks(visits).values():
            for number, walk in enumerate(walks):
                silent_until = walks[number + 1][0].time if number + 1 < len(walks) else clock
                self._count_walk(found, walk, silent_until)
        return found

    def _count_walk(self, found: dict[Cell, dict[str, Any]], walk: list[Visit], silent_until: float) -> None:
        first = walk[0]
        _count(found, first.tenant, "", first.touchpoint, first.pairs, first.time)
        for a, b in itertools.pairwise(walk):
            stalled = self.end(a) is None and b.time > a.time + self.patience(a)
            names = [name for name, _ in b.pairs]
            pairs = b.pairs + tuple(pair for pair in a.pairs if pair[0] not in names)
            wait = round((b.time - a.time) * 1000)
            _count(found, a.tenant, a.touchpoint, b.touchpoint, pairs, b.time, wait, stalled or self.end(a) is not None)
        for a, until in zip(walk, [visit.time for visit in walk[1:]] + [silent_until], strict=True):
            end = self.end(a)
            if end is not None:
                _count(found, a.tenant, a.touchpoint, end, a.pairs, a.time)
                continue
            for node, at in (("@stalled", a.time + self.patience(a)), ("@gone", a.time + 2 * self.patience(a))):
                if until > at:
                    _count(found, a.tenant, a.touchpoint, node, a.pairs, at)

    # -- journeys ------------------------------------------------------------------------------------------------

    def journeys(self, visits: Iterable[Visit], clock: float) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The fields of `schemas.journey.Journey` (but version and origin) of each journey's newest walk."""
        return {key: self._journey(walks[-1], clock) for key, walks in self.walks(visits).items()}

    def _journey(self, walk: list[Visit], clock: float) -> dict[str, Any]:
        first, last = walk[0], walk[-1]
        end = self.end(last)
        gone_at = last.time + 2 * self.patience(last)
        status, ended_at = "open", None
        if end is not None:
            status, ended_at = ("reached" if end == "@goal" else "abandoned"), last.time
        elif clock > last.time + self.patience(last) and any(self.end(visit) == "@goal" for visit in walk):
            status, ended_at = "reached", last.time
        elif clock > gone_at:
            status, ended_at = "abandoned", gone_at
        elif clock > last.time + self.patience(last):
            status = "stalled"

        channels = [channel for channel in map(self._channel, walk) if channel is not None]
        switches = sum(a != b for a, b in itertools.pairwise(channels))
        repeats = len(walk) - len({visit.touchpoint for visit in walk})
        transfers = sum(visit.transfers or 0 for visit in walk)
        retries = sum(max((visit.attempts or 1) - 1, 0) for visit in walk)
        marks = [first.time, *(visit.time for visit in walk if visit.initiator == "company"), last.time]
        goals: dict[str, float] = {}
        value: dict[str, int] = {}
        segments: dict[str, str] = {}
        for visit in walk:
            if self.end(visit) == "@goal":
                goals.setdefault(visit.touchpoint, visit.time)
            if visit.currency is not None:
                value[visit.currency] = value.get(visit.currency, 0) + (visit.amount_minor or 0)
            segments.update(visit.pairs)
        return {
            "tenant": first.tenant,
            "subject": first.subject,
            "journey": first.journey,
            "status": status,
            "started_at": first.time,
            "last_at": last.time,
            "first_touchpoint": first.touchpoint,
            "last_touchpoint": last.touchpoint,
            "contacts": len(walk),
            "effort": sum(math.log1p(n) for n in (len(walk), switches, transfers, repeats, retries)),
            "ended_at": ended_at,
            "channels": list(dict.fromkeys(channels)),
            "channel_switches": switches,
            "repeats": repeats,
            "elapsed_s": last.time - first.time,
            "active_ms": sum(visit.active_ms or 0 for visit in walk),
            "wait_ms": sum(visit.wait_ms or 0 for visit in walk),
            "unaccompanied_s": max(b - a for a, b in itertools.pairwise(marks)),
            "goals": [Goal(touchpoint, time) for touchpoint, time in goals.items()],
            "value": value,
            "late": 0,
            "segments": segments,
            **self._experience(walk),
        }

    def _channel(self, visit: Visit) -> str | None:
        touchpoint = self.touchpoints.get(visit.touchpoint)
        channel = visit.channel or (touchpoint.channel if touchpoint is not None else None)
        return channel if channel != "unknown" else None

    def _experience(self, walk: list[Visit]) -> dict[str, Any]:
        scored = [(visit, visit.x) for visit in walk if visit.x is not None]
        xs = [x for _, x in scored]
        weights = [self._importance(visit) for visit, _ in scored]
        weight = sum(exact(weight) for weight in weights)
        memory = None
        farthest: float | None = None
        for x in xs:
            if farthest is None or abs(x - 0.5) >= abs(farthest - 0.5):
                farthest = x
        if farthest is not None:
            memory = (farthest + xs[-1]) / 2
        recovery = float(self.corridor.defaults.recovery)
        recovered, hurt_since = 0, None
        for number, (visit, x) in enumerate(scored):
            healed = [later for later, y in scored[number + 1 :] if y >= 0.7]
            if x < 0.4 and healed and healed[0].time - visit.time <= recovery:
                recovered += 1
            if x < 0.4 and not healed and hurt_since is None:
                hurt_since = visit.time
        return {
            "consistency": _consistency(xs),
            "peak_x": farthest,
            "last_x": xs[-1] if xs else None,
            "memory": memory,
            "memory_band": _band(memory),
            "score": 100 * sum(exact(w * x) for w, x in zip(weights, xs, strict=True)) / weight if weight else None,
            "scored": len(xs),
            "negative": sum(x < 0.4 for x in xs),
            "recovered": recovered,
            "open_negative_at": hurt_since,
        }

    def _importance(self, visit: Visit) -> float:
        touchpoint = self.touchpoints.get(visit.touchpoint)
        return touchpoint.importance if touchpoint is not None else 1.0


def _consistency(xs: list[float]) -> float | None:
    """1 - sd / 0.5: right to 1e-5, since a variance below 2^-31 counts as 0; the program rounds x to 2^-32."""
    if len(xs) < 2:
        return None
    mean = math.fsum(xs) / len(xs)
    return 1 - math.sqrt(math.fsum((x - mean) ** 2 for x in xs) / len(xs)) / 0.5


def _band(x: float | None) -> str:
    if x is None:
        return "unknown"
    return "negative" if x < 0.4 else "neutral" if x < 0.7 else "positive"


def _count(
    found: dict[Cell, dict[str, Any]],
    tenant: str,
    touchpoint: str,
    following: str,
    pairs: tuple[tuple[str, str], ...],
    at: float,
    wait_ms: int | None = None,
    resumed: bool = False,
) -> None:
    for name, value in (("", ""), *pairs):
        cell = (tenant, touchpoint, following, name, value, math.floor(at / 10) * 10)
        sums = found.setdefault(
            cell,
            {
                "n": 0,
                "resumed": 0,
                "wait_n": 0,
                "wait_ms_sum": 0,
                "wait_log_sum": 0.0,
                "wait_log_sum2": 0.0,
                "waits": {},
            },
        )
        sums["n"] += 1
        sums["resumed"] += int(resumed)
        if wait_ms is not None:
            log_wait = math.log(max(wait_ms, 1))
            sums["wait_n"] += 1
            sums["wait_ms_sum"] += wait_ms
            sums["wait_log_sum"] += exact(log_wait)
            sums["wait_log_sum2"] += exact(log_wait * log_wait)
            key = -1
            if wait_ms > 0:
                key = 0
                while GROWTH**key < wait_ms:
                    key += 1
            sums["waits"][key] = sums["waits"].get(key, 0) + 1
