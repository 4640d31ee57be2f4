"""The contestants, and one run of one of them on a cluster."""

import json
import statistics
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import TopicPartition

from bench.clusters import Cluster
from bench.collect import Collector, Merged, events, merged, plain_events
from bench.contestants import (
    BATCH,
    COUNTS,
    DONE,
    IDS_TABLE,
    NO_JOURNEYS,
    OUTPUT_TOPIC,
    READY,
    SHORT_TOPIC,
    STATELESS,
    SUMS_TABLE,
)
from bench.feed import Cell, Feed
from bench.process import Contestant, Usage, start
from schemas import topics
from schemas.errors import StopProcess
from streams.runtime import clients
from streams.runtime.settings import Settings
from streams.runtime.supervisor import as_environment, free_port

_POLL_S = 0.05
_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One contestant: how it is started and what its results are checked against."""

    name: str
    label: str
    command: Sequence[str]
    topic: str = topics.EVENTS.name
    ready: str = READY
    #: Printed after the last event; empty: it is done when its group has committed everything.
    done: str = ""
    #: Faust's own Tables, each with a changelog topic.
    tables: Sequence[str] = ()


OWN = Kind(
    "own",
    "Corredor: the worker as shipped",
    ("-c", "from command.main import main; main()", "worker"),
    ready="owns partitions",
)
OWN_STATE_FREE = Kind(
    "own-stateless", "the worker, without state", ("-m", "bench.contestants.stateless"), ready=OWN.ready
)
GUIDE = Kind(
    "a",
    "Faust as its guide shows, the same work",
    ("-m", "bench.contestants.guide_whole"),
    topic=SHORT_TOPIC,
    done=DONE,
    tables=(SUMS_TABLE, IDS_TABLE),
)
GUIDE_LESS = Kind(
    "a-less",
    "Faust as its guide shows, less work",
    ("-m", "bench.contestants.guide"),
    topic=SHORT_TOPIC,
    done=DONE,
    tables=(SUMS_TABLE,),
)
BY_HAND = Kind("b", "the same work by hand, without Faust", ("-m", "bench.contestants.by_hand"))
STATE_FREE = Kind(
    "b-stateless", "by hand, without state and checkpoints", ("-m", "bench.contestants.by_hand", STATELESS)
)
JOURNEY_FREE = Kind("b-no-journeys", "by hand, without journeys", ("-m", "bench.contestants.by_hand", NO_JOURNEYS))
MINIMAL = Kind("c", "by hand, decode + x + sums only", ("-m", "bench.contestants.minimal"))
#: Those whose slices are the worker's.
WHOLE = (OWN, OWN_STATE_FREE, BY_HAND, STATE_FREE, JOURNEY_FREE)
KINDS = (OWN, OWN_STATE_FREE, GUIDE, GUIDE_LESS, BY_HAND, STATE_FREE, JOURNEY_FREE, MINIMAL)


@dataclass(slots=True)
class Result:
    """One run. `slices` only of the two that compute them in full."""

    kind: Kind
    events: int
    seconds: float
    cpu_s: float
    peak_rss: int
    mean_batch: float
    counts: Counter[Cell]
    slices: Merged

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds for a million events."""
        return 1e6 * self.cpu_s / self.events


