"""How fast does a worker have its state back: many open journeys, read back and restored as the worker does it.

`python -m bench.recovery [--journeys 1000000] [--fed 50000] [--runs 3] [--json FILE] [--write]`

The changelog `corredor.state.ingest` is filled by the ingest agent itself: simulated events, its checkpoints, its
transactions. Beyond the first `--fed` journeys, what it wrote of them is written again for other customers: feeding a
million would take far longer than what is measured. Then a process of its own takes all partitions over, and is
measured, with each of the two stores.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import msgspec
from confluent_kafka import Producer, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import machine
from bench.clusters import PARTITIONS, open_cluster
from bench.ingest import best_cluster
from bench.report import add_options, finish, table
from bench.restored import Restored
from bench.state_feed import records
from schemas import topics
from schemas.errors import StopProcess
from schemas.loader import load_map
from sources.simulator.corridor import EVENTS_PER_JOURNEY
from streams.agents.ingest import LANES, IngestTask
from streams.model.journey_state import JOURNEY, name_of
from streams.runtime import clients
from streams.runtime.checkpoint import Checkpointer
from streams.runtime.leash import leashed
from streams.runtime.outbox import Outbox
from streams.runtime.partitioner import partitioner
from streams.runtime.positions import Positions
from streams.runtime.settings import Settings
from streams.runtime.state_log import StateLog, read_back
from streams.runtime.supervisor import as_environment

ROOT = Path(__file__).resolve().parents[1]
#: The goal: this many open journeys within so many seconds.
GOAL_JOURNEYS, GOAL_S = 1_000_000, 10.0
#: Checkpoints while it is filled, so that idle buckets leave the state as they do in a worker; fewer of few events.
CHECKPOINTS, FEWEST_EVENTS = 200, 500
_LIMIT_S = 600.0
#: Journeys that come from events, by default; and copies in one transaction.
FED, COPIED_AT_ONCE = 50_000, 40_000
STORES = ("memory", "rocksdb")
#: Told how many journeys there are so far, and what is going on.
Tell = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Log:
    """The changelog as it was filled. Bytes are those of keys and values, before compression."""

    journeys: int
    slices: int
    events: int
    #: Records that were written, and those that are the newest of their key.
    records: int
    live: int
    live_bytes: int
    journey_records: int
    journey_bytes: int
    #: Journeys that came from events; the others are copies of these.
    fed: int = 0


class _Nowhere(Outbox):
    """Takes results and publishes none of them: only the state counts here."""

    def __init__(self) -> None:
        """Without producers."""

    async def publish(self, topic: str, messages: list[dict[str, object]], producer: Producer | None = None) -> None:
        """Nothing."""

    async def hand_over(
        self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes | None]], timestamp_ms: int
    ) -> None:
        """Nothing: every event is given to its own partition."""

    def turn(self) -> Producer:
        """Nobody uses it."""
        return None

    async def flush(self, producer: Producer) -> None:
        """Nothing is under way."""


def ingest_task(settings: Settings) -> IngestTask:
    """The ingest agent's task, as a worker has it, whose results go nowhere."""
    return IngestTask(
        settings, load_map(settings.map), _Nowhere(), partitioner(PARTITIONS), PARTITIONS, lambda *_: False
    )


def places() -> list[tuple[str, int]]:
    """Every partition of both lanes."""
    return [(topic, partition) for topic in LANES for partition in range(PARTITIONS)]


async def fill(settings: Settings, journeys: int, fed: int, tell: Tell) -> Log:
    """Fill the changelog with the state of `journeys` journeys, and acknowledge their events. Raises StopProcess.

    At most `fed` of them come from events, the others are copies.
    """
    fed = min(fed, journeys)
    acknowledger = clients.consumer(settings, settings.worker_group)

    async def commit(positions: Mapping[tuple[str, int], int]) -> None:
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        await asyncio.to_thread(lambda: acknowledger.commit(offsets=offsets, asynchronous=False))

    at_a_time = max(FEWEST_EVENTS, round(fed * EVENTS_PER_JOURNEY / CHECKPOINTS))
    task = ingest_task(settings)
    checkpoint = Checkpointer(task, task._outbox, commit)
    events = 0
    try:
        await task.assign(range(PARTITIONS), Positions({}, {}, False), lambda: True)
        for batch in records(fed, PARTITIONS, at_a_time):
            for partition, part in batch.records.items():
                await task.apply(topics.EVENTS.name, partition, part)
                events += len(part)
            await checkpoint.run()
            tell(batch.journeys, f"{events:,} events applied and checkpointed")
    finally:
        acknowledger.close()
    held = [state.held() for state in task._partitions.values()]
    task.drop()
    tell(fed, "journeys are copied")
    copies = await asyncio.to_thread(_copy, settings, journeys - fed)
    tell(journeys, "the log is looked at")
    count = sum(one for one, _ in held) + copies
    return await asyncio.to_thread(_look, settings, count, sum(two for _, two in held), events, fed)


def _copy(settings: Settings, count: int) -> int:
    """Write so many copies of the journeys in the log for other customers, in large transactions; how many it wrote."""
    name = topics.STATE_INGEST.name
    written = 0
    for partition in range(PARTITIONS):
        wanted = count // PARTITIONS + (partition < count % PARTITIONS)
        if not wanted:
            continue
        found = read_back(settings, name, partition)
        journeys = [(msgspec.json.decode(key[1:]), value) for key, value in found.items() if key[:1] == JOURNEY]
        log = StateLog(settings, name, partition)
        for start in range(0, wanted, COPIED_AT_ONCE):
            chosen = range(start, min(start + COPIED_AT_ONCE, wanted))
            records: list[tuple[bytes, bytes | None]] = []
            for number in chosen:
                (tenant, subject, journey), value = journeys[number % len(journeys)]
                again = f"{number // len(journeys):04}"
                records.append((name_of((tenant, subject + again, journey + again)), value))
            log.write(records)
            written += len(records)
    return written


