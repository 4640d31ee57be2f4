"""Where an event counts: the compiled corridor map, looked up once per kind of event."""

from hashlib import blake2b
from typing import NamedTuple

import msgspec

from schemas.corridor import CorridorMap
from schemas.event import Channel, Contact, Stage, TouchpointData
from schemas.slice import Cell
from streams.model.experience import Scorer

#: Places kept compiled. Sources choose the names of tenants and of unmapped touchpoints, so there is no end to them.
MOST_PLACES = 10_000
_pack = msgspec.msgpack.Encoder().encode


class Place(NamedTuple):
    """One combination of tenant, touchpoint, channel, stage, actor and contact, with the map's answers filled in."""

    #: A number for `cell`, the same for equal cells.
    slot: int
    cell: Cell
    channel: Channel | None
    stage: Stage | None
    contact: Contact
    scorer: Scorer
    #: Whether the map names the touchpoint.
    mapped: bool


class Places:
    """The places seen lately, at most MOST_PLACES; one that was let go is compiled again, with the same slot."""

    def __init__(self, corridor: CorridorMap) -> None:
        self._corridor = corridor
        self._touchpoints = {touchpoint.name: touchpoint for touchpoint in corridor.touchpoints}
        self._scorers = {name: Scorer(corridor, touchpoint) for name, touchpoint in self._touchpoints.items()}
        self._default_scorer = Scorer(corridor, None)
        self._segments = {segment.name: frozenset(segment.values) for segment in corridor.segments}
        self._found: dict[tuple[str, str, str | None, str | None, str, str | None], Place] = {}

    def find(self, tenant: str, data: TouchpointData) -> Place:
        """The place of an event; channel, stage and contact come from the map where the event does not say."""
        key = (tenant, data.touchpoint, data.channel, data.stage, data.actor, data.contact)
        place = self._found.get(key)
        if place is None:
            place = self._compile(tenant, data)
            if len(self._found) >= MOST_PLACES:
                self._found.clear()
            self._found[key] = place
        return place

    def pairs(self, segment: dict[str, str]) -> list[tuple[str, str]]:
        """The segment pairs of an event that slices are split by; values the map does not list count as `other`."""
        allowed = self._segments
        return [
            (name, value if not values or value in values else "other")
            for name, value in segment.items()
            if value and (values := allowed.get(name)) is not None
        ]

    def slot(self, cell: Cell) -> int:
        """The number of a cell's place, below 2^128; the cell's segment does not matter.

        A hash and no count: nothing has to be kept for it, and a cell of an open bucket always finds its slices.
        """
        return int.from_bytes(blake2b(_pack(cell[:-2]), digest_size=16).digest(), "big")

    def _compile(self, tenant: str, data: TouchpointData) -> Place:
        touchpoint = self._touchpoints.get(data.touchpoint)
        channel = data.channel or (touchpoint.channel if touchpoint else None)
        stage = data.stage or (touchpoint.stage if touchpoint else None)
        contact = data.contact or (touchpoint.contact if touchpoint else "direct")
        cell = Cell(tenant, data.touchpoint, channel or "unknown", stage or "unknown", data.actor, contact, "", "")
        scorer = self._scorers.get(data.touchpoint, self._default_scorer)
        return Place(self.slot(cell), cell, channel, stage, contact, scorer, touchpoint is not None)
