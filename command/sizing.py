"""How much of everything a load needs, from what was measured: pure functions, no I/O.

Slices are what does not simply grow with events. A partition publishes each slice at most once a checkpoint, however
many events it sums up: of N equally busy places k changes hit N (1 - e^(-k/N)) (balls into bins), of unevenly busy ones
fewer. The fewer events a partition has between two checkpoints, the less they share.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil, expm1, isfinite, log, sqrt

from command.measured import Measured
from schemas import topics
from schemas.errors import UsageError
from schemas.slice import BUCKET_S

#: No more than this part of what a core can do: room for peaks, restarts, and what one that ended leaves to the others.
HEADROOM = 0.7
DAY_S = 86_400.0
#: Slices of so long are kept ready by the score agent, the map's usual `allowed_lateness`; older ones compressed.
_RECENT_S = 3600.0
#: Kafka compacts no segment that is still written to: 1 GiB, or a week.
SEGMENT_BYTES, SEGMENT_S = float(1 << 30), 7 * DAY_S
#: At most so many values of a compacted key are kept beside the newest: `min.cleanable.dirty.ratio` of 0.5.
_DIRTY = 2.0
#: Of the setting `partitions`; and of installations that are tried.
MOST_PARTITIONS, MOST_INSTALLATIONS = 1024, 10_000
#: Groups of places that count as equally busy, down to so many decades below the whole.
_GROUPS, _DECADES = 24, 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """What has to be carried. Raises UsageError for what cannot be."""

    #: At the busiest time.
    events_per_second: float
    #: Open at the same time.
    journeys: float
    touchpoints: int = 23
    #: Segment pairs of an event, on average; values of a segment, on average.
    segments: float = 2.1
    values: float = 5.0
    contacts: float = 3.6
    #: Events that come after younger ones of their source, seconds to an hour late.
    late: float = 0.01
    tenants: int = 1
    #: Of an event as published, before compression.
    event_bytes: float = 464.0
    #: How many times the mean of a day the busiest time is.
    peak: float = 1.0
    retention_days: float = 7.0
    keep_days: float = 365.0
    replication: int = 3
    #: Seconds between two checkpoints.
    interval: float = 0.5
    #: How many times the load the partitions allow for.
    growth: float = 2.0
    #: Installations that share it all evenly, each with its own Kafka and its own part of the tenants or customers.
    installations: int = 1

    def __post_init__(self) -> None:
        """Check every figure."""
        for name, value, least, most in (
            ("--events-per-second", self.events_per_second, 0.001, 1e8),
            ("--journeys", self.journeys, 0, 1e12),
            ("--touchpoints", self.touchpoints, 1, 100_000),
            ("--segments", self.segments, 0, 8),
            ("--segment-values", self.values, 1, 100_000),
            ("--contacts-per-journey", self.contacts, 1, 100_000),
            ("--late-share", self.late, 0, 1),
            ("--tenants", self.tenants, 1, 1_000_000),
            ("--event-bytes", self.event_bytes, 100, 65_536),
            ("--peak", self.peak, 1, 1000),
            ("--retention-days", self.retention_days, 1 / 24, 3650),
            ("--keep-days", self.keep_days, 1, 36_500),
            ("--replication", self.replication, 1, 16),
            ("--checkpoint-interval", self.interval, 0.1, 60),
            ("--growth", self.growth, 1, 100),
            ("--installations", self.installations, 1, 100_000),
        ):
            if not (isfinite(value) and least <= value <= most):
                raise UsageError(f"{name} {value:g}: it has to lie between {least:g} and {most:,.0f}")

    def share(self, installations: int) -> "Load":
        """The load of one of so many installations."""
        tenants = ceil(self.tenants / installations)
        events, journeys = self.events_per_second / installations, self.journeys / installations
        return replace(self, events_per_second=events, journeys=journeys, tenants=tenants, installations=1)


@dataclass(frozen=True, slots=True)
class Role:
    """Processes of one role, each on a core of its own, and how busy one is at the peak; memory in bytes for each."""

    processes: int
    busy: float
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic at the peak: messages and bytes a second that producers write; bytes on disk, all replicas."""

    name: str
    messages: float
    bytes: float
    disk: float


