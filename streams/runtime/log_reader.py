"""Reads a stretch of one partition's log, as no member of any group."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.patience import CHANGING
from streams.runtime.settings import Settings

_CHUNK = 10_000
_WAIT_S = 0.1
#: A partition without any record for this long while one is expected cannot be read. Seconds.
_SILENT_S = 60.0


@contextmanager
def reader(settings: Settings, group: str) -> Iterator[Consumer]:
    """A consumer for a while; what Kafka refuses or does not answer becomes a StopProcess."""
    consumer = clients.consumer(settings, group, **{"enable.partition.eof": True})
    try:
        yield consumer
    except KafkaException as error:
        raise StopProcess(f"Kafka at {settings.kafka} does not answer as expected: {error.args[0].str()}") from error
    finally:
        consumer.close()


def stretch(consumer: Consumer, topic: str, partition: int, start: int, end: int) -> Iterator[Message]:
    """The records from `start` up to `end`, or up to the end of the partition; `consumer` is that of `reader`.

    What was taken back in a transaction is not there. Raises StopProcess if nothing comes, KafkaException if Kafka
    refuses.
    """
    if start >= end:
        return
    consumer.assign([TopicPartition(topic, partition, start)])
    deadline = time.monotonic() + _SILENT_S
    try:
        while True:
            # It waits for so many messages, or so long.
            messages = consumer.consume(_CHUNK, timeout=_WAIT_S)
            if messages:
                deadline = time.monotonic() + _SILENT_S
            elif time.monotonic() > deadline:
                raise StopProcess(f"{topic}/{partition} cannot be read: no record for {_SILENT_S:.0f} s")
            for message in messages:
                if (message.topic(), message.partition()) != (topic, partition):
                    continue  # Left over from the partition before.
                error = message.error()
                if error is None and message.offset() < end:
                    yield message
                elif error is None or error.code() == KafkaError._PARTITION_EOF:
                    return
                elif error.code() not in CHANGING:
                    raise KafkaException(error)
    finally:
        consumer.unassign()
