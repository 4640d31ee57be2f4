"""Kafka's part of a restore: every record at the offset it had, then the positions.

A topic begins at offset 0, and offsets are given by the broker. So what lies before the first record is filled and cut
off; holes are filled with what no reader sees: records without a value where a topic is compacted anyway, and
transactions that are taken back in the topics of events.
"""

import time
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from command.backup_files import Log, Manifest, Record, read_log
from command.backup_kafka import STATES, TIMEOUT_S, Tell, groups
from schemas import topics
from schemas.errors import StopProcess, UsageError
from streams.agents.ingest import LANES
from streams.runtime import clients, erase
from streams.runtime.settings import Settings
from streams.runtime.topics_admin import configure, delete_topics, ensure_topics, with_controller

#: No state and no slice has this key.
_FILLER = b"."
_EMPTY = Record(0, 0, _FILLER, None, [])
_FILL_CHUNK = 50_000
_ARRIVAL = "message.timestamp.type"


def prepare(settings: Settings, manifest: Manifest, force: bool) -> None:
    """See that all topics are there and empty, with the partitions of the back-up; `force` deletes them first.

    Raises UsageError for topics that hold something or have other partitions, StopProcess if Kafka refuses.
    """
    client = clients.admin(settings)
    there = client.list_topics(timeout=TIMEOUT_S).topics
    ours = [topic.name for topic in topics.ALL if topic.name in there]
    if force and ours:
        delete_topics(client, ours)
        ours = []
    full = [f"{topic}/{number}" for (topic, number), end in erase.ends(settings, ours).items() if end]
    if full:
        raise UsageError(
            f"Kafka at {settings.kafka} already has records, in {', '.join(full[:3])}{' ...' if full[3:] else ''}; "
            "restore into an empty cluster, or have the topics deleted and made anew with --force"
        )
    new = [
        NewTopic(topic.name, manifest.partitions[topic.name], settings.replication, config=topic.config())
        for topic in topics.ALL
        if topic.name not in ours and topic.name in manifest.partitions
    ]
    if new:
        for future in with_controller(client).create_topics(new, operation_timeout=TIMEOUT_S).values():
            try:
                future.result()
            except KafkaException as error:
                raise StopProcess(
                    f"Kafka did not create a topic: {error.args[0].str()}; see CORREDOR_REPLICATION"
                ) from None
    for state in ensure_topics(settings):
        wanted = manifest.partitions.get(state.name, state.partitions)
        if state.partitions != wanted:
            raise UsageError(
                f"{state.name} has {state.partitions} partitions here and {wanted} in the back-up; delete the topic, "
                "or let --force do so"
            )


def load(settings: Settings, folder: Path, manifest: Manifest, tell: Tell) -> None:
    """Put every record back, then the positions. Raises StopProcess if Kafka refuses."""
    # The time of arrival is a fact about the event: it comes back too.
    before = _arrival(settings, "CreateTime")
    try:
        for log in manifest.logs:
            tell(f"{log.topic}/{log.partition}: {log.records:,} records")
            _Filler(settings, log).load(folder)
    finally:
        _arrival(settings, before)
    for role, group in groups(settings).items():
        places = [
            TopicPartition(topic, partition, offset)
            for topic, offsets in manifest.positions[role].items()
            for partition, offset in enumerate(offsets)
            if offset is not None
        ]
        with closing(clients.consumer(settings, group)) as consumer:
            if places:
                consumer.commit(offsets=places, asynchronous=False)