@dataclass(frozen=True, slots=True)
class Table:
    """A table of ClickHouse: rows a second at the peak that are inserted; rows and bytes a day that stay."""

    name: str
    inserted: float
    rows: float
    bytes: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What one of the installations needs; `load` is that of all."""

    load: Load
    partitions: int
    worker: Role
    sink: Role
    collector: Role
    #: Slices published a second, and how much of a core the worker needs that merges those of the largest tenant.
    slices: float
    merging: float
    topics: tuple[Topic, ...]
    tables: tuple[Table, ...]
    limits: tuple[str, ...]

    @property
    def cores(self) -> int:
        """Of workers, sinks and collectors of all installations."""
        return self.load.installations * (self.worker.processes + self.sink.processes + self.collector.processes)


@cache
def _groups(skew: float) -> tuple[tuple[float, float], ...]:
    """Places by how busy they are: part of all places, and their share over that of an even spread."""
    edges = [0.0, *(10 ** (-_DECADES * (1 - number / _GROUPS)) for number in range(_GROUPS + 1))]
    parts = [high - low for low, high in pairwise(edges)]
    # The mean of (1 - skew) x^-skew between two edges: all of them together have the mean 1.
    shares = [(high ** (1 - skew) - low ** (1 - skew)) / (high - low) for low, high in pairwise(edges)]
    return tuple(zip(parts, shares, strict=True))


def occupied(places: float, changes: float, skew: float = 0.0) -> float:
    """How many of so many places are hit by so many changes, on average; `skew` as in `Slices.skew`."""
    rate = changes / places
    return places * sum(part * -expm1(-rate * share) for part, share in _groups(skew))


def touchpoint_places(load: Load) -> float:
    """Slices of touchpoints there can be in a bucket, those of transitions left out."""
    return load.tenants * load.touchpoints * (1 + load.segments * load.values)


def slices_per_second(load: Load, by: Measured, partitions: int, every: float) -> float:
    """Slices that all partitions publish in a second when each is published at most every so many seconds."""
    changes = load.events_per_second * by.slices.touched * (1 + load.segments)
    late = load.events_per_second * load.late * by.slices.late * (1 + load.segments)
    places = touchpoint_places(load) * by.slices.places
    shared = partitions * occupied(places, changes * every / partitions, by.slices.skew) / every
    return min(shared, changes) + late


def worker_cores(load: Load, by: Measured, slices: float) -> float:
    """Cores that all workers keep busy together, without what an idle one needs."""
    cpu = by.cpu
    event = cpu.event + load.segments * cpu.pair + load.late * cpu.late
    event += cpu.journey / load.contacts + cpu.journey_message
    return (load.events_per_second * event + slices * cpu.slice) / 1e6 + watched(load, by)


def watched(load: Load, by: Measured) -> float:
    """Cores for window scores and detection of all tenants, beside merging."""
    return changed_places(load, by, load.interval) * by.cpu.place / 1e6


def changed_places(load: Load, by: Measured, every: float) -> float:
    """Places a second that change, each at most once every so many seconds: slices, were there one partition."""
    return slices_per_second(load, by, 1, every)


@dataclass(frozen=True, slots=True)
class _Workers:
    """How many workers and partitions; slices a second, and cores of one worker: on the mean, and the busiest."""

    count: int
    partitions: int
    slices: float
    busy: float
    merging: float
    busiest: float


def plan(load: Load, by: Measured) -> Plan:
    """What the load needs, and what stands in its way."""
    one = load.share(load.installations)
    workers = _workers(one, by)
    streams = kafka_topics(one, by, workers.partitions, workers.slices)
    tables = _tables(one, by, workers.partitions, {stream.name: stream.messages for stream in streams})
    rows = sum(table.inserted for table in tables) * by.cpu.row / 1e6
    collecting = one.events_per_second * by.cpu.collect / 1e6
    sinks, collectors = max(ceil(rows / HEADROOM), 1), max(ceil(collecting / HEADROOM), 2)
    memory = by.bytes.worker + one.journeys * journey_memory(one, by) / max(workers.count - 1, 1)
    memory += window_memory(one, by, workers.partitions)
    return Plan(
        load,
        workers.partitions,
        Role(workers.count, workers.busy, memory),
        Role(sinks, rows / sinks),
        Role(collectors, collecting / collectors),
        workers.slices,
        workers.merging,
        streams,
        tables,
        tuple(_limits(load, by, workers, sinks)),
    )


def _workers(load: Load, by: Measured) -> _Workers:
    idle = by.cpu.idle / 1e6
    most = HEADROOM - idle
    workers, partitions, slices, cores = 0, 1, 0.0, 0.0
    needed = 1
    # More workers need more partitions, and these share less: up until it is enough.
    while needed > workers:
        workers = needed
        partitions = ceil(workers * load.growth)
        slices = slices_per_second(load, by, partitions, load.interval)
        cores = worker_cores(load, by, slices)
        needed = ceil(cores / most)
    merging = slices * by.cpu.merge / 1e6 + watched(load, by)
    of_largest = merging * ceil(load.tenants / workers) / load.tenants
    busiest = (cores - merging) / workers + of_largest + idle
    return _Workers(workers, partitions, slices, cores / workers + idle, of_largest, busiest)


def journey_log(load: Load, by: Measured) -> float:
    """Bytes of a journey in the changelog."""
    return by.bytes.journey + by.bytes.contact * (load.contacts - 1)


def journey_memory(load: Load, by: Measured) -> float:
    """Bytes of a journey in a worker's memory."""
    return journey_log(load, by) + by.bytes.journey_memory


