"""The micro-batch transport: Faust's aiokafka transport, changed in four places.

1. The records of one poll of a partition travel through Faust as one event that holds the list (`BatchScheduler`).
2. Nothing is committed by Faust: offsets are committed when a checkpoint says so (`BatchConsumer.commit_positions`).
3. The two lanes of an ingest partition are assigned to the same worker (range assignment).
4. A record batch that cannot be read, for example for an unknown compression, becomes records with `UnreadableValue`,
   instead of an exception that would end the worker again and again.

Measured: a Faust agent with an empty body does 6,800 events/s one by one and over 200,000 in batches (docs/decisions).
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import aiokafka
import faust
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import SchedulingStrategyT
from faust.types.tuples import ConsumerMessage

from streams.runtime.record_batches import ReadableMemoryRecords


class BatchScheduler(SchedulingStrategyT):
    """Hands over all records that one poll brought for a partition at once."""

    @classmethod
    def map_from_records(cls, records: Mapping[TP, list[Any]]) -> Mapping[TP, list[Any]]:
        """Nothing to index: a batch is not interleaved."""
        return records

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, list[Any]]]:
        """Each partition with its records."""
        yield from records.items()


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer with settings for latency and with co-partitioned assignment."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # Events that their producer took back in an aborted transaction never happened.
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=100,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials),
        )


class BatchConsumer(driver.Consumer):
    """A consumer of batches whose offsets are committed by checkpoints alone."""

    def on_init(self) -> None:
        """Called by the service when it is made."""
        super().on_init()
        # The last offset handed to the agents, by topic and partition.
        self._handed: dict[tuple[str, int], int] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        """One message for a list of records; its offset is that of the first, its value the list."""
        records: list[Any] = record
        first = records[0]
        self._handed[tp.topic, tp.partition] = records[-1].offset
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            first.offset,
            first.timestamp / 1000.0,
            first.timestamp_type,
            (),
            None,
            records,
            None,
            -1,
            -1,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """The offsets inside a batch are no gap, and Faust does not commit here: there is nothing to keep."""

    def ends(self) -> dict[tuple[str, int], int]:
        """The end of every partition assigned, by topic and partition, as the last fetch saw it; 0 before the first."""
        assignment = self._assigned_now()
        if assignment is None:
            return {}
        return {(tp.topic, tp.partition): assignment.state_value(tp).highwater or 0 for tp in assignment.tps}

    def caught_up(self, topic: str, partition: int, following: int) -> bool:
        """Whether nothing is left to apply from offset `following` on, as the last fetch saw it; False before one."""
        assignment = self._assigned_now()
        place = driver.ensure_aiokafka_TP(TP(topic, partition))
        if assignment is None or place not in assignment.tps:
            return False
        state = assignment.state_value(place)
        if state.highwater is None or not state.has_valid_position or state.position < state.highwater:
            return False
        return self._handed.get((topic, partition), -1) < following

    def _assigned_now(self) -> Any:
        """aiokafka's assignment, None before one. Its thread replaces it as a whole, so one look is consistent."""
        consumer = self._thread._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None
        return subscription.assignment if subscription is not None else None

    async def commit_positions(self, positions: Mapping[TP, int]) -> None:
        """Commit exactly these positions (the offset after the last one applied). Raises what aiokafka raises."""
        await self._thread.call_thread(self._commit_now, positions)

    async def _commit_now(self, positions: Mapping[TP, int]) -> None:
        consumer = self._thread._ensure_consumer()
        await consumer.commit({driver.ensure_aiokafka_TP(tp): offset for tp, offset in positions.items()})


class BatchTransport(driver.Transport):
    """The transport an app uses instead of Faust's own."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer


def use_batches(app: faust.App) -> None:
    """Make `app` travel in micro-batches."""
    fetcher.MemoryRecords = ReadableMemoryRecords
    app.conf.ConsumerScheduler = BatchScheduler
    app.transport = BatchTransport(app.conf.broker_consumer, app)
