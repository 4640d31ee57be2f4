"""The ingest state machine of one partition: events in; scored events, rejections, slices and state out.

One partition is fed from two lanes: `touchpoint.events` and `corredor.rekeyed` (events that a producer with another
partitioner put elsewhere). A snapshot is written as one transaction, so what is read back is the state after exactly
the events up to each lane's `applied`; `apply` skips those when they are replayed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.rejection import RejectedEvent
from schemas.slice import Progress, Slice
from streams.model.clocks import FORGET_S, SourceClock, forget_silent, watermark
from streams.model.decode import Record, check_times, decode
from streams.model.duplicates import RecentIds, identity
from streams.model.generations import Generations
from streams.model.open_slice import OpenSlice
from streams.model.places import Place, Places
from streams.model.scored import scored_event
from streams.model.slices import add, bucket_of

#: A journey's recent ids are remembered exactly this long after its last event arrived: when it leaves memory (after
#: twice as long, or later) must not show in the results. Seconds.
DUPLICATE_HORIZON_S = 900.0
#: Checkpoints after which a bucket that nothing touched leaves the state. A later event opens a new part of it.
BUCKET_AGE = 20
#: The largest rejection published: the topic takes 8 MiB. A larger one would stop the work for ever.
MAX_REJECTION_BYTES = 7 * 1024 * 1024
_CUT_RAW, _CUT_KEY = 4 * 1024 * 1024, 64 * 1024
#: Header of an event handed over: the partition and offset it was published at.
ORIGIN_HEADER: Final = "corredor-origin"

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
JourneyKey = tuple[str, str, str]
Message = dict[str, object]
#: A place's slot with a segment pair, `ALL` for the slice over all segments.
SliceSlot = tuple[int, str, str]
Pairs = tuple[tuple[str, str], ...]
#: A place's slot with all segment pairs of an event that slices are split by.
EventKind = tuple[int, Pairs]
ALL = ("", "")


class Group:
    """The slices that one kind of event (place and segment pairs) counts in, and the offset of the last such event."""

    __slots__ = ("slices", "version")

    def __init__(self) -> None:
        self.slices: list[OpenSlice] = []
        self.version = -1


class OpenBucket:
    """The slices of one 10-second bucket that are in memory; `groups` finds those of an event in one step."""

    __slots__ = ("groups", "slices")

    def __init__(self) -> None:
        self.groups: dict[EventKind, Group] = {}
        self.slices: dict[SliceSlot, OpenSlice] = {}


class LaneState(msgspec.Struct):
    """What a lane remembers: the last offset applied and the clock of every source."""

    applied: int = -1
    sources: dict[str, SourceClock] = {}


class Lane:
    """One of the two topics that feed the partition."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.origin = f"{topic}/{partition}"
        self.state = LaneState()
        self.buckets: Generations[int, OpenBucket] = Generations()
        self.dirty: dict[int, Group] = {}
        self.bucket_age = 0
        self.newest_arrival = 0.0
        #: The offset in the last snapshot.
        self.saved = -1


@dataclass(slots=True)
class Outcome:
    """What a batch of records led to: messages to publish (as confluent-kafka's `produce_batch` takes them), counts."""

    scored: list[Message] = field(default_factory=list)
    rejected: list[Message] = field(default_factory=list)
    #: Subject and record of each event that belongs to another partition.
    rekeyed: list[tuple[bytes, Record]] = field(default_factory=list)
    duplicates: int = 0
    replayed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    unmapped: Counter[str] = field(default_factory=Counter)
    late: int = 0
    #: Seconds between event time and recordedtime, one for each event that has both.
    lateness: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Snapshot:
    """Everything a checkpoint has to make durable. `state` is written as one; None as a value deletes a key."""

    slices: list[tuple[str, bytes, bytes]]
    state: list[tuple[bytes, bytes | None]]
    positions: dict[str, int]