def window_memory(load: Load, by: Measured, partitions: int) -> float:
    """Bytes of a day's slices in the worker that merges them, were all of one tenant; of transitions it keeps none."""
    places = slices_per_second(load, by, partitions, float(BUCKET_S)) / load.peak / by.slices.touched
    return places * (by.bytes.slice_recent * _RECENT_S + by.bytes.slice_old * (DAY_S - _RECENT_S))


def _score_messages(load: Load, by: Measured, every: float) -> float:
    """Scores published a second, when each is published at most every so many seconds."""
    changes = load.events_per_second * every * (1 + load.segments)
    return by.scores * occupied(touchpoint_places(load), changes, by.slices.skew) / every


def kafka_topics(load: Load, by: Measured, partitions: int, slices: float) -> tuple[Topic, ...]:
    """What so many partitions and slices a second write into each topic, and what stays."""
    rate, mean, size = load.events_per_second, load.events_per_second / load.peak, by.bytes.records
    event = size[topics.EVENTS.name] * load.event_bytes / by.bytes.event
    kept = load.retention_days * DAY_S

    def topic(of: topics.Topic, messages: float, bytes_each: float, held: float) -> Topic:
        disk = held
        if "compact" in of.cleanup:
            written = messages * bytes_each / load.peak * SEGMENT_S
            disk = _DIRTY * held + min(partitions * SEGMENT_BYTES, written)
        return Topic(of.name, messages, messages * bytes_each, disk * load.replication)

    def of_days(of: topics.Topic) -> float:
        return of.retention_ms / 1000.0

    buckets = slices_per_second(load, by, partitions, float(BUCKET_S)) / load.peak
    changelog = journey_log(load, by) * by.bytes.changelog
    steps = _score_messages(load, by, float(BUCKET_S)) / load.peak
    slice_bytes = size[topics.SLICES.name]
    return (
        topic(topics.EVENTS, rate, event, mean * event * kept),
        topic(topics.SCORED, rate, size[topics.SCORED.name], mean * size[topics.SCORED.name] * kept),
        topic(topics.SLICES, slices, slice_bytes, buckets * slice_bytes * of_days(topics.SLICES)),
        topic(
            topics.SCORES,
            _score_messages(load, by, load.interval),
            size[topics.SCORES.name],
            steps * size[topics.SCORES.name] * of_days(topics.SCORES),
        ),
        topic(
            topics.JOURNEYS,
            rate,
            size[topics.JOURNEYS.name],
            mean / load.contacts * size[topics.JOURNEYS.name] * of_days(topics.JOURNEYS),
        ),
        # Each contact writes its journey again, each checkpoint the slices that changed.
        topic(
            topics.STATE_INGEST,
            rate + slices,
            (rate * changelog + slices * slice_bytes) / (rate + slices),
            load.journeys * changelog,
        ),
    )


