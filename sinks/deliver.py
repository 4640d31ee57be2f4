"""From Kafka into ClickHouse, and the only place that acknowledges.

A message's offset is committed only after the insert that holds its row has succeeded. Anything in between may fail or
be repeated: rows delivered twice replace themselves in ClickHouse.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from schemas import topics
from schemas.errors import StopProcess
from sinks import metrics, positions
from sinks.clickhouse import Store, StoreAway
from sinks.lane import Batch, Lane, lanes, sample
from sinks.refuse import Refusal, write, write_minimal
from sinks.retriable import Backoff
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.waiting import WAITS

log = logging.getLogger(__name__)
_POLL_S = 0.05
_CHUNK = 10_000
_LAG_EVERY_S = 1.0
#: How often Kafka is asked whether it is there, and how long its answer may take. Seconds.
_LOOK_EVERY_S, _LOOK_TIMEOUT_S = 2.0, 1.0
_NOTE_EVERY_S = 60.0
_PUBLISH_TIMEOUT_S = 30.0


def consumer(settings: Settings) -> Any:
    """The sink's Kafka consumer. Eager assignment: on a rebalance everything buffered is given up at once."""
    extra: dict[str, Any] = {
        "partition.assignment.strategy": "range",
        "queued.max.messages.kbytes": 32 * 1024,
        "session.timeout.ms": round(settings.session_timeout * 1000),
        "heartbeat.interval.ms": round(min(3.0, settings.session_timeout / 3) * 1000),
        # Topics appear when their first publisher comes; the default would notice after five minutes.
        "topic.metadata.refresh.interval.ms": 2_000,
    }
    if settings.kafka_paced:
        extra |= {"auto.offset.reset": "error", "allow.auto.create.topics": True}
    return clients.consumer(settings, settings.sink_group, **extra)


