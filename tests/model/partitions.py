"""An ingest partition, and what came out of it."""

from typing import Any

import msgspec

from schemas import topics
from schemas.scored import ScoredEvent
from schemas.slice import Slice
from schemas.transition import TransitionSlice
from streams.model.ingest import Ingest, Outcome
from tests.builders import corridor

EVENTS, REKEYED = topics.EVENTS.name, topics.REKEYED.name


def new(partition: int = 0, **defaults: Any) -> Ingest:
    return Ingest(partition, corridor(**defaults), lambda key: 1 if key.startswith(b"foreign") else 0)


def scored(outcome: Outcome) -> list[ScoredEvent]:
    return [msgspec.json.decode(message["value"], type=ScoredEvent) for message in outcome.scored]


def slices(state: Ingest) -> list[Slice]:
    found = [msgspec.json.decode(value, type=Slice | TransitionSlice) for _, _, value in state.snapshot().slices]
    return [one for one in found if isinstance(one, Slice)]
