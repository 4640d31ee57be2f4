"""What this process waits for right now: in /metrics, in /ready and in the log.

Waiting is the normal answer to a part that is away or slow: nothing is dropped, nothing is buffered without bound. So
that nobody takes it for a hang, every place that waits says so here.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TypeVar

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

log = logging.getLogger("corredor.waiting")

T = TypeVar("T")
#: `readers`: those after us on a short log have not caught up. `detectors`: they see much history that was settled at
#: once.
What = Literal["kafka", "readers", "clickhouse", "detectors", "registry"]
_NAMES: dict[What, str] = {
    "kafka": "Kafka",
    "readers": "the readers",
    "clickhouse": "ClickHouse",
    "detectors": "the detectors",
    "registry": "the schema registry",
}
#: A wait this long is worth a word; shorter ones are the normal course. Seconds.
NOTABLE_S = 5.0
#: The start of a wait for the same thing is told at most this often. Seconds.
TOLD_EVERY_S = 60.0


class _Wait:
    def __init__(self, what: What, detail: str, since: float) -> None:
        self.what, self.detail, self.since = what, detail, since
        self.told = False


class Waits(Collector):
    """The waits of a process, and the seconds spent in them. Safe to share between threads.

    Overlapping waits for the same thing count once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now: list[_Wait] = []
        self._spent: dict[What, float] = dict.fromkeys(_NAMES, 0.0)
        self._told_at: dict[What, float] = {}

    @contextmanager
    def on(self, what: What, detail: str) -> Iterator[None]:
        """While the body runs, the process waits for `what`; `detail` says for what of it."""
        wait = _Wait(what, detail, self._clock())
        with self._lock:
            self._now.append(wait)
        try:
            yield
        finally:
            now = self._clock()
            with self._lock:
                first = min(each.since for each in self._now if each.what == what)
                self._now.remove(wait)
                left = [each.since for each in self._now if each.what == what]
                # What another wait for the same thing still covers is counted when that one ends.
                self._spent[what] += max(min([*left, now]) - first, 0.0)
            if wait.told:
                log.info("goes on after %.1f s of waiting for %s", now - wait.since, _NAMES[what])

    def on_since(self, what: What) -> float | None:
        """Seconds that the process has been waiting for `what`, or None."""
        with self._lock:
            found = [wait.since for wait in self._now if wait.what == what]
        return self._clock() - min(found) if found else None

    def all(self) -> list[str]:
        """Every wait, as a phrase, the longest first."""
        now = self._clock()
        with self._lock:
            waits = sorted(self._now, key=lambda wait: wait.since)
        return [_phrase(wait, now) for wait in waits]

    def notable(self) -> str | None:
        """The longest wait if it is worth a word; and see that it is in the log."""
        now = self._clock()
        with self._lock:
            waits = [wait for wait in self._now if now - wait.since >= NOTABLE_S]
            untold = []
            for wait in waits:
                if now - self._told_at.get(wait.what, -TOLD_EVERY_S) >= TOLD_EVERY_S:
                    self._told_at[wait.what] = now
                    wait.told = True
                    untold.append(wait)
        for wait in untold:
            log.warning("%s", _phrase(wait, now))
        return _phrase(min(waits, key=lambda wait: wait.since), now) if waits else None

    def collect(self) -> Iterator[Metric]:
        """Seconds waited, those of waits under way included."""
        family = CounterMetricFamily("corredor_waiting_seconds", "Time spent waiting for another part", labels=["for"])
        with self._lock:
            spent = dict(self._spent)
            for what in spent:
                since = [wait.since for wait in self._now if wait.what == what]
                spent[what] += self._clock() - min(since) if since else 0.0
        for what, seconds in spent.items():
            family.add_metric([what], seconds)
        yield family


def _phrase(wait: _Wait, now: float) -> str:
    return f"waits {now - wait.since:.0f} s for {_NAMES[wait.what]}: {wait.detail}"


WAITS = Waits()
REGISTRY.register(WAITS)


async def by_kafka(work: Awaitable[T], detail: str) -> T:
    """The result of `work` that Kafka has to acknowledge; once it takes notably long, that is a wait for Kafka."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=NOTABLE_S)
        if not done:
            with WAITS.on("kafka", detail):
                await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        raise
    return task.result()
