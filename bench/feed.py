"""The events every contestant reads: the simulated retail corridor, in memory, with what is known about them."""

import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import KafkaError, Message

from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from sources.publish import HEADERS, encode
from sources.simulate import simulate
from streams.model.slices import bucket_of
from streams.runtime import clients
from streams.runtime.settings import Settings

SEED = 7
#: Events per second of event time: how dense a backlog is. 100,000 events span ten seconds, about one bucket.
DENSITY = 10_000.0
_FLUSH_S = 120.0
_decode = msgspec.json.Decoder(TouchpointEvent).decode

#: Touchpoint and start of the bucket.
Cell = tuple[str, int]


@dataclass(slots=True)
class Feed:
    """Encoded events in the order of publication, and how many there are of each touchpoint and bucket."""

    events: list[tuple[bytes, bytes]] = field(default_factory=list)
    #: Every event, duplicates that the sources send again included.
    counts: Counter[Cell] = field(default_factory=Counter)
    #: Without them.
    distinct: Counter[Cell] = field(default_factory=Counter)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def add(self, event: TouchpointEvent, key: bytes, value: bytes) -> None:
        """One event more; `value` is its encoded form."""
        cell = event.data.touchpoint, bucket_of(event.time.timestamp())
        self.events.append((key, value))
        self.counts[cell] += 1
        self.distinct[cell] += (event.source, event.id) not in self._seen
        self._seen.add((event.source, event.id))

    @property
    def mean_bytes(self) -> float:
        """Mean size of an event."""
        return sum(len(value) for _, value in self.events) / len(self.events)


def simulated(count: int, now: float | None = None) -> Feed:
    """`count` events that end about now, so that none lies in the future; but for their times always the same."""
    start = (time.time() if now is None else now) - count / DENSITY - 60.0
    feed = Feed()
    for _, event in simulate(SEED, start, DENSITY, flat=True):
        feed.add(event, event.subject.encode(), encode(event))
        if len(feed.events) == count:
            return feed
    raise StopProcess("the simulator ended early")


def first(feed: Feed, count: int) -> Feed:
    """The first `count` events of a feed."""
    part = Feed()
    for key, value in feed.events[:count]:
        part.add(_decode(value), key, value)
    return part


def preload(settings: Settings, topic: str, feed: Feed) -> dict[int, int]:
    """Put the events into `topic`; returns the end of each partition that got any. Raises StopProcess."""
    producer = clients.producer(settings, **{"linger.ms": 100, "batch.num.messages": 2000, "batch.size": 2_000_000})
    failed: list[KafkaError] = []
    ends: Counter[int] = Counter()

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)
        else:
            ends[message.partition() or 0] += 1

    for key, value in feed.events:
        while True:
            try:
                producer.produce(topic, value, key, headers=HEADERS, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        producer.poll(0)
    if producer.flush(_FLUSH_S) or failed:
        raise StopProcess(f"the events could not be preloaded: {failed[0].str() if failed else 'Kafka is too slow'}")
    return dict(ends)
