"""Contestant: the same work as the ingest agent, in a plain loop around confluent-kafka, one thread, no Faust.

Same model, same outputs, same state, same discipline: every 0.5 s results are flushed, then state, then the offsets
are committed. What the worker is slower than this is the price of Faust and asyncio.

With `--stateless` it writes no state and waits for nothing: what it is faster then is the price of being exact. With
`--no-journeys` it follows no journey and counts no transition; ids for duplicates are kept all the same.
"""

import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.contestants import BATCH, NO_JOURNEYS, READY, STATELESS
from schemas import topics
from schemas.errors import StopProcess
from schemas.loader import load_map
from streams.model.ingest import Ingest
from streams.model.journey import Journeys
from streams.model.journey_rules import Contact
from streams.model.journey_state import JourneyKey, JourneyState, pack
from streams.runtime import clients
from streams.runtime.partitioner import partitioner
from streams.runtime.settings import Settings, load_settings
from streams.runtime.state_log import read_back

LANES = (topics.EVENTS.name, topics.REKEYED.name)
POLL_RECORDS = 10_000
POLL_S = 0.05
_CHUNK = 50_000


class Record(NamedTuple):
    """What the model needs of a Kafka message."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class Uninterested(Journeys):
    """Lets journeys go by."""

    def add(self, key: JourneyKey, state: JourneyState, contact: Contact, watermark: float) -> None:
        """Nothing is remembered of a contact."""

    def pack(self, state: JourneyState) -> bytes:
        """What is left: the ids of the newest events."""
        return pack(state)


class Loop:
    """The partitions this process owns."""

    def __init__(self, settings: Settings, options: Sequence[str]) -> None:
        self._settings = settings
        self._stateless = STATELESS in options
        self._journeys = NO_JOURNEYS not in options
        self._corridor = load_map(settings.map)
        metadata = clients.admin(settings).list_topics(timeout=30).topics
        self._partition_of = partitioner(len(metadata[topics.EVENTS.name].partitions))
        self._slice_partitions = len(metadata[topics.SLICES.name].partitions)
        self._slice_partition_of = partitioner(self._slice_partitions)
        self._results = clients.producer(settings, **{"delivery.report.only.error": True, "message.timeout.ms": 0})
        self._state = clients.producer(
            settings, **{"delivery.report.only.error": True, "message.timeout.ms": 0, "linger.ms": 0}
        )
        self._partitions: dict[int, Ingest] = {}
        self.records = self.batches = 0
        self.consumer = clients.consumer(settings, settings.worker_group)
        self.consumer.subscribe(list(LANES), on_assign=self._assigned)

    def _assigned(self, _consumer: Consumer, places: list[TopicPartition]) -> None:
        for partition in {place.partition for place in places}:
            owned = self._partitions[partition] = Ingest(partition, self._corridor, self._partition_of)
            if not self._journeys:
                owned._tracker = Uninterested(self._corridor, owned._transitions)
            for key, value in read_back(self._settings, topics.STATE_INGEST.name, partition).items():
                owned.restore(key, value)
        print(READY, flush=True)

    def apply(self, messages: list[Message]) -> None:
        """Apply what one call of `consume` brought and publish what it led to."""
        batches: defaultdict[tuple[str, int], list[Record]] = defaultdict(list)
        for message in messages:
            error = message.error()
            if error is not None:
                raise StopProcess(error.str())
            batches[message.topic() or "", message.partition() or 0].append(
                Record(
                    message.offset() or 0,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers() or [],
                )
            )
        for (topic, partition), records in batches.items():
            self.records += len(records)
            self.batches += 1
            outcome = self._partitions[partition].apply(topic, records)
            self._publish(self._results, topics.SCORED.name, outcome.scored)
            self._publish(self._results, topics.REJECTED.name, outcome.rejected)
            if outcome.rekeyed:
                raise StopProcess("the events of a contest are all in their own partitions")

    def checkpoint(self) -> None:
        """Make results durable, then state, then acknowledge."""
        slices: list[dict[str, Any]] = []
        journeys: list[dict[str, object]] = []
        state: list[tuple[int, list[tuple[bytes, bytes | None]]]] = []
        positions: list[TopicPartition] = []
        for partition, owned in self._partitions.items():
            owned.advance(None)
            snapshot = owned.snapshot()
            journeys += snapshot.journeys
            slices += [
                {"key": key, "value": value, "partition": self._slice_partition_of(tenant.encode())}
                for tenant, key, value in snapshot.slices
            ]
            if snapshot.state:
                state.append((partition, snapshot.state))
            for topic, position in snapshot.positions.items():
                positions.append(TopicPartition(topic, partition, position))
                progress = owned.progress(topic, idle=False)
                told = {
                    "key": msgspec.json.encode(("progress", progress.origin)),
                    "value": msgspec.json.encode(progress),
                }
                slices += [{**told, "partition": number} for number in range(self._slice_partitions)]
        self._publish(self._results, topics.SLICES.name, slices)
        self._publish(self._results, topics.JOURNEYS.name, journeys)
        if self._stateless:
            if positions:
                self.consumer.commit(offsets=positions, asynchronous=True)
            return
        flush(self._results)
        for partition, records in state:
            changed = [{"key": key, "value": value, "partition": partition} for key, value in records]
            self._publish(self._state, topics.STATE_INGEST.name, changed)
        flush(self._state)
        if positions:
            self.consumer.commit(offsets=positions, asynchronous=False)

    def close(self) -> None:
        """See everything delivered, and leave."""
        flush(self._results)
        self.consumer.close()

    def _publish(self, producer: Producer, topic: str, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), _CHUNK):
            left = messages[start : start + _CHUNK]
            while producer.produce_batch(topic, left) < len(left):
                left = [message for message in left if message.pop("_error", None) is not None]
                producer.poll(0.005)
        producer.poll(0)


def flush(producer: Producer) -> None:
    """Wait until everything is delivered; StopProcess if that takes a minute."""
    if producer.flush(60):
        raise StopProcess("Kafka does not take the results")


def run(settings: Settings, options: Sequence[str]) -> None:
    """Until SIGTERM."""
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    loop = Loop(settings, options)
    due = time.monotonic() + settings.checkpoint_interval
    while running:
        messages = loop.consumer.consume(POLL_RECORDS, POLL_S)
        if messages:
            loop.apply(messages)
        if time.monotonic() >= due:
            loop.checkpoint()
            due = time.monotonic() + settings.checkpoint_interval
    print(BATCH, loop.records / max(loop.batches, 1), flush=True)
    loop.close()


if __name__ == "__main__":
    run(load_settings(), sys.argv[1:])
