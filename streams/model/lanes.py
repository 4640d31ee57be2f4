"""How far the lanes before the slices have come: what still may arrive, and what may not."""

from collections.abc import Iterable

from msgspec import Struct

from schemas.slice import Progress

#: A lane says every 5 s that it still is idle; after three times what was under way has arrived.
_SURELY_IDLE = 3


class Lane(Struct, array_like=True):
    """One input partition of one lane. Times are epoch seconds of event time."""

    #: Its newest watermark; 0 until it has said something, None while it is idle.
    watermark: float | None = 0.0
    #: Up to where it is known to be complete: its watermark, or that of the others when it last said idle.
    complete: float = 0.0
    #: How often it has said idle since its last watermark.
    idle: int = 0
    #: Event time as the wall clock carries it on; None where it does not.
    clock: float | None = None


class Lanes:
    """All lanes that a partition of slices is fed from; a function of the progress notes in the order of the log."""

    def __init__(self, origins: Iterable[str]) -> None:
        self.of: dict[str, Lane] = {origin: Lane() for origin in origins}

    def note(self, progress: Progress) -> None:
        """Take in how far a lane has come."""
        lane = self.of.setdefault(progress.origin, Lane())
        lane.watermark = progress.watermark
        lane.clock = progress.clock
        lane.idle = lane.idle + 1 if progress.watermark is None else 0
        reached = progress.watermark if progress.watermark is not None else self.watermark()
        if reached is not None:
            lane.complete = max(reached, lane.complete)

    def watermark(self) -> float | None:
        """The smallest event time that any lane still expects; None while all are idle."""
        return min((lane.watermark for lane in self.of.values() if lane.watermark is not None), default=None)

    def clock(self) -> float | None:
        """Up to where event time has come, as far as silence goes; None where nobody can say.

        The watermark; while all lanes have been idle for some time, what the wall clock adds to it.
        """
        live = self.watermark()
        if live is not None or not self.surely_idle():
            # 0: one of them has not said anything yet.
            return live or None
        return min((lane.clock for lane in self.of.values() if lane.clock is not None), default=None)

    def complete(self) -> float:
        """Up to where every lane is known to be complete.

        An idle lane holds no row back, but what it said before the others went on says nothing about now: records may
        wait in it, unread. Only when it says again that it is idle has it come as far as they.
        """
        return min(lane.complete for lane in self.of.values())

    def surely_idle(self) -> bool:
        """Whether all lanes have been idle for longer than a bucket lasts."""
        return all(lane.idle >= _SURELY_IDLE for lane in self.of.values())
