"""Event time: how far each source has come, and the watermark of a partition."""

from collections.abc import Collection

import msgspec

#: A source that has sent nothing for this long, by arrival time, holds no watermark back. Seconds.
IDLE_S = 60.0
#: After this long it is forgotten. Seconds.
FORGET_S = 86_400.0


class SourceClock(msgspec.Struct, gc=False):
    """The newest event time and the newest arrival seen from one source, epoch seconds."""

    newest: float
    seen_at: float


def watermark(clocks: Collection[SourceClock]) -> float | None:
    """The smallest event time still expected: the minimum over the sources that are live; None without any."""
    if not clocks:
        return None
    live_from = max(clock.seen_at for clock in clocks) - IDLE_S
    return min(clock.newest for clock in clocks if clock.seen_at >= live_from)


def forget_silent(sources: dict[str, SourceClock]) -> list[str]:
    """Drop the sources not heard of for a day, so that memory stays bounded; returns their names."""
    oldest = max((clock.seen_at for clock in sources.values()), default=0.0) - FORGET_S
    silent = [name for name, clock in sources.items() if clock.seen_at < oldest]
    for name in silent:
        del sources[name]
    return silent
