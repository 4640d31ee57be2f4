import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime.embedded import RETAINED_BYTES, EmbeddedKafka


def _partitions(bootstrap: str, topic: str) -> int:
    return len(Producer({"bootstrap.servers": bootstrap}).list_topics(topic, timeout=10).topics[topic].partitions)


def test_a_topic_appears_with_four_partitions_when_asked_for() -> None:
    with EmbeddedKafka() as kafka:
        assert _partitions(kafka.bootstrap, "some.topic") == 4


def test_another_number_of_partitions_holds_for_all_our_topics() -> None:
    with EmbeddedKafka(partitions=2) as kafka:
        assert {_partitions(kafka.bootstrap, topic.name) for topic in topics.ALL} == {2}


def test_creating_a_topic_twice_says_so() -> None:
    with EmbeddedKafka() as kafka:
        kafka.create_topic("twice", 1)
        with pytest.raises(StopProcess, match="did not create topic twice"):
            kafka.create_topic("twice", 1)


def test_two_clusters_share_nothing() -> None:
    with EmbeddedKafka() as one, EmbeddedKafka() as other:
        assert one.bootstrap != other.bootstrap
        producer = Producer({"bootstrap.servers": one.bootstrap})
        producer.produce("t", b"x", partition=0)
        assert producer.flush(10) == 0
        reader = Consumer({"bootstrap.servers": other.bootstrap, "group.id": "g"})
        Producer({"bootstrap.servers": other.bootstrap}).list_topics("t", timeout=10)
        assert reader.get_watermark_offsets(TopicPartition("t", 0), timeout=10) == (0, 0)
        reader.close()


def test_the_oldest_batches_go_beyond_five_megabytes() -> None:
    with EmbeddedKafka() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap, "batch.size": 100_000})
        for _ in range(120):
            producer.produce("t", bytes(50_000), partition=0)
        assert producer.flush(10) == 0
        reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "g"})
        low, high = reader.get_watermark_offsets(TopicPartition("t", 0), timeout=10)
        reader.close()
        assert high == 120
        assert 0 < (high - low) * 50_000 <= RETAINED_BYTES


def test_the_first_assignment_of_a_group_takes_well_under_a_second() -> None:
    with EmbeddedKafka() as kafka:
        Producer({"bootstrap.servers": kafka.bootstrap}).list_topics("t", timeout=10)
        reader = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "g"})
        began = time.monotonic()
        reader.subscribe(["t"])
        while not reader.assignment() and time.monotonic() - began < 10:
            reader.poll(0.01)
        assert time.monotonic() - began < 2.5
        reader.close()


def test_closing_twice_is_harmless() -> None:
    kafka = EmbeddedKafka()
    kafka.close()
    kafka.close()
