"""The job as Faust's guide shows it: Records as models, `async for` in agents, Tables, a tumbling window.

The scored events are keyed by touchpoint, so that the agent that sums them finds all of one touchpoint in one
partition; `group_by` would do the same with one topic more.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import faust

from bench.peers.job import BUCKET_S, COMMIT_S, GRACE_S, RECENT, Job, Start, bucket_of, experience, load


# Faust ships no types, so its models look untyped to mypy; and their fields say what they are.
class Data(faust.Record):  # type: ignore[misc]  # noqa: D101
    touchpoint: str
    outcome: str
    expectation: dict[str, Any] | None = None
    rating: dict[str, Any] | None = None
    sentiment: float | None = None
    attempts: int | None = None
    transfers: int | None = None
    wait_ms: int | None = None


class Event(faust.Record, isodates=True):  # type: ignore[call-arg,misc]  # noqa: D101
    id: str
    source: str
    subject: str
    time: datetime
    data: Data


class Scored(faust.Record):  # type: ignore[misc]  # noqa: D101
    source: str
    id: str
    subject: str
    touchpoint: str
    time: float
    x: float | None


class Sum(faust.Record):  # type: ignore[misc]  # noqa: D101
    touchpoint: str
    bucket: int
    n: int
    x: float


def create_app(job: Job) -> faust.App:
    """The app, with Faust's defaults but for the commit interval."""
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        broker_commit_interval=COMMIT_S,
        topic_partitions=job.partitions,
        datadir=Path(job.folder),
        autodiscover=False,
        web_enabled=False,
    )
    events = app.topic(job.events, value_type=Event)
    scored = app.topic(job.scored, value_type=Scored)
    sums = app.topic(job.sums, value_type=Sum)
    recent = app.Table("recent", default=list)
    windows = (
        app.Table("windows", default=lambda: (0, 0.0))
        .tumbling(BUCKET_S, expires=timedelta(seconds=GRACE_S))
        .relative_to_field(Scored.time)
    )
    start = Start()

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def score(stream: Any) -> None:
        async for event in stream:
            start()
            ids, this = recent[event.subject], f"{event.source} {event.id}"
            if this in ids:
                continue
            recent[event.subject] = [*ids[1 - RECENT :], this]
            data = event.data
            x = experience(
                job.rules_of(data.touchpoint),
                data.outcome,
                data.expectation,
                data.rating,
                data.sentiment,
                data.attempts,
                data.transfers,
                data.wait_ms,
            )
            await scored.send(
                key=data.touchpoint,
                value=Scored(event.source, event.id, event.subject, data.touchpoint, event.time.timestamp(), x),
            )

    @app.agent(scored)  # type: ignore[untyped-decorator]
    async def add(stream: Any) -> None:
        async for event in stream:
            n, x = windows[event.touchpoint].value()
            windows[event.touchpoint] = n, x = n + 1, x + (event.x or 0.0)
            await sums.send(key=event.touchpoint, value=Sum(event.touchpoint, bucket_of(event.time), n, x))

    return app


if __name__ == "__main__":
    faust.Worker(create_app(load()), loglevel="WARNING", redirect_stdouts=False).execute_from_commandline()
