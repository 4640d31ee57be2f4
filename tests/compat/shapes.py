"""The shape of what is stored and published: every struct with its fields, as plain data that versions can compare."""

from typing import Any

from msgspec import inspect

from schemas import topics
from schemas.heard import Heard
from schemas.incident import Incident
from schemas.journey import Journey
from schemas.score import Score
from schemas.slice import Progress, Slice
from schemas.standing import Standing, Way
from schemas.transition import TransitionSlice
from streams.model.corridor_counts import CorridorState
from streams.model.detect import partition as detect
from streams.model.detect.blockage import Blocked
from streams.model.detect.settled import Settled
from streams.model.detect.sources import SourcesState
from streams.model.detect.watch import Watched
from streams.model.ingest import Progression
from streams.model.journey_state import JourneyState, Label
from streams.model.lane import LaneState

Shapes = dict[str, dict[str, Any]]
#: What the records of the changelogs hold.
STATE = {
    topics.STATE_INGEST.name: (LaneState, Progression, Label, JourneyState, Slice, TransitionSlice),
    topics.STATE_DETECT.name: (
        detect._Here,
        Slice,
        TransitionSlice,
        Settled,
        Watched,
        Blocked,
        CorridorState,
        SourcesState,
        Incident,
    ),
}
#: What workers of another version, the sink or the programs of others read.
MESSAGES = {
    topics.SLICES.name: (Slice, TransitionSlice, Heard, Progress),
    topics.SCORES.name: (Score,),
    topics.JOURNEYS.name: (Journey,),
    topics.INCIDENTS.name: (Incident,),
    topics.CORRIDOR.name: (Standing, Way),
}


def shapes(types: tuple[type, ...]) -> Shapes:
    """By name of the struct: how it is encoded, and its fields in their order, each with its type and if it must be."""
    found: Shapes = {}
    for each in types:
        _text(inspect.type_info(each), found)
    return found


def all_shapes() -> dict[str, dict[str, Shapes]]:
    """Of the state and of the messages, by topic."""
    return {
        "state": {topic: shapes(types) for topic, types in STATE.items()},
        "messages": {topic: shapes(types) for topic, types in MESSAGES.items()},
    }


def _text(info: inspect.Type, found: Shapes) -> str:
    if isinstance(info, inspect.StructType):
        name = info.cls.__name__
        if name not in found:
            shape: dict[str, Any] = {"array": info.array_like, "tag": info.tag, "fields": []}
            found[name] = shape
            for field in info.fields:
                # A list: in an array the order is all there is.
                shape["fields"].append([field.encode_name, _text(field.type, found), field.required])
        return name
    if isinstance(info, inspect.UnionType):
        return " | ".join(sorted(_text(each, found) for each in info.types))
    if isinstance(info, inspect.DictType):
        return f"dict[{_text(info.key_type, found)}, {_text(info.value_type, found)}]"
    if isinstance(info, inspect.TupleType):
        return f"tuple[{', '.join(_text(each, found) for each in info.item_types)}]"
    if isinstance(info, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
        # All the same on the wire.
        return f"list[{_text(info.item_type, found)}]"
    if isinstance(info, inspect.LiteralType):
        return f"one of {sorted(map(str, info.values))}"
    if isinstance(info, inspect.EnumType):
        return f"one of {sorted(str(each.value) for each in info.cls)}"
    return type(info).__name__.removesuffix("Type").lower()
