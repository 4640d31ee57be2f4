"""The ingest agent: batches of events to the model, what they led to out to Kafka."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from streams.model.decode import Record
from streams.model.ingest import ORIGIN_HEADER, Ingest, Outcome
from streams.model.journey_state import JOURNEY
from streams.model.personal import PersonalData
from streams.model.state_format import INGEST
from streams.runtime import metrics
from streams.runtime.checkpoint import Effects
from streams.runtime.outbox import Outbox
from streams.runtime.partitioner import partitioner
from streams.runtime.positions import Positions
from streams.runtime.rocks_shelf import open_shelf
from streams.runtime.settings import Settings
from streams.runtime.state_log import READ_AT_A_TIME, StateLog, read_back, understood

#: A lane without a record for this long, and with none waiting, holds no watermark back. Seconds.
IDLE_AFTER_S = 5.0
#: Events applied between two checkpoints, at most (but for the last batch).
MOST_WAITING = 100_000
LANES = (topics.EVENTS.name, topics.REKEYED.name)


class IngestTask:
    """The partitions of the ingest agent that this worker owns."""

    def __init__(
        self,
        settings: Settings,
        corridor: CorridorMap,
        outbox: Outbox,
        partition_of: Callable[[bytes], int],
        slice_partitions: int,
        caught_up: Callable[[str, int, int], bool],
    ) -> None:
        """`caught_up` says of topic, partition and next offset whether nothing is left to apply."""
        self._settings = settings
        self._corridor = corridor
        self._outbox = outbox
        self._partition_of = partition_of
        self._caught_up = caught_up
        refuse = settings.personal_data == "refuse"
        self._personal = PersonalData(settings.personal_data_allowed.split(",")) if refuse else None
        self._slice_partitions = slice_partitions
        self._slice_partition_of = partitioner(slice_partitions)
        self._partitions: dict[int, Ingest] = {}
        self._logs: dict[int, StateLog] = {}
        # Slices read back of which it is unknown whether they were published.
        self._unpublished: list[tuple[str, bytes, bytes]] = []
        self._last_record: dict[tuple[int, str], float] = {}
        self._told: dict[tuple[int, str], tuple[bytes, int]] = {}
        # (arrival of the batch's first record, records): not yet in a checkpoint, and in the one under way.
        self._arrived: list[tuple[float, int]] = []
        self._leaving: list[tuple[float, int]] = []

    async def assign(self, partitions: Iterable[int], positions: Positions, still_ours: Callable[[], bool]) -> None:
        """Own exactly these partitions; the state of new ones is read back, several at a time.

        Stops early once `still_ours` says no. Raises StopProcess if state cannot be read back.
        """
        wanted = set(partitions)
        for partition in set(self._partitions) - wanted:
            self._drop(partition)
        for partition, state in list(self._partitions.items()):
            # Another worker may have had it in the meantime.
            if any(positions.of(topic, partition) != lane.saved + 1 for topic, lane in state.lanes.items()):
                self._drop(partition)

        async def take(partition: int) -> None:
            async with at_a_time:
                if still_ours():
                    started = time.monotonic()
                    state, unpublished = await asyncio.to_thread(self._restore, partition, positions)
                    self._partitions[partition] = state
                    self._unpublished += unpublished
                    metrics.RESTORE_SECONDS.set(time.monotonic() - started)
                    self._last_record.update({(partition, topic): time.monotonic() for topic in LANES})

        at_a_time = asyncio.Semaphore(READ_AT_A_TIME)
        await asyncio.gather(*(take(partition) for partition in sorted(wanted - set(self._partitions))))

    def _restore(self, partition: int, positions: Positions) -> tuple[Ingest, list[tuple[str, bytes, bytes]]]:
        # First fence whoever had the partition, then read what is final.
        self._logs[partition] = StateLog(self._settings, topics.STATE_INGEST.name, partition)
        shelf = open_shelf(self._settings, topics.STATE_INGEST.name, partition)
        state = Ingest(partition, self._corridor, self._partition_of, shelf, self._personal)
        read = read_back(self._settings, topics.STATE_INGEST.name, partition, None, None, (JOURNEY, shelf))
        self._logs[partition].upgrade(INGEST, read, shelf)
        with understood(topics.STATE_INGEST.name, partition):
            for key, value in read.items():
                state.restore(key, value)
            for topic, lane in state.lanes.items():
                positions.check(topic, partition, lane.state.applied)
                # State may be ahead of what was acknowledged: the next checkpoint makes up for it, even if no event
                # comes.
                lane.saved = positions.of(topic, partition) - 1
            return state, state.restored({topic: positions.of(topic, partition) for topic in LANES})

    async def apply(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Apply a batch and publish what it led to; returns how many records it has done with, which is all.

        A batch of a partition no longer owned is left to its new owner.
        """
        state = self._partitions.get(partition)
        if state is None:
            return len(records)
        started = time.perf_counter()
        outcome = state.apply(topic, records)
        metrics.BATCH_SECONDS.observe(time.perf_counter() - started)
        metrics.BATCH_RECORDS.observe(len(records))
        self._last_record[partition, topic] = time.monotonic()
        self._arrived.append((records[0].timestamp / 1000.0, len(records)))
        _count(outcome)
        if outcome.scored:
            await self._outbox.publish(topics.SCORED.name, outcome.scored)
        if outcome.rejected:
            await self._outbox.publish(topics.REJECTED.name, outcome.rejected)
        for subject, record in outcome.rekeyed:
            await self._hand_over(partition, subject, record)
        return len(records)

    async def _hand_over(self, partition: int, subject: bytes, record: Record) -> None:
        """Send an event to its customer's partition: the owner of murmur2(subject)."""
        origin = f"{partition}:{record.offset}".encode()
        await self._outbox.hand_over(
            topics.REKEYED.name, subject, record.value, [*record.headers, (ORIGIN_HEADER, origin)], record.timestamp
        )

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The offset after the last one applied; None for a partition not owned."""
        state = self._partitions.get(partition)
        return None if state is None else state.lanes[topic].state.applied + 1

    @property
    def full(self) -> bool:
        """Whether so many events wait for a checkpoint that memory would grow."""
        return sum(count for _, count in self._arrived) >= MOST_WAITING

    def collect(self, now: float) -> Effects:
        """The slices, journeys, state and positions that changed since the last checkpoint."""
        effects = Effects()
        changed, self._unpublished = self._unpublished, []
        told: list[dict[str, object]] = []
        journeys: list[dict[str, object]] = []
        for partition, state in self._partitions.items():
            idle = {topic: self._idle(partition, topic) for topic in LANES}
            state.advance(now if all(idle.values()) else None)
            snapshot = state.snapshot()
            changed += snapshot.slices
            journeys += snapshot.journeys
            told += self._progress(partition, idle)
            if snapshot.state:
                effects.state.append((self._logs[partition], snapshot.state))
            for topic, position in snapshot.positions.items():
                effects.positions[topic, partition] = position
        slices: list[dict[str, object]] = [
            {"key": key, "value": value, "partition": self._slice_partition_of(tenant.encode())}
            for tenant, key, value in changed
        ]
        if slices or told:
            effects.messages.append((topics.SLICES.name, slices + told))
        if journeys:
            effects.messages.append((topics.JOURNEYS.name, journeys))
        self._arrived, self._leaving = [], self._arrived
        return effects

    def _idle(self, partition: int, topic: str) -> bool:
        """Whether a lane expects nothing."""
        quiet = time.monotonic() - self._last_record[partition, topic] > IDLE_AFTER_S
        # A lane that has only not been served yet is not idle: its records would come too late for their scores.
        return quiet and self._caught_up(topic, partition, self._partitions[partition].lanes[topic].state.applied + 1)

    def _progress(self, partition: int, idle: Mapping[str, bool]) -> list[dict[str, object]]:
        """Tell all readers of slices how far each lane has come, when that changed."""
        told = []
        state = self._partitions[partition]
        for topic in LANES:
            progress = state.progress(topic, idle[topic])
            if not idle[topic] and progress.watermark is None:
                # Its first records may still come: until it has said something, it holds the watermark back.
                continue
            value = msgspec.json.encode(progress)
            # An idle lane says so again and again: the others may have gone on since.
            told_now = value, idle[topic] and int(time.monotonic() / IDLE_AFTER_S)
            if self._told.get((partition, topic)) == told_now:
                continue
            self._told[partition, topic] = told_now
            if progress.watermark is not None:
                metrics.WATERMARK.labels(partition).set(progress.watermark)
            key = msgspec.json.encode(("progress", progress.origin))
            told += [{"key": key, "value": value, "partition": number} for number in range(self._slice_partitions)]
            for source, clock in state.lanes[topic].state.sources.items():
                metrics.LAST_EVENT.labels(source).set(clock.newest)
        return told

    def drop(self) -> None:
        """Own nothing any more; what was not acknowledged is done again by the next owner."""
        for partition in list(self._partitions):
            self._drop(partition)
        self._logs.clear()

    def _drop(self, partition: int) -> None:
        self._partitions.pop(partition).shelf.close()
        del self._logs[partition]

    def committed(self, now: float) -> None:
        """Observe how long the events of the finished checkpoint took, and how much state there is."""
        held = [state.held() for state in self._partitions.values()]
        metrics.STATE_VALUES.labels("journey").set(sum(journeys for journeys, _ in held))
        metrics.STATE_VALUES.labels("slice").set(sum(slices for _, slices in held))
        for arrived_at, count in self._leaving:
            metrics.END_TO_END.observe(max(now - arrived_at, 0.0), count)
        self._leaving = []


def _count(outcome: Outcome) -> None:
    for state, count in (
        ("accepted", len(outcome.scored)),
        ("rejected", len(outcome.rejected)),
        ("duplicate", outcome.duplicates),
        ("rekeyed", len(outcome.rekeyed)),
        ("replayed", outcome.replayed),
    ):
        if count:
            metrics.EVENTS.labels(state).inc(count)
    for reason, count in outcome.reasons.items():
        metrics.REJECTED.labels(reason).inc(count)
    if outcome.unmapped:
        metrics.UNMAPPED.inc(outcome.unmapped.total())
    if outcome.forgotten:
        metrics.FORGOTTEN.inc(outcome.forgotten)
    if outcome.late:
        metrics.LATE.inc(outcome.late)
    for lateness in outcome.lateness:
        metrics.LATENESS.observe(lateness)


__all__ = ["LANES", "IngestTask"]
