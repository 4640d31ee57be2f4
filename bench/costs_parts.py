"""Parts of the cost that no run of a worker shows by itself: shared slices, merging, a sink, journeys' messages."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from confluent_kafka import TopicPartition

from bench.feed import DENSITY
from bench.group_run import owning
from bench.process import Contestant, start
from bench.state_feed import Record
from bench.vary import Variation, encoded
from schemas import topics
from schemas.corridor import CorridorMap
from schemas.event import TouchpointEvent
from schemas.loader import load_map
from sinks.clickhouse import ClickHouse
from streams.agents.detect import DetectTask
from streams.agents.ingest import LANES
from streams.agents.score import ScoreTask
from streams.model.ingest import Ingest, Snapshot
from streams.runtime import clients
from streams.runtime.partitioner import partitioner
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings
from streams.runtime.supervisor import as_environment, free_port

_POLL_S = 0.1
_LIMIT_S = 120.0
#: How long a worker without work is watched.
IDLE_S = 5.0
#: Event time that is merged, seconds; and in how many partitions, where they are many.
MERGED_S, MANY = 60.0, 8
_FELT = b'{"kind":"touchpoint"'
#: Microseconds of CPU for a message through confluent-kafka's producer: measured by itself, 2026-11-21.
SEND_US = 2.9
encode = msgspec.json.encode
_ROOT = Path(__file__).resolve().parents[1]


def checkpoints(
    states: Sequence[Ingest], variation: Variation, events: Sequence[TouchpointEvent], every: int, rate: float
) -> Iterator[tuple[float, list[Snapshot]]]:
    """Checkpoints of all partitions with every so many events, `rate` a second: when (epoch seconds), and what."""
    partition_of = partitioner(len(states))
    batches: list[list[Record]] = [[] for _ in states]
    for number, (due, event, value) in enumerate(encoded(variation, events, time.time() - len(events) / rate, rate)):
        subject = event.subject.encode()
        batches[partition_of(subject)].append(Record(number, round(due * 1000), subject, value))
        if (number + 1) % every == 0:
            made = []
            for state, batch in zip(states, batches, strict=True):
                state.apply(topics.EVENTS.name, batch)
                state.advance(None)
                made.append(state.snapshot())
                batch.clear()
            yield due, made


def partitions(corridor: CorridorMap, count: int) -> list[Ingest]:
    """The state of so many partitions, empty."""
    return [Ingest(number, corridor, partitioner(count)) for number in range(count)]


def shared(variation: Variation, events: Sequence[TouchpointEvent], corridor: CorridorMap, every: int) -> float:
    """Slices that one partition publishes for an event when a checkpoint comes with every so many events."""
    whole = events[: len(events) // every * every]
    made = checkpoints(partitions(corridor, 1), variation, whole, every, DENSITY)
    return sum(len(one.slices) for _, (one,) in made) / len(whole)


def journey_message(events: Sequence[TouchpointEvent], corridor: CorridorMap) -> float:
    """Microseconds of CPU to make and send the message of a journey."""
    (state,) = states = partitions(corridor, 1)
    for _ in checkpoints(states, Variation(), events, 1000, DENSITY):
        pass
    # Nothing changes any more, and nothing is expected: what is left to do is to tell the journeys.
    state.advance(time.time())
    began = time.process_time()
    told = len(state.snapshot().journeys)
    return (time.process_time() - began) * 1e6 / told + SEND_US


@dataclass(frozen=True, slots=True)
class Merging:
    """Microseconds of CPU of the agents `score` and `detect`: for a slice that comes, for a place that changed.

    A place changes at most once a checkpoint, however many partitions have a slice of it. `scores` are the messages for
    each place of a touchpoint that changed.
    """

    slice: float
    place: float
    scores: float


def merging(settings: Settings, events: Sequence[TouchpointEvent]) -> Merging:
    """What merging costs: the same minute of events in many partitions and in one. Needs empty topics."""
    many, one = (asyncio.run(_merge(settings, events, count)) for count in (MANY, 1))
    each = max((many.cpu - one.cpu) / (many.slices - one.slices), 0.0)
    return Merging(each * 1e6, max(one.cpu - each * one.slices, 0.0) * 1e6 / one.places, one.scores / one.felt)


@dataclass(slots=True)
class _Merged:
    """CPU seconds; slices that came; places that changed, those of touchpoints; messages of scores."""

    cpu: float = 0.0
    slices: int = 0
    places: int = 0
    felt: int = 0
    scores: int = 0


async def _merge(settings: Settings, events: Sequence[TouchpointEvent], count: int) -> _Merged:
    corridor, found = load_map(settings.map), _Merged()
    settings = settings.model_copy(update={"group": f"bench.merging.{count}"})
    origins = [f"{topic}/{number}" for topic in LANES for number in range(count)]
    tasks = ScoreTask(settings, corridor, origins), DetectTask(settings, corridor, origins)
    positions = Positions.fetch(settings, settings.worker_group, [(topics.SLICES.name, 0)])
    for task in tasks:
        await task.assign([0], positions, lambda: True)
    states, offset, rate = partitions(corridor, count), 0, len(events) / MERGED_S
    every = max(round(rate * settings.checkpoint_interval), 1)
    for due, made in checkpoints(states, Variation(late=0.0), events, every, rate):
        slices = [(key, value) for one in made for _, key, value in one.slices]
        told = [state.progress(topic, topic != topics.EVENTS.name) for state in states for topic in LANES]
        progress = [(encode(("progress", one.origin)), encode(one)) for one in told]
        records = [
            Record(offset + place, round(due * 1000), key, value)
            for place, (key, value) in enumerate(slices + progress)
        ]
        offset += len(records)
        # Without origin and part, which end a key, it is the place and its bucket.
        places = {(value[:21], tuple(msgspec.json.decode(key)[:-2])) for key, value in slices}
        found.slices += len(slices)
        found.places += len(places)
        found.felt += sum(kind.startswith(_FELT) for kind, _ in places)
        began = time.process_time()
        for task in tasks:
            left = records
            while left:
                left = left[await task.apply(topics.SLICES.name, 0, left) :]
            for topic, of_topic in task.collect(due).messages:
                found.scores += len(of_topic) if topic == topics.SCORES.name else 0
        found.cpu += time.process_time() - began
    for task in tasks:
        task.drop()
    return found


def idle(settings: Settings) -> float:
    """Microseconds of CPU a second of a worker that owns partitions in which nothing is."""
    with owning(settings, 1) as (worker,):
        before = worker.usage()
        time.sleep(IDLE_S)
        after = worker.usage()
    return 1e6 * (after.cpu_s - before.cpu_s) / (after.at - before.at)


@dataclass(frozen=True, slots=True)
class Sunk:
    """What a sink did with the results of a run: rows, microseconds of CPU for one, bytes on disk for one by table."""

    rows: int
    cpu: float
    bytes: dict[str, float]


def sunk(settings: Settings, folder: Path) -> Sunk:
    """Run a sink with chDB in `folder` until it has written all results on the cluster."""
    settings = settings.model_copy(update={"data_dir": folder})
    values = as_environment(settings) | {
        "PYTHONPATH": str(_ROOT),
        "CORREDOR_METRICS_PORT": str(free_port()),
        "CORREDOR_QUERY_PORT": str(free_port()),
    }
    reader = clients.consumer(settings, settings.sink_group)
    with contextlib.closing(reader), _sink(values) as sink:
        places = [TopicPartition(topic.name, one) for topic in topics.RESULTS for one in range(settings.partitions)]
        ends = {(place.topic, place.partition): reader.get_watermark_offsets(place, timeout=30)[1] for place in places}
        deadline = time.monotonic() + _LIMIT_S
        while "ready" not in sink.seen:
            sink.check(deadline, "ready")
            time.sleep(_POLL_S)
        while True:
            usage = sink.usage()
            sink.check(deadline, "done")
            if all(place.offset >= ends[place.topic, place.partition] for place in reader.committed(places, timeout=10)
                   if ends[place.topic, place.partition]):  # fmt: skip
                break
            time.sleep(_POLL_S)
        used = usage.cpu_s - sink.seen["ready"].cpu_s
    rows = sum(ends.values())
    return Sunk(rows, used * 1e6 / rows, _on_disk(settings))


@contextlib.contextmanager
def _sink(environment: dict[str, str]) -> Iterator[Contestant]:
    command = ("-c", "from command.main import main; main()", "sink")
    sink = start("the sink", command, environment, {"ready": "sink ready"})
    try:
        yield sink
        sink.end()
    finally:
        sink.end(gently=False)


def _on_disk(settings: Settings) -> dict[str, float]:
    store = ClickHouse.open(settings.clickhouse_dsn, create=False)
    try:
        found = store.rows(
            "SELECT table, sum(bytes_on_disk) / sum(rows) FROM system.parts "
            "WHERE database = 'corredor' AND active GROUP BY table HAVING sum(rows) > 0"
        )
    finally:
        store.close()
    return {table: float(size) for table, size in found}
