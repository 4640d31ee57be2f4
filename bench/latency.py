"""How long until an event is a row: from the moment it was due to be published to its row visible in ClickHouse.

`python -m bench.latency [--rate 2000] [--seconds 60] [--runs 3] [--cluster embedded|local] [--json FILE] [--write]`
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
from confluent_kafka import KafkaError, Message

from bench import machine
from bench.report import add_options, finish, table
from schemas import topics
from schemas.errors import StopProcess
from sinks.clickhouse import ClickHouse
from sources.publish import HEADERS, encode
from sources.simulate import simulate
from streams.runtime import clients
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import Supervisor

GOAL_P99_S = 1.5
SEED = 11
#: The first seconds are not measured: connections, the first tables' parts.
WARM_UP_S = 5.0
_POLL_S = 0.02
#: Events go out this often, those due since the last time together; a thread that spins would take a whole core.
_TICK_S = 0.002
#: ClickHouse is left in peace for at least this many times as long as its last answer took: a query costs CPU.
_PEACE = 4.0
#: But never for longer than this: seconds between two looks are seconds too many in the latency.
_LONGEST_PEACE_S = 0.1
Tell = Callable[[str], None]
_PATIENCE_S = 60.0
_FRONTS = "SELECT source_partition, max(source_offset) FROM corredor.touchpoint_events GROUP BY source_partition"
_COUNT = "SELECT count(), uniqExact(source_partition, source_offset) FROM corredor.touchpoint_events"


@dataclass(slots=True)
class Published:
    """When each event of a partition was due (monotonic seconds), by offset."""

    due: dict[int, dict[int, float]] = field(default_factory=dict)
    problem: str = ""

    def note(self, error: KafkaError | None, message: Message, due: float) -> None:
        """The delivery callback."""
        if error is not None:
            self.problem = error.str()
        else:
            self.due.setdefault(message.partition() or 0, {})[message.offset() or 0] = due

    @property
    def count(self) -> int:
        """Events acknowledged."""
        return sum(len(offsets) for offsets in self.due.values())


class Watch:
    """Asks ClickHouse again and again how far the rows of each partition have come.

    Rows of a partition become visible in the order of their offsets: the sink reads them in that order.
    """

    def __init__(self, dsn: str) -> None:
        self._store = ClickHouse.open(dsn, create=False)
        self._stop = threading.Event()
        #: (when the answer was there, the highest visible offset) for each partition, whenever it had moved.
        self.fronts: dict[int, list[tuple[float, int]]] = {}
        #: How long after the one before each answer came, seconds: by so much a latency may be too high.
        self.intervals: list[float] = []
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                rows = self._store.rows(_FRONTS)
                now = time.monotonic()
                self.intervals.append(now - last)
                last = now
                for partition, offset in rows:
                    seen = self.fronts.setdefault(partition, [])
                    if not seen or offset > seen[-1][1]:
                        seen.append((now, offset))
                self._stop.wait(min(max(_POLL_S, _PEACE * (now - began)), _LONGEST_PEACE_S))
        except StopProcess as error:
            self.failure = error

    def wait_for(self, published: Published) -> None:
        """Until every event is a row; StopProcess after a minute without."""
        deadline = time.monotonic() + _PATIENCE_S
        while any(self._front(partition) < max(offsets) for partition, offsets in published.due.items()):
            if self.failure is not None:
                raise self.failure
            if time.monotonic() > deadline:
                behind = {
                    f"partition {partition}": f"offset {self._front(partition)} of {max(offsets)}"
                    for partition, offsets in published.due.items()
                }
                raise StopProcess(f"the last events were not in ClickHouse after {_PATIENCE_S:.0f} s: {behind}")
            time.sleep(_POLL_S)

    def _front(self, partition: int) -> int:
        seen = self.fronts.get(partition)
        return seen[-1][1] if seen else -1

    def close(self) -> tuple[int, int]:
        """Stop; returns the rows and the different events in the table."""
        self._stop.set()
        self._thread.join()
        rows, different = self._store.rows(_COUNT)[0]
        self._store.close()
        return int(rows), int(different)


def publish(settings: Settings, events: Sequence[tuple[bytes, bytes]], rate: float) -> Published:
    """Publish at a steady rate. An event that goes out late keeps the time it was due: waiting is part of latency."""
    published = Published()
    producer = clients.producer(settings)
    started = time.monotonic() + 0.1
    for index, (key, value) in enumerate(events):
        due = started + index / rate
        while (left := due - time.monotonic()) > 0:
            # Not by `poll(left)`: it counts whole milliseconds, and a shorter time is none.
            producer.poll(0)
            time.sleep(max(left, _TICK_S))
        producer.produce(
            topics.EVENTS.name,
            value,
            key,
            headers=HEADERS,
            on_delivery=lambda error, message, due=due: published.note(error, message, due),
        )
    if producer.flush(_PATIENCE_S) or published.problem:
        raise StopProcess(f"the events could not be published: {published.problem or 'Kafka is too slow'}")
    return published


def run(rate: float, seconds: float, cluster: str) -> tuple[list[float], float]:
    """One run on servers of its own: the sorted latencies after the warm-up, and the median time between two looks.

    All in seconds. Raises StopProcess if an event is lost, doubled or a minute late.
    """
    events = [
        (event.subject.encode(), encode(event))
        for _, event in islice(simulate(SEED, time.time(), rate, flat=True, duplicate_share=0.0), int(rate * seconds))
    ]
    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as folder:
        settings = load_settings(
            kafka=cluster, kafka_port=0, data_dir=Path(folder), metrics_port=0, query_port=0, clickhouse="", workers=1
        )
        with Supervisor(settings) as group:
            watch = Watch(group.clickhouse)
            try:
                published = publish(group.settings, events, rate)
                watch.wait_for(published)
            finally:
                rows, different = watch.close()
    if different != published.count or rows < different:
        raise StopProcess(f"{published.count:,} events were published, {different:,} are in ClickHouse ({rows:,} rows)")
    first = min(min(offsets.values()) for offsets in published.due.values())
    warm = first + min(WARM_UP_S, seconds / 4)
    found: list[float] = []
    for partition, offsets in published.due.items():
        times, fronts = zip(*watch.fronts[partition], strict=True)
        measured = [(offset, due) for offset, due in offsets.items() if due >= warm]
        places = np.searchsorted(fronts, [offset for offset, _ in measured])
        found += [times[place] - due for place, (_, due) in zip(places, measured, strict=True)]
    return sorted(found), statistics.median(watch.intervals)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def measure(rate: float, seconds: float, runs: int, cluster: str, tell: Tell) -> tuple[str, str]:
    """All runs; the report as Markdown and as JSON."""
    results = []
    for number in range(runs):
        tell(f"run {number + 1} of {runs}: {rate:g} events/s for {seconds:g} s")
        latencies, interval = run(rate, seconds, cluster)
        results.append(
            {
                "events": float(len(latencies)),
                "p50_s": quantile(latencies, 0.5),
                "p99_s": quantile(latencies, 0.99),
                "max_s": latencies[-1],
                "look_s": interval,
            }
        )
    shown = ("p50_s", "p99_s", "max_s", "look_s")
    p50, p99, worst, look = (statistics.median(result[name] for result in results) for name in shown)
    rows = [[f"{n}", *(f"{result[name]:.3f}" for name in shown)] for n, result in enumerate(results, 1)]
    rows.append(["**median**", f"**{p50:.3f}**", f"**{p99:.3f}**", f"**{worst:.3f}**", f"**{look:.3f}**"])
    verdict = "reached" if p99 < GOAL_P99_S else "**missed**"
    setting = (
        f"{rate:,.0f} events/s for {seconds:g} s on {cluster} Kafka and chDB, one worker, one sink, on one machine; "
        f"{machine.line([])}"
    )
    goal = f"Goal: p99 below {GOAL_P99_S} s: {verdict}. Every published event was found in ClickHouse, once."
    text = "\n\n".join((setting, table(("run", "p50 (s)", "p99 (s)", "max (s)", "between two looks (s)"), rows), goal))
    whole = {"machine": dict(machine.describe()), "rate": rate, "seconds": seconds, "cluster": cluster, "runs": results}
    return text, msgspec.json.format(msgspec.json.encode(whole), indent=2).decode()


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--rate", type=float, default=2000.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cluster", choices=("embedded", "local"), default="embedded")
    add_options(parser)
    options = parser.parse_args(arguments)
    return finish(
        "latency",
        options,
        lambda: measure(options.rate, options.seconds, options.runs, options.cluster, _tell),
    )


if __name__ == "__main__":
    sys.exit(main())