class Deliver:
    """Reads the result topics, writes their tables, commits. One thread runs it; `stop` may be set from any."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        kafka: Any,
        producer: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._kafka = kafka
        self._producer = producer
        self._clock = clock
        self._lanes = lanes(settings.sink_rows, settings.sink_bytes, settings.sink_interval, paced=settings.kafka_paced)
        #: Written, not yet acknowledged: offset to commit by topic and partition.
        self._written: dict[tuple[str, int], int] = {}
        #: Moves on with every loss of partitions; a batch of an older generation is no longer ours.
        self._generation = 0
        #: What this group has acknowledged, by topic and partition; for the lag only.
        self._committed: dict[tuple[str, int], int] = {}
        self._healthy = True
        self._assigned = False
        #: Why nothing can be written or read right now, and since when, as WAITS counts it.
        self._no_clickhouse: str | None = None
        self._no_kafka: str | None = None
        self._waiting_clickhouse, self._waiting_kafka = ExitStack(), ExitStack()
        self._lag_at = 0.0
        self._looked_at = 0.0
        self._noted: dict[str, float] = {}
        self._stop = threading.Event()
        self._deadline = float("inf")

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop`, then write and acknowledge what is buffered, within the shutdown timeout, and leave.

        Raises StopProcess if going on would lose rows or ClickHouse needs a person. ClickHouse being away is no error:
        reading pauses, and goes on by itself.
        """
        self._stop = stop
        self._kafka.subscribe(
            list(self._lanes), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not stop.is_set():
                self._step()
            self._begin_stop()
            for lane in self._lanes.values():
                self._flush(lane)
        finally:
            # Closing revokes the partitions; by now what could be written has been.
            self._healthy = False
            self._kafka.close()

    def not_ready(self) -> str | None:
        """Why rows do not flow, or None if they do. From any thread."""
        if self._stop.is_set():
            return "it is ending"
        if waits := self._no_kafka or self._no_clickhouse or WAITS.notable():
            return waits
        return None if self._assigned else "its partitions are not assigned yet"

    def _step(self) -> None:
        now = self._clock()
        due = min(lane.due_in(now) for lane in self._lanes.values())
        self._accept(self._kafka.consume(num_messages=_CHUNK, timeout=max(0.001, min(_POLL_S, due))))
        self._flush_due()
        now = self._clock()
        if now - self._lag_at >= _LAG_EVERY_S:
            self._lag_at = now
            self._measure_lag()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._look_for_kafka()
            self._looked_at = self._clock()

    def _flush_due(self) -> None:
        """Write the events if they are due, and of the other lanes the one that is most overdue.

        So events wait for one other insert at most. The longer a lane waits, the more it is overdue: each has its turn.
        """
        now = self._clock()
        events, *others = self._lanes.values()
        for lane in (events, min(others, key=lambda other: other.due_in(now))):
            if lane.due_in(now) <= 0:
                self._flush(lane)

    def _accept(self, messages: list[Any]) -> None:
        now = self._clock()
        for message in messages:
            error = message.error()
            if error is None:
                self._lanes[message.topic()].add(message, now)
            elif warning := positions.check(error, message.topic(), message.partition()):
                self._note(warning)
        for lane in self._lanes.values():
            metrics.BUFFERED_ROWS.labels(lane.table).set(lane.rows)

    def _flush(self, lane: Lane) -> None:
        """Write the lane's batch, however long ClickHouse stays away, then acknowledge it."""
        batch = lane.take()
        if not batch.positions:
            return
        backoff = Backoff()
        generation = self._generation
        while True:
            try:
                self._write(batch)
                break
            except StoreAway as away:
                self._put_off(batch, away, backoff.delay())
            if generation != self._generation:
                self._note(f"partitions moved on while rows of {batch.table} waited; their new owner writes them")
                return
            if self._clock() >= self._deadline:
                log.warning("stopping with %d rows not written; they come again at the next start", len(batch.messages))
                return
        if not self._healthy:
            self._healthy = True
            self._no_clickhouse = None
            self._waiting_clickhouse.close()
            log.warning("ClickHouse takes rows again")
            self._kafka.resume(self._kafka.assignment())
        self._acknowledge(batch)

    def _put_off(self, batch: Batch, away: StoreAway, delay: float) -> None:
        """Stop reading, and wait."""
        metrics.RETRIES.labels(batch.table, away.name).inc()
        self._note(f"waits for ClickHouse: {away}")
        if self._no_clickhouse is None:
            self._waiting_clickhouse.enter_context(WAITS.on("clickhouse", str(away)))
        self._no_clickhouse = f"waits for ClickHouse: {away}"
        self._healthy = False
        self._kafka.pause(self._kafka.assignment())
        self._wait(delay)

    def _write(self, batch: Batch) -> None:
        """Insert the rows; those refused become rejections. Raises StoreAway, StopProcess."""
        if not batch.messages:
            return
        table = batch.table
        started = time.perf_counter()
        try:
            refusals = write(self._store, table, batch.messages)
        finally:
            metrics.INSERT_SECONDS.labels(table).observe(time.perf_counter() - started)
        if refusals:
            self._keep(refusals)
        metrics.REFUSED_ROWS.labels(table).inc(len(refusals))
        metrics.ROWS.labels(table).inc(len(batch.messages) - len(refusals))
        metrics.BYTES.labels(table).inc(batch.size)
        metrics.INSERTS.labels(table).inc()
        now = time.time()
        metrics.LAST_WRITE.labels(table).set(now)
        for message in sample(batch):
            metrics.END_TO_END_SECONDS.labels(table).observe(max(0.0, now - message.timestamp()[1] / 1000))

    def _keep(self, refusals: list[Refusal]) -> None:
        """Publish refused rows as rejections and see them acknowledged; a refused rejection is kept in place."""
        failed: list[str] = []
        first = refusals[0].event()
        log.error(
            "ClickHouse refuses %d rows, they are kept as rejections; the first, of %s partition %d offset %d: %s",
            *(len(refusals), first.topic, first.partition, first.offset, first.detail[:200]),
        )
        for refusal in refusals:
            event = refusal.event()
            if event.topic == topics.REJECTED.name:
                write_minimal(self._store, refusal)
                continue
            self._producer.produce(
                topics.REJECTED.name,
                key=f"{event.topic}/{event.partition}/{event.offset}",
                value=msgspec.json.encode(event),
                on_delivery=lambda error, _: failed.append(error.str()) if error is not None else None,
            )
        if self._producer.flush(_PUBLISH_TIMEOUT_S) or failed:
            raise StopProcess(
                f"refused rows could not be published to {topics.REJECTED.name}: "
                f"{failed[0] if failed else 'Kafka does not answer'}; nothing of this batch was acknowledged"
            )

    def _acknowledge(self, batch: Batch) -> None:
        """Commit, synchronously. What Kafka does not take now stays noted and goes with the next commit."""
        for partition, offset in batch.positions.items():
            self._written[batch.topic, partition] = offset
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in self._written.items()]
        try:
            # Without Kafka this takes as long as librdkafka finds right, a minute and more.
            with WAITS.on("kafka", "the acknowledgement of what is written"):
                answers = self._kafka.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            metrics.COMMIT_FAILURES.inc()
            log.warning("Kafka did not take the commit, it is repeated: %s", error)
            return
        for answer in answers:
            if answer.error is None:
                place = (answer.topic, answer.partition)
                self._committed[place] = answer.offset
                self._written.pop(place, None)
            else:
                metrics.COMMIT_FAILURES.inc()
                log.warning("Kafka did not take the commit of %s, it is repeated: %s", answer.topic, answer.error)

    def _wait(self, seconds: float) -> None:
        """Let time pass, but stay in the consumer group: partitions are paused, polling goes on."""
        until = min(self._clock() + seconds, self._deadline)
        while (left := until - self._clock()) > 0:
            if self._stop.is_set():
                self._begin_stop()
                until = min(until, self._deadline)
            message = self._kafka.poll(min(_POLL_S, left))
            if message is not None:
                self._accept([message])
                # Partitions that came meanwhile are not paused, and what they bring would pile up.
                self._kafka.pause(self._kafka.assignment())

    def _look_for_kafka(self) -> None:
        """See whether Kafka answers: librdkafka only goes on trying, and tells nobody."""
        try:
            # Not through the consumer: what it learns about one topic alone makes it join its group anew.
            self._producer.list_topics(topics.SCORED.name, timeout=_LOOK_TIMEOUT_S)
        except KafkaException as error:
            if self._no_kafka is None:
                detail = f"it does not answer ({error.args[0].str()})"
                self._waiting_kafka.enter_context(WAITS.on("kafka", detail))
                self._no_kafka = f"waits for Kafka: {detail}"
                log.warning("%s", self._no_kafka)
        else:
            if self._no_kafka is not None:
                self._no_kafka = None
                self._waiting_kafka.close()
                log.warning("Kafka answers again")

    def _on_assign(self, kafka: Any, partitions: list[TopicPartition]) -> None:
        self._assigned = True
        # Elsewhere librdkafka does the same by itself, and resets to the earliest what is gone.
        if self._settings.kafka_paced:
            kafka.assign(positions.start(kafka, partitions))

    def _on_revoke(self, _kafka: Any, _partitions: list[TopicPartition]) -> None:
        """Write what is buffered if that goes at once; what does not is read again by its next owner."""
        for lane in self._lanes.values() if self._healthy else ():
            batch = lane.take()
            if not batch.positions:
                continue
            try:
                self._write(batch)
            except StoreAway as away:
                log.warning("%s; the next owner of the partitions writes %d rows", away, len(batch.messages))
            else:
                self._acknowledge(batch)
        self._forget()

    def _on_lost(self, _kafka: Any, _partitions: list[TopicPartition]) -> None:
        self._forget()

    def _forget(self) -> None:
        """Nothing buffered is ours any more: with eager assignment every partition goes at once."""
        self._generation += 1
        self._assigned = False
        for lane in self._lanes.values():
            lane.take()
        self._written.clear()
        self._committed.clear()
        metrics.LAG.clear()

    def _measure_lag(self) -> None:
        """Records between the newest in Kafka, as librdkafka last saw it, and what is acknowledged."""
        assigned = self._kafka.assignment()
        unknown = [part for part in assigned if (part.topic, part.partition) not in self._committed]
        try:
            for part in self._kafka.committed(unknown, timeout=_LAG_EVERY_S) if unknown else ():
                self._committed[part.topic, part.partition] = max(part.offset, 0)
            for part in assigned:
                _, high = self._kafka.get_watermark_offsets(part, cached=True)
                done = self._committed.get((part.topic, part.partition), 0)
                metrics.LAG.labels(part.topic, part.partition).set(max(0, high - done))
        except KafkaException as error:
            self._note(f"the lag is not known: {error}")

    def _begin_stop(self) -> None:
        """Half of the shutdown time is for writing, the rest for leaving the group and closing."""
        if self._deadline == float("inf"):
            self._deadline = self._clock() + self._settings.shutdown_timeout / 2

    def _note(self, warning: str) -> None:
        """Log a warning, the same one at most once a minute."""
        now = self._clock()
        if now - self._noted.get(warning, -_NOTE_EVERY_S) >= _NOTE_EVERY_S:
            self._noted[warning] = now
            log.warning(warning)
