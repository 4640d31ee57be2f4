"""`python -m bench.collect_http`: what the HTTP collector takes, durably, and how long an answer takes.

The collector is a process of its own, bound to one core where the system can; this process loads it over loopback with
batches from a few keep-alive connections for a bounded time, then reads the topic: nothing acknowledged may be missing.
"""

import argparse
import http.client
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import psutil
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from bench import feed, machine, process
from schemas.errors import StopProcess
from schemas.topics import EVENTS
from sources.collect.cloudevents import BATCHED
from streams.runtime import clients
from streams.runtime.embedded import EmbeddedKafka
from streams.runtime.local import LocalKafka
from streams.runtime.settings import Settings, load_settings
from streams.runtime.topics_admin import ensure_topics

_START_S = 60.0
_COMMAND = "from command.collect import command; import typer; a = typer.Typer(); a.command()(command); a()"


@dataclass(slots=True)
class Result:
    """What one run came to. Times are seconds."""

    seconds: float
    events: int
    cpu_s: float
    times: list[float] = field(default_factory=list)
    missing: int = 0
    refused: int = 0

    def line(self, batch: int, connections: int, cluster: str) -> str:
        """In one line."""
        cut = quantiles(self.times, n=100)
        return (
            f"{cluster} Kafka, acks=all, batches of {batch}, {connections} connections: "
            f"{self.events / self.seconds:,.0f} events/s, answers p50 {cut[49] * 1000:.1f} ms, "
            f"p99 {cut[98] * 1000:.1f} ms, {self.cpu_s / self.seconds:.2f} cores, "
            f"{1e6 * self.cpu_s / self.events:.0f} CPU s per million, {self.refused} requests refused, "
            f"{self.missing} acknowledged events missing"
        )


class _Sender(threading.Thread):
    """One connection. It sends its batches in turn, and each event of them once."""

    def __init__(self, url: str, bodies: Sequence[bytes], until: float, rate: float) -> None:
        super().__init__(daemon=True)
        self._address = urlsplit(url).netloc
        self._bodies = bodies
        self._until = until
        self._pause = 1 / rate if rate else 0.0
        self.taken = 0
        self.refused = 0
        self.times: list[float] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        due = time.perf_counter()
        for body in self._bodies:
            # At a rate, the time of an answer counts from when the request was due: waiting is not left out.
            due = due + self._pause if self._pause else time.perf_counter()
            time.sleep(max(0.0, due - time.perf_counter()))
            if time.monotonic() > self._until:
                return
            connection.request("POST", "/events", body, {"Content-Type": BATCHED})
            answer = connection.getresponse()
            answer.read()
            self.times.append(time.perf_counter() - due)
            if answer.status == 202:
                self.taken += 1
            else:
                self.refused += 1


def measure(settings: Settings, seconds: float, batch: int, connections: int, events: int, rate: float) -> Result:
    """Load a collector on `settings.kafka` for at most `seconds`, or `events`; `rate` in events/s, 0: no limit."""
    values = [value for _, value in feed.simulated(events).events]
    bodies = [b"[" + b",".join(values[at : at + batch]) + b"]" for at in range(0, len(values), batch)]
    contestant = process.start(
        "collector",
        ["-c", _COMMAND, "--port", "0"],
        {"CORREDOR_KAFKA": settings.kafka, "CORREDOR_LOG_LEVEL": "WARNING"},
        {"ready": "collect ready"},
    )
    try:
        deadline = time.monotonic() + _START_S
        while "ready" not in contestant.seen:
            contestant.check(deadline, "ready")
            time.sleep(0.05)
        url = next(word for line in contestant.lines for word in line.split() if word.startswith("url="))[4:]
        _bind(contestant.process.pid)
        _wait_until_ready(url, deadline)
        # Kafka's own start is not what is measured.
        warm = len(bodies) // 10
        warmed = _send(url, bodies[:warm], connections, time.monotonic() + seconds, 0.0)
        before = contestant.usage()
        senders = _send(url, bodies[warm:], connections, time.monotonic() + seconds, rate / batch / connections)
        after = contestant.usage()
    finally:
        contestant.end()
    taken = sum(sender.taken for sender in senders) * batch
    result = Result(after.at - before.at, taken, after.cpu_s - before.cpu_s)
    result.times = [each for sender in senders for each in sender.times]
    result.refused = sum(sender.refused for sender in senders)
    everything = taken + sum(sender.taken for sender in warmed) * batch
    result.missing = max(0, everything - _count(settings))
    if not result.times:
        raise StopProcess(f"the collector answered nothing:\n{contestant.tail()}")
    return result


def _send(url: str, bodies: Sequence[bytes], connections: int, until: float, rate: float) -> list[_Sender]:
    """Send the bodies, shared out to as many connections, and wait for the answers."""
    senders = [_Sender(url, bodies[number::connections], until, rate) for number in range(connections)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    return senders


def _bind(pid: int) -> None:
    """One core for the collector: the goal is for one."""
    if sys.platform == "linux":
        for thread in psutil.Process(pid).threads():
            os.sched_setaffinity(thread.id, {max(os.sched_getaffinity(0))})


def _wait_until_ready(url: str, deadline: float) -> None:
    while True:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("GET", "/ready")
        if connection.getresponse().status == 200:
            return
        if time.monotonic() > deadline:
            raise StopProcess("the collector does not find Kafka")
        time.sleep(0.1)


def _count(settings: Settings) -> int:
    """Events that were ever in the topic: the ends of its partitions."""
    reader = clients.consumer(settings, "bench.collect-http")
    partitions = reader.list_topics(EVENTS.name, timeout=10).topics[EVENTS.name].partitions
    places = [TopicPartition(EVENTS.name, number, OFFSET_BEGINNING) for number in partitions]
    total = sum(int(reader.get_watermark_offsets(place, timeout=10)[1]) for place in places)
    reader.close()
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.collect_http", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="longest time of loading")
    parser.add_argument("--events", type=int, default=200_000, help="most events to send")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0, help="events per second; 0: as many as it takes")
    parser.add_argument("--cluster", choices=("embedded", "local"), default="local")
    options = parser.parse_args(arguments)

    with tempfile.TemporaryDirectory(prefix="corredor-bench-") as folder:
        with EmbeddedKafka() if options.cluster == "embedded" else LocalKafka(Path(folder)) as broker:
            ensure_topics(load_settings(kafka=broker.bootstrap, kafka_paced=options.cluster == "embedded"))
            # Not paced: only the ends of the partitions are read afterwards.
            settings = load_settings(kafka=broker.bootstrap)
            result = measure(
                settings, options.seconds, options.batch, options.connections, options.events, options.rate
            )
    print(result.line(options.batch, options.connections, options.cluster))
    print(machine.line([]))
    return 1 if result.missing else 0


if __name__ == "__main__":
    sys.exit(main())
