"""The ingest state machine of one partition: events in; scored events, rejections, slices, journeys and state out.

One partition is fed from two lanes: `touchpoint.events` and `corredor.rekeyed` (events that a producer with another
partitioner put elsewhere). A snapshot is written as one transaction, so what is read back is the state after exactly
the events up to each lane's `applied`; `apply` skips those when they are replayed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Final

import msgspec

from schemas import topics
from schemas.corridor import CorridorMap
from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.forget import ForgetRequest
from schemas.slice import Progress, Slice
from schemas.transition import TransitionSlice
from streams.model.clocks import watermark
from streams.model.decode import Record, check_times, decode
from streams.model.duplicates import identity, is_duplicate
from streams.model.forget import asked, is_nameless, nameless
from streams.model.journey import Journeys
from streams.model.journey_state import JourneyKey, JourneyState, name_of
from streams.model.journey_store import JourneyStore
from streams.model.lane import Lane, LaneState
from streams.model.personal import PersonalData
from streams.model.places import Places
from streams.model.rejected import rejected_event
from streams.model.scored import scored_event
from streams.model.shelf import MemoryShelf, Shelf
from streams.model.slices import add, bucket_of
from streams.model.transitions import Transitions

#: Changed journeys are published with the snapshot if they are few; otherwise each so many snapshots after its change,
#: so that the contacts of one visit are one message.
FEW_JOURNEYS = 100
JOURNEY_WAITS = 60
#: While nothing is expected none has to wait: so many go with one snapshot.
IDLE_JOURNEYS = 10_000
#: Journeys of before a restart that one snapshot publishes: it may be minutes' worth, and must not hold up the others.
AGAIN_AT_ONCE = 1_000
#: Offsets between two looks at the watermark. The log alone says when they are due, not the batches: a replay settles
#: journeys at the same records.
LOOK_EVERY = 32
#: Event time that lags the wall clock by more than this when the last event arrives is history. Seconds.
_LIVE_S = 3600.0
#: Steps in which the clock of an idle partition is told, seconds.
_CLOCK_STEP_S = 5.0
#: Header of an event handed over: the partition and offset it was published at.
ORIGIN_HEADER: Final = "corredor-origin"

_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
# Made here and not where they are used: several partitions are read back at once, and two threads that show msgspec a
# struct for the first time at the same moment crash the process (0.22.0).
_slice = msgspec.json.Decoder(Slice).decode
_transition = msgspec.json.Decoder(TransitionSlice).decode
_lane = msgspec.msgpack.Decoder(LaneState).decode
Message = dict[str, object]


class Progression(msgspec.Struct):
    """How far the partition as a whole has come."""

    #: Snapshots so far, and those up to which all transition slices and all journeys are known to be published.
    sequence: int = 0
    slices_out: int = 0
    journeys_out: int = 0
    #: The smallest event time still expected, epoch seconds, as of the last look: journeys are settled by it.
    watermark: float = float("-inf")


_progression = msgspec.msgpack.Decoder(Progression).decode


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
    #: Journeys that lost their name.
    forgotten: int = 0


@dataclass(slots=True)
class Snapshot:
    """Everything a checkpoint has to make durable. `state` is written as one; None as a value deletes a key."""

    #: (tenant, key, value) of touchpoint and transition slices, and of what was heard of the sources.
    slices: list[tuple[str, bytes, bytes]]
    journeys: list[Message]
    state: list[tuple[bytes, bytes | None]]
    positions: dict[str, int]


class Ingest:
    """The state of one partition. Not thread-safe; has no clock: time comes with the records, and with `advance`."""

    def __init__(
        self,
        partition: int,
        corridor: CorridorMap,
        partition_of: Callable[[bytes], int],
        shelf: Shelf | None = None,
        personal: PersonalData | None = None,
    ) -> None:
        """`shelf` takes the journeys that are idle, and those that are read back; default: one in memory.

        `personal` refuses events that hold what looks personal; default: none is refused.
        """
        self.partition = partition
        self._partition_of = partition_of
        self._personal = personal
        self._places = Places(corridor)
        self._allowed_lateness = float(corridor.defaults.allowed_lateness)
        self._duplicate_horizon = float(corridor.defaults.duplicate_horizon)
        self.lanes = {topic.name: Lane(topic.name, partition) for topic in (topics.EVENTS, topics.REKEYED)}
        self._origin = f"{topics.EVENTS.name}/{partition}"
        self._transitions = Transitions(self._origin)
        self._tracker = Journeys(corridor, self._transitions)
        self.shelf: Shelf = MemoryShelf() if shelf is None else shelf
        self._journeys = JourneyStore(self._tracker, self.shelf)
        self._dirty_journeys: dict[JourneyKey, JourneyState] = {}
        #: Journeys with the snapshot of their first change that is not published, in that order.
        self._unpublished: dict[JourneyKey, tuple[int, JourneyState]] = {}
        #: Names that journeys had before they were forgotten, still in the changelog.
        self._left: list[bytes] = []
        #: Those read back of which it is unknown; a few at a time join the others.
        self._perhaps_unpublished: list[JourneyKey] = []
        self._progression = Progression()
        self._idle = False
        #: Event time as of the last look, and whether it is near the wall clock.
        self._clock = float("-inf")
        self._live = False
        #: What the last snapshot brought out, once its checkpoint is finished: snapshots of slices, and of journeys.
        self._going_out = (0, 0)

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
            if offset >= lane.state.look_at:
                lane.state.look_at = offset + LOOK_EVERY
                self._progression.watermark = self._complete_until()
            if not own_lane and (request := asked(record)) is not None:
                outcome.forgotten += self._forget(request)
                continue
            try:
                event = decode(record)
                event_time = event.time.timestamp()
                check_times(event_time, record.timestamp / 1000.0)
                if self._personal is not None:
                    self._personal.check(record.value or b"", record.headers)
            except RejectEvent as error:
                self._reject(lane, record, error, outcome)
                continue
            self._apply_event(lane, own_lane, record, event, event_time, outcome)
        lane.state.applied = applied
        return outcome

    def _apply_event(
        self, lane: Lane, own_lane: bool, record: Record, event: TouchpointEvent, event_time: float, outcome: Outcome
    ) -> None:
        data = event.data
        received_at = record.timestamp / 1000.0
        subject = event.subject
        key = (event.tenant, subject, data.journey or subject)
        journey = self._journeys.hot.young.get(key) or self._journeys.find(key)
        if journey is None:
            if own_lane and self._partition_of(subject.encode()) != self.partition:
                outcome.rekeyed.append((subject.encode(), record))
                return
            journey = self._journeys.hot.young[key] = JourneyState()

        late = lane.advance(event.source, event_time, received_at, self._allowed_lateness)
        if received_at - journey.seen_at > self._duplicate_horizon:
            journey.ids.clear()
        journey.seen_at = received_at
        self._dirty_journeys[key] = journey
        this = identity(event.source, event.id)
        if is_duplicate(journey.ids, this):
            outcome.duplicates += 1
            return

        place = self._places.find(event.tenant, data)
        lane.hear(event.tenant, event.source, data.touchpoint if place.mapped else "")
        experience = place.scorer(data)
        pairs = tuple(self._places.pairs(data.segment)) if data.segment else ()
        slices = lane.slices(place, pairs, bucket_of(event_time), record.offset)
        add(slices, data, experience, place.scorer.tolerable_wait_ms, late)
        contact = self._tracker.rules.contact(event_time, this, place, data, experience.x, pairs)
        self._tracker.add(key, journey, contact, self._progression.watermark)
        if not place.mapped:
            outcome.unmapped[data.touchpoint] += 1
        if late:
            outcome.late += 1
        if event.recordedtime is not None:
            outcome.lateness.append(event.recordedtime.timestamp() - event_time)
        scored = scored_event(record, event, event_time, place, experience, late, self._source(lane, record))
        outcome.scored.append({"key": subject.encode(), "value": _json(scored)})

    def _forget(self, request: ForgetRequest) -> int:
        """Take the names off the journeys of a customer; returns of how many."""
        keys = self._journeys.of_subject(request.subject)
        for number, key in enumerate(keys):
            new = nameless(key, request.request, number)
            state = self._journeys.rename(key, new)
            state.ids.clear()
            self._tracker.renamed(new, state)
            self._dirty_journeys.pop(key, None)
            self._unpublished.pop(key, None)
            self._dirty_journeys[new] = state
            self._left.append(name_of(key))
        return len(keys)

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
        key = f"{topics.EVENTS.name}/{partition}/{offset}".encode()
        outcome.rejected.append({"key": key, "value": rejected_event(record, error, partition, offset, self._personal)})
        outcome.reasons[error.reason.value] += 1

    def _complete_until(self) -> float:
        """The smallest event time still expected, epoch seconds; minus infinity before the first event."""
        clocks = [clock for lane in self.lanes.values() for clock in lane.state.sources.values()]
        found = watermark(clocks)
        return float("-inf") if found is None else found

    # -- the checkpoint ------------------------------------------------------------------------------------------

    def advance(self, now: float | None) -> None:
        """Let silence take effect: journeys stall, and are gone. Call it before each snapshot.

        Event time has come as far as the watermark; while nothing is expected it runs on with the wall clock `now`
        (epoch seconds) from the last arrival. None: events are still expected.
        """
        clock = self._complete_until()
        self._idle = now is not None
        self._live = abs(self._newest_arrival() - clock) < _LIVE_S
        if now is not None:
            clock += max(now - self._newest_arrival(), 0.0)
        self._clock = clock
        self._dirty_journeys.update(self._tracker.advance(clock, self._journeys.ring))

    def snapshot(self) -> Snapshot:
        """What changed since the last snapshot, and what may leave memory because it is idle and durable.

        Take it only after the checkpoint of the last one is finished.
        """
        progression = self._progression
        progression.slices_out = max(progression.slices_out, self._going_out[0])
        progression.journeys_out = max(progression.journeys_out, self._going_out[1])
        progression.sequence += 1
        slices: list[tuple[str, bytes, bytes]] = []
        # First, for a customer who has come back since has the same names again.
        state: list[tuple[bytes, bytes | None]] = [(name, None) for name in self._left]
        self._left.clear()
        for one in self._changed_slices():
            key, value = one.key, _json(one)
            slices.append((one.tenant, key, value))
            state.append(((b"s" if type(one) is Slice else b"t") + key, value))
        for lane in self.lanes.values():
            slices += [(heard.tenant, heard.key, _json(heard)) for heard in lane.heard(self._clock, self._idle)]
            state += [(b"s" + key, None) for key in lane.let_go()]
        state += [(b"t" + key, None) for key in self._transitions.let_go()]
        for journey_key, journey in self._dirty_journeys.items():
            journey.changed = progression.sequence
            state.append((name_of(journey_key), self._tracker.pack(journey)))
            since, _ = self._unpublished.get(journey_key, (progression.sequence, None))
            # The object may be another one than at the first change: it may have been on the shelf since.
            self._unpublished[journey_key] = (since, journey)
        self._dirty_journeys.clear()
        journeys = self._journeys_to_publish()
        left = self._journeys.let_go(self._newest_arrival(), progression.journeys_out)
        state += [(name, None) for name in left]
        positions = {}
        for lane in self.lanes.values():
            if lane.save():
                state.append((b"l" + lane.topic.encode(), _pack(lane.state)))
                positions[lane.topic] = lane.state.applied + 1
        if state:
            state.append((b"p", _pack(progression)))
        self._going_out = (progression.sequence, self._going_out[1])
        return Snapshot(slices, journeys, state, positions)

    def _changed_slices(self) -> Iterator[Slice | TransitionSlice]:
        for lane in self.lanes.values():
            yield from lane.changed()
        yield from self._transitions.snapshot(self._progression.sequence)

    def _journeys_to_publish(self) -> list[Message]:
        """Messages of the journeys that changed and whose time has come."""
        sequence = self._progression.sequence
        waiting = self._unpublished
        if len(waiting) <= FEW_JOURNEYS or self._idle:
            due: Iterable[JourneyKey] = islice(waiting, IDLE_JOURNEYS)
        else:
            due = takewhile(lambda key: waiting[key][0] + JOURNEY_WAITS <= sequence, waiting)
        going = [(key, waiting.pop(key)[1]) for key in list(due)]
        for key in self._perhaps_unpublished[:AGAIN_AT_ONCE]:
            journey = self._journeys.find(key)
            if journey is not None and key not in waiting:
                going.append((key, journey))
        del self._perhaps_unpublished[:AGAIN_AT_ONCE]
        if not self._perhaps_unpublished:
            out = sequence - JOURNEY_WAITS if waiting else sequence
            self._going_out = (self._going_out[0], max(out, self._going_out[1]))
        messages = [
            self._tracker.message(key, journey, journey.changed, self._origin)
            for key, journey in going
            if journey.last is not None and not is_nameless(key)
        ]
        return [{"key": message.key, "value": _json(message)} for message in messages]

    def progress(self, topic: str, idle: bool) -> Progress:
        """How far a lane has come; an idle lane holds no watermark back."""
        lane = self.lanes[topic]
        clock = self._clock // _CLOCK_STEP_S * _CLOCK_STEP_S if idle and self._idle and self._live else None
        mark = None if idle else watermark(lane.state.sources.values())
        return Progress(lane.origin, lane.state.applied, mark, clock)

    def held(self) -> tuple[int, int]:
        """How many journeys and how many slices are in memory."""
        return len(self._journeys), sum(lane.held() for lane in self.lanes.values()) + len(self._transitions)

    def _newest_arrival(self) -> float:
        return max(lane.newest_arrival for lane in self.lanes.values())

    # -- reading back --------------------------------------------------------------------------------------------

    def restore(self, key: bytes, value: bytes) -> None:
        """Put back one value of the changelog, the newest of its key. Raises msgspec.DecodeError if it is torn.

        `restored` has to follow once all are back.
        """
        kind, key = key[:1], key[1:]
        if kind == b"s":
            stored = _slice(value)
            self.lanes[stored.origin.rpartition("/")[0]].restore_slice(stored, self._places.slot(stored.cell))
        elif kind == b"t":
            self._transitions.restore(_transition(value))
        elif kind == b"j":
            self.shelf[kind + key] = value
        elif kind == b"l":
            self.lanes[key.decode()].restore(_lane(value))
        elif kind == b"p":
            self._progression = _progression(value)

    def restored(self, positions: Mapping[str, int]) -> list[tuple[str, bytes, bytes]]:
        """End the reading back; the slices of which it is unknown whether they were published, as in `Snapshot`.

        Those are what changed at or after the acknowledged positions (by topic): state is written before the slices, so
        a crash may have come in between. Journeys that were perhaps not published come with the next snapshots.
        """
        self._tracker.observe(self._progression.watermark)
        self._perhaps_unpublished = self._journeys.restored(self._progression.journeys_out)
        perhaps: list[Slice | TransitionSlice] = [*self._transitions.since(self._progression.slices_out + 1)]
        for topic, lane in self.lanes.items():
            perhaps += lane.since(positions[topic])
        return [(one.tenant, one.key, _json(one)) for one in perhaps]