class _Filler:
    """Writes one partition."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings = settings
        self._log = log
        self._producer = clients.producer(settings)
        self._transactions: Producer | None = None
        self._failed: KafkaError | None = None
        #: Whether a broker gave a record a time of its own.
        self._restamped = False
        self._next = 0

    def load(self, folder: Path) -> None:
        """Write all of it. Raises StopProcess if Kafka refuses, or if the offsets are not what they were."""
        log = self._log
        if log.topic in STATES:
            # No offset of theirs stands anywhere.
            for record in read_log(folder / log.file):
                self._produce(self._producer, record)
            self._flush()
            return
        before: Record | None = None
        if log.start:
            self._fill(log.start - 1)
            before = _EMPTY._replace(offset=log.start - 1)
        for record in read_log(folder / log.file):
            self._put(before, record.offset)
            before = record
        self._put(before, log.end)
        self._flush()
        place = (log.topic, log.partition)
        end = self._end()
        if end != log.end:
            raise StopProcess(
                f"{log.topic}/{log.partition} ends at offset {end} instead of {log.end}: somebody else writes to it. "
                "End that, and restore again with --force"
            )
        if log.start and "delete" in next(topic.cleanup for topic in topics.ALL if topic.name == log.topic):
            erase.cut(self._settings, {place: log.start})

    def _put(self, record: Record | None, until: int) -> None:
        """Write a record, and behind it what takes the offsets up to the next one."""
        hole = until - (record.offset + 1 if record is not None else 0)
        lane = self._log.topic in LANES
        if record is not None and hole == 1 and lane:
            # The marker of a transaction takes an offset.
            self._transaction([record], keep=True)
            return
        if record is not None:
            self._produce(self._producer, record)
        if lane and hole:
            if hole == 1:
                raise StopProcess(f"{self._log.topic}/{self._log.partition}: offset 0 held nothing, and cannot again")
            self._transaction([_EMPTY] * (hole - 1), keep=False)
        else:
            self._fill(self._next + hole)

    def _transaction(self, records: list[Record], keep: bool) -> None:
        self._flush()
        if self._transactions is None:
            name = f"{self._settings.group}.restore.{self._log.topic}.{self._log.partition}"
            self._transactions = clients.producer(self._settings, **{"transactional.id": name})
            self._transactions.init_transactions(TIMEOUT_S)
        self._transactions.begin_transaction()
        for record in records:
            self._produce(self._transactions, record)
        # Without this an abort would take back what has not been sent yet.
        self._transactions.flush()
        (self._transactions.commit_transaction if keep else self._transactions.abort_transaction)(TIMEOUT_S)
        self._next += 1
        # The marker is written a moment after Kafka has agreed to the end of the transaction.
        deadline = time.monotonic() + TIMEOUT_S
        while self._end() < self._next:
            if time.monotonic() > deadline:
                raise StopProcess(
                    f"{self._log.topic}/{self._log.partition}: Kafka does not end a transaction; try again"
                )
            time.sleep(0.01)

    def _end(self) -> int:
        return erase.ends(self._settings, [self._log.topic])[self._log.topic, self._log.partition]

    def _fill(self, until: int) -> None:
        while self._next < until:
            count = min(until - self._next, _FILL_CHUNK)
            chunk: list[dict[str, Any]] = [{"key": _FILLER, "value": None}] * count
            self._producer.produce_batch(
                self._log.topic, chunk, partition=self._log.partition, on_delivery=self._delivered
            )
            self._next += count
            self._flush()

    def _produce(self, producer: Producer, record: Record) -> None:
        while True:
            try:
                producer.produce(
                    self._log.topic,
                    record.value,
                    record.key,
                    self._log.partition,
                    on_delivery=self._delivered,
                    timestamp=record.timestamp,
                    headers=record.headers,
                )
                break
            except BufferError:
                producer.poll(0.1)
        self._next += 1

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed = self._failed or error
        elif message.timestamp()[0] == TIMESTAMP_LOG_APPEND_TIME:
            self._restamped = True

    def _flush(self) -> None:
        while self._producer.flush(TIMEOUT_S):
            if self._failed is not None:
                break
        if self._failed is not None:
            raise StopProcess(f"Kafka does not take records for {self._log.topic}: {self._failed.str()}")
        if self._restamped:
            raise StopProcess(
                f"{self._log.topic}: a broker has not heard yet that events keep their time of arrival, or "
                f"somebody set {_ARRIVAL} back; restore again with --force"
            )


def _arrival(settings: Settings, kind: str) -> str:
    """Say whose clock gives the time of events; returns what was said before."""
    client = clients.admin(settings)
    before = _said(client)
    try:
        configure(client, topics.EVENTS.name, {_ARRIVAL: kind})
    except KafkaException as error:
        raise StopProcess(
            f"{_ARRIVAL} of {topics.EVENTS.name} cannot be changed, which a restore needs for a while: "
            f"{error.args[0].str()}; this client needs the right to ALTER_CONFIGS"
        ) from None
    deadline = time.monotonic() + TIMEOUT_S
    while _said(client) != kind:
        if time.monotonic() > deadline:
            raise StopProcess(f"{_ARRIVAL} of {topics.EVENTS.name} did not change within {TIMEOUT_S:.0f} s; try again")
        time.sleep(0.05)
    return before


def _said(client: AdminClient) -> str:
    resource = ConfigResource(ResourceType.TOPIC, topics.EVENTS.name)
    (asked,) = client.describe_configs([resource], request_timeout=TIMEOUT_S).values()
    return str(asked.result()[_ARRIVAL].value)
