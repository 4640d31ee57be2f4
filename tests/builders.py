"""Events and Kafka records for tests: valid unless a test says otherwise."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from schemas.corridor import CorridorMap, Defaults, Duration, Label, Segment, Touchpoint
from schemas.transition import TransitionSums
from streams.model.slices import merge

#: 2026-11-21T10:00:00Z, epoch seconds: the arrival of a record that names none.
NOW = 1_795_255_200.0
LABEL = Label("label", "etiqueta")


class Record(NamedTuple):
    """What `streams.model` needs of a Kafka record; `timestamp` is in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


def iso(at: float) -> str:
    """An epoch second as RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def event(at: float = NOW, **changes: Any) -> dict[str, Any]:
    """A structured event as a dict. Attributes are given by name, fields of the data by the dict `data`."""
    data = {"touchpoint": "web.checkout", "outcome": "success", **changes.pop("data", {})}
    return {
        "specversion": "1.0",
        "id": "id-1",
        "source": "shop",
        "type": "io.corredor.touchpoint.v1",
        "time": iso(at),
        "subject": "customer-1",
        "data": data,
        **changes,
    }


def record(
    offset: int,
    value: dict[str, Any] | bytes | None,
    received_at: float = NOW,
    headers: tuple[tuple[str, bytes | None], ...] = (),
    key: bytes | None = b"key",
) -> Record:
    """A record that arrived at `received_at` (epoch seconds)."""
    encoded = json.dumps(value).encode() if isinstance(value, dict) else value
    return Record(offset, round(received_at * 1000), key, encoded, headers)


def corridor(**defaults: Any) -> CorridorMap:
    """A small map: two touchpoints with settings of their own, two segments."""
    touchpoints = (
        Touchpoint("web.checkout", LABEL, "web", "during", weights={"effort": 4.0}, tolerable_wait=Duration(8)),
        Touchpoint("delivery.handover", LABEL, "delivery", "during", goal=True),
        Touchpoint("survey.answer", LABEL, "survey", "after", contact="indirect"),
    )
    segments = (Segment("region", LABEL, ("north", "south")), Segment("carrier", LABEL))
    return CorridorMap("test", LABEL, touchpoints, Defaults(**defaults), segments)


def merged(slices: Iterable[TransitionSums]) -> TransitionSums:
    """The sum of transition slices: of all parts, buckets or partitions."""
    total = TransitionSums()
    for one in slices:
        merge(total, one)
    return total
