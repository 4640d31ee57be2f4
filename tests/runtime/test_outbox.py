"""The outbox against the embedded cluster: all is delivered, a failure stops the process, a full queue waits."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.outbox import Outbox
from streams.runtime.settings import Settings, load_settings

TOPIC = "touchpoint.scored"


@pytest.fixture
def settings() -> Iterator[Settings]:
    with EmbeddedKafka() as kafka:
        yield load_settings(kafka=kafka.bootstrap)


def messages(count: int, size: int = 10) -> list[dict[str, Any]]:
    return [{"key": f"{n}".encode(), "value": b"x" * size, "partition": n % 4} for n in range(count)]


def read(settings: Settings, topic: str, count: int) -> list[Any]:
    """The first `count` messages of all partitions."""
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": "test", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
        found: list[Any] = []
        deadline = time.monotonic() + 20
        while len(found) < count and time.monotonic() < deadline:
            found += [message for message in consumer.consume(1000, 0.2) if message.error() is None]
        return found
    finally:
        consumer.close()


def small_queue(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> None:
    original = clients.producer

    def small(settings: Settings, **given: Any) -> Any:
        return original(settings, **{**given, "queue.buffering.max.messages": 10, "linger.ms": 0, **extra})

    monkeypatch.setattr(clients, "producer", small)


def test_everything_published_is_there_after_the_flush(settings: Settings) -> None:
    outbox = Outbox(settings, {})

    async def scenario() -> None:
        await outbox.publish(TOPIC, messages(3000))
        await outbox.flush(outbox.turn())

    asyncio.run(scenario())
    found = read(settings, TOPIC, 3000)
    assert {message.key() for message in found} == {item["key"] for item in messages(3000)}
    assert all(int(message.key()) % 4 == message.partition() for message in found)
    assert len(found) == 3000


def test_nothing_to_publish_is_no_error(settings: Settings) -> None:
    outbox = Outbox(settings, {})
    asyncio.run(outbox.publish(TOPIC, []))
    asyncio.run(outbox.flush(outbox.turn()))


def test_two_producers_take_turns(settings: Settings) -> None:
    outbox = Outbox(settings, {})

    async def scenario() -> None:
        await outbox.publish(TOPIC, messages(1))
        first = outbox.turn()
        second = outbox.turn()
        assert first is not second and outbox.turn() is first
        # What comes after the turn does not belong to the producer that is flushed.
        await outbox.publish(TOPIC, messages(1), second)
        await outbox.flush(first)
        await outbox.flush(second)

    asyncio.run(scenario())
    assert len(read(settings, TOPIC, 2)) == 2


def test_a_full_queue_makes_the_publisher_wait_and_loses_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_queue(monkeypatch)
    outbox = Outbox(settings, {})
    headers: list[tuple[str, bytes | None]] = [("h", b"v"), ("n", None)]

    async def scenario() -> None:
        await outbox.publish(TOPIC, messages(500))
        for n in range(50):
            await outbox.hand_over("corredor.rekeyed", b"k", f"{n}".encode(), headers, 1_700_000_000_000)
        await outbox.flush(outbox.turn())

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert sorted(int(message.key()) for message in read(settings, TOPIC, 500)) == list(range(500))
    handed = read(settings, "corredor.rekeyed", 50)
    assert sorted(int(message.value()) for message in handed) == list(range(50))
    assert {message.timestamp()[1] for message in handed} == {1_700_000_000_000}
    assert all(message.headers() == [("h", b"v"), ("n", None)] for message in handed)


def test_a_message_that_no_queue_takes_stops_the_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    small_queue(monkeypatch, **{"message.max.bytes": 2000})
    outbox = Outbox(settings, {})
    with pytest.raises(StopProcess, match=r"cannot be published to touchpoint\.scored"):
        asyncio.run(outbox.publish(TOPIC, messages(1, size=5000)))


@pytest.mark.parametrize("paced", [False, True])
def test_a_delivery_that_fails_stops_the_process(monkeypatch: pytest.MonkeyPatch, paced: bool) -> None:
    small_queue(monkeypatch, **{"message.timeout.ms": 300})
    outbox = Outbox(load_settings(kafka="127.0.0.1:1", kafka_paced=paced), {})

    async def scenario() -> None:
        await outbox.publish(TOPIC, messages(1))
        await outbox.flush(outbox.turn())

    with pytest.raises(StopProcess, match="could not be delivered"):
        asyncio.run(asyncio.wait_for(scenario(), 60))
    with pytest.raises(StopProcess):
        outbox.check()


def test_on_a_short_log_the_publisher_waits_for_the_readers(settings: Settings) -> None:
    paced = settings.model_copy(update={"kafka_paced": True})
    outbox = Outbox(paced, {TOPIC: ["readers"]})
    big = [{**message, "partition": 0} for message in messages(400, size=20_000)]

    async def scenario() -> None:
        publishing = asyncio.create_task(outbox.publish(TOPIC, big))
        await asyncio.sleep(1.0)
        assert not publishing.done()
        await asyncio.to_thread(_read_and_commit, settings, publishing)
        await publishing
        await outbox.flush(outbox.turn())

    asyncio.run(asyncio.wait_for(scenario(), 60))


def _read_and_commit(settings: Settings, publishing: "asyncio.Task[None]") -> None:
    consumer = clients.consumer(settings, "readers")
    try:
        consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in range(4)])
        while not publishing.done():
            for message in consumer.consume(1000, 0.1):
                if message.error() is None:
                    consumer.commit(message, asynchronous=False)
    finally:
        consumer.close()
