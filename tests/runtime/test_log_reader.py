"""A stretch of one partition's log, read as no member of any group."""

import pytest
from confluent_kafka import TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.log_reader import reader, stretch
from streams.runtime.settings import Settings

TOPIC = topics.SLICES.name


def _filled(settings: Settings, count: int) -> None:
    producer = clients.producer(settings)
    for number in range(count):
        producer.produce(TOPIC, b"%d" % number, b"key", 1)
    assert producer.flush(30) == 0


def test_a_stretch_is_what_lies_between_two_offsets(settings: Settings) -> None:
    _filled(settings, 5)
    with reader(settings, "test.reader") as consumer:
        for start, end, expected in ((1, 4, [1, 2, 3]), (0, 100, [0, 1, 2, 3, 4]), (3, 3, []), (4, 2, [])):
            found = list(stretch(consumer, TOPIC, 1, start, end))
            assert [message.offset() for message in found] == expected
            assert [message.value() for message in found] == [b"%d" % number for number in expected]


def test_nothing_of_the_partition_before_is_left_over(settings: Settings) -> None:
    _filled(settings, 3)
    with reader(settings, "test.reader") as consumer:
        for _ in range(3):
            assert next(iter(stretch(consumer, TOPIC, 1, 0, 3))).offset() == 0
            assert list(stretch(consumer, TOPIC, 2, 0, 10)) == []


def test_reading_leaves_no_position_behind(settings: Settings) -> None:
    _filled(settings, 3)
    with reader(settings, "test.reader") as consumer:
        assert len(list(stretch(consumer, TOPIC, 1, 0, 3))) == 3
    with reader(settings, "test.reader") as consumer:
        (place,) = consumer.committed([TopicPartition(TOPIC, 1)], timeout=30)
        assert place.offset < 0


def test_a_kafka_that_is_not_there_is_told(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"kafka": "127.0.0.1:1"})
    with (
        pytest.raises(StopProcess, match=r"Kafka at 127\.0\.0\.1:1 does not answer"),
        reader(nowhere, "test.reader") as consumer,
    ):
        consumer.list_topics(timeout=1)
