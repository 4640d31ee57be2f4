"""The same results once more, from DOMAIN.md's formulas alone: plain, offline, without any of `streams.model`.

What the pipeline leaves in ClickHouse is compared with this: counts exactly, sums to 1e-9. (The program rounds every
summand to a multiple of 2^-32, so a sum of n values may differ by n * 1.2e-10 at most.) `_offline_scores` has the
rolling windows.
"""

from collections.abc import Callable, Iterable
from math import exp, log
from typing import Any

from schemas.corridor import CorridorMap, Promise, Touchpoint
from schemas.event import TouchpointData, TouchpointEvent
from schemas.slice import Cell
from tests.offline_scores import Scores, scores

__all__ = ["Event", "Scores", "accepted", "experience", "scores", "slices"]

#: (partition, offset, arrival in epoch seconds, event).
Event = tuple[int, int, float, TouchpointEvent]
BUCKET_S = 10
GROWTH = 1.02 / 0.98
COMPONENTS = ("outcome", "promise", "rating", "sentiment", "effort", "wait")
DEFAULT_WEIGHTS = {"outcome": 2.0, "promise": 2.0, "rating": 3.0, "sentiment": 2.0, "effort": 1.0, "wait": 1.0}


def accepted(events: Iterable[Event]) -> list[Event]:
    """The events without duplicates: the first of each tenant, subject, journey, source and id, in published order."""
    seen = set()
    first = []
    for item in events:
        event = item[3]
        key = (event.tenant, event.subject, event.data.journey or event.subject, event.source, event.id)
        if key not in seen:
            seen.add(key)
            first.append(item)
    return first


def late_places(events: Iterable[Event], corridor: CorridorMap) -> set[tuple[int, int]]:
    """Partition and offset of each event that is further than the allowed lateness behind its source's newest event.

    A source's newest event time is kept for each partition; duplicates move it too.
    """
    newest: dict[tuple[int, str], float] = {}
    found = set()
    for partition, offset, _, event in events:
        at = event.time.timestamp()
        clock = newest.get((partition, event.source), at)
        if at < clock - corridor.defaults.allowed_lateness:
            found.add((partition, offset))
        newest[partition, event.source] = max(clock, at)
    return found


def experience(data: TouchpointData, corridor: CorridorMap, touchpoint: Touchpoint | None) -> dict[str, Any]:
    """x, its components and the gap u; None where absent."""
    parts: dict[str, float | None] = dict.fromkeys(COMPONENTS)
    parts["outcome"] = {"success": 1.0, "partial": 0.5, "failure": 0.0, "abandoned": 0.0, "pending": None}[data.outcome]
    u = None
    if data.expectation is not None:
        promise: Promise = (touchpoint.promise if touchpoint else None) or corridor.defaults.promise
        tolerance = promise.tolerance if data.expectation.tolerance is None else data.expectation.tolerance
        u = (data.expectation.expected - data.expectation.actual) / tolerance
        u = -u if data.expectation.better == "higher" else u
        u = max(-1000.0, min(1000.0, u))
        curve = promise.curve
        if u < 0:
            parts["promise"] = curve.kept * exp(u / curve.loss)
        else:
            parts["promise"] = curve.kept + (1 - curve.kept) * (1 - exp(-u / curve.gain))
    if data.rating is not None:
        parts["rating"] = _share(data)
    if data.sentiment is not None:
        parts["sentiment"] = (data.sentiment + 1) / 2
    if data.attempts is not None or data.transfers is not None:
        parts["effort"] = exp(-(max((data.attempts or 0) - 1, 0) + (data.transfers or 0)) / 3)
    if data.wait_ms is not None:
        parts["wait"] = 0.5 ** (data.wait_ms / tolerable_wait_ms(corridor, touchpoint))
    weights: dict[str, float] = {**DEFAULT_WEIGHTS, **corridor.defaults.weights}
    weights.update(touchpoint.weights if touchpoint else {})
    present = {name: value for name, value in parts.items() if value is not None}
    weight = sum(weights[name] for name in present)
    known = data.outcome != "pending" and weight > 0
    x = sum(weights[name] * value for name, value in present.items()) / weight if known else None
    return {"x": x, "gap": u if data.outcome != "pending" else None, **parts}


def _share(data: TouchpointData) -> float:
    rating = data.rating
    assert rating is not None
    share = (rating.value - rating.min) / (rating.max - rating.min)
    return 1 - share if rating.better == "lower" else share


def tolerable_wait_ms(corridor: CorridorMap, touchpoint: Touchpoint | None) -> float:
    """The wait, in milliseconds, at which the wait component is a half."""
    own = touchpoint.tolerable_wait if touchpoint else None
    return float(own if own is not None else corridor.defaults.tolerable_wait) * 1000


