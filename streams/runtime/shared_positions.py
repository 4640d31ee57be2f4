"""A topic that several agents of a worker read: it is acknowledged as far as the slowest of them has come."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from streams.runtime.positions import Place, Positions

Commit = Callable[[Mapping[Place, int]], Awaitable[None]]


class SharedPositions:
    """The places of all readers of one topic, and what they together have committed."""

    def __init__(self, topic: str, readers: Iterable[str], commit: Commit) -> None:
        self._topic = topic
        self._commit = commit
        self._at: dict[str, dict[Place, int]] = {name: {} for name in readers}
        #: What was last committed; what Kafka says too, as long as nobody else has had the partition.
        self._committed: dict[Place, int] = {}

    def take_over(self, positions: Positions) -> dict[str, Positions]:
        """The positions as each reader should see them, after an assignment.

        Its own place where nobody else has had the partition meanwhile: what it holds is still good.
        """
        now = {place: offset for place, offset in positions.committed.items() if place[0] == self._topic}
        for name, at in self._at.items():
            self._at[name] = {
                place: at.get(place, offset) if self._committed.get(place) == offset else offset
                for place, offset in now.items()
            }
        self._committed = now
        return {name: positions.moved(at) for name, at in self._at.items()}

    def commit_of(self, reader: str) -> Commit:
        """What a reader calls to acknowledge. Raises what the commit raises."""
        return partial(self._acknowledge, reader)

    async def _acknowledge(self, reader: str, positions: Mapping[Place, int]) -> None:
        self._at[reader] |= positions
        moved = {
            place: slowest
            for place in positions
            if (slowest := min(at.get(place, 0) for at in self._at.values())) > self._committed.get(place, 0)
        }
        if moved:
            await self._commit(moved)
            self._committed |= moved
