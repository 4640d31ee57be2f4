"""Whatever compression a source uses, the worker's transport reads it: on the embedded cluster and on Apache Kafka."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher
from confluent_kafka import Producer

from schemas import topics
from streams.runtime.record_batches import ReadableMemoryRecords
from tests.conftest import Cluster

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TOPIC = topics.EVENTS.name
#: Repetitive, so that every codec takes it (a producer sends a batch that would grow uncompressed).
VALUES = [b'{"touchpoint": "web.checkout", "outcome": "success"}' * 20 + str(n).encode() for n in range(50)]


def produce(bootstrap: str, codec: str, partition: int) -> None:
    failures: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 20})
    for value in VALUES:
        producer.produce(
            TOPIC,
            value,
            b"key",
            partition=partition,
            headers=[("ce_id", b"1")],
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert failures == []


async def read(bootstrap: str, partition: int, count: int) -> list[Any]:
    place = TopicPartition(TOPIC, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found: list[Any] = []
        while len(found) < count:
            found += (await consumer.getmany(place, timeout_ms=5000)).get(place, [])
        return found
    finally:
        await consumer.stop()


def test_every_codec_is_read(kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", ReadableMemoryRecords)
    for codec in CODECS:
        produce(kafka.bootstrap, codec, 1)
    found = asyncio.run(asyncio.wait_for(read(kafka.bootstrap, 1, len(CODECS) * len(VALUES)), 60))
    assert [item.value for item in found] == VALUES * len(CODECS)
    assert [item.offset for item in found] == list(range(len(found)))
    assert all(tuple(item.headers) == (("ce_id", b"1"),) and item.key == b"key" for item in found)
