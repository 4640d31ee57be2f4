"""What ClickHouse must hold, computed offline from the log and from what the feed knows of each message.

Which of several identical copies of an event counts is free only across the two lanes of a partition, which have no
order between them: the first copy published to the customer's own partition, or the first one that was handed over to
it. Whichever it was, everything else must fit to it. So the copy that counted is taken from what is stored, and only
one of those two is accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent
from schemas.slice import Cell, Sums
from streams.model.places import Places
from streams.model.slices import add, bucket_of
from streams.runtime.partitioner import partitioner
from tests import offline
from tests.chaos.feed import Message
from tests.chaos.ledger import Entry, Ledger

Source = tuple[int, int]
Identity = tuple[str, str, str, str, str]
#: Added to the partition of a record in `corredor.rekeyed`: the lanes of a partition have clocks of their own.
REKEYED = 1_000


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of an event that may be the one that counts."""

    lane: int
    entry: Entry
    event: TouchpointEvent


@dataclass(slots=True)
class Expected:
    """What the log demands."""

    published: int
    #: Where an event stands that must be rejected.
    rejected: set[Source]
    #: By identity: the copies of which exactly one counts.
    copies: dict[Identity, list[Copy]]
    #: Where an event stands that must be handed over.
    foreign: set[Source]
    #: Lane and offset of each late event.
    late: set[tuple[int, int]]


def identity(event: TouchpointEvent) -> Identity:
    """What two copies of an event have in common."""
    return (event.tenant, event.subject, event.data.journey or event.subject, event.source, event.id)


def expect(ledger: Ledger, messages: Sequence[Message], partitions: int) -> tuple[Expected, list[offline.Event]]:
    """What the log demands, and all events of all lanes in the order in which they stand there."""
    partition_of = partitioner(partitions)
    rejected: set[Source] = set()
    foreign: set[Source] = set()
    copies: dict[Identity, dict[int, Copy]] = {}
    events: list[offline.Event] = []

    def count(lane: int, entry: Entry, event: TouchpointEvent) -> None:
        events.append((lane, entry.offset, entry.received_at, event))
        copies.setdefault(identity(event), {}).setdefault(lane, Copy(lane, entry, event))

    for entry in ledger.events:
        event = messages[entry.number].event
        if event is None:
            rejected.add(entry.source)
        elif partition_of(event.subject.encode()) == entry.partition:
            count(entry.partition, entry, event)
        else:
            foreign.add(entry.source)
    for entry in ledger.rekeyed:
        event = messages[entry.number].event
        assert event is not None, f"{entry}: what is rejected is not handed over"
        assert partition_of(event.subject.encode()) == entry.partition, f"{entry}: handed over to a wrong partition"
        assert entry.source in foreign, f"{entry}: handed over although it was where it belongs"
        count(REKEYED + entry.partition, entry, event)
    found = {key: list(by_lane.values()) for key, by_lane in copies.items()}
    return Expected(len(ledger.events), rejected, found, foreign, set()), events


def plain_slices(
    counted: Sequence[Copy], late: set[tuple[int, int]], corridor: CorridorMap
) -> dict[tuple[Cell, int], dict[str, Any]]:
    """The sums by DOMAIN.md's formulas alone, without any of `streams.model`; not rounded, so not exact."""
    events = [(copy.lane, copy.entry.offset, copy.entry.received_at, copy.event) for copy in counted]
    # Which events are late depends on copies that do not count, too: it was decided from all of them.
    with mock.patch.object(offline, "late_places", return_value=late):
        return offline.slices(events, corridor)


def exact_slices(
    counted: Sequence[Copy], late: set[tuple[int, int]], corridor: CorridorMap
) -> Mapping[tuple[Cell, int], Sums]:
    """The sums as the program's own arithmetic gives them without any failure: equal bit for bit."""
    places = Places(corridor)
    found: dict[tuple[Cell, int], Sums] = {}
    for copy in counted:
        event, data = copy.event, copy.event.data
        place = places.find(event.tenant, data)
        bucket = bucket_of(event.time.timestamp())
        cells = [place.cell]
        for name, value in places.pairs(data.segment or {}):
            cells.append(place.cell._replace(segment=name, segment_value=value))
        touched = [found.setdefault((cell, bucket), Sums()) for cell in cells]
        is_late = (copy.lane, copy.entry.offset) in late
        add(touched, data, place.scorer(data), place.scorer.tolerable_wait_ms, is_late)
    return found
