"""What the score agent shows in /metrics, whatever names its sources make up."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from schemas import topics
from schemas.score import WINDOWS
from streams.agents import score
from streams.agents.score import MOST_UNMAPPED, ScoreTask
from streams.runtime.positions import Positions
from streams.runtime.settings import load_settings
from tests.builders import Record, corridor
from tests.sinks.rows import slice_

NAMED = ("web.checkout", "delivery.handover")


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> ScoreTask:
    monkeypatch.setattr(score, "read_back", lambda *_: {})
    found = ScoreTask(load_settings(kafka="localhost:1"), corridor(), ["touchpoint.events/0", "corredor.rekeyed/0"])
    asyncio.run(found.assign([0], Positions({}, {}, False), lambda: True))
    return found


def give(task: ScoreTask, counts: dict[str, int]) -> None:
    """So many events at each touchpoint, just now."""
    bucket = int(time.time()) // 10 * 10 - 10
    slices = [slice_(touchpoint=name, bucket=bucket, n=n, scored=n, neutral=n) for name, n in counts.items()]
    batch = [Record(offset, 0, None, msgspec.json.encode(one)) for offset, one in enumerate(slices)]
    asyncio.run(task.apply(topics.SLICES.name, 0, batch))


def shown(task: ScoreTask) -> dict[str, int]:
    rows: list[Any] = [row for row in task.current() if row.scope == "touchpoint"]
    names = [row.name for row in rows if row.window == WINDOWS[-1].name]
    assert len(rows) == len(names) * len(WINDOWS)
    return {row.name: row.n for row in rows}


def test_only_the_unmapped_touchpoints_with_the_most_events_are_in_metrics(task: ScoreTask) -> None:
    unmapped = {f"unknown-{n}": 10 + n for n in range(MOST_UNMAPPED + 30)}
    give(task, {**unmapped, **dict.fromkeys(NAMED, 1)})
    most = {name: n for name, n in unmapped.items() if n >= 40}
    assert len(most) == MOST_UNMAPPED
    assert shown(task) == {**most, **dict.fromkeys(NAMED, 1)}


def test_what_is_not_in_metrics_still_counts_and_is_published(task: ScoreTask) -> None:
    unmapped = {f"unknown-{n}": 1 for n in range(MOST_UNMAPPED + 30)}
    give(task, unmapped)
    whole = {row.n for row in task.current() if row.scope == "corridor"}
    assert whole == {MOST_UNMAPPED + 30}
    rows = [msgspec.json.decode(one["value"]) for _, sent in task.collect(time.time()).messages for one in sent]
    assert {row["name"] for row in rows if row["scope"] == "touchpoint"} == set(unmapped)


def test_few_unmapped_touchpoints_are_all_shown(task: ScoreTask) -> None:
    unmapped = {f"unknown-{n}": 1 for n in range(MOST_UNMAPPED)}
    give(task, unmapped)
    assert shown(task) == unmapped
