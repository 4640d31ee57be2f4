"""Simulated events with more touchpoints, other segments, longer journeys or more late events; and their map."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

import msgspec
from confluent_kafka import KafkaError, Message
from ruamel.yaml import YAML

from bench.feed import DENSITY, SEED, Feed
from schemas import topics
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from sources.publish import HEADERS, encode
from sources.simulate import simulate
from streams.runtime import clients
from streams.runtime.settings import DEFAULT_MAP, Settings

#: Segments that sources of the simulator do not know, and their values.
EXTRA = 8
VALUES = 5
#: How late a late event is, seconds: within what the map allows.
LATE_S = (30.0, 300.0)
#: Of the simulator, events a second: the more, the longer it takes to begin.
_RATE = 500.0
_FLUSH_S = 60.0
_replace = msgspec.structs.replace


@dataclass(frozen=True, slots=True)
class Variation:
    """What differs from the simulator's events. The defaults are what `corredor size` takes for usual."""

    #: Each touchpoint this many times, under other names.
    copies: int = 1
    #: Segment pairs of every event; None: as its source knows them, 2.1 on average.
    segments: int | None = None
    contacts: float = 3.6
    late: float = 0.01


@dataclass(frozen=True, slots=True)
class Paced:
    """Events that are published at a steady rate, a second: each when it happens."""

    variation: Variation
    events: Sequence[TouchpointEvent]
    rate: float

    def publish(self, settings: Settings) -> tuple[Feed, dict[int, int]]:
        """Publish them; what was published, and the end of each partition that got any. Raises StopProcess."""
        producer, feed, ends = clients.producer(settings), Feed(), Counter[int]()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                raise StopProcess(f"an event could not be published: {error.str()}")
            ends[message.partition() or 0] += 1

        for due, event, value in encoded(self.variation, self.events, time.time(), self.rate):
            producer.poll(0)
            while (wait := due - time.time()) > 0:
                producer.poll(wait)
            subject = event.subject.encode()
            producer.produce(topics.EVENTS.name, value, subject, headers=HEADERS, on_delivery=delivered)
            feed.add(event, subject, value)
        if left := producer.flush(_FLUSH_S):
            raise StopProcess(f"{left} events could not be published: Kafka is too slow")
        return feed, dict(ends)


@dataclass(frozen=True, slots=True)
class Varied:
    """Events, and the mean of their segment pairs."""

    feed: Feed
    segments: float


def raw(count: int) -> list[TouchpointEvent]:
    """`count` events of the simulator, none twice; only their times and names still have to be given."""
    events = simulate(SEED, 0.0, _RATE, flat=True, late_share=0.0, duplicate_share=0.0)
    return [event for _, event in islice(events, count)]


def varied(variation: Variation, events: Sequence[TouchpointEvent], start: float, rate: float = DENSITY) -> Varied:
    """The events, so many a second from `start` (epoch seconds) on."""
    feed, pairs = Feed(), 0
    for _, event, value in encoded(variation, events, start, rate):
        feed.add(event, event.subject.encode(), value)
        pairs += len(event.data.segment or ())
    return Varied(feed, pairs / len(events))


def encoded(
    variation: Variation, events: Sequence[TouchpointEvent], start: float, rate: float
) -> Iterator[tuple[float, TouchpointEvent, bytes]]:
    """Each event with the time it is due (epoch seconds), and as it is published."""
    chance = Random(SEED)
    for number, (journey, event) in enumerate(_walked(events, variation.contacts, chance)):
        due = start + number / rate
        changed = _changed(event, variation, journey, due, chance)
        yield due, changed, encode(changed)


def _walked(
    events: Sequence[TouchpointEvent], contacts: float, chance: Random
) -> Iterator[tuple[int, TouchpointEvent]]:
    """The events and the journey each is in, as many contacts in each, that go the ways that simulated customers go.

    Simulated journeys are put one after the other and cut anew; the new ones begin at different times and take turns.
    """
    by_journey: dict[str, list[TouchpointEvent]] = {}
    for event in events:
        by_journey.setdefault(event.data.journey or "", []).append(event)
    row = [event for walked in by_journey.values() for event in walked]
    count = max(round(len(row) / contacts), 1)
    turns: list[tuple[float, int, int]] = []
    for journey in range(count):
        first, end = len(row) * journey // count, len(row) * (journey + 1) // count
        begins = chance.random() * 3 * contacts
        turns += [(begins + turn, journey, first + turn) for turn in range(end - first)]
    for _, journey, place in sorted(turns):
        yield journey, row[place]


def _changed(event: TouchpointEvent, variation: Variation, journey: int, due: float, chance: Random) -> TouchpointEvent:
    data, recorded = event.data, datetime.fromtimestamp(due, UTC)
    segment = data.segment or {}
    if variation.segments is not None:
        more = {f"extra{each}": f"v{chance.randrange(VALUES)}" for each in range(EXTRA)}
        segment = dict(list((segment | more).items())[: variation.segments])
    late_s = chance.uniform(*LATE_S) if chance.random() < variation.late else 0.0
    return _replace(
        event,
        time=recorded - timedelta(seconds=late_s),
        recordedtime=recorded,
        subject=f"c{journey:08}",
        data=_replace(
            data,
            touchpoint=_name(data.touchpoint, journey % variation.copies),
            journey=f"j{journey:08}",
            segment=segment,
        ),
    )


def _name(touchpoint: str, copy: int) -> str:
    return touchpoint if copy == 0 else f"{touchpoint}.{copy}"


def write_map(variation: Variation, file: Path) -> int:
    """Write the map that these events belong to; returns the number of its touchpoints."""
    yaml = YAML(typ="safe")
    corridor = yaml.load(DEFAULT_MAP.read_text(encoding="utf-8"))
    values = [f"v{number}" for number in range(VALUES)]
    corridor["segments"] += [
        {"name": name, "label": {"en": name, "es": name}, "values": values}
        for name in (f"extra{number}" for number in range(EXTRA))
    ]
    for key, names in (("touchpoints", ("name",)), ("transitions", ("from", "to"))):
        corridor[key] = [
            one | {name: _name(one[name], copy) for name in names}
            for copy in range(variation.copies)
            for one in corridor[key]
        ]
    with file.open("w", encoding="utf-8") as stream:
        yaml.dump(corridor, stream)
    return len(corridor["touchpoints"])
