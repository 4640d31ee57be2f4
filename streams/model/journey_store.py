"""The journeys of a partition: hot as objects, cold as their stored bytes on a shelf.

A journey thaws when an event or its timer touches it, and freezes when nothing did for a while. A state read back is
cold: it costs its bytes and the reading of its label, not its objects. Nothing of this shows in any result.
"""

from itertools import islice
from math import inf

from msgspec import json

from streams.model.generations import Generations
from streams.model.journey import Journeys
from streams.model.journey_state import JourneyKey, JourneyState, Label, key_of, name_of, pack, read_label
from streams.model.shelf import Shelf

#: Journeys freeze after they were idle for this long, in seconds of arrival, or sooner if there are more than so many;
#: spread over so many checkpoints.
IDLE_S = 300.0
MOST_YOUNG = 200_000
FREEZE_STEPS = 100
#: Each cold journey that no timer will touch is looked at once in so many checkpoints: may it leave?
LOOK_STEPS = 900


class JourneyStore:
    """Holds the journeys; what happens to them is `Journeys`' part. Not thread-safe."""

    __slots__ = ("_aged_at", "_cold", "_journeys", "_resting", "_shelf", "hot")

    def __init__(self, journeys: Journeys, shelf: Shelf) -> None:
        self._journeys = journeys
        self._shelf = shelf
        self.hot: Generations[JourneyKey, JourneyState] = Generations()
        self._cold = 0
        #: Names of cold journeys without a timer, in the order in which they are looked at.
        self._resting: dict[bytes, None] = {}
        self._aged_at = 0.0

    def __len__(self) -> int:
        return len(self.hot) + self._cold

    def find(self, key: JourneyKey) -> JourneyState | None:
        """The journey, hot from now on; None if there is none."""
        state = self.hot.get(key)
        if state is None and self._cold:
            name = name_of(key)
            value = self._shelf.get(name)
            if value is not None:
                return self._thaw(name, key, value)
        return state

    def ring(self, name: bytes, due: float) -> tuple[JourneyKey, JourneyState] | None:
        """The journey whose timer was set for `due`; None if there is none, or if it is cold and waits for another."""
        key = key_of(name)
        state = self.hot.get(key)
        if state is None:
            value = self._shelf.get(name)
            if value is None or read_label(value).due != due:
                return None
            state = self._thaw(name, key, value)
        return key, state

    def of_subject(self, subject: str) -> list[JourneyKey]:
        """The journeys of a customer, hot and cold, in the order of their names. Looks at every journey."""
        quoted = json.encode(subject)
        cold = (key_of(name) for name, _ in self._shelf.items() if quoted in name)
        return sorted(key for key in {*(key for key, _ in self.hot.items()), *cold} if key[1] == subject)

    def rename(self, old: JourneyKey, new: JourneyKey) -> JourneyState:
        """Give a journey another name, hot from now on; its timer is the caller's part. Raises LookupError."""
        state = self.find(old)
        if state is None:
            raise LookupError(f"there is no journey {old}")
        del self.hot.young[old]
        self.hot.young[new] = state
        return state

    def let_go(self, newest: float, published: int) -> list[bytes]:
        """Freeze what is idle, and give up what is over: the names of the journeys that left for good.

        `newest` is the newest arrival, epoch seconds; `published` the checkpoint up to which journeys are known to be
        published. Call it when no journey has a change that was not stored.
        """
        journeys = self._journeys
        gone = []
        for key, state in self.hot.leave():
            name = name_of(key)
            journeys.rest(name, state)
            if state.changed <= published and journeys.may_leave(state, newest):
                gone.append(name)
            else:
                self._shelf[name] = pack(state)
                self._cold += 1
                self._wait(name, state)
        for name in list(islice(self._resting, -(-len(self._resting) // LOOK_STEPS))):
            del self._resting[name]
            value = self._shelf.get(name)
            if value is None:
                raise LookupError(f"journey {key_of(name)} is not on the shelf, though it was put there")
            label = read_label(value)
            if label.changed <= published and journeys.may_leave(label, newest):
                self._shelf.discard(name)
                self._cold -= 1
                gone.append(name)
            else:
                self._resting[name] = None
        if (newest - self._aged_at >= IDLE_S or len(self.hot.young) > MOST_YOUNG) and self.hot.age(FREEZE_STEPS):
            self._aged_at = newest
        return gone

    def restored(self, published: int) -> list[JourneyKey]:
        """Take up the journeys that were read back onto the shelf: those that changed after checkpoint `published`.

        Raises msgspec.DecodeError if one is torn.
        """
        journeys, shelf = self._journeys, self._shelf
        digest = journeys.rules.digest
        timers, unpublished, count = [], [], 0
        for name, value in shelf.items():
            label = read_label(value)
            if label.rules != digest:
                renewed = shelf[name] = journeys.renew(value)
                label = read_label(renewed)
            due = label.due
            if due != inf:
                timers.append((due, name))
            else:
                self._resting[name] = None
            if label.changed > published:
                unpublished.append(key_of(name))
            count += 1
        self._cold = count
        journeys.set_timers(timers)
        return unpublished

    def _thaw(self, name: bytes, key: JourneyKey, value: bytes) -> JourneyState:
        state = self.hot.young[key] = self._journeys.thaw(value)
        self._shelf.discard(name)
        self._cold -= 1
        self._resting.pop(name, None)
        return state

    def _wait(self, name: bytes, label: Label) -> None:
        if label.due == inf:
            self._resting[name] = None
