"""The compacted changelog of a partition's state: written in order, read back before the first event."""

import asyncio
import time
from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings

#: Without a single message for this long, reading back fails. Seconds.
_READ_TIMEOUT_S = 60.0
#: Records written before waiting for them: well below what the producer's queue holds.
_CHUNK = 50_000


class StateLog:
    """Writes state to one partition of a changelog topic, in the order given.

    One idempotent producer keeps that order also over retries, so that a crash leaves a prefix of it.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
        self._producer = clients.producer(
            settings, **{"delivery.report.only.error": True, "message.timeout.ms": 0, "linger.ms": 0}
        )
        self._failed: KafkaError | None = None

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = self._failed or error

    async def write(self, partition: int, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write records (a value of None deletes the key) behind everything written before, and make them durable.

        Raises StopProcess if anything cannot be made durable.
        """
        for start in range(0, len(records), _CHUNK):
            chunk = [
                {"key": key, "value": value, "partition": partition} for key, value in records[start : start + _CHUNK]
            ]
            if self._producer.produce_batch(self._topic, chunk, on_delivery=self._delivered) < len(chunk):
                raise StopProcess(f"state for {self._topic} does not fit the producer's queue")
            await self._flush()

    async def _flush(self) -> None:
        while await asyncio.to_thread(self._producer.flush, 0.5):
            pass
        if self._failed is not None:
            raise StopProcess(f"state could not be written to {self._topic}: {self._failed.str()}")


def read_back(settings: Settings, topic: str, partition: int, until: int | None = None) -> dict[bytes, bytes]:
    """The newest value of every key of a partition, up to offset `until` (default: its end). Blocks.

    Raises StopProcess if the broker does not answer for a minute, and on a short log whose beginning is gone.
    """
    reader = clients.consumer(settings, f"{settings.group}.read-back", **{"enable.partition.eof": False})
    try:
        place = TopicPartition(topic, partition, OFFSET_BEGINNING)
        low, high = reader.get_watermark_offsets(place, timeout=_READ_TIMEOUT_S)
        if settings.kafka_paced and low > 0:
            raise StopProcess(
                f"the embedded Kafka has already dropped the beginning of {topic}/{partition}, so its state cannot be "
                "read back. Start again, or use CORREDOR_KAFKA=local, which keeps its log on disk"
            )
        end = high if until is None else min(until, high)
        if low >= end:
            return {}
        reader.assign([TopicPartition(topic, partition, low)])
        return _read(reader, topic, partition, end)
    except KafkaException as error:
        raise StopProcess(f"{topic}/{partition} cannot be read back: {error}") from error
    finally:
        reader.close()


def _read(reader: Consumer, topic: str, partition: int, end: int) -> dict[bytes, bytes]:
    newest: dict[bytes, bytes] = {}
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while reader.position([TopicPartition(topic, partition)])[0].offset < end:
        messages = reader.consume(10_000, timeout=0.2)
        if messages:
            deadline = time.monotonic() + _READ_TIMEOUT_S
        elif time.monotonic() > deadline:
            raise StopProcess(f"{topic}/{partition} cannot be read back: no message for {_READ_TIMEOUT_S:.0f} s")
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            if message.offset() >= end:
                return newest
            key, value = message.key(), message.value()
            if value is None:
                newest.pop(key, None)
            else:
                newest[key] = value
    return newest
