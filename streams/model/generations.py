"""A dictionary that forgets what was not used for a while, a little at a time."""

from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """Two generations of values: what is used moves to the young one; what ages through the old one is let go.

    `age` makes the young generation old once the old one is empty; `leave` hands out old values, at most a share of
    them at a time, so that no moment has to pay for all. A value handed out was not used since the last `age`.
    """

    __slots__ = ("_old", "_share", "young")

    def __init__(self) -> None:
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._share = 0

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def __iter__(self) -> Iterator[V]:
        yield from self._old.values()
        yield from self.young.values()

    def items(self) -> Iterator[tuple[K, V]]:
        """All keys with their values."""
        yield from self._old.items()
        yield from self.young.items()

    def get(self, key: K) -> V | None:
        """The value, made young by being used."""
        value = self.young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.young[key] = value
        return value

    def age(self, steps: int) -> bool:
        """Make the young old, to leave in `steps` steps. False while an older generation is still leaving."""
        if self._old:
            return False
        self._old, self.young = self.young, {}
        self._share = -(-len(self._old) // steps)
        return True

    def leave(self) -> list[tuple[K, V]]:
        """Take the next share out of the old generation."""
        return [(key, self._old.pop(key)) for key in list(islice(self._old, self._share))]
