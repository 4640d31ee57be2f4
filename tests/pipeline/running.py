"""`corredor run` as a user starts it, in a process group of its own, and events that flow meanwhile."""

import json
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import clickhouse_connect
import psutil
from confluent_kafka import KafkaError, Message

from schemas import topics
from streams.runtime import clients, endpoints
from streams.runtime.federation import get
from streams.runtime.settings import Settings, load_settings
from streams.runtime.supervisor import PROGRAM, as_environment
from tests.builders import event
from tests.conftest import wait_until

CUSTOMERS = 500
START_S = 90.0


def own_settings(kafka: str, folder: Path, **changes: Any) -> Settings:
    """Settings for a run of its own: free ports, a group and a data folder that nobody else has."""
    group = f"test-{uuid.uuid4().hex[:8]}"
    return load_settings(kafka=kafka, data_dir=folder / "data", group=group, metrics_port=0, query_port=0, **changes)


class Running:
    """A running group: its process, and what belongs to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", settings: Settings, log: Path) -> None:
        self.process = process
        self._settings = settings
        self._log = log
        #: Every process of the group that has been seen, Kafka not among them.
        self.seen: dict[int, psutil.Process] = {}

    @property
    def run(self) -> endpoints.Run:
        """Its description; fails where it does not run."""
        found = endpoints.find(self._settings)
        assert found is not None, self.said()
        return found

    def said(self) -> str:
        """What it and its children have written, without librdkafka's many words for a broker that is away."""
        logs = [self._log, *sorted((self._settings.data_dir / "logs").glob("*.log"))]
        return "\n".join(f"--- {file.name}\n{_worth_reading(file)}" for file in logs)

    def ready(self) -> bool:
        """True once it is ready; fails if it has ended."""
        assert self.process.poll() is None, self.said()
        found = endpoints.find(self._settings)
        return found is not None and get(f"{found.metrics}/ready")[0] == 200

    def not_ready(self, name: str) -> str:
        """Why one of its processes is not ready; empty if it is."""
        status, text = get(f"{self.run.processes[name]}/ready")
        return "" if status == 200 else text.strip()

    def child(self, role: str) -> psutil.Process:
        """The process with this role: `worker` or `sink`."""
        for child in self.children():
            if child.cmdline()[-1:] == [role]:
                return child
        raise AssertionError(f"no {role} runs\n{self.said()}")

    def suspended(self, role: str) -> psutil.Process:
        """The process with this role, stopped: a signal that came before it has stopped would still be handled."""
        child = self.child(role)
        child.suspend()
        wait_until(lambda: child.status() == psutil.STATUS_STOPPED)
        return child

    def children(self) -> list[psutil.Process]:
        """All processes below it."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        self.seen |= {child.pid: child for child in found}
        return found

    def end(self, number: signal.Signals, within_s: float) -> float:
        """Send it a signal and see it end with code 0 in time, leaving no process behind. Returns the seconds."""
        self.children()
        began = time.monotonic()
        self.process.send_signal(number)
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {within_s:g} s\n{self.said()}") from None
        took = time.monotonic() - began
        assert code == 0, self.said()
        left = [child for child in self.seen.values() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert not left, left
        assert endpoints.find(self._settings) is None
        return took


def _worth_reading(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if "|FAIL|rdkafka#" not in line)[-4000:]


@contextmanager
def running(settings: Settings, **changes: object) -> Iterator[Running]:
    """`corredor run` with these settings, ready; killed with all its children at the end if it still lives."""
    settings = settings.model_copy(update=changes)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = settings.data_dir / "run.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*PROGRAM, "run"],
            env={**os.environ, **as_environment(settings)},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    group = Running(process, settings, log)
    try:
        wait_until(group.ready, START_S)
        group.children()
        yield group
    finally:
        if process.poll() is None:
            for child in [*group.children(), psutil.Process(process.pid)]:
                if child.is_running():
                    child.kill()
            process.wait(10)
        # For the report of a test that fails.
        print(group.said())


class Feed:
    """Publishes events in a thread of its own and counts those that Kafka has acknowledged; a context manager."""

    def __init__(self, kafka: str, each_second: int = 300) -> None:
        self._each_second = each_second
        self._producer = clients.producer(Settings(kafka=kafka))
        self._stop = threading.Event()
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._go, daemon=True)
        self._template = json.dumps(event(time.time(), id="%s", subject="%s"))
        self.sent = 0
        self.delivered = 0

    def send(self, count: int) -> None:
        """Publish `count` events, as fast as it goes."""
        for _ in range(count):
            with self._lock:
                number, self.sent = self.sent, self.sent + 1
            subject = f"c-{number % CUSTOMERS}"
            value = self._template % (f"e-{number}", subject)
            while True:
                try:
                    self._producer.produce(topics.EVENTS.name, value, subject, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._producer.poll(0.05)
            self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        # Both threads poll, and so both may come here.
        with self._counting:
            self.delivered += error is None

    def _go(self) -> None:
        while not self._stop.wait(0.02):
            self.send(self._each_second // 50)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self._producer.purge()

    def start(self) -> None:
        """Let events flow."""
        self._thread.start()
        wait_until(lambda: self.delivered > 0)

    def stop(self) -> int:
        """End the flow, see everything delivered, and return how many events that is."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)
        assert self._producer.flush(30) == 0
        assert self.delivered == self.sent
        return self.sent


def arrived(clickhouse: str) -> tuple[int, int]:
    """Events in ClickHouse as readers see them, and events counted by the slices."""
    client = clickhouse_connect.get_client(dsn=clickhouse)
    try:
        events = client.query("SELECT count() FROM events").result_rows
        counted = client.query("SELECT coalesce(sum(n), 0) FROM slices WHERE segment = ''").result_rows
    finally:
        client.close()
    return int(events[0][0]), int(counted[0][0])


def wait_for_exactly(count: int, clickhouse: str, timeout_s: float = 120.0) -> None:
    """Return once every event is there and counted exactly once; more than that fails at once."""
    last = (0, 0)

    def there() -> bool:
        nonlocal last
        last = arrived(clickhouse)
        assert max(last) <= count, f"{last} of {count}"
        return last == (count, count)

    try:
        wait_until(there, timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: events and counted {last} of {count}") from None


def eventually(condition: Callable[[], object], timeout_s: float, group: Running) -> None:
    """As `wait_until`, with what the group has said where it fails."""
    try:
        wait_until(condition, timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{group.said()}") from None
