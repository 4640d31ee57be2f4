"""One partition of `experience.slices`: the window scores of its tenants, and how far the lanes before it have come."""

from collections.abc import Iterable

from schemas.slice import Progress, Slice
from streams.model.lanes import Lanes
from streams.model.windows import Windows


class ScorePartition:
    """One partition of `experience.slices`: all slices of the tenants that live there."""

    def __init__(self, minimum_n: int, origins: Iterable[str]) -> None:
        self.windows = Windows(0, minimum_n)
        self.lanes = Lanes(origins)
        self.applied = -1
        #: The offset applied at the last look, and when all windows were taken last (epoch seconds).
        self.looked_at = -1
        self.whole_at = 0.0
        #: The version of the last row given to a checkpoint.
        self.version = 0
        #: How many too late slices /metrics knows of.
        self.too_late = 0

    def apply(self, message: Slice | Progress) -> None:
        """Count a slice, or note how far a lane has come; messages come in the order of the log."""
        if isinstance(message, Slice):
            self.windows.apply(message)
        else:
            self.lanes.note(message)

    def forget(self, allowed_lateness: float) -> None:
        """Let go what no lane can still change."""
        self.windows.forget(self.lanes.complete() - allowed_lateness)
