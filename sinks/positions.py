"""Where to start reading a partition, and where reading on would skip records.

On a cluster with a short log (the embedded one) records are dropped while readers may still need them. There, a
position below the log's start is an error that ends the process; nowhere may it be passed over in silence.
"""

from typing import Any

from confluent_kafka import OFFSET_INVALID, KafkaError, KafkaException, TopicPartition

from schemas.errors import RetryLater, StopProcess

_TIMEOUT_S = 10.0


def start(consumer: Any, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """The partitions with an explicit offset: the committed one, or 0. May block 10 s for each partition.

    Raises StopProcess if the log no longer holds that offset, RetryLater if Kafka does not answer.
    """
    found = []
    try:
        for committed in consumer.committed(partitions, timeout=_TIMEOUT_S):
            low, _ = consumer.get_watermark_offsets(committed, timeout=_TIMEOUT_S)
            offset = 0 if committed.offset == OFFSET_INVALID else committed.offset
            if offset < low:
                raise lost(committed.topic, committed.partition, offset, low)
            found.append(TopicPartition(committed.topic, committed.partition, offset))
    except KafkaException as error:
        raise RetryLater(f"Kafka does not say where its partitions begin: {error}", 1.0) from error
    return found


def lost(topic: str, partition: int, offset: int | None, low: int | None) -> StopProcess:
    """The error for records that are gone before they were written."""
    which = f"records {offset} to {low - 1}" if offset is not None and low is not None else "the next records"
    return StopProcess(
        f"{which} of {topic} partition {partition} are gone from Kafka before the sink wrote them: the log is shorter "
        f"than the sink is behind. The embedded cluster keeps only a few megabytes: publish more slowly, or use "
        f"CORREDOR_KAFKA=local or a real cluster; start anew with a fresh run"
    )


def check(error: KafkaError, topic: str | None, partition: int | None) -> str | None:
    """What a consumer's error means: StopProcess raised, a warning returned, or None where it can be ignored."""
    code = error.code()
    if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise lost(topic or "?", -1 if partition is None else partition, None, None)
    if code == KafkaError._PARTITION_EOF:
        return None
    if error.fatal() or code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
        raise StopProcess(f"Kafka refuses the sink: {error.str()}")
    return f"Kafka: {error.str()}"