def run(kind: Kind, cluster: Cluster, settings: Settings, number: int, limit_s: float) -> Result:
    """One run on a fresh cluster; raises StopProcess if it fails or takes longer than `limit_s` after its start."""
    feed = cluster.feeds[kind.topic]
    group = f"bench.{kind.name}.{number}"
    extra = [OUTPUT_TOPIC, *(f"{group}.worker-{name}-changelog" for name in kind.tables)] if kind.tables else []
    fresh = cluster.fresh(settings.model_copy(update={"group": group}), extra)
    port = free_port()
    command = [*kind.command, *([str(len(feed.events))] if kind.tables else [])]
    collector = Collector(fresh)
    contestant = start(kind.label, command, _environment(fresh, port), {"ready": kind.ready, "done": kind.done or "\0"})
    try:
        began, ended = _time(kind, contestant, fresh, cluster.ends[kind.topic], limit_s)
        batch = _mean_batch(port) if kind in (OWN, OWN_STATE_FREE) else 1.0
        if kind.tables:
            _wait_for(contestant, COUNTS)
        contestant.end(gently=not kind.tables)
        newest = collector.finish()
    finally:
        contestant.end(gently=False)
        collector.close()
    for line in contestant.lines:
        if line.startswith(BATCH):
            batch = float(line.removeprefix(BATCH))
    slices: Merged = merged(newest) if kind in WHOLE else {}
    counts = events(slices) if slices else plain_events(newest) if kind is MINIMAL else _printed_counts(contestant)
    return Result(
        kind,
        len(feed.events),
        ended.at - began.at,
        ended.cpu_s - began.cpu_s,
        contestant.peak_rss,
        batch,
        counts,
        slices,
    )


def _time(
    kind: Kind, contestant: Contestant, settings: Settings, ends: dict[int, int], limit_s: float
) -> tuple[Usage, Usage]:
    """Usage at the beginning and at the end."""
    places = [TopicPartition(kind.topic, partition) for partition in ends]
    with closing(clients.consumer(settings, settings.worker_group)) as reader:

        def committed() -> bool:
            return all(place.offset >= ends[place.partition] for place in reader.committed(places, timeout=10))

        return contestant.timed("ready", limit_s, None if kind.done else committed)


def check(results: Sequence[Result], feed: Feed, short: Feed) -> list[str]:
    """What is proven equal, in words; raises StopProcess where it is not."""
    expected = {
        OWN: feed.distinct,
        OWN_STATE_FREE: feed.distinct,
        BY_HAND: feed.distinct,
        JOURNEY_FREE: feed.distinct,
        STATE_FREE: feed.distinct,
        MINIMAL: feed.counts,
        GUIDE: short.distinct,
        GUIDE_LESS: short.counts,
    }
    for result in results:
        wanted = expected[result.kind]
        if result.counts != wanted:
            raise StopProcess(
                f"{result.kind.label} counted wrong: {result.counts.total():,} events in {len(result.counts)} "
                f"buckets, expected {wanted.total():,} in {len(wanted)}"
            )
    whole = [result for result in results if result.slices]
    for result in whole[1:]:
        if result.slices != whole[0].slices:
            raise StopProcess(f"the slices of {result.kind.label} differ from those of {whole[0].kind.label}")
    return [
        "every contestant counted every event of every touchpoint and bucket",
        f"the {len(whole[0].slices):,} merged slices of the worker and of the loop by hand are equal to the last bit",
    ]


def median(results: Sequence[Result], kind: Kind) -> Result:
    """The run of `kind` with the median rate (the lower one of the middle two)."""
    mine = sorted((result for result in results if result.kind is kind), key=lambda result: result.rate)
    middle = statistics.median_low([result.rate for result in mine])
    return next(result for result in mine if result.rate == middle)


def _environment(settings: Settings, port: int) -> dict[str, str]:
    values = as_environment(settings.model_copy(update={"metrics_port": port}))
    return {**values, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def _mean_batch(port: int) -> float:
    """Mean number of records in a batch of the worker, from its metrics."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
    except OSError as error:
        raise StopProcess(f"the worker's /metrics does not answer: {error}") from None
    found = {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}
    return found["corredor_batch_records_sum"] / max(found["corredor_batch_records_count"], 1.0)


def _wait_for(contestant: Contestant, text: str) -> None:
    deadline = time.monotonic() + _READY_S
    while not any(line.startswith(text) for line in contestant.lines):
        contestant.check(deadline, "able to tell its counts")
        time.sleep(_POLL_S)


def _printed_counts(contestant: Contestant) -> Counter[Cell]:
    line = next(line for line in contestant.lines if line.startswith(COUNTS))
    counts: Counter[Cell] = Counter()
    for touchpoint, bucket, count in json.loads(line.removeprefix(COUNTS)):
        counts[touchpoint, bucket] = int(count)
    return counts
