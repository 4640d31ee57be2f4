"""One run of several workers that share the partitions of a fresh local Kafka: CPU of each, what they published."""

import ast
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import TopicPartition

from bench.collect import Collector, Merged, events, merged
from bench.contest import OWN
from bench.feed import Feed, preload
from bench.process import Contestant, Usage, start
from bench.vary import Paced
from schemas import topics
from schemas.errors import StopProcess
from streams.model.journey_state import JOURNEY
from streams.runtime import clients
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings
from streams.runtime.state_log import read_back
from streams.runtime.supervisor import as_environment, free_port
from streams.runtime.topics_admin import delete_topics, ensure_topics

_POLL_S = 0.05
_READY_S = 60.0
_LIMIT_S = 300.0
_OWNS = "owns partitions "
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Log:
    """A topic after a run: records, and bytes on disk as the broker keeps them (compressed, one replica)."""

    records: int
    bytes: int


@dataclass(slots=True)
class GroupRun:
    """One run. Seconds are those until the last event was committed, as is `rate`; sizes are bytes.

    CPU is that of each worker, until the slices of all events were merged and watched too, and committed.
    """

    partitions: int
    workers: int
    events: int
    seconds: float
    cpu_s: tuple[float, ...]
    peak_rss: int
    slices: Merged
    logs: dict[str, Log] = field(default_factory=dict)
    #: Journeys in the changelog, and the mean of their bytes there (key and value, not compressed).
    journeys: int = 0
    journey_bytes: float = 0.0
    #: The mean of the bytes of all that is in the changelog.
    state_bytes: float = 0.0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds of all workers for a million events."""
        return 1e6 * sum(self.cpu_s) / self.events

    @property
    def slices_per_event(self) -> float:
        """Slices published for an event."""
        return self.logs[topics.SLICES.name].records / self.events


def fresh(settings: Settings, kafka: LocalKafka, partitions: int) -> Settings:
    """`settings` for a run on `kafka`, where all topics are there with so many partitions and nothing is in them."""
    settings = settings.model_copy(update={"kafka": kafka.bootstrap, "partitions": partitions})
    admin = clients.admin(settings)
    delete_topics(admin, [name for name in admin.list_topics(timeout=30).topics if not name.startswith("__")])
    ensure_topics(settings)
    return settings


@contextlib.contextmanager
def owning(settings: Settings, count: int) -> Iterator[list[Contestant]]:
    """So many workers that own all partitions together, each its share; they end with the block."""
    values = as_environment(settings) | {"PYTHONPATH": str(_ROOT)}
    workers = [
        start(
            f"worker {number + 1} of {count}",
            OWN.command,
            {**values, "CORREDOR_METRICS_PORT": str(free_port())},
            {"ready": OWN.ready},
        )
        for number in range(count)
    ]
    try:
        deadline = time.monotonic() + _READY_S
        while not _shared(workers, settings.partitions):
            for worker in workers:
                worker.check(deadline, "owning its partitions")
            time.sleep(_POLL_S)
        yield workers
        for worker in workers:
            worker.end()
    finally:
        for worker in workers:
            worker.end(gently=False)


def _shared(workers: Sequence[Contestant], partitions: int) -> bool:
    """Whether by what each said last every partition has one owner, and none has more than its share."""
    owned: list[list[int]] = []
    for worker in workers:
        said = [line.partition(_OWNS)[2] for line in list(worker.lines) if _OWNS in line]
        if not said:
            return False
        owned.append(ast.literal_eval(said[-1])[topics.EVENTS.name])
    most = -(-partitions // len(workers))
    return sorted(one for each in owned for one in each) == list(range(partitions)) and max(map(len, owned)) <= most


def run(
    settings: Settings,
    kafka: LocalKafka,
    source: Feed | Paced,
    partitions: int,
    workers: int,
    number: int,
    journeys_too: bool = False,
) -> GroupRun:
    """Publish the events once the workers own their partitions; wait until they and their slices are committed.

    With `journeys_too` the workers end when journeys were published, which may take 30 s and is not counted. The topics
    stay as they are until the next run. Raises StopProcess if a worker ends, takes too long, or the events
    in the slices are not those published, each once.
    """
    settings = fresh(settings.model_copy(update={"group": f"bench.{partitions}.{workers}.{number}"}), kafka, partitions)
    collector = Collector(settings)
    try:
        with owning(settings, workers) as group:
            before = [worker.usage() for worker in group]
            if isinstance(source, Paced):
                feed, ends = source.publish(settings)
            else:
                feed, ends = source, preload(settings, topics.EVENTS.name, source)
            done = _committed(settings, group, topics.EVENTS.name, ends)
            after = _committed(settings, group, topics.SLICES.name, _ends(settings, topics.SLICES.name))
            deadline = time.monotonic() + _LIMIT_S
            while journeys_too and not _ends(settings, topics.JOURNEYS.name):
                for worker in group:
                    worker.check(deadline, "done with its journeys")
                time.sleep(_POLL_S)
        slices = merged(collector.finish())
    finally:
        collector.close()
    if events(slices) != feed.distinct:
        raise StopProcess(
            f"{workers} workers on {partitions} partitions counted {events(slices).total():,} events, and "
            f"{feed.distinct.total():,} were published; or in other buckets"
        )
    state = _state(settings)
    journeys = [size for kind, size in state if kind == JOURNEY]
    return GroupRun(
        partitions,
        workers,
        len(feed.events),
        max(each.at for each in done) - min(each.at for each in before),
        tuple(late.cpu_s - early.cpu_s for early, late in zip(before, after, strict=True)),
        sum(worker.peak_rss for worker in group),
        slices,
        logs_of(settings, kafka),
        len(journeys),
        sum(journeys) / max(len(journeys), 1),
        sum(size for _, size in state) / max(len(state), 1),
    )


def _committed(settings: Settings, group: Sequence[Contestant], topic: str, ends: dict[int, int]) -> list[Usage]:
    """Wait until the group has committed all of a topic up to `ends` (by partition); the usage of each by then."""
    reader = clients.consumer(settings, settings.worker_group)
    places = [TopicPartition(topic, partition) for partition in ends]
    deadline = time.monotonic() + _LIMIT_S
    try:
        while True:
            for worker in group:
                worker.check(deadline, "done")
            usage = [worker.usage() for worker in group]
            if all(place.offset >= ends[place.partition] for place in reader.committed(places, timeout=10)):
                return usage
            time.sleep(_POLL_S)
    finally:
        reader.close()


def _ends(settings: Settings, topic: str) -> dict[int, int]:
    """The ends of the partitions of a topic that hold anything."""
    reader = clients.consumer(settings, "bench.look")
    try:
        places = [TopicPartition(topic, number) for number in range(settings.partitions)]
        ends = {place.partition: reader.get_watermark_offsets(place, timeout=30)[1] for place in places}
    finally:
        reader.close()
    return {partition: end for partition, end in ends.items() if end}


def logs_of(settings: Settings, kafka: LocalKafka) -> dict[str, Log]:
    """What is in each topic of ours."""
    reader = clients.consumer(settings, "bench.look")
    found = {}
    try:
        for topic in topics.ALL:
            places = [TopicPartition(topic.name, number) for number in range(settings.partitions)]
            bounds = [reader.get_watermark_offsets(place, timeout=30) for place in places]
            folders = [kafka.folder / "logs" / f"{topic.name}-{place.partition}" for place in places]
            size = sum(file.stat().st_size for folder in folders for file in folder.glob("*.log"))
            found[topic.name] = Log(sum(high - low for low, high in bounds), size)
    finally:
        reader.close()
    return found


def _state(settings: Settings) -> list[tuple[bytes, int]]:
    """What is in the changelog: the kind of each value, and the bytes of it and its key."""
    name = topics.STATE_INGEST.name
    return [
        (key[:1], len(key) + len(value))
        for partition in range(settings.partitions)
        for key, value in read_back(settings, name, partition).items()
    ]
