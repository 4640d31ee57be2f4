"""Simulated customers of one touchpoint: a past from which the usual can be learned, then live, with a fault."""

import math
import threading
import time
from typing import Self

from sources.publish import Publisher
from sources.simulate import simulate
from sources.simulator.faults import parse_fault
from sources.simulator.live import Schedule, paced
from streams.runtime.settings import Settings

#: How far back the past goes: `docs/detection.md` says how much a young baseline sees. Seconds.
HISTORY_S = 900.0
#: From the moment that the past is published until the fault. Seconds.
CALM_S = 10.0


class Customers:
    """Publishes the contacts at `touchpoint`; a context manager, with a thread of its own.

    `rate` is that of the whole simulated corridor, all but one touchpoint of which stays untold. `fault` is written as
    for `corredor simulate`, without its time: `CALM_S` after `begin_live` it begins, and it lasts `fault_s`.
    """

    def __init__(self, settings: Settings, touchpoint: str, rate: float, fault: str, fault_s: float) -> None:
        self._settings, self._touchpoint, self._rate = settings, touchpoint, rate
        self._fault, self._fault_s = fault, fault_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go)
        #: Wall clock (epoch seconds) at which the fault begins; infinite until the past is published.
        self.fault_at = math.inf
        self.published = 0
        self.failed: Exception | None = None

    def _go(self) -> None:
        try:
            with Publisher(self._settings) as publisher:
                now = time.time()
                self._publish(publisher, now - HISTORY_S, now, math.inf, "")
                live = time.time()
                # What the past took to publish is made up for at once, so that no gap looks like a silence.
                offset = live - now + CALM_S
                self.fault_at = live + CALM_S
                self._publish(publisher, now, math.inf, 1.0, f"{self._fault}@{offset:g}s+{self._fault_s:g}s")
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            self.failed = error

    def _publish(self, publisher: Publisher, start: float, end: float, speed: float, fault: str) -> None:
        faults = [parse_fault(fault)] if fault else []
        events = simulate(1 + bool(fault), start, self._rate, faults, flat=True)
        here = ((at, event) for at, event in events if event.data.touchpoint == self._touchpoint)
        for event in paced(here, Schedule(start, end, start, speed), time.time, publisher.poll):
            if self._stop.is_set():
                return
            publisher.publish(event)
            self.published += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
