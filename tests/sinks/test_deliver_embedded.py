"""Delivery with the real engine and a real Kafka protocol: librdkafka's mock cluster."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from sinks import metrics
from sinks.clickhouse import ClickHouse
from sinks.deliver import Deliver, consumer
from streams.runtime import clients
from streams.runtime.settings import Settings
from tests.sinks.rows import encode, progress, rejected, score, scored, slice_

Eventually = Callable[[Callable[[], bool]], None]
pytestmark = pytest.mark.kafka


@contextmanager
def delivering(settings: Settings, store: ClickHouse) -> Iterator[list[BaseException]]:
    """Delivery in a thread with a connection of its own; errors it ends with are in the list."""
    own = ClickHouse.open(store.dsn)
    stop, failures = threading.Event(), list[BaseException]()
    deliver = Deliver(settings, own, consumer(settings), clients.producer(settings))

    def run() -> None:
        try:
            deliver.run(stop)
        except StopProcess as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join(20)
        own.close()
        assert not thread.is_alive()


def committed(settings: Settings, topic: str) -> int:
    reader = Consumer({"bootstrap.servers": settings.kafka, "group.id": settings.sink_group})
    parts = [TopicPartition(topic, number) for number in range(4)]
    try:
        return sum(max(0, part.offset) for part in reader.committed(parts, timeout=10))
    finally:
        reader.close()


def count(store: ClickHouse, view: str) -> int:
    return int(store.rows(f"SELECT count() FROM corredor.{view}")[0][0])


def publish(producer: Producer, topic: str, *rows: object) -> None:
    for number, row in enumerate(rows):
        producer.produce(topic, key=str(number), value=encode(row))
    assert producer.flush(10) == 0


def test_messages_of_every_topic_arrive_once_also_when_they_are_sent_again(
    settings: Settings, store: ClickHouse, eventually: Eventually
) -> None:
    producer = clients.producer(settings)
    with delivering(settings, store):
        for _ in range(2):
            publish(producer, topics.SCORED.name, *(scored(offset) for offset in range(500)))
            publish(producer, topics.REJECTED.name, rejected(0), rejected(1))
            publish(producer, topics.SLICES.name, progress(), slice_(n=3, version=2), progress())
            publish(producer, topics.SCORES.name, score(n=3))
        eventually(lambda: committed(settings, topics.SCORED.name) == 1000)
        eventually(lambda: committed(settings, topics.SLICES.name) == 6)
        eventually(lambda: committed(settings, topics.SCORES.name) == 2)
        eventually(lambda: committed(settings, topics.REJECTED.name) == 4)
        assert [count(store, view) for view in ("events", "rejections", "slices", "scores")] == [500, 2, 1, 1]


def test_what_is_buffered_at_a_stop_is_written_and_acknowledged(
    settings: Settings, store: ClickHouse, eventually: Eventually
) -> None:
    slow = settings.model_copy(update={"sink_interval": 60.0})
    producer = clients.producer(slow)
    publish(producer, topics.SCORED.name, *(scored(offset) for offset in range(50)))
    buffered = metrics.BUFFERED_ROWS.labels("touchpoint_events")
    with delivering(slow, store):
        eventually(lambda: buffered._value.get() == 50)
        assert count(store, "events") == 0
    assert count(store, "events") == 50
    assert committed(slow, topics.SCORED.name) == 50


def test_a_row_that_the_engine_refuses_becomes_a_rejection_and_the_rest_arrives(
    settings: Settings, store: ClickHouse, eventually: Eventually
) -> None:
    rows = [encode(scored(offset)) for offset in range(20)]
    rows[13] = rows[13].replace(b'"source_offset":13', b'"source_offset":"thirteen"')
    producer = clients.producer(settings)
    with delivering(settings, store):
        for row in rows:
            producer.produce(topics.SCORED.name, key="one", value=row, headers=[("origin", b"\xff")])
        producer.produce(topics.REJECTED.name, key="one", value=b"this is no JSON")
        assert producer.flush(10) == 0
        eventually(lambda: count(store, "rejections") == 2)
        eventually(lambda: committed(settings, topics.SCORED.name) == 20)
        eventually(lambda: committed(settings, topics.REJECTED.name) == 2)
    assert count(store, "events") == 19
    kept = store.rows("SELECT topic, raw, hex(headers['origin']), reason FROM corredor.rejections ORDER BY topic")
    assert kept == [
        (topics.REJECTED.name, "this is no JSON", None, "refused_by_store"),
        (topics.SCORED.name, rows[13].decode(), "FF", "refused_by_store"),
    ]


def test_a_log_that_lost_records_before_they_were_read_is_refused(
    settings: Settings, store: ClickHouse, eventually: Eventually
) -> None:
    producer = clients.producer(settings, **{"compression.type": "none"})
    for number in range(24):
        producer.produce(topics.SCORED.name, value=b"x" * 900_000, partition=0, key=str(number))
        assert producer.flush(10) == 0
    with delivering(settings, store) as failures:
        eventually(lambda: bool(failures))
    assert f"of {topics.SCORED.name} partition 0 are gone from Kafka before the sink wrote them" in str(failures[0])
    assert "CORREDOR_KAFKA=local" in str(failures[0])
