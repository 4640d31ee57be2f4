"""Journeys for tests: a small map, its visits, and a partition as the program keeps it."""

from math import inf
from typing import Any
from unittest import mock

import msgspec

from schemas.corridor import CorridorMap, Defaults, Duration, Segment, Touchpoint
from schemas.event import TouchpointData, Value
from schemas.journey import Journey
from schemas.transition import TransitionSlice
from streams.model import journey_store
from streams.model.journey import Journeys
from streams.model.journey_state import JourneyKey, JourneyState, key_of, name_of, unpack
from streams.model.journey_store import JourneyStore
from streams.model.places import Places
from streams.model.shelf import MemoryShelf
from streams.model.transitions import Transitions
from tests.builders import LABEL, NOW, merged
from tests.offline_journeys import Cell, Visit

LATENESS = 100.0
HORIZON = 900.0
MAP = CorridorMap(
    "test",
    LABEL,
    (
        Touchpoint("shop", LABEL, "web", "before", patience=Duration(200)),
        Touchpoint("pay", LABEL, "web", "during", importance=3.0),
        Touchpoint("wait", LABEL, "delivery", "during", patience=Duration(10)),
        Touchpoint("home", LABEL, "delivery", "during", goal=True, importance=0.0),
        Touchpoint("thanks", LABEL, "survey", "after", goal=True, patience=Duration(300)),
    ),
    Defaults(
        patience=Duration(60),
        recovery=Duration(90),
        allowed_lateness=Duration(LATENESS),
        duplicate_horizon=Duration(HORIZON),
    ),
    (Segment("region", LABEL), Segment("carrier", LABEL)),
)
PLACES = Places(MAP)
KEY = ("default", "customer-1", "order-1")


def visit(at: float, touchpoint: str = "pay", outcome: str = "success", **changes: Any) -> Visit:
    identity = changes.pop("identity", 1)
    return Visit(*changes.pop("key", KEY), NOW + at, identity, touchpoint, outcome, **changes)


def data_of(one: Visit) -> TouchpointData:
    return TouchpointData(
        one.touchpoint,
        one.outcome,
        channel=one.channel,
        initiator=one.initiator,
        active_ms=one.active_ms,
        wait_ms=one.wait_ms,
        attempts=one.attempts,
        transfers=one.transfers,
        value=Value(one.amount_minor or 0, one.currency) if one.currency else None,
    )


class Partition:
    """A partition as the program keeps it: journeys hot and cold, states and slices stored, slices published."""

    def __init__(self, keep_ended: float | None = None, chart: CorridorMap = MAP) -> None:
        self.version = 0
        self.stored_slices: dict[bytes, TransitionSlice] = {}
        self.published: dict[bytes, TransitionSlice] = {}
        self.start(chart, keep_ended)

    def start(self, chart: CorridorMap, keep_ended: float | None) -> None:
        self.chart, self.keep_ended = chart, keep_ended
        self.transitions = Transitions("touchpoint.events/0")
        self.journeys = Journeys(chart, self.transitions, keep_ended)
        self.shelf = MemoryShelf()
        self.store = JourneyStore(self.journeys, self.shelf)

    @property
    def states(self) -> dict[JourneyKey, JourneyState]:
        """All of them; the cold ones stay cold."""
        cold = {key_of(name): unpack(value) for name, value in self.shelf.items()}
        hot = dict(self.store.hot.items())
        assert not cold.keys() & hot.keys() and len(cold) + len(hot) == len(self.store)
        return {**cold, **hot}

    def add(self, one: Visit, watermark: float = -inf) -> None:
        key = (one.tenant, one.subject, one.journey)
        state = self.store.find(key)
        if state is None:
            state = self.store.hot.young[key] = JourneyState()
        place = PLACES.find(one.tenant, data_of(one))
        contact = self.journeys.rules.contact(one.time, one.identity, place, data_of(one), one.x, one.pairs)
        self.journeys.add(key, state, contact, watermark)

    def advance(self, at: float) -> list[JourneyKey]:
        return [key for key, _ in self.journeys.advance(NOW + at, self.store.ring)]

    def checkpoint(self) -> None:
        self.version += 1
        for state in self.store.hot:
            self.journeys.pack(state)
        for changed in self.transitions.snapshot(self.version):
            copied = msgspec.msgpack.decode(msgspec.msgpack.encode(changed), type=TransitionSlice)
            self.published[changed.key] = self.stored_slices[changed.key] = copied
        for key in self.transitions.let_go():
            del self.stored_slices[key]

    def restart(self, chart: CorridorMap = MAP) -> None:
        self.checkpoint()
        watermark = self.journeys.watermark
        packed = dict(self.shelf) | {name_of(key): self.journeys.pack(state) for key, state in self.store.hot.items()}
        self.start(chart, self.keep_ended)
        self.journeys.observe(watermark)
        self.shelf.update(packed)
        assert self.store.restored(self.version) == []
        for stored in self.stored_slices.values():
            self.transitions.restore(msgspec.structs.replace(stored, waits=stored.waits.copy()))

    def freeze(self) -> None:
        """All journeys become cold, whatever they just did."""
        self.store.hot.age(1)
        self.store.let_go(-inf, self.version)

    def forget(self) -> list[JourneyKey]:
        """What may leave, leaves."""
        self.freeze()
        with mock.patch.object(journey_store, "LOOK_STEPS", 1):
            return [key_of(name) for name in self.store.let_go(inf, self.version)]

    def journey(self, key: JourneyKey = KEY) -> Journey:
        return self.journeys.message(key, self.states[key], self.version, "touchpoint.events/0")

    def sums(self) -> dict[Cell, dict[str, Any]]:
        """What is published, all parts merged; without the cells where everything was taken back."""
        self.checkpoint()
        cells: dict[Cell, list[TransitionSlice]] = {}
        for one in self.published.values():
            cell = (one.tenant, one.touchpoint, one.following, one.segment, one.segment_value, one.bucket)
            cells.setdefault(cell, []).append(one)
        totals = {cell: msgspec.structs.asdict(merged(slices)) for cell, slices in cells.items()}
        return {cell: total for cell, total in totals.items() if any(total.values())}

    def counts(self) -> dict[tuple[str, str], int]:
        """How many transitions there are of each kind, over all buckets."""
        found: dict[tuple[str, str], int] = {}
        for (_, touchpoint, following, segment, _, _), total in self.sums().items():
            if not segment:
                found[touchpoint, following] = found.get((touchpoint, following), 0) + total["n"]
        return found


def partition(*visits: Visit, clock: float | None = None) -> Partition:
    found = Partition()
    for one in visits:
        found.add(one)
    if clock is not None:
        found.advance(clock)
    return found


def at(seconds: float) -> int:
    return int((NOW + seconds) // 10) * 10


# -- transitions -----------------------------------------------------------------------------------------------------
