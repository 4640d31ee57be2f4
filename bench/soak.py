"""The soak: a whole system at a share of its capacity for half an hour; nothing may be missing, left over or grown.

`python -m bench.soak [--minutes 30] [--share 0.7] [--rate N] [--json FILE] [--write]`, or `make soak`.

First for two minutes as many events are published as are worked off, so that little ever waits: how many is the
capacity, of Apache Kafka, a worker, a sink, chDB and the source on one machine. (A backlog would be worked off faster:
large batches cost less.) Then simulated events arrive at a share of it, duplicates and late ones among them. At the
end the lag has to be zero, the counts of every touchpoint have to be those that were published, in events and slices,
and the resident memory of worker and sink must not have grown over the last two thirds of the time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench import machine
from bench.quick_map import quick_map
from bench.report import add_options, finish, table
from bench.soak_judge import MEMORY_GOAL, Published, Readers, Sample, differences, grown, sample
from schemas import topics
from schemas.errors import StopProcess
from schemas.event import TouchpointEvent
from sinks.clickhouse import ClickHouse
from sources.publish import HEADERS, encode
from sources.simulate import simulate
from streams.runtime import clients
from streams.runtime.settings import load_settings
from streams.runtime.supervisor import Supervisor

SEED = 30
#: How long the capacity is looked for, and the first part of it that does not count. Seconds.
CAPACITY_S, WARM_UP_S = 120.0, 30.0
#: Meanwhile events are held back while more records than this wait, of all readers together.
MOST_WAITING = 20_000
_HELD_BACK_S = 0.1
#: Events a second of event time, and between two looks at the lag, while the capacity is looked for.
_DENSITY, _STEP = 4000.0, 500
_SAMPLE_EVERY_S = 5.0
_PATIENCE_S = 180.0
_TICK_S = 0.005


class Soak:
    """One run: `capacity`, then `steady`, then `judge`. Raises StopProcess where the system fails."""

    def __init__(self, group: Supervisor, progress: Progress) -> None:
        self._group = group
        self._progress = progress
        self._producer = clients.producer(group.settings, log_level=2)
        self._readers = Readers(group.settings)
        self._store = ClickHouse.open(group.clickhouse, create=False)
        self.published = Published()
        self.samples: list[Sample] = []
        self.behind_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._readers.close()
        self._store.close()

    def _send(self, event: TouchpointEvent) -> None:
        key = event.subject.encode()
        while True:
            try:
                self._producer.produce(
                    topics.EVENTS.name, encode(event), key, headers=HEADERS, on_delivery=self.published.delivered
                )
                break
            except BufferError:
                self._producer.poll(0.05)
        self.published.add(event)

    def capacity(self) -> float:
        """Events per second that all readers keep up with, published one after the other as they do."""
        bar = self._progress.add_task("capacity", total=CAPACITY_S)
        began = time.monotonic()
        counted_from: tuple[float, int] | None = None
        for _, event in simulate(SEED, time.time() - CAPACITY_S, _DENSITY, flat=True):
            self._send(event)
            self._producer.poll(0)
            if self.published.count % _STEP:
                continue
            self._look()
            while self._readers.lag() > MOST_WAITING:
                self._producer.poll(0)
                time.sleep(_HELD_BACK_S)
            now = time.monotonic()
            self._progress.update(bar, completed=now - began)
            if counted_from is None and now - began >= WARM_UP_S:
                counted_from = now, self.published.count
            if counted_from is not None and now - began >= CAPACITY_S:
                return (self.published.count - counted_from[1]) / (now - counted_from[0])
        raise StopProcess("the simulator ended early")

    def _look(self) -> None:
        """Raises StopProcess if a process of the system has ended."""
        for child in self._group.children:
            if not child.running:
                raise StopProcess(f"{child.name} has ended:\n{child.tail()}")

    def steady(self, rate: float, seconds: float) -> None:
        """Publish `rate` events a second for `seconds`, each when it is due; a look at the processes every 5 s."""
        bar = self._progress.add_task("soak", total=seconds)
        began, start = time.monotonic(), time.time()
        due: Iterator[tuple[float, TouchpointEvent]] = simulate(SEED + 1, start, rate, flat=True)
        looked = began
        for at, event in due:
            elapsed = at - start
            if elapsed >= seconds:
                break
            while (left := began + elapsed - time.monotonic()) > 0:
                self._producer.poll(0)
                time.sleep(max(left, _TICK_S))
            self.behind_s = max(self.behind_s, -left)
            self._send(event)
            if time.monotonic() - looked >= _SAMPLE_EVERY_S:
                looked = time.monotonic()
                self._look()
                self.samples.append(sample(self._group, self._readers, looked - began))
                latest = self.samples[-1]
                self._progress.update(
                    bar, completed=elapsed, description=f"soak, lag {latest.lag:,}, worker {latest.worker >> 20} MiB"
                )
        self._flush()
        self._progress.update(bar, completed=seconds)

    def _flush(self) -> None:
        if self._producer.flush(_PATIENCE_S) or self.published.problem:
            raise StopProcess(f"events could not be published: {self.published.problem or 'Kafka is too slow'}")

    def judge(self) -> tuple[float, list[str]]:
        """Seconds until nothing waited, and what does not hold.

        Time goes on, and so scores and journeys go on being published without events: what counts is everything that
        was in the topics when the last event had been applied.
        """
        began = time.monotonic()
        everything = self._readers.ends()
        events = {place: end for place, end in everything.items() if place[1] == topics.EVENTS.name}
        wrong = self._wait(began, lambda: _behind(self._readers.lag(events)))
        everything = self._readers.ends()
        wrong += self._wait(began, lambda: _behind(self._readers.lag(everything)))
        took = time.monotonic() - began
        return took, wrong + self._wait(began, lambda: differences(self._store, self.published))

    def _wait(self, began: float, wrong: Callable[[], list[str]]) -> list[str]:
        while (found := wrong()) and time.monotonic() < began + _PATIENCE_S:
            self._look()
            time.sleep(0.2)
        return found


def _behind(records: int) -> list[str]:
    return [f"{records:,} records still wait"] if records else []


def measure(minutes: float, share: float, rate: float | None, progress: Progress) -> tuple[str, str]:
    """The run; its report as Markdown and as JSON. Raises StopProcess if anything does not hold."""
    with tempfile.TemporaryDirectory(prefix="corredor-soak-") as name:
        folder = Path(name)
        settings = load_settings(
            kafka="local", kafka_port=0, data_dir=folder, metrics_port=0, query_port=0, clickhouse="", workers=1
        ).model_copy(update={"map": quick_map(folder)})
        with Supervisor(settings) as group, Soak(group, progress) as soak:
            capacity = soak.capacity()
            steady = share * capacity if rate is None else rate
            soak.steady(steady, 60 * minutes)
            took, failed = soak.judge()
    worker, sink = grown(soak.samples)
    whole = {
        "machine": dict(machine.describe()),
        "capacity": capacity,
        "rate": steady,
        "minutes": minutes,
        "published": soak.published.count,
        "distinct": soak.published.distinct,
        "samples": soak.samples,
    }
    values = msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()
    failed += [
        f"the memory of the {who} is {growth:.2f} times what it was"
        for who, growth in (("worker", worker), ("sink", sink))
        if growth > MEMORY_GOAL
    ]
    text = _markdown(soak, capacity, steady, minutes, took, (worker, sink))
    if failed:
        raise StopProcess(f"the soak failed: {'; '.join(failed[:10])}\n\n{text}")
    return text, values


def _markdown(
    soak: Soak, capacity: float, rate: float, minutes: float, took: float, growth: tuple[float, float]
) -> str:
    count = max(1, min(6, int(minutes)))
    length = 60 * minutes / count
    rows = []
    for part in range(count):
        within = [one for one in soak.samples if part * length <= one.at < (part + 1) * length]
        if not within:
            continue
        rows.append(
            [
                f"{part * length / 60:.0f} to {(part + 1) * length / 60:.0f}",
                *(
                    f"{statistics.median(getattr(one, who) for one in within) / 2**20:,.0f}"
                    for who in ("worker", "sink")
                ),
                f"{statistics.median(one.lag for one in within):,.0f}",
                f"{max(one.lag for one in within):,}",
            ]
        )
    columns = ("minutes", "worker RSS (MiB)", "sink RSS (MiB)", "lag (records)", "largest lag")
    setting = (
        f"{rate:,.0f} events/s, {rate / capacity:.0%} of the capacity of {capacity:,.0f} events/s measured at the "
        f"beginning, for {minutes:g} minutes: {soak.published.count:,} events, {soak.published.distinct:,} of them "
        f"different; Apache Kafka, one worker, one sink, chDB and the source on one machine. {machine.line([])}"
    )
    verdict = (
        f"Nothing waited {took:.1f} s after the last event, of everything that was in the topics when it had been "
        f"applied. Events and slices have exactly what was published, at each of {len(soak.published.of)} touchpoints. "
        f"Memory of the last third against the third before: worker {growth[0]:.3f}, sink {growth[1]:.3f} times (at "
        f"most {MEMORY_GOAL} is flat). The source was never more than {soak.behind_s:.1f} s late."
    )
    return "\n\n".join((setting, table(columns, rows), verdict))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--share", type=float, default=0.7, help="of the measured capacity")
    parser.add_argument("--rate", type=float, help="events per second, instead of a share of the capacity")
    add_options(parser)
    options = parser.parse_args(arguments)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())

    def measured() -> tuple[str, str]:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            return measure(options.minutes, options.share, options.rate, progress)

    try:
        return finish("soak", options, measured)
    except KeyboardInterrupt:
        print("ended by Ctrl-C: nothing was measured", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