def _look(settings: Settings, journeys: int, slices: int, events: int, fed: int) -> Log:
    name = topics.STATE_INGEST.name
    reader = clients.consumer(settings, f"{settings.group}.look")
    try:
        bounds = [reader.get_watermark_offsets(TopicPartition(name, one), timeout=30) for one in range(PARTITIONS)]
    finally:
        reader.close()
    sizes: list[tuple[bool, int]] = []
    for partition in range(PARTITIONS):
        found = read_back(settings, name, partition)
        sizes += [(key.startswith(b"j"), len(key) + len(value)) for key, value in found.items()]
    ofs = [size for is_journey, size in sizes if is_journey]
    return Log(
        journeys,
        slices,
        events,
        records=sum(high - low for low, high in bounds),
        live=len(sizes),
        live_bytes=sum(size for _, size in sizes),
        journey_records=len(ofs),
        journey_bytes=sum(ofs),
        fed=fed,
    )


def restore(settings: Settings) -> Restored:
    """Take all partitions over in a process of its own. Raises StopProcess if that fails."""
    done = subprocess.run(
        leashed([sys.executable, "-W", "ignore", "-m", "bench.restored"]),
        cwd=ROOT,
        env={**os.environ, **as_environment(settings)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise StopProcess(f"the state could not be restored:\n{done.stderr.decode()[-3000:]}")
    return msgspec.json.decode(done.stdout, type=Restored)


def measure(journeys: int, fed: int, runs: int, cluster_kind: str, tell: Tell) -> tuple[str, str]:
    """Fill, then restore `runs` times with each store; the report as Markdown and as JSON.

    Raises StopProcess if what came back differs from what was written.
    """
    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as folder:
        settings = Settings(data_dir=Path(folder), group="bench")
        with open_cluster(cluster_kind, {}, Path(folder)) as cluster:
            settings = cluster.fresh(settings)
            log = asyncio.run(fill(settings, journeys, fed, tell))
            results = []
            for number, store in product(range(runs), STORES):
                tell(journeys, f"restore {number + 1} of {runs}, {store}")
                result = restore(settings.model_copy(update={"state_store": store}))
                if (result.journeys, result.slices) != (log.journeys, log.slices):
                    raise StopProcess(
                        f"{log.journeys} journeys and {log.slices} slices were written, {result.journeys} and "
                        f"{result.slices} came back"
                    )
                results.append(result)
            name = cluster.name
    whole = {"machine": dict(machine.describe()), "cluster": name, "log": log, "runs": results}
    return _markdown(log, results, name), msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def _markdown(log: Log, results: Sequence[Restored], cluster: str) -> str:
    count = max(log.journeys, 1)
    setting = (
        f"{log.journeys:,} open journeys, {log.fed:,} of them of {log.events:,} simulated events and the others copies "
        f"of their state for other customers, and {log.slices:,} open slices, in "
        f"{PARTITIONS} partitions; the log as written: {log.records:,} records and markers, {log.live:,} of them the "
        f"newest of their key; cluster: {cluster}. {machine.line([])}"
    )
    rows = [
        [
            one.store,
            f"{one.seconds:.2f}",
            f"{one.cpu_s:.2f}",
            f"{one.peak / 2**20:,.0f}",
            f"{one.before / 2**20:,.0f}",
            f"{max(one.after - one.before, 0) / count:,.0f}",
        ]
        for one in sorted(results, key=lambda one: one.store)
    ]
    columns = (
        "state_store",
        "read back and restored (s)",
        "CPU (s)",
        "peak RSS (MiB)",
        "RSS before (MiB)",
        "bytes in memory per journey",
    )
    median = statistics.median(one.seconds for one in results if one.store == "memory")
    verdict = f"median {median:.2f} s: {'reached' if median < GOAL_S else '**missed**'}"
    if log.journeys < GOAL_JOURNEYS:
        verdict = f"does not apply to {log.journeys:,}; median {median:.2f} s"
    notes = (
        f"In the log a journey takes {log.journey_bytes / max(log.journey_records, 1):,.0f} bytes (key and value, not "
        f"compressed), all newest values together {log.live_bytes / 2**20:,.1f} MiB. Bytes in memory: growth of "
        "resident memory over the number of journeys, open slices and what reading leaves behind included.\n\n"
        f"Goal: {GOAL_JOURNEYS:,} open journeys in less than {GOAL_S:.0f} s, in memory: {verdict}. Every run "
        "had as many journeys and slices as the worker that wrote them."
    )
    return "\n\n".join((setting, table(columns, rows), notes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__)
    parser.add_argument("--journeys", type=int, default=GOAL_JOURNEYS)
    parser.add_argument("--fed", type=int, default=FED, help="journeys that come from events; the others are copies")
    parser.add_argument("--runs", type=int, default=3, help="restores of the same state; the median is judged")
    parser.add_argument("--cluster", choices=("embedded", "local"), help="default: local where Java is there")
    add_options(parser)
    options = parser.parse_args(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

    def measured() -> tuple[str, str]:
        with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
            bar = progress.add_task("journeys", total=options.journeys)
            return measure(
                options.journeys,
                options.fed,
                options.runs,
                options.cluster or best_cluster(),
                lambda done, line: progress.update(bar, completed=done, description=line),
            )

    return finish("recovery", options, measured)


if __name__ == "__main__":
    sys.exit(main())
