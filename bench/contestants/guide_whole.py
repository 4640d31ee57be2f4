"""Contestant: the work of the ingest agent, as Faust's guide shows how to do such things.

Records as models, `async for event in stream`, a windowed Table of sums with a row for the touchpoint and for each
segment pair, a Table of recent ids. It gets the project's own scorer and sums. Left out in its favour: rejections,
lateness, most fields of the scored event, exactly-once state; and its clock runs from the first event to the last,
without start, recovery and commit.
"""

import json
from datetime import datetime
from typing import Any

import faust
import msgspec

from bench.contestants import COUNTS, DONE, IDS_TABLE, OUTPUT_TOPIC, READY, SHORT_TOPIC, faust_way
from schemas.corridor import CorridorMap
from schemas.slice import Sums
from streams.model.duplicates import MAX_RECENT, identity
from streams.model.places import Places
from streams.model.slices import add
from streams.runtime.settings import Settings


# Faust ships no types, so its models look untyped to mypy; and their fields say what they are.
class Expectation(faust.Record):  # type: ignore[misc]  # noqa: D101
    expected: float
    actual: float
    tolerance: float | None = None
    unit: str = ""
    better: str = "lower"


class Rating(faust.Record):  # type: ignore[misc]  # noqa: D101
    value: float
    min: float
    max: float
    better: str = "higher"
    instrument: str | None = None


class Data(faust.Record):  # type: ignore[misc]  # noqa: D101
    touchpoint: str
    outcome: str
    channel: str | None = None
    stage: str | None = None
    journey: str | None = None
    actor: str = "buyer"
    contact: str | None = None
    expectation: Expectation | None = None
    rating: Rating | None = None
    sentiment: float | None = None
    wait_ms: int | None = None
    attempts: int | None = None
    transfers: int | None = None
    segment: dict[str, str] | None = None


class Event(faust.Record, isodates=True):  # type: ignore[call-arg,misc]  # noqa: D101
    id: str
    source: str
    subject: str
    time: datetime
    data: Data
    tenant: str = "default"


class Scored(faust.Record):  # type: ignore[misc]  # noqa: D101
    id: str
    source: str
    subject: str
    touchpoint: str
    time: datetime
    x: float | None
    outcome: float | None
    promise: float | None
    rating: float | None
    sentiment: float | None
    effort: float | None
    wait: float | None


def create_app(settings: Settings, corridor: CorridorMap, last: int) -> faust.App:
    """The app; it tells when it has seen its first event and its `last` one."""
    app = faust_way.create_app(settings)
    events = app.topic(SHORT_TOPIC, value_type=Event)
    scored = app.topic(OUTPUT_TOPIC, value_type=Scored)
    ids = app.Table(IDS_TABLE, default=list, partitions=settings.partitions)
    sums = faust_way.sums_table(app, settings, dict, Event.time)
    places = Places(corridor)
    seen = 0

    def tell() -> None:
        nonlocal seen
        seen += 1
        if seen == last:
            print(DONE, flush=True)
            counts = [(key[0][0], int(key[1][0]), row["n"]) for key, row in sums.table.data.items() if not key[0][1]]
            print(COUNTS, json.dumps(counts), flush=True)

    @app.agent(events)  # type: ignore[untyped-decorator]  # see above
    async def ingest(stream: Any) -> None:
        async for event in stream:
            if seen == 0:
                print(READY, flush=True)
            data = event.data
            journey = f"{event.subject}/{data.journey or event.subject}"
            recent, this = ids[journey], identity(event.source, event.id)
            if this not in recent:
                ids[journey] = [*recent[1 - MAX_RECENT :], this]
                place = places.find(event.tenant, data)
                x = place.scorer(data)
                for name, value in (("", ""), *places.pairs(data.segment or {})):
                    key = data.touchpoint, name, value
                    found = msgspec.convert(sums[key].value(), Sums)
                    add([found], data, x, place.scorer.tolerable_wait_ms, False)
                    sums[key] = msgspec.to_builtins(found)
                await scored.send(
                    key=event.subject,
                    value=Scored(
                        event.id,
                        event.source,
                        event.subject,
                        data.touchpoint,
                        event.time,
                        x.x,
                        x.outcome,
                        x.promise,
                        x.rating,
                        x.sentiment,
                        x.effort,
                        x.wait,
                    ),
                )
            tell()

    return app


if __name__ == "__main__":
    faust_way.work(create_app)
