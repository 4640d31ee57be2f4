"""Contestant: Faust as its guide shows it: Records as models, `async for event in stream`, a windowed Table; less work.

Left out in its favour: three of the six components of x, rejections, segments, waits, surveys, duplicates, exactly-once
state; and its clock runs from the first event to the last, without start, recovery and commit.
"""

import json
from datetime import datetime
from math import exp
from typing import Any

import faust

from bench.contestants import COUNTS, DONE, OUTPUT_TOPIC, READY, SHORT_TOPIC, faust_way
from schemas.corridor import CorridorMap
from streams.runtime.settings import Settings

_OUTCOME = {"success": 1.0, "partial": 0.5, "failure": 0.0, "abandoned": 0.0}


# Faust ships no types, so its models look untyped to mypy; and their fields say what they are.
class Expectation(faust.Record):  # type: ignore[misc]  # noqa: D101
    expected: float
    actual: float
    tolerance: float = 1.0


class Data(faust.Record):  # type: ignore[misc]  # noqa: D101
    touchpoint: str
    outcome: str
    expectation: Expectation | None = None
    wait_ms: int | None = None


class Event(faust.Record, isodates=True):  # type: ignore[call-arg,misc]  # noqa: D101
    id: str
    source: str
    subject: str
    time: datetime
    data: Data


class Scored(faust.Record):  # type: ignore[misc]  # noqa: D101
    id: str
    source: str
    subject: str
    touchpoint: str
    x: float | None


def experience(data: Any, tolerable_wait_ms: float) -> float | None:
    """x of outcome, promise and wait with the default weights."""
    outcome = _OUTCOME.get(data.outcome)
    if outcome is None:
        return None
    total, weight = 2.0 * outcome, 2.0
    if data.expectation is not None:
        u = (data.expectation.expected - data.expectation.actual) / data.expectation.tolerance
        total += 2.0 * (0.7 + 0.3 * (1.0 - exp(-u)) if u >= 0 else 0.7 * exp(u))
        weight += 2.0
    if data.wait_ms is not None:
        total += 0.5 ** (data.wait_ms / tolerable_wait_ms)
        weight += 1.0
    return total / weight


def create_app(settings: Settings, corridor: CorridorMap, last: int) -> faust.App:
    """The app; it tells when it has seen its first event and its `last` one."""
    app = faust_way.create_app(settings)
    events = app.topic(SHORT_TOPIC, value_type=Event)
    scored = app.topic(OUTPUT_TOPIC, value_type=Scored)
    sums = faust_way.sums_table(app, settings, lambda: [0, 0.0, 0.0, 0], Event.time)
    waits = {touchpoint.name: 1000.0 * float(touchpoint.tolerable_wait or 60.0) for touchpoint in corridor.touchpoints}
    seen = 0

    @app.agent(events)  # type: ignore[untyped-decorator]  # see above
    async def ingest(stream: Any) -> None:
        nonlocal seen
        async for event in stream:
            if seen == 0:
                print(READY, flush=True)
            data = event.data
            x = experience(data, waits.get(data.touchpoint, 60_000.0))
            count, total, squares, negative = sums[data.touchpoint].value()
            if x is not None:
                total, squares, negative = total + x, squares + x * x, negative + (x < 0.4)
            sums[data.touchpoint] = [count + 1, total, squares, negative]
            await scored.send(
                key=event.subject, value=Scored(event.id, event.source, event.subject, data.touchpoint, x)
            )
            seen += 1
            if seen == last:
                print(DONE, flush=True)
                counts = [(key[0], int(key[1][0]), row[0]) for key, row in sums.table.data.items()]
                print(COUNTS, json.dumps(counts), flush=True)

    return app


if __name__ == "__main__":
    faust_way.work(create_app)
