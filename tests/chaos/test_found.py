"""What chaos runs have found, each as small as it gets."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, cast
from unittest import mock

import msgspec
import pytest

from schemas import topics
from schemas.slice import Progress, Slice
from streams.agents import ingest, score
from streams.agents.ingest import LANES, IngestTask
from streams.agents.score import ScoreTask
from streams.model.ingest import Ingest
from streams.runtime import state_log
from streams.runtime.outbox import Outbox
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings, load_settings
from tests.builders import NOW, Record, corridor, event, record
from tests.sinks.fakes import FakeMessage
from tests.sinks.rows import slice_

EVENTS, REKEYED = LANES


def _changelog(records: Iterable[Record]) -> dict[bytes, bytes]:
    """What is read back after these records."""
    state = Ingest(0, corridor(), lambda _: 0)
    state.apply(EVENTS, records)
    return {key: value for key, value in state.snapshot().state if value is not None}


def _ingest(settings: Settings) -> IngestTask:
    return IngestTask(settings, corridor(), mock.create_autospec(Outbox), lambda _: 0, 1, lambda *_: True)


@pytest.fixture
def settings() -> Settings:
    return load_settings(kafka="localhost:1")


def test_state_that_is_ahead_of_the_acknowledged_position_is_acknowledged_though_no_event_comes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker died between writing its state and committing; the lag of its partitions stayed for ever."""
    back = _changelog(record(offset, event(id=f"id-{offset}")) for offset in range(5))
    monkeypatch.setattr(ingest, "read_back", lambda *_: back)
    monkeypatch.setattr(ingest, "StateLog", mock.Mock())
    task = _ingest(settings)
    positions = Positions({(EVENTS, 0): 2, (REKEYED, 0): 0}, {}, False)
    asyncio.run(task.assign([0], positions, lambda: True))
    effects = task.collect(NOW)
    assert effects.positions == {(EVENTS, 0): 5}
    published = [topic for topic, _ in effects.messages]
    assert published == [topics.SLICES.name, topics.JOURNEYS.name], "and what may not have been published is"


def test_a_partition_given_up_while_others_are_read_back_is_not_taken_over(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = mock.Mock()
    monkeypatch.setattr(ingest, "read_back", lambda *_: {})
    monkeypatch.setattr(ingest, "StateLog", log)
    asyncio.run(_ingest(settings).assign([0, 1], Positions({}, {}, False), lambda: False))
    assert not log.called, "opening the log would fence its new owner"


class _Logged(FakeMessage):
    """A message of `experience.slices`; its value is what was published."""

    def key(self) -> bytes:
        item: Any = self._value
        return item.key if isinstance(item, Slice) else msgspec.json.encode(("progress", item.origin))

    def value(self) -> bytes:
        return msgspec.json.encode(self._value)


class _Slices:
    """The log of `experience.slices` and whoever owns it."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.log: list[Any] = []
        monkeypatch.setattr(score, "read_back", self._read_back)

    def _read_back(
        self, _settings: Settings, topic: str, partition: int, until: int, replaces: Callable[[bytes, bytes], bool]
    ) -> dict[bytes, bytes]:
        reader = mock.Mock()
        reader.consume.return_value = [_Logged(topic, partition, *item) for item in enumerate(self.log)]
        return state_log._read(reader, topic, partition, until, replaces) if until else {}

    def owner(self, committed: int) -> ScoreTask:
        task = ScoreTask(self.settings, corridor(), ["touchpoint.events/0", "corredor.rekeyed/0"])
        positions = Positions({(topics.SLICES.name, 0): committed}, {}, False)
        asyncio.run(task.assign([0], positions, lambda: True))
        return task

    def apply(self, task: ScoreTask, *items: Any) -> list[dict[str, Any]]:
        first = len(self.log)
        self.log += items
        batch = [Record(first + number, 0, None, msgspec.json.encode(item)) for number, item in enumerate(items)]
        asyncio.run(task.apply(topics.SLICES.name, 0, batch))
        messages = [message for _, sent in task.collect(NOW).messages for message in sent]
        return [msgspec.json.decode(cast(bytes, message["value"])) for message in messages]


def test_a_score_of_a_later_owner_wins_although_its_clock_is_a_day_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Versions came from the clock; after a jump the scores of whoever came next were ignored by ClickHouse."""
    slices = _Slices(settings, monkeypatch)
    idle = [Progress(f"{lane}/0", 0, None) for lane in LANES]
    one = slice_(n=1, scored=1, sum_x=0.5, sum_xx=0.25, neutral=1)
    two = slice_(n=2, scored=2, sum_x=1.0, sum_xx=0.5, neutral=2, version=1)
    clock = {"now": NOW}
    monkeypatch.setattr("time.time_ns", lambda: int(clock["now"] * 1e9))
    first = slices.apply(slices.owner(0), *idle, one)
    clock["now"] = NOW - 86_400
    second = slices.apply(slices.owner(len(slices.log)), two)
    assert first and second
    assert max(row["version"] for row in first) < min(row["version"] for row in second)


def test_an_old_slice_that_a_former_owner_publishes_late_does_not_replace_the_newer_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker stopped after its state was committed woke up and published; a score agent that began anew took it."""
    slices = _Slices(settings, monkeypatch)
    idle = [Progress(f"{lane}/0", 0, None) for lane in LANES]
    nine = slice_(n=9, scored=9, sum_x=4.5, sum_xx=2.25, neutral=9, version=9)
    five = slice_(n=5, scored=5, sum_x=2.5, sum_xx=1.25, neutral=5, version=5)
    other = slice_(n=1, scored=1, sum_x=0.5, sum_xx=0.25, neutral=1, part=20, version=20)
    slices.apply(slices.owner(0), nine, *idle, five)
    rows = slices.apply(slices.owner(len(slices.log)), other)
    assert {row["n"] for row in rows if row["scope"] == "touchpoint"} == {10}, "9 and the other, not 5 and the other"
