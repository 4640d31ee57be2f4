"""Where cold journeys lie: their stored bytes by name, without a Python object each."""

from collections.abc import Iterable
from typing import Protocol


class Shelf(Protocol):
    """Bytes by name, of one partition. Belongs to one keeper, survives no restart, and is empty when it is made.

    Every method may block for a read of the local disk; none raises for a name that is not there.
    """

    def get(self, name: bytes, /) -> bytes | None:
        """What lies under a name; None if nothing does."""

    def __setitem__(self, name: bytes, value: bytes, /) -> None:
        """Put bytes there, over what was there."""

    def discard(self, name: bytes, /) -> None:
        """Take it away, if it is there."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """All of it, each name once, in any order. Values of names that are there may be replaced meanwhile."""

    def close(self) -> None:
        """Give everything up. Nothing else may be called after it."""


class MemoryShelf(dict[bytes, bytes]):
    """A shelf in memory."""

    __slots__ = ()

    def discard(self, name: bytes, /) -> None:
        """Take it away, if it is there."""
        self.pop(name, None)

    def close(self) -> None:
        """Give everything up."""
        self.clear()
