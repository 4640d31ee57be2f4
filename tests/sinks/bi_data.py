"""Data for the queries of the documentation and the dashboards: two hours of customers until now, through the model.

Eighty journeys walk the retail map. Carrier `swift` breaks its promises, every fifth customer leaves at the checkout,
every fourth needs support, and from the fiftieth on the checkout is the improved one.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from schemas import topics
from schemas.corridor import Duration
from schemas.incident import Cause
from schemas.loader import load_map
from sinks import bi
from sinks.clickhouse import ClickHouse
from streams.model.ingest import Ingest
from streams.runtime.settings import DEFAULT_MAP
from tests.builders import Record, event, record
from tests.sinks.rows import lines, score
from tests.sinks.test_corridor_views import standing, way
from tests.sinks.test_incident_views import incident

RETAIL = load_map(DEFAULT_MAP)
#: The same map in a hurry: within the two hours journeys stall, are gone, and are settled.
HURRIED = replace(
    RETAIL,
    touchpoints=tuple(replace(place, patience=Duration(900)) for place in RETAIL.touchpoints),
    defaults=replace(RETAIL.defaults, allowed_lateness=Duration(60)),
)
JOURNEYS = 80
SPAN_S = 7200
TABLES = (
    "touchpoint_events",
    "rejected_events",
    "experience_slices",
    "experience_scores",
    "journeys",
    "incidents",
    "corridor",
    "corridor_map",
    "forgotten",
)


def walk(number: int, rng: random.Random) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """The contacts of one customer: seconds after the first, outcome, fields of the data."""
    carrier = ("swift", "norte")[number % 2]
    segment = {"region": ("north", "south", "east")[number % 3], "device": ("mobile", "desktop")[number % 2]}
    value = {"amount_minor": 2000 + 137 * number, "currency": "EUR" if number % 7 else "USD"}
    change = {"change": "one-page-checkout"} if number >= 50 else {}

    def contact(at: float, touchpoint: str, outcome: str = "success", **more: Any) -> tuple[float, str, dict[str, Any]]:
        return at, outcome, {"touchpoint": touchpoint, "segment": segment, "wait_ms": rng.randint(200, 9000), **more}

    yield contact(0, "web.search")
    yield contact(30, "web.product", sentiment=rng.uniform(-0.5, 1))
    yield contact(90, "web.checkout", attempts=1 + number % 4, value=value, **change)
    if number % 5 == 0:
        yield contact(120, "web.payment", "abandoned", value=value)
        return
    yield contact(150, "web.payment", "failure" if number % 4 == 0 else "success", value=value)
    late = 120 if carrier == "swift" else 10
    promise = {"expected": 24, "actual": 20 + rng.uniform(0, late), "tolerance": 12, "unit": "h", "better": "lower"}
    segment = {**segment, "carrier": carrier}
    yield contact(
        400,
        "delivery.handover",
        "failure" if number % 12 == 2 else "success",
        expectation=promise,
        value=value,
        aspects={"packaging": rng.random()},
    )
    if number % 4 == 0:
        yield contact(500, "support.contact", "partial", transfers=number % 3, queue_depth=number % 6, servers=2)
        yield contact(600, "support.answer", initiator="company")
    rated = {"value": rng.randint(0, 10), "min": 0, "max": 10, "better": "higher", "instrument": "nps"}
    yield contact(700, "survey.nps", rating=rated)
    answer = {"value": rng.randint(1, 5), "min": 1, "max": 5, "better": "higher", "instrument": "csat"}
    yield contact(720, "survey.csat", rating=answer)
    if number % 6 == 0:
        stars = {"value": rng.randint(1, 3), "min": 1, "max": 5, "better": "higher", "instrument": "stars"}
        yield contact(900, "social.review", audience=100 + number, rating=stars)


def records(start: float) -> list[Record]:
    """What stands in the topic: the contacts in the order of their times, and one that breaks the contract."""
    rng = random.Random(7)
    found = []
    for number in range(JOURNEYS):
        first = start + number * (SPAN_S - 1000) / JOURNEYS
        for at, outcome, data in walk(number, rng):
            more = {"tenant": "outlet"} if number % 8 == 0 else {}
            data = {**data, "outcome": outcome, "journey": f"order-{number}"}
            found.append((first + at, f"customer-{number // 2}", data, more))
    found.sort(key=lambda one: one[0])
    made = [
        record(offset, event(at, id=f"event-{offset}", subject=who, data=data, source="shop", **more), at + 1)
        for offset, (at, who, data, more) in enumerate(found)
    ]
    return [*made, record(len(made), b'{"specversion":"1.0","source":"shop"', start + SPAN_S - 60)]


def _scores(now: int) -> Iterator[Any]:
    scopes = [("touchpoint", place.name) for place in RETAIL.touchpoints]
    scopes += [("stage", "before"), ("stage", "during"), ("stage", "after"), ("channel", "web"), ("corridor", "")]
    for index, (scope, name) in enumerate(scopes):
        for window in ("5m", "1h", "24h"):
            for minute in range(0, 120, 5):
                worth = 70 + 10 * math.sin(index + minute / 20)
                yield score(
                    scope=scope, name=name, window=window, at=now - 60 * minute, version=1, n=50, scored=48,
                    score=worth, score_low=worth - 4, score_high=worth + 4, negative=0.1, negative_low=0.05,
                    negative_high=0.2, neutral=0.3, positive=0.6, gap=-0.1, gap_broken=0.3, gap_n=20, nps=12.0,
                    nps_low=1.0, nps_high=23.0, nps_n=30, csat=61.0, csat_n=30, ces=5.1, ces_n=30, apdex=0.8,
                    wait_n=40,
                )  # fmt: skip
                if scope == "touchpoint" and minute == 0:
                    region = {"segment": "region", "segment_value": "north", "score_low": 50.0, "score_high": 80.0}
                    yield score(scope=scope, name=name, window=window, at=now, n=9, scored=9, score=worth - 9, **region)


def fill(store: ClickHouse, now: int) -> None:
    """Empty all tables and fill them with what happened until `now` (epoch seconds)."""
    for table in TABLES:
        store.command(f"TRUNCATE TABLE corredor.{table}")
    bi.prepare(store, RETAIL)
    state = Ingest(0, HURRIED, lambda _: 0)
    outcome = state.apply(topics.EVENTS.name, records(now - SPAN_S))
    state.advance(now)
    snapshot = state.snapshot()
    store.insert("touchpoint_events", b"\n".join(_value(message) for message in outcome.scored))
    store.insert("rejected_events_landing", b"\n".join(_value(message) for message in outcome.rejected))
    store.insert("experience_slices", b"\n".join(value for _, _, value in snapshot.slices))
    store.insert("journeys", b"\n".join(_value(message) for message in snapshot.journeys))
    store.insert("experience_scores", lines(*_scores(now - now % 10)))
    _corridor(store, now - now % 60)
    store.insert("incidents", lines(*_incidents(now)))
    receipt = {
        "request": "r-1", "asked_at": now - 900, "done_at": now - 800, "salt": "0" * 32, "digest": "0" * 64,
        "rows": {"journeys": 1}, "records": {}, "left": {},
    }  # fmt: skip
    store.insert("forgotten", msgspec.json.encode(receipt))


def _incidents(now: int) -> Iterator[Any]:
    still = {"status": "open", "updated_at": now - 60, "resolved_at": 0, "ended_at": 0}
    cause = Cause("carrier", "swift", 0.9, 0.1, 0.05, 0.1, 0.4, 30)
    broken = {"touchpoint": "delivery.handover", "measure": "broken_promise", "causes": (cause,)}
    yield incident(id="a" * 16, since=now - 5400, detected_at=now - 5300, **broken, **still)
    over = {"updated_at": now - 600, "resolved_at": now - 600, "ended_at": now - 900}
    yield incident(id="b" * 16, touchpoint="web.payment", since=now - 7000, detected_at=now - 6900, **over)
    slow = {"kind": "congestion", "measure": "wait", "unit": "ms", "before": 60000.0, "now": 180000.0, "depth": 3.0}
    place = {"touchpoint": "web.payment", "following": "delivery.handover", "severity": "ticket"}
    yield incident(id="c" * 16, since=now - 3000, detected_at=now - 2900, **slow, **place, **still)


def _corridor(store: ClickHouse, minute: int) -> None:
    rows: list[Any] = []
    for back in range(0, 3600, 600):
        at = minute - back
        for index, touchpoint in enumerate(("web.checkout", "web.payment", "delivery.handover", "support.contact")):
            limits = {"score_low": 55.0, "score_high": 65.0, "importance_low": 0.3, "importance_high": 0.7}
            rows.append(standing(touchpoint, at, importance=0.5 - 0.1 * index, **limits))
        seen = {"first_seen": minute - 6000, "last_seen": minute - 60, "usual_share": 0.05}
        rows.append(way("web.checkout", "web.payment", at, **seen))
        rows.append(way("web.payment", "delivery.handover", at, declared=False, drift="new", **seen))
    store.insert("corridor", lines(*rows))


def _value(message: Any) -> bytes:
    value = message["value"]
    assert isinstance(value, bytes)
    return value