class Ingest:
    """The state of one partition. Not thread-safe; has no clock: time comes with the records."""

    def __init__(self, partition: int, corridor: CorridorMap, partition_of: Callable[[bytes], int]) -> None:
        self.partition = partition
        self._partition_of = partition_of
        self._places = Places(corridor)
        self._allowed_lateness = float(corridor.defaults.allowed_lateness)
        self.lanes = {topic.name: Lane(topic.name, partition) for topic in (topics.EVENTS, topics.REKEYED)}
        self._journeys: Generations[JourneyKey, RecentIds] = Generations()
        self._dirty_journeys: dict[JourneyKey, RecentIds] = {}
        self._journeys_aged_at = 0.0
        self._newest_arrival = 0.0

    # -- applying ------------------------------------------------------------------------------------------------

    def apply(self, topic: str, records: Iterable[Record]) -> Outcome:
        """Apply records of one lane in offset order. Never raises for a bad event: it is in `rejected`."""
        lane = self.lanes[topic]
        own_lane = topic == topics.EVENTS.name
        outcome = Outcome()
        applied = lane.state.applied
        for record in records:
            offset = record.offset
            if offset <= applied:
                outcome.replayed += 1
                continue
            applied = offset
            try:
                event = decode(record)
                event_time = event.time.timestamp()
                check_times(event_time, record.timestamp / 1000.0)
            except RejectEvent as error:
                self._reject(lane, record, error, outcome)
                continue
            self._apply_event(lane, own_lane, record, event, event_time, outcome)
        lane.state.applied = applied
        return outcome

    def _apply_event(
        self, lane: Lane, own_lane: bool, record: Record, event: TouchpointEvent, event_time: float, outcome: Outcome
    ) -> None:
        offset = record.offset
        data = event.data
        received_at = record.timestamp / 1000.0
        subject = event.subject
        key = (event.tenant, subject, data.journey or subject)
        journey = self._journeys.young.get(key) or self._journeys.get(key)
        if journey is None:
            if own_lane and self._partition_of(subject.encode()) != self.partition:
                outcome.rekeyed.append((subject.encode(), record))
                return
            journey = self._journeys.young[key] = RecentIds()

        late = self._advance_clock(lane, event.source, event_time, received_at)
        if received_at - journey.seen_at > DUPLICATE_HORIZON_S:
            journey.ids.clear()
        journey.seen_at = received_at
        self._dirty_journeys[key] = journey
        if journey.is_duplicate(identity(event.source, event.id)):
            outcome.duplicates += 1
            return

        place = self._places.find(event.tenant, data)
        experience = place.scorer(data)
        slices = self._slices(lane, place, data.segment, bucket_of(event_time), offset)
        add(slices, data, experience, place.scorer.tolerable_wait_ms, late)
        if not place.mapped:
            outcome.unmapped[data.touchpoint] += 1
        if late:
            outcome.late += 1
        if event.recordedtime is not None:
            outcome.lateness.append(event.recordedtime.timestamp() - event_time)
        scored = scored_event(record, event, event_time, place, experience, late, self._source(lane, record))
        outcome.scored.append({"key": subject.encode(), "value": _json(scored)})

    def _advance_clock(self, lane: Lane, source: str, event_time: float, received_at: float) -> bool:
        """Move the source's clock; True if the event is later than the allowed lateness behind it."""
        if received_at > lane.newest_arrival:
            lane.newest_arrival = received_at
            self._newest_arrival = max(self._newest_arrival, received_at)
        clock = lane.state.sources.get(source)
        if clock is None or clock.seen_at < lane.newest_arrival - FORGET_S:
            lane.state.sources[source] = SourceClock(event_time, received_at)
            return False
        late = event_time < clock.newest - self._allowed_lateness
        if event_time > clock.newest:
            clock.newest = event_time
        if received_at > clock.seen_at:
            clock.seen_at = received_at
        return late

    def _slices(
        self, lane: Lane, place: Place, segment: dict[str, str] | None, start: int, offset: int
    ) -> list[OpenSlice]:
        """The slices that an event counts in, marked as changed."""
        bucket = lane.buckets.young.get(start) or lane.buckets.get(start)
        if bucket is None:
            bucket = lane.buckets.young[start] = OpenBucket()
        kind = (place.slot, tuple(self._places.pairs(segment)) if segment else ())
        group = bucket.groups.get(kind)
        if group is None:
            group = bucket.groups[kind] = self._group(lane, bucket, place, kind[1], start, offset)
        group.version = offset
        lane.dirty[id(group)] = group
        return group.slices

    def _group(self, lane: Lane, bucket: OpenBucket, place: Place, pairs: Pairs, start: int, offset: int) -> Group:
        """The slices of one kind of event in a bucket; those that no other kind has opened yet are opened."""
        group = Group()
        for name, value in (ALL, *pairs):
            slot = (place.slot, name, value)
            found = bucket.slices.get(slot)
            if found is None:
                cell = place.cell._replace(segment=name, segment_value=value)
                found = bucket.slices[slot] = OpenSlice(cell, start, lane.origin, offset)
            group.slices.append(found)
        return group

    def _source(self, lane: Lane, record: Record) -> tuple[int, int]:
        """Partition and offset in `touchpoint.events`, also of an event that was handed over."""
        if lane.topic == topics.EVENTS.name:
            return self.partition, record.offset
        # Ours is the last one: a source may have sent a header of that name too.
        for name, value in reversed(tuple(record.headers)):
            if name == ORIGIN_HEADER and value is not None:
                partition, _, offset = value.decode().partition(":")
                return int(partition), int(offset)
        return -1 - self.partition, record.offset

    def _reject(self, lane: Lane, record: Record, error: RejectEvent, outcome: Outcome) -> None:
        partition, offset = self._source(lane, record)
        rejected = RejectedEvent(
            reason=error.reason,
            detail=error.detail[:1000],
            topic=topics.EVENTS.name,
            partition=partition,
            offset=offset,
            received_at=record.timestamp / 1000.0,
            key=record.key,
            # Plain bytes: an UnreadableValue is a subclass, which msgspec does not encode.
            raw=None if record.value is None else bytes(record.value),
            headers=dict(record.headers),
        )
        key = f"{topics.EVENTS.name}/{partition}/{offset}".encode()
        value = _json(rejected)
        if len(value) > MAX_REJECTION_BYTES:
            value = _json(_cut(rejected))
        outcome.rejected.append({"key": key, "value": value})
        outcome.reasons[error.reason.value] += 1

    # -- the checkpoint ------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What changed since the last snapshot, and what may leave memory because it is idle and durable."""
        slices: list[tuple[str, bytes, bytes]] = []
        state: list[tuple[bytes, bytes | None]] = []
        for lane in self.lanes.values():
            for changed in _changed(lane.dirty.values()):
                key, value = changed.key, _json(changed)
                slices.append((changed.tenant, key, value))
                state.append((b"s" + key, value))
            lane.dirty.clear()
            state += [(key, None) for key in self._let_buckets_go(lane)]
        for journey_key, journey in self._dirty_journeys.items():
            state.append((b"j" + _json(journey_key), _pack(journey)))
        self._dirty_journeys.clear()
        state += [(key, None) for key in self._let_journeys_go()]
        positions = {}
        for lane in self.lanes.values():
            if lane.state.applied > lane.saved:
                lane.saved = lane.state.applied
                forget_silent(lane.state.sources)
                state.append((b"l" + lane.topic.encode(), _pack(lane.state)))
                positions[lane.topic] = lane.state.applied + 1
        return Snapshot(slices, state, positions)

    def unacknowledged(self, positions: Mapping[str, int]) -> list[tuple[str, bytes, bytes]]:
        """Slices that changed at or after the acknowledged positions, by topic: whether they were published is unknown.

        For the moment after reading back: state is written before the slices, so a crash may have come in between.
        """
        return [
            (message.tenant, message.key, _json(message))
            for lane in self.lanes.values()
            for bucket in lane.buckets
            for open_slice in bucket.slices.values()
            if open_slice.version >= positions[lane.topic]
            for message in (open_slice.message(),)
        ]

    def progress(self, topic: str, idle: bool) -> Progress:
        """How far a lane has come; an idle lane holds no watermark back."""
        lane = self.lanes[topic]
        return Progress(lane.origin, lane.state.applied, None if idle else watermark(lane.state.sources))

    def held(self) -> tuple[int, int]:
        """How many journeys and how many slices are in memory."""
        slices = sum(len(bucket.slices) for lane in self.lanes.values() for bucket in lane.buckets)
        return len(self._journeys), slices

    def _let_buckets_go(self, lane: Lane) -> list[bytes]:
        lane.bucket_age += 1
        gone = [open_slice.key for _, bucket in lane.buckets.leave() for open_slice in bucket.slices.values()]
        if lane.bucket_age >= BUCKET_AGE and lane.buckets.age(steps=BUCKET_AGE):
            lane.bucket_age = 0
        return [b"s" + key for key in gone]

    def _let_journeys_go(self) -> list[bytes]:
        seen_before = self._newest_arrival - 2 * DUPLICATE_HORIZON_S
        leaving = self._journeys.leave(lambda journey: journey.seen_at < seen_before)
        gone = [b"j" + _json(key) for key, _ in leaving]
        if self._newest_arrival - self._journeys_aged_at >= DUPLICATE_HORIZON_S and self._journeys.age(steps=900):
            self._journeys_aged_at = self._newest_arrival
        return gone

    # -- reading back --------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        """Put back one value of the changelog, the newest of its key. Raises msgspec.DecodeError if it is torn."""
        kind, key = key[:1], key[1:]
        if kind == b"s":
            self._restore_slice(msgspec.json.decode(value, type=Slice))
        elif kind == b"j":
            journey_key = msgspec.json.decode(key, type=JourneyKey)
            self._journeys.young[journey_key] = msgspec.msgpack.decode(value, type=RecentIds)
        elif kind == b"l":
            lane = self.lanes[key.decode()]
            lane.state = msgspec.msgpack.decode(value, type=LaneState)
            lane.newest_arrival = max((clock.seen_at for clock in lane.state.sources.values()), default=0.0)

    def _restore_slice(self, stored: Slice) -> None:
        lane = self.lanes[stored.origin.rpartition("/")[0]]
        bucket = lane.buckets.get(stored.bucket)
        if bucket is None:
            bucket = lane.buckets.young[stored.bucket] = OpenBucket()
        bucket.slices[self._places.slot(stored.cell), stored.segment, stored.segment_value] = OpenSlice.of(stored)


def _changed(groups: Iterable[Group]) -> list[Slice]:
    """The slices of the groups, each once, with its version: the newest of its groups'."""
    found: dict[int, OpenSlice] = {}
    for group in groups:
        for one in group.slices:
            one.version = max(one.version, group.version)
            found[id(one)] = one
    return [one.message() for one in found.values()]


def _cut(rejected: RejectedEvent) -> RejectedEvent:
    """What of a rejection fits into a message: the beginning of its value and key, no headers."""
    return msgspec.structs.replace(
        rejected,
        detail=f"{rejected.detail} (too large to keep whole: cut to its first {_CUT_RAW} bytes)",
        key=rejected.key and rejected.key[:_CUT_KEY],
        raw=rejected.raw and rejected.raw[:_CUT_RAW],
        headers={},
    )