def _tables(load: Load, by: Measured, partitions: int, messages: dict[str, float]) -> tuple[Table, ...]:
    mean, size = load.events_per_second / load.peak, by.bytes.rows
    buckets = slices_per_second(load, by, partitions, float(BUCKET_S)) / load.peak

    def table(name: str, topic: topics.Topic, a_second: float) -> Table:
        rows = a_second * DAY_S
        return Table(name, messages[topic.name], rows, rows * size[name])

    return (
        table("touchpoint_events", topics.SCORED, mean),
        table("experience_slices", topics.SLICES, buckets),
        table("experience_scores", topics.SCORES, _score_messages(load, by, float(BUCKET_S)) / load.peak),
        table("journeys", topics.JOURNEYS, mean / load.contacts),
    )


def _limits(load: Load, by: Measured, workers: _Workers, sinks: int) -> Iterator[str]:
    one, partitions = load.share(load.installations), workers.partitions
    if workers.busiest > HEADROOM:
        yield (
            f"**Too much for one worker**: it merges all slices of a tenant and watches them, {workers.merging:.1f} "
            f"cores for the largest, with its share of the events {workers.busiest:.1f}. {_remedy(load, by)}"
        )
    if partitions > MOST_PARTITIONS:
        yield (
            f"CORREDOR_PARTITIONS takes up to {MOST_PARTITIONS:,}: have your administrators create the topics with "
            f"{partitions:,}, or take more --installations."
        )
    if one.journeys and one.journeys < 100 * partitions:
        # The largest of P sums of about J/P customers each: mean + sqrt(2 ln P) standard deviations.
        more = sqrt(2 * log(max(partitions, 2)) * partitions / one.journeys)
        yield (
            f"{one.journeys:,.0f} journeys on {partitions:,} partitions: by chance the busiest gets {1 + more:.1f} "
            "times its share, and a few busy customers make it more. More partitions or workers do not help."
        )
    if sinks > partitions:
        yield f"{sinks:,} sinks share {partitions:,} partitions: raise --growth, so that each has one."
    if workers.count == 1:
        yield "With one worker scores pause while it is replaced: run two."
    if load.replication < 3:
        yield f"Replication {load.replication}: events are lost with a broker's disk; a cluster takes 3."
    if load.interval > 1:
        yield f"Scores and rows come up to {load.interval:g} s later than events."


def _remedy(load: Load, by: Measured) -> str:
    """What brings the busiest worker within its limit."""
    found = []
    for interval in (1.0, 2.0, 5.0, 10.0):
        slower = replace(load, interval=interval).share(load.installations)
        if interval > load.interval and _workers(slower, by).busiest <= HEADROOM:
            found.append(f"CORREDOR_CHECKPOINT_INTERVAL={interval:g} (fewer slices, later scores)")
            break
    count = load.installations
    while count < MOST_INSTALLATIONS:
        count += max(count // 10, 1)
        if _workers(load.share(count), by).busiest <= HEADROOM:
            found.append(f"{count:,} installations, each with its own part of the tenants or regions (--installations)")
            break
    found.append("fewer segments, values or touchpoints")
    return f"It takes {', or '.join(found)}."
