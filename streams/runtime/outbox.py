"""What the agents publish: through librdkafka, every delivery checked, and flushed without stopping the stream."""

import asyncio
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

from confluent_kafka import KafkaError, Producer

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.pacing import SOLE_WRITER_BUDGET_BYTES, Pacer
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS

#: How long to wait before trying again when the producer's queue is full, seconds.
_FULL_WAIT_S = 0.005
#: Takes the partition from the key (RD_KAFKA_PARTITION_UA).
_OF_THE_KEY = -1
#: What is published between two looks at the readers of a short log: messages, and bytes of keys and values.
_PACED_STEP, _PACED_STEP_BYTES = 200, 128 * 1024


class Outbox:
    """Two producers that take turns: while one is flushed for a checkpoint, the other takes what comes after it.

    With one producer, a flush under steady load would wait for messages that belong to the next checkpoint.
    """

    def __init__(self, settings: Settings, readers: dict[str, Sequence[str]]) -> None:
        """`readers` names the consumer groups of each topic that a short log has to wait for, as long as it takes.

        The cluster with the short log has one worker, and these topics no other writer.
        """
        # Without pacing nobody needs the reports of messages that arrived.
        only_errors = {"delivery.report.only.error": not settings.kafka_paced, "message.timeout.ms": 0}
        self._active = clients.producer(settings, **only_errors)
        self._resting = clients.producer(settings, **only_errors)
        self._pacers = {
            topic: Pacer(settings, topic, groups, SOLE_WRITER_BUDGET_BYTES, patience_s=inf)
            for topic, groups in readers.items()
        }
        self._paced = settings.kafka_paced
        self._failed: KafkaError | None = None

    def _delivered(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._failed = self._failed or error
        elif self._paced and (pacer := self._pacers.get(message.topic())) is not None:
            pacer.note(message.partition(), message.offset(), _size(message.key(), message.value()))

    async def publish(self, topic: str, messages: list[dict[str, Any]], producer: Producer | None = None) -> None:
        """Hand messages (`key`, `value`, and `partition` where it is not the key's) to a producer, or the active one.

        Waits while its queue is full, and on a short log until the readers have caught up.
        """
        producer = producer or self._active
        pacer = self._pacers.get(topic) if self._paced else None
        for chunk in _steps(messages) if pacer is not None else [messages] if messages else []:
            if pacer is not None:
                if pacer.full:
                    await asyncio.to_thread(pacer.wait, self._poll)
                for message in chunk:
                    pacer.sent(_size(message["key"], message["value"]))
            for left in _by_partition(chunk):
                if left := self._offer(producer, topic, left):
                    with WAITS.on("kafka", f"the producer's queue is full, {topic}"):
                        while left := self._offer(producer, topic, left):
                            await asyncio.sleep(_FULL_WAIT_S)
        producer.poll(0)

    def _poll(self, seconds: float) -> None:
        self._resting.poll(0)
        self._active.poll(seconds)

    def _offer(self, producer: Producer, topic: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give messages of one partition to the producer; those that did not fit come back."""
        partition = messages[0].get("partition", _OF_THE_KEY)
        taken = producer.produce_batch(topic, messages, partition=partition, on_delivery=self._delivered)
        if taken == len(messages):
            return []
        left = []
        for message in messages:
            error = message.pop("_error", None)
            if error is None:
                continue
            if error.code() != KafkaError._QUEUE_FULL:
                raise StopProcess(f"a message cannot be published to {topic}: {error}")
            left.append(message)
        producer.poll(0)
        return left

    async def hand_over(
        self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes | None]], timestamp_ms: int
    ) -> None:
        """Publish one message with headers and a timestamp of its own."""
        while True:
            try:
                self._active.produce(
                    topic, value, key, headers=headers, timestamp=timestamp_ms, on_delivery=self._delivered
                )
                return
            except BufferError:
                with WAITS.on("kafka", f"the producer's queue is full, {topic}"):
                    self._active.poll(0)
                    await asyncio.sleep(_FULL_WAIT_S)

    def turn(self) -> Producer:
        """Let the other producer take over; the one returned has to be flushed with `flush`."""
        self._active, self._resting = self._resting, self._active
        return self._resting

    async def flush(self, producer: Producer) -> None:
        """Wait until everything given to `producer` is delivered. Raises StopProcess if anything was not."""
        while await asyncio.to_thread(producer.flush, 0.5):
            self.check()
        self.check()

    def check(self) -> None:
        """Raises StopProcess if a delivery has failed."""
        if self._failed is not None:
            raise StopProcess(f"a result could not be delivered to Kafka: {self._failed.str()}")


def _steps(messages: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The messages in pieces that a short log has room for."""
    chunk: list[dict[str, Any]] = []
    size = 0
    for message in messages:
        chunk.append(message)
        size += _size(message["key"], message["value"])
        if len(chunk) >= _PACED_STEP or size >= _PACED_STEP_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _by_partition(messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """One list for each partition: `produce_batch` heeds only its argument (seen with confluent-kafka 2.16.1)."""
    if "partition" not in messages[0]:
        return [messages]
    found: dict[int, list[dict[str, Any]]] = {}
    for message in messages:
        found.setdefault(message["partition"], []).append(message)
    return list(found.values())


def _size(key: bytes | None, value: bytes | None) -> int:
    return len(key or b"") + len(value or b"")
