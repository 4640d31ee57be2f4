"""One partition of `experience.slices`: the window scores of its tenants, and how far the lanes before it have come."""

from collections.abc import Iterable

from schemas.slice import Progress, Slice
from streams.model.windows import Windows


class ScorePartition:
    """One partition of `experience.slices`: all slices of the tenants that live there."""

    def __init__(self, minimum_n: int, origins: Iterable[str]) -> None:
        self.windows = Windows(0, minimum_n)
        self.applied = -1
        #: The offset applied at the last look, and when all windows were taken last (epoch seconds).
        self.looked_at = -1
        self.whole_at = 0.0
        #: The version of the last row given to a checkpoint.
        self.version = 0
        #: How many too late slices /metrics knows of.
        self.too_late = 0
        #: The newest watermark of each lane; 0 until it has said something, None while it is idle.
        self.watermarks: dict[str, float | None] = dict.fromkeys(origins, 0.0)
        #: Up to where each lane is known to be complete: its watermark, or that of the others when it last said idle.
        self._complete = dict.fromkeys(origins, 0.0)

    def apply(self, message: Slice | Progress) -> None:
        """Count a slice, or note how far a lane has come; messages come in the order of the log."""
        if isinstance(message, Slice):
            self.windows.apply(message)
            return
        self.watermarks[message.origin] = message.watermark
        reached = message.watermark if message.watermark is not None else self.watermark()
        if reached is not None:
            self._complete[message.origin] = max(reached, self._complete[message.origin])

    def watermark(self) -> float | None:
        """The smallest event time that any input partition still expects; None while all are idle."""
        return min((mark for mark in self.watermarks.values() if mark is not None), default=None)

    def forget(self, allowed_lateness: float) -> None:
        """Let go what no lane can still change.

        An idle lane holds no row back, but what it said before the others went on says nothing about now: records may
        wait in it, unread. Only when it says again that it is idle has it come as far as they.
        """
        self.windows.forget(min(self._complete.values()) - allowed_lateness)