def pairs(data: TouchpointData, corridor: CorridorMap) -> list[tuple[str, str]]:
    found = [("", "")]
    for segment in corridor.segments:
        value = (data.segment or {}).get(segment.name)
        if value:
            found.append((segment.name, value if not segment.values or value in segment.values else "other"))
    return found


def slices(
    events: Iterable[Event], corridor: CorridorMap, rounded: bool = False
) -> dict[tuple[Cell, int], dict[str, Any]]:
    """All sums by cell and bucket, over partitions and parts, of events in published order (duplicates are dropped).

    The fields are those of `schemas.slice.Sums`; `waits` is the histogram. With `rounded` every summand is a multiple
    of 2^-32, as docs/decisions/003-exact-sums.md has it: then the sums are the program's, bit for bit.
    """
    events = list(events)
    by_name = {touchpoint.name: touchpoint for touchpoint in corridor.touchpoints}
    late = late_places(events, corridor)
    found: dict[tuple[Cell, int], dict[str, Any]] = {}
    for partition, offset, _, event in accepted(events):
        data = event.data
        touchpoint = by_name.get(data.touchpoint)
        amounts = _amounts(data, corridor, touchpoint, _round if rounded else float)
        amounts["late"] = int((partition, offset) in late)
        bucket = int(event.time.timestamp() // BUCKET_S) * BUCKET_S
        for name, value in pairs(data, corridor):
            cell = Cell(
                event.tenant,
                data.touchpoint,
                data.channel or (touchpoint.channel if touchpoint else "unknown"),
                data.stage or (touchpoint.stage if touchpoint else "unknown"),
                data.actor,
                data.contact or (touchpoint.contact if touchpoint else "direct"),
                name,
                value,
            )
            sums = found.get((cell, bucket))
            if sums is None:
                sums = found[cell, bucket] = {**dict.fromkeys(amounts, 0), "waits": {}}
            for field, amount in amounts.items():
                sums[field] += amount
            if data.wait_ms is not None:
                key = wait_key(data.wait_ms)
                sums["waits"][key] = sums["waits"].get(key, 0) + 1
    return found


def wait_key(wait_ms: int) -> int:
    """The i with g^(i-1) < wait <= g^i, g = 1.02/0.98; -1 for no wait."""
    if wait_ms == 0:
        return -1
    key = round(log(wait_ms) / log(GROWTH))
    while GROWTH**key < wait_ms:
        key += 1
    while GROWTH ** (key - 1) >= wait_ms:
        key -= 1
    return key


def _round(value: float) -> float:
    return round(value * 2**32) / 2**32


def _amounts(
    data: TouchpointData, corridor: CorridorMap, touchpoint: Touchpoint | None, summand: Callable[[float], float]
) -> dict[str, Any]:
    """What one event adds to each sum."""
    scored = experience(data, corridor, touchpoint)
    x, u, wait = scored["x"], scored["gap"], data.wait_ms
    log_wait = log(max(wait, 1)) if wait is not None else 0.0
    tolerable = tolerable_wait_ms(corridor, touchpoint)
    rating = data.rating if data.outcome != "pending" else None
    answer = _share(data) if rating is not None else 0.0
    kind = rating.instrument if rating is not None else None
    ease = summand(1 + 6 * answer) if kind == "ces" else 0.0
    return {
        "n": 1,
        "scored": int(x is not None),
        "sum_x": summand(x or 0.0),
        "sum_xx": summand(x * x) if x is not None else 0.0,
        "negative": int(x is not None and x < 0.4),
        "neutral": int(x is not None and 0.4 <= x < 0.7),
        "positive": int(x is not None and x >= 0.7),
        "gap_n": int(u is not None),
        "gap_sum": summand(u or 0.0),
        "gap_broken": int(u is not None and u < 0),
        "wait_n": int(wait is not None),
        "wait_log_sum": summand(log_wait),
        "wait_log_sum2": summand(log_wait * log_wait),
        "wait_satisfied": int(wait is not None and wait <= tolerable),
        "wait_tolerating": int(wait is not None and tolerable < wait <= 4 * tolerable),
        "nps_n": int(kind == "nps"),
        "nps_promoters": int(kind == "nps" and 10 * answer >= 9),
        "nps_detractors": int(kind == "nps" and 10 * answer <= 6),
        "csat_n": int(kind == "csat"),
        "csat_top": int(kind == "csat" and 1 + 4 * answer >= 4),
        "ces_n": int(kind == "ces"),
        "ces_sum": ease,
        "ces_sum2": summand(ease * ease),
        "abandoned": int(data.outcome == "abandoned"),
        "pending": int(data.outcome == "pending"),
        "late": 0,
    }
