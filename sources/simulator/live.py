"""From simulated time to the wall clock: when each event is due, and waiting for it."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from schemas.corridor import Duration
from schemas.errors import UsageError
from schemas.event import TouchpointEvent

#: Longest single sleep, so that Ctrl-C is heard at once. Seconds.
_NAP_S = 0.1


@dataclass(frozen=True, slots=True)
class Schedule:
    """How simulated time maps to the wall clock. Times are epoch seconds."""

    #: Simulated time of the beginning, and of the end (infinite: none).
    start: float
    end: float
    #: The wall clock when it began.
    began: float
    #: Simulated seconds for each second of the wall clock; infinite: as fast as possible.
    speed: float
    #: Never publish an event before its own time has come (else it would be refused as coming from the future).
    never_ahead: bool = True

    def due(self, at: float) -> float:
        """The wall-clock time at which what is published at `at` is due."""
        due = self.began + (at - self.start) / self.speed
        return max(due, at) if self.never_ahead else due


def plan(
    now: float, speed: float, duration: float | None, start: float | None, *, never_ahead: bool = True
) -> Schedule:
    """The schedule for what the user asked for; `now` is the wall clock.

    Without `start`, a faster run begins so far in the past that it ends now. A run with a `start` in the past and no
    `duration` catches up with now and goes on live. Raises UsageError where neither says when to begin.
    """
    if start is None:
        if speed == 1:
            start = now
        elif duration is None:
            raise UsageError("--speed other than 1 needs --duration or --start: events cannot come from the future")
        else:
            start = now + duration / speed - duration
    return Schedule(start, math.inf if duration is None else start + duration, now, speed, never_ahead)


def paced(
    events: Iterable[tuple[float, TouchpointEvent]],
    schedule: Schedule,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[TouchpointEvent]:
    """Each event when it is due, until the schedule ends. After a stall, what is overdue comes without waiting."""
    for at, event in events:
        if at >= schedule.end:
            break
        due = schedule.due(at)
        while (rest := due - clock()) > 0:
            sleep(min(rest, _NAP_S))
        yield event
    while (rest := schedule.due(schedule.end) - clock()) > 0:
        sleep(min(rest, _NAP_S))


def parse_speed(text: str) -> float:
    """`max`, or simulated seconds for each real one; UsageError otherwise."""
    if text == "max":
        return math.inf
    if re.fullmatch(r"\d+(\.\d+)?", text) and float(text) > 0:
        return float(text)
    raise UsageError(f"--speed `{text}`: write `max`, or a number above 0 (1 is real time)")


def parse_duration(text: str) -> float:
    """A duration such as 60s or 5min, in seconds; UsageError otherwise."""
    try:
        return float(Duration.parse(text))
    except ValueError as error:
        raise UsageError(f"--duration: {error}") from None


def parse_start(text: str) -> float:
    """An ISO 8601 time with its time zone, in epoch seconds; UsageError otherwise."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--start `{text}`: write a time such as 2026-11-21T08:00:00Z") from None
    if time.tzinfo is None:
        raise UsageError(f"--start `{text}`: say the time zone too, such as {time.replace(tzinfo=UTC).isoformat()}")
    return time.timestamp()
