"""The micro-batch transport under a real Faust app: batches in order, nothing committed but what a checkpoint says."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from faust.types import TP

from schemas import topics
from streams.runtime import clients
from streams.runtime.faust_app import create_app
from streams.runtime.settings import Settings
from streams.runtime.transport import BatchConsumer, BatchScheduler, BatchTransport

EVENTS, REKEYED = topics.EVENTS.name, topics.REKEYED.name
COUNT = 3000


def produce(settings: Settings, topic: str, first: int, count: int) -> None:
    producer = clients.producer(settings)
    for n in range(first, first + count):
        producer.produce(topic, str(n).encode(), b"key", partition=n % 4, headers=[("ce_id", b"1")])
    assert producer.flush(30) == 0


def committed(settings: Settings) -> dict[int, int]:
    reader = clients.consumer(settings, settings.worker_group)
    try:
        places = reader.committed([TopicPartition(EVENTS, partition) for partition in range(4)], timeout=20)
        return {place.partition: max(place.offset, 0) for place in places}
    finally:
        reader.close()


class Life:
    """One run of an app that only remembers the batches it gets."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings)
        self.batches: list[Any] = []
        self.assigned: list[set[TP]] = []
        channel = self.app.topic(
            EVENTS, REKEYED, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
        )
        self.app.agent(channel, name="test")(self._take)
        self.app.on_partitions_assigned.connect(self._assigned, weak=False)

    async def _take(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self.batches.append(event.message)

    async def _assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        self.assigned.append(set(assigned))

    @property
    def records(self) -> list[Any]:
        return [item for batch in self.batches for item in batch.value]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(40):
            while not condition():
                await asyncio.sleep(0.02)

    def run(self, body: Callable[["Life"], Awaitable[None]]) -> "Life":
        async def main() -> None:
            await self.app.start()
            try:
                await body(self)
            finally:
                async with asyncio.timeout(20):
                    await self.app.stop()

        asyncio.run(main())
        return self


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_records_come_as_lists_in_order_and_only_a_checkpoint_commits(settings: Settings) -> None:
    produce(settings, EVENTS, 0, COUNT)

    async def first_half(life: Life) -> None:
        await life.until(lambda: len(life.records) == COUNT)
        # Faust has had everything; nothing is acknowledged.
        assert await asyncio.to_thread(committed, settings) == dict.fromkeys(range(4), 0)
        await life.app.consumer.commit_positions({TP(EVENTS, 0): 500, TP(EVENTS, 1): 750})
        assert await asyncio.to_thread(committed, settings) == {0: 500, 1: 750, 2: 0, 3: 0}

    first = Life(settings).run(first_half)
    assert len(first.batches) < COUNT / 10
    for partition in range(4):
        offsets = [item.offset for batch in first.batches if batch.partition == partition for item in batch.value]
        assert offsets == list(range(COUNT // 4))
    for batch in first.batches:
        assert batch.offset == batch.value[0].offset and isinstance(batch.value, list)
        assert {item.partition for item in batch.value} == {batch.partition}
    assert all(tuple(item.headers) == (("ce_id", b"1"),) for item in first.records)
    # Stopping has committed nothing either.
    assert committed(settings) == {0: 500, 1: 750, 2: 0, 3: 0}

    async def second_half(life: Life) -> None:
        await life.until(lambda: len(life.records) >= COUNT - 500 - 750)

    second = Life(settings).run(second_half)
    by_partition = {n: [item.offset for item in second.records if item.partition == n] for n in range(4)}
    assert by_partition == {0: list(range(500, 750)), 1: [], 2: list(range(750)), 3: list(range(750))}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_both_lanes_of_a_partition_are_assigned_together_and_records_that_come_later_are_read(
    settings: Settings,
) -> None:
    async def body(life: Life) -> None:
        await life.until(lambda: bool(life.assigned and life.assigned[-1]))
        for round_ in range(3):
            await asyncio.to_thread(produce, settings, REKEYED, 100 * round_, 100)
            await life.until(lambda seen=100 * (round_ + 1): len(life.records) == seen)

    life = Life(settings).run(body)
    lanes = {topic: {tp.partition for tp in life.assigned[-1] if tp.topic == topic} for topic in (EVENTS, REKEYED)}
    assert lanes == {EVENTS: {0, 1, 2, 3}, REKEYED: {0, 1, 2, 3}}
    assert sorted(int(item.value) for item in life.records) == list(range(300))


def test_the_scheduler_hands_over_whole_polls() -> None:
    polled = {TP("a", 0): [1, 2, 3], TP("b", 1): [4]}
    assert list(BatchScheduler().iterate(BatchScheduler.map_from_records(polled))) == list(polled.items())


def test_an_app_uses_the_batch_transport(tmp_path: Any) -> None:
    from streams.runtime.settings import load_settings

    app = create_app(load_settings(kafka="127.0.0.1:1", data_dir=tmp_path))
    assert isinstance(app.transport, BatchTransport) and app.transport.Consumer is BatchConsumer
    assert app.conf.ConsumerScheduler is BatchScheduler
