"""One of the two topics that feed a partition: how far it has come, and the slices that its events count in."""

from collections.abc import Iterable, Iterator
from math import isinf
from typing import Final

import msgspec

from schemas.heard import Heard
from schemas.slice import BUCKET_S, Slice
from streams.model.buckets import Buckets
from streams.model.clocks import FORGET_S, SourceClock, forget_silent
from streams.model.open_slice import OpenSlice
from streams.model.places import Place

#: Sources of a tenant that are counted, at most: senders choose their names.
MOST_SOURCES = 1_000
Pairs = tuple[tuple[str, str], ...]
#: A place's slot with a segment pair, `ALL` for the slice over all segments.
SliceSlot = tuple[int, str, str]
#: A place's slot with all segment pairs of an event that slices are split by.
EventKind = tuple[int, Pairs]
ALL: Final = ("", "")


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
    """What a lane remembers."""

    #: The last offset applied.
    applied: int = -1
    #: The clock of every source.
    sources: dict[str, SourceClock] = {}
    #: The offset at which the partition looks at its watermark next.
    look_at: int = 0
    #: By tenant, source and touchpoint of the map (any other: empty): accepted events so far.
    heard: dict[str, dict[str, dict[str, int]]] = {}


class Lane:
    """The state of one topic's part of the partition."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.origin = f"{topic}/{partition}"
        self.state = LaneState()
        self.newest_arrival = 0.0
        #: Tenants of which something was heard since that was last told, and the bucket of event time of that.
        self._heard: set[str] = set()
        self._told = -1
        #: The offset in the last snapshot.
        self.saved = -1
        self._buckets = Buckets(OpenBucket)
        self._dirty: dict[int, Group] = {}

    def advance(self, source: str, event_time: float, received_at: float, allowed_lateness: float) -> bool:
        """Move the source's clock; True if the event is later than the allowed lateness behind it. Epoch seconds."""
        if received_at > self.newest_arrival:
            self.newest_arrival = received_at
        clock = self.state.sources.get(source)
        if clock is None or clock.seen_at < self.newest_arrival - FORGET_S:
            # So too at the next checkpoint: whether there was one in between must not show.
            self._forget([source])
            self.state.sources[source] = SourceClock(event_time, received_at)
            return False
        late = event_time < clock.newest - allowed_lateness
        if event_time > clock.newest:
            clock.newest = event_time
        if received_at > clock.seen_at:
            clock.seen_at = received_at
        return late

    def hear(self, tenant: str, source: str, touchpoint: str) -> None:
        """Count an accepted event."""
        sources = self.state.heard.setdefault(tenant, {})
        counts = sources.get(source)
        if counts is None:
            if len(sources) >= MOST_SOURCES:
                return
            counts = sources[source] = {}
        counts[touchpoint] = counts.get(touchpoint, 0) + 1
        self._heard.add(tenant)

    def heard(self, clock: float, idle: bool) -> list[Heard]:
        """What to tell of the sources: once each bucket of event time, and when nothing more comes.

        `clock` is epoch seconds of event time, minus infinity as long as there is none.
        """
        if not self._heard or isinf(clock):
            return []
        bucket = int(clock // BUCKET_S)
        if bucket <= self._told and not idle:
            return []
        # Without those that the next checkpoint forgets, whenever that is.
        live_from = self.newest_arrival - FORGET_S
        live = {name for name, known in self.state.sources.items() if known.seen_at >= live_from}
        told = []
        for tenant in sorted(self._heard):
            counts = {name: heard for name, heard in self.state.heard[tenant].items() if name in live}
            told.append(Heard(tenant, self.origin, self.state.applied, counts))
        self._told = bucket
        self._heard.clear()
        return told

    def slices(self, place: Place, pairs: Pairs, start: int, offset: int) -> list[OpenSlice]:
        """The slices that an event in the bucket from `start` counts in, marked as changed."""
        bucket = self._buckets.young.get(start) or self._buckets.at(start)
        kind = (place.slot, pairs)
        group = bucket.groups.get(kind)
        if group is None:
            group = bucket.groups[kind] = self._group(bucket, place, pairs, start, offset)
        group.version = offset
        self._dirty[id(group)] = group
        return group.slices

    def changed(self) -> list[Slice]:
        """The slices that changed since the last call, each once, with its version: the newest of its groups'."""
        found: dict[int, OpenSlice] = {}
        for group in self._dirty.values():
            for one in group.slices:
                one.version = max(one.version, group.version)
                found[id(one)] = one
        self._dirty.clear()
        return [one.message() for one in found.values()]

    def let_go(self) -> list[bytes]:
        """Keys of the slices that leave memory because nothing has touched their bucket for a while."""
        return [one.key for bucket in self._buckets.let_go() for one in bucket.slices.values()]

    def save(self) -> bool:
        """Take note of a snapshot; True if the lane has come further since the last one."""
        if self.state.applied <= self.saved:
            return False
        self.saved = self.state.applied
        self._forget(forget_silent(self.state.sources))
        return True

    def _forget(self, sources: Iterable[str]) -> None:
        for counts in self.state.heard.values():
            for source in sources:
                counts.pop(source, None)

    def since(self, position: int) -> Iterator[Slice]:
        """The slices in memory that changed at or after an offset."""
        for bucket in self._buckets:
            for one in bucket.slices.values():
                if one.version >= position:
                    yield one.message()

    def held(self) -> int:
        """How many slices are in memory."""
        return sum(len(bucket.slices) for bucket in self._buckets)

    def restore(self, state: LaneState) -> None:
        """Put back what the lane remembers."""
        self.state = state
        self._heard = set(state.heard)
        self.newest_arrival = max((clock.seen_at for clock in state.sources.values()), default=0.0)

    def restore_slice(self, stored: Slice, slot: int) -> None:
        """Put back a slice of the place with number `slot`."""
        self._buckets.at(stored.bucket).slices[slot, stored.segment, stored.segment_value] = OpenSlice.of(stored)

    def _group(self, bucket: OpenBucket, place: Place, pairs: Pairs, start: int, offset: int) -> Group:
        """The slices of one kind of event in a bucket; those that no other kind has opened yet are opened."""
        group = Group()
        for name, value in (ALL, *pairs):
            slot = (place.slot, name, value)
            found = bucket.slices.get(slot)
            if found is None:
                cell = place.cell._replace(segment=name, segment_value=value)
                found = bucket.slices[slot] = OpenSlice(cell, start, self.origin, offset)
            group.slices.append(found)
        return group
