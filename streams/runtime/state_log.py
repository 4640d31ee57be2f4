"""The compacted changelog of a partition's state: each checkpoint one transaction, read back before the first event."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import StopProcess
from streams.model.shelf import Shelf
from streams.model.state_format import KEY, StateFormat
from streams.runtime import clients
from streams.runtime.patience import CHANGING
from streams.runtime.settings import Settings

#: Without a single message for this long, reading back fails. Seconds.
_READ_TIMEOUT_S = 60.0
#: How long one attempt to commit a transaction may take before it is tried again. Seconds.
_COMMIT_TRY_S = 10.0
#: A transaction that is not committed after this long is aborted by the broker. Milliseconds.
_TRANSACTION_MS = 600_000
#: Partitions read back side by side: most of the time is waiting for the broker.
READ_AT_A_TIME = 4
#: Records given to the producer at once: well below what its queue holds.
_CHUNK = 50_000
#: Records read back at once: more of them are slower, because they fall out of the processor's cache.
_READ_CHUNK = 1_000
#: What a reader fetches ahead, KiB.
_READ_AHEAD = 16_384


class StateLog:
    """Writes the state of one partition to the changelog, each checkpoint as one transaction.

    Its transactional id names the partition: opening it ends the transaction of whoever had the partition before, and
    fences them. A worker that was paused beyond its session and wakes up as a zombie cannot write any more.
    """

    def __init__(self, settings: Settings, topic: str, partition: int) -> None:
        """Blocks until former owners are fenced. Raises StopProcess if the cluster does not answer in a minute."""
        self._topic = topic
        self._partition = partition
        self._failed: KafkaError | None = None
        #: What the first transaction writes before all else: what an upgrade changed, and the format.
        self._first: list[tuple[bytes, bytes | None]] = []
        self._producer = clients.producer(
            settings,
            **{
                "transactional.id": f"{settings.worker_group}.{topic}.{partition}",
                "transaction.timeout.ms": _TRANSACTION_MS,
                "message.timeout.ms": _TRANSACTION_MS,
                "delivery.report.only.error": True,
                "linger.ms": 0,
            },
        )
        try:
            self._producer.init_transactions(_READ_TIMEOUT_S)
        except KafkaException as error:
            raise StopProcess(
                f"the state of {topic}/{partition} cannot be taken over: {error.args[0].str()}"
            ) from error

    def _delivered(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._failed = self._failed or error

    def upgrade(self, form: StateFormat, read: dict[bytes, bytes], shelf: Shelf | None = None) -> None:
        """Bring what was read back to today's format, in place; the first transaction makes that durable.

        `read` is all that `read_back` gave, `shelf` what it put aside. Raises StopProcess for a format not known here.
        """
        label = read.pop(KEY, None)
        # Names are neither added nor taken away while the shelf is read.
        changes = form.upgraded(form.found(label), chain(read.items(), shelf.items() if shelf is not None else ()))
        for key, value in changes.items():
            if shelf is not None:
                shelf.discard(key)
            read.pop(key, None)
            if value is not None:
                read[key] = value
        self._first = [*changes.items(), *([] if label == form.label[1] else [form.label])]

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Make all of `records` (a value of None deletes the key) durable, or none. Blocks.

        Raises StopProcess if that fails, or if another worker has taken the partition over.
        """
        records = [*self._first, *records] if self._first else records
        try:
            self._producer.begin_transaction()
            for start in range(0, len(records), _CHUNK):
                chunk = [{"key": key, "value": value} for key, value in records[start : start + _CHUNK]]
                taken = self._producer.produce_batch(
                    self._topic, chunk, partition=self._partition, on_delivery=self._delivered
                )
                if taken < len(chunk):
                    raise StopProcess(f"state for {self._topic}/{self._partition} does not fit the producer's queue")
                if start + _CHUNK < len(records):
                    self._producer.flush()
            self._commit()
        except KafkaException as error:
            raise StopProcess(
                f"the state of {self._topic}/{self._partition} could not be written: {error.args[0].str()}"
            ) from error
        if self._failed is not None:
            raise StopProcess(f"state could not be written to {self._topic}: {self._failed.str()}")
        self._first = []

    def _commit(self) -> None:
        while True:
            try:
                self._producer.commit_transaction(_COMMIT_TRY_S)
                return
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise


