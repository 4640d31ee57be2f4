"""One reading shared by all who look: ClickHouse is asked the same thing once a second, whoever looks."""

import asyncio
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")
P = ParamSpec("P")
#: So old may a reading be that is given out. Seconds.
FRESH_S = 0.9
#: Readings kept, and queries at a time.
MOST_KEPT = 256
MOST_AT_ONCE = 4


@dataclass(slots=True)
class _Reading:
    read_at: float = float("-inf")
    value: Any = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Shared:
    """Runs blocking reads in threads and remembers what they gave. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._readings: dict[Hashable, _Reading] = {}
        self._limit: anyio.CapacityLimiter | None = None

    async def get(self, fresh_s: float, read: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What `read(*arguments)` gave at most `fresh_s` ago, else what it gives now. Raises what it raises.

        Arguments are hashable. Who asks while it is being read waits for that reading.
        """
        key = (read, arguments, tuple(named.items()))
        reading = self._readings.pop(key, None) or _Reading()
        # Last in the dictionary is who was asked for last.
        self._readings[key] = reading
        while len(self._readings) > MOST_KEPT:
            del self._readings[next(iter(self._readings))]
        async with reading.lock:
            if self._clock() - reading.read_at > fresh_s:
                if self._limit is None:
                    self._limit = anyio.CapacityLimiter(MOST_AT_ONCE)
                began = self._clock()
                reading.value = await anyio.to_thread.run_sync(lambda: read(*arguments, **named), limiter=self._limit)
                reading.read_at = began
        value: T = reading.value
        return value
