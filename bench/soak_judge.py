"""What a soak is judged by: what was published, what the processes hold, and how far the readers are."""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import psutil
from confluent_kafka import KafkaError, Message, TopicPartition
from xxhash import xxh3_64_intdigest

from schemas import topics
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from sinks.clickhouse import ClickHouse
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.supervisor import Supervisor

#: Memory is flat if the last third of the time has at most so many times what the third before it had (medians).
MEMORY_GOAL = 1.05
_EVENTS = "SELECT touchpoint, count(), uniqExact(source, id) FROM corredor.events GROUP BY touchpoint"
_SLICES = "SELECT touchpoint, sum(n) FROM corredor.slices WHERE segment = '' GROUP BY touchpoint"
_REJECTED = "SELECT reason, count() FROM corredor.rejections GROUP BY reason"
#: Who reads what: topics, and the consumer group of `Settings`.
_READERS = (
    ("worker_group", (topics.EVENTS.name, topics.SLICES.name)),
    ("sink_group", (topics.SCORED.name, topics.SLICES.name, topics.SCORES.name, topics.JOURNEYS.name)),
)


#: (setting that names the group, topic, partition) -> the offset after the last record.
Places = dict[tuple[str, str, int], int]


@dataclass(slots=True)
class Published:
    """Every event sent, its identity as 64 bits: millions of them fit."""

    problem: str = ""
    of: dict[str, int] = field(default_factory=dict)
    _identities: "array[int]" = field(default_factory=lambda: array("Q"))
    _touchpoints: "array[int]" = field(default_factory=lambda: array("H"))

    def add(self, event: TouchpointEvent) -> None:
        """One event more, perhaps one that was sent before."""
        self._identities.append(xxh3_64_intdigest(f"{event.source}\0{event.id}".encode()))
        self._touchpoints.append(self.of.setdefault(event.data.touchpoint, len(self.of)))

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """The delivery callback."""
        if error is not None:
            self.problem = error.str()

    @property
    def count(self) -> int:
        """Events sent, duplicates included."""
        return len(self._identities)

    @property
    def distinct(self) -> int:
        """Different events sent."""
        return len(np.unique(np.frombuffer(self._identities, dtype=np.uint64)))

    def counts(self) -> dict[str, int]:
        """Different events of each touchpoint."""
        _, first = np.unique(np.frombuffer(self._identities, dtype=np.uint64), return_index=True)
        numbers = Counter(np.frombuffer(self._touchpoints, dtype=np.uint16)[first].tolist())
        return {name: numbers[number] for name, number in self.of.items()}


class Sample(msgspec.Struct, frozen=True):
    """One look: seconds since the beginning, resident bytes of worker and sink, records that wait."""

    at: float
    worker: int
    sink: int
    lag: int


class Readers:
    """How far worker and sink are; its connections are held, since looking must not cost what is measured.

    Every method raises KafkaException if Kafka does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._of = {group: clients.consumer(settings, getattr(settings, group)) for group, _ in _READERS}

    def close(self) -> None:
        """Leave Kafka."""
        for reader in self._of.values():
            reader.close()

    def ends(self) -> Places:
        """Where each reader would have nothing left."""
        found: Places = {}
        for group, names in _READERS:
            reader = self._of[group]
            there = reader.list_topics(timeout=10).topics
            for place in [(name, number) for name in names for number in there[name].partitions]:
                found[group, *place] = reader.get_watermark_offsets(TopicPartition(*place), timeout=10)[1]
        return found

    def lag(self, until: Places | None = None) -> int:
        """Records before `until`, or before the end, that worker and sink have not acknowledged."""
        until = self.ends() if until is None else until
        total = 0
        for group in {group for group, _, _ in until}:
            places = [TopicPartition(topic, number) for name, topic, number in until if name == group]
            for place in self._of[group].committed(places, timeout=10):
                total += max(until[group, place.topic, place.partition] - max(place.offset, 0), 0)
        return total


def sample(group: Supervisor, readers: Readers, at: float) -> Sample:
    """Look at the processes of a group now."""
    rss = {
        child.role: psutil.Process(child.process.pid).memory_info().rss
        for child in group.children
        if child.process is not None
    }
    return Sample(at, rss["worker"], rss["sink"], readers.lag())


def differences(store: ClickHouse, published: Published) -> list[str]:
    """What the tables have that was not published, or the other way round; empty if nothing."""
    expected = published.counts()
    found = []
    events = {name: (rows, different) for name, rows, different in store.rows(_EVENTS)}
    slices = {name: int(n) for name, n in store.rows(_SLICES)}
    for name in sorted(expected.keys() | events.keys() | slices.keys()):
        count = expected.get(name, 0)
        if events.get(name, (0, 0)) != (count, count):
            found.append(f"{name}: {count} events published, (rows, different) {events.get(name)}")
        if slices.get(name, 0) != count:
            found.append(f"{name}: {count} events published, {slices.get(name, 0)} counted by slices")
    return found + [f"{count} rejected as {reason}" for reason, count in store.rows(_REJECTED)]


def grown(samples: Sequence[Sample]) -> tuple[float, float]:
    """Memory of worker and sink in the last third of the samples, as a multiple of that in the third before."""
    third = len(samples) // 3
    if not third:
        raise StopProcess("too short to say whether memory grows: take a minute at least")
    before, last = samples[third : 2 * third], samples[2 * third :]

    def ratio(of: Callable[[Sample], int]) -> float:
        return statistics.median(map(of, last)) / statistics.median(map(of, before))

    return ratio(lambda one: one.worker), ratio(lambda one: one.sink)
