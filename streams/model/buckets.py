"""Open buckets of event time, by their start; those that nothing touches leave memory."""

from collections.abc import Callable
from typing import TypeVar

from streams.model.generations import Generations

#: Checkpoints after which a bucket that nothing touched leaves the state. A later event opens a new part of it.
BUCKET_AGE = 20
B = TypeVar("B")


class Buckets(Generations[int, B]):
    """Buckets by their start (epoch seconds); `make` gives an empty one."""

    __slots__ = ("_checkpoints", "_make")

    def __init__(self, make: Callable[[], B]) -> None:
        super().__init__()
        self._make = make
        self._checkpoints = 0

    def at(self, start: int) -> B:
        """The bucket that begins at `start`, opened if need be."""
        bucket = self.get(start)
        if bucket is None:
            bucket = self.young[start] = self._make()
        return bucket

    def let_go(self) -> list[B]:
        """Buckets that leave because nothing has touched them for a while. Call it once a checkpoint."""
        self._checkpoints += 1
        gone = [bucket for _, bucket in self.leave()]
        if self._checkpoints >= BUCKET_AGE and self.age(steps=BUCKET_AGE):
            self._checkpoints = 0
        return gone