@contextmanager
def understood(topic: str, partition: int) -> Iterator[None]:
    """What cannot be decoded here becomes a StopProcess: it is refused, and nothing goes on without it."""
    try:
        yield
    except msgspec.DecodeError as error:
        raise StopProcess(
            f"{topic}/{partition} holds what this version of Corredor does not understand: {error}. A newer version "
            "wrote it, or something else did; run the newest version that was used here (docs/upgrading.md)"
        ) from error


def read_back(
    settings: Settings,
    topic: str,
    partition: int,
    until: int | None = None,
    replaces: Callable[[bytes, bytes], bool] | None = None,
    aside: tuple[bytes, Shelf] | None = None,
) -> dict[bytes, bytes]:
    """The newest value of every key of a partition up to offset `until` (default: its end), in offset order. Blocks.

    `replaces` says of a kept value and a later one of its key whether the later one is newer; without it, it always is.
    `aside`: what has a key with this first byte is put onto the shelf instead, so that it need not fit into memory.
    Raises StopProcess if the broker does not answer for a minute, and on a short log whose beginning is gone.
    """
    options = {"enable.partition.eof": True, "queued.max.messages.kbytes": _READ_AHEAD}
    reader = clients.consumer(settings, f"{settings.group}.read-back", **options)
    try:
        low, high = reader.get_watermark_offsets(TopicPartition(topic, partition), timeout=_READ_TIMEOUT_S)
        if settings.kafka_paced and low > 0:
            raise StopProcess(
                f"the embedded Kafka has already dropped the beginning of {topic}/{partition}, so its state cannot be "
                "read back. Start again, or use CORREDOR_KAFKA=local, which keeps its log on disk"
            )
        end = high if until is None else min(until, high)
        if low >= end:
            return {}
        reader.assign([TopicPartition(topic, partition, low)])
        return _read(reader, topic, partition, end, replaces, aside)
    except KafkaException as error:
        raise StopProcess(f"{topic}/{partition} cannot be read back: {error}") from error
    finally:
        reader.close()


class _Newest:
    """The newest value of every key; `take` is what reading back costs for each record, besides librdkafka."""

    def __init__(self, replaces: Callable[[bytes, bytes], bool] | None, aside: tuple[bytes, Shelf] | None) -> None:
        self.kept: dict[bytes, bytes] = {}
        self._replaces = replaces
        self._first = aside[0][0] if aside is not None else -1
        self._shelf = aside[1] if aside is not None else None

    def take(self, messages: Sequence[Message]) -> None:
        """Take messages in their order; none of them is an error."""
        kept, first, shelf, replaces = self.kept, self._first, self._shelf, self._replaces
        for message in messages:
            key, value = message.key(), message.value()
            if shelf is not None and key[0] == first:
                if value is None:
                    shelf.discard(key)
                else:
                    shelf[key] = value
                continue
            if replaces is not None and value is not None and key in kept and not replaces(kept[key], value):
                continue
            kept.pop(key, None)
            if value is not None:
                kept[key] = value


def _read(
    reader: Consumer,
    topic: str,
    partition: int,
    end: int,
    replaces: Callable[[bytes, bytes], bool] | None,
    aside: tuple[bytes, Shelf] | None = None,
) -> dict[bytes, bytes]:
    """Up to `end` or to the end of the partition: behind the last record there may be a transaction's marker."""
    newest = _Newest(replaces, aside)
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while True:
        messages = reader.consume(_READ_CHUNK, timeout=0.2)
        if not messages:
            if time.monotonic() > deadline:
                raise StopProcess(f"{topic}/{partition} cannot be read back: no message for {_READ_TIMEOUT_S:.0f} s")
            continue
        deadline = time.monotonic() + _READ_TIMEOUT_S
        fine = [message for message in messages if message.error() is None]
        at_end = False
        for message in messages if len(fine) < len(messages) else ():
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                at_end = True
            elif error is not None and error.code() not in CHANGING:
                raise KafkaException(error)
        if fine and fine[-1].offset() >= end - 1:
            at_end = True
            fine = [message for message in fine if message.offset() < end]
        newest.take(fine)
        if at_end:
            return newest.kept
