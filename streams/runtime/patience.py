"""Questions to a Kafka that is changing: its brokers start and stop, or one was fenced for a moment."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

_AGAIN_S = 0.1
#: What is answered while the leader of a partition, or the coordinator of a group, is another one than a moment before.
#: `KafkaError.retriable()` knows of transactions alone: of all else it says no (confluent-kafka 2.16.1).
CHANGING: Final = frozenset(
    (
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        # A partition whose only broker is fenced is known to nobody.
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._WAIT_COORD,
        KafkaError._TRANSPORT,
    )
)
T = TypeVar("T")


def patiently(ask: Callable[[float], T], timeout_s: float) -> T:
    """The answer of `ask`, which gets the seconds that are left; asked again while it says that Kafka is changing.

    `timeout_s` -1 has no end. Raises what `ask` raises last.
    """
    deadline = time.monotonic() + timeout_s if timeout_s >= 0 else float("inf")
    while True:
        try:
            return ask(max(deadline - time.monotonic(), 0.0) if timeout_s >= 0 else -1)
        except KafkaException as error:
            if error.args[0].code() not in CHANGING or time.monotonic() + _AGAIN_S > deadline:
                raise
        time.sleep(_AGAIN_S)


class PatientConsumer(Consumer):  # type: ignore[misc]  # its type is not known
    """A consumer that asks `patiently` how far a group has come, and where a partition begins and ends."""

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        """As the consumer's own; what Kafka says while it changes is no answer."""
        ask: Callable[..., list[TopicPartition]] = super().committed
        return patiently(lambda left: ask(partitions, timeout=left), timeout)

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = -1, cached: bool = False
    ) -> tuple[int, int]:
        """As the consumer's own; what Kafka says while it changes is no answer."""
        ask: Callable[..., tuple[int, int]] = super().get_watermark_offsets
        return patiently(lambda left: ask(partition, timeout=left, cached=cached), timeout)
