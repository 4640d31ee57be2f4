"""A simulated corridor: a past from which the usual can be learned, then live, with faults."""

import math
import threading
import time
from collections.abc import Sequence
from typing import Self

from sources.publish import Publisher
from sources.simulate import simulate
from sources.simulator.faults import parse_fault
from sources.simulator.live import Schedule, paced
from streams.runtime.settings import Settings

#: How far back the past goes, and from its end until the faults. Seconds.
HISTORY_S, CALM_S = 900.0, 5.0


class Traffic:
    """Publishes with a thread of its own; a context manager. `faults` are written without their times."""

    def __init__(self, settings: Settings, rate: float, faults: Sequence[str]) -> None:
        self._settings, self._rate, self._faults = settings, rate, faults
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go)
        #: Wall clock at which the faults begin, epoch seconds; infinite until the past is published.
        self.fault_at = math.inf
        self.failed: Exception | None = None

    def _go(self) -> None:
        try:
            with Publisher(self._settings) as publisher:
                now = time.time()
                self._publish(publisher, now - HISTORY_S, now, math.inf, 0.0)
                live = time.time()
                self.fault_at = live + CALM_S
                # What the past took to publish is made up for at once, so that no gap looks like a silence.
                self._publish(publisher, now, math.inf, 1.0, live - now + CALM_S)
        except Exception as error:  # noqa: BLE001 - told to the test, which fails with it
            self.failed = error

    def _publish(self, publisher: Publisher, start: float, end: float, speed: float, fault_after_s: float) -> None:
        faults = [parse_fault(f"{fault}@{fault_after_s:g}s") for fault in self._faults] if fault_after_s else []
        events = simulate(1 + bool(faults), start, self._rate, faults, flat=True)
        for event in paced(events, Schedule(start, end, start, speed), time.time, publisher.poll):
            if self._stop.is_set():
                return
            publisher.publish(event)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
