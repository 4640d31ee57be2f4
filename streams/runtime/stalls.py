"""Since when what has work stands still: the watchdog's arithmetic, without clock, thread or Kafka."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: A topic and a partition.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Step:
    """A step under way: a number of its own for each time it is taken, and how long it may take longer than others."""

    number: int
    extra_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker is doing: of each place it owns the next offset to apply, and the end that its consumer knows."""

    next: Mapping[Place, int] = field(default_factory=dict)
    end: Mapping[Place, int] = field(default_factory=dict)
    steps: Mapping[str, Step] = field(default_factory=dict)


class Stalls:
    """Compares reports. Times are seconds of any clock that the caller keeps to."""

    def __init__(self) -> None:
        self._since: dict[str | Place, tuple[int, float]] = {}
        #: What Kafka itself said: (next offset, end) at which there was nothing more to read, next with something.
        self._empty: dict[Place, tuple[int, int]] = {}
        self._found: dict[Place, int] = {}

    def lag(self, report: Report, place: Place) -> int:
        """Records that wait. What Kafka said goes before what the consumer knows."""
        following, end = report.next[place], report.end.get(place, 0)
        if self._empty.get(place) == (following, end):
            return 0
        return max(end - following, 1 if self._found.get(place) == following else 0, 0)

    def look(self, report: Report, now: float) -> dict[str | Place, float]:
        """Seconds that each step under way and each place with records to apply has not moved."""
        marks: dict[str | Place, tuple[int, float]] = {
            place: (offset, now) for place, offset in report.next.items() if self.lag(report, place)
        }
        marks |= {name: (step.number, now + step.extra_s) for name, step in report.steps.items()}
        before = self._since
        self._since = {
            name: before[name] if name in before and before[name][0] == mark[0] else mark
            for name, mark in marks.items()
        }
        return {name: max(now - since, 0.0) for name, (_, since) in self._since.items()}

    def answered(self, report: Report, place: Place, readable: bool) -> None:
        """Kafka has a record at or after the next offset of a place, or nothing but markers and aborted records."""
        if readable:
            self._found[place] = report.next[place]
            self._empty.pop(place, None)
        else:
            self._empty[place] = (report.next[place], report.end.get(place, 0))
            self._found.pop(place, None)

    def excuse(self, now: float) -> None:
        """There was a reason to stand still until now: every stall begins anew."""
        self._since = {name: (mark, max(since, now)) for name, (mark, since) in self._since.items()}
