"""Events of old versions, read as events of the current one.

What a sender wrote stays as it is in Kafka and in the raw bytes; it is upgraded each time it is read. So a source that
lags behind needs no repair, and the collector and the publisher pass its events on byte for byte. Each old version is
one step to the next newer one; a chain of steps ends at the current version.

CloudEvents 0.3 to 1.0 (https://github.com/cloudevents/spec/blob/v0.3/spec.md): `schemaurl` is now called `dataschema`;
`datacontentencoding` is gone, and data that it says is base64 are the JSON inside.
"""

import base64
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.errors import RejectEvent
from schemas.rejection import Reason


class Step(NamedTuple):
    """From one old version to the next: `attribute` says `old`, `apply` gives the newer event."""

    attribute: Literal["specversion", "type"]
    old: str
    #: Does not change what it is given. Raises RejectEvent if the old event breaks its own version's contract.
    apply: Callable[[dict[str, Any]], dict[str, Any]]


def upgraded(event: dict[str, Any]) -> dict[str, Any] | None:
    """The event as the current version has it; None if it is of no old version that is known.

    `event` is the whole CloudEvent as plain data. What comes back is not checked yet. Raises RejectEvent if the event
    breaks its own version's contract.
    """
    newer = event
    for step in STEPS:
        if newer.get(step.attribute) == step.old:
            newer = step.apply(newer)
    return None if newer is event else newer


def perhaps_old(value: bytes) -> bool:
    """Whether an event's JSON may be of an old version: a quick look, for a flood of bad events must stay cheap."""
    return any(mark in value for mark in _MARKS)


def _cloudevents_1(event: dict[str, Any]) -> dict[str, Any]:
    newer = {name: value for name, value in event.items() if name not in ("datacontentencoding", "schemaurl")}
    newer["specversion"] = "1.0"
    if "schemaurl" in event:
        newer.setdefault("dataschema", event["schemaurl"])
    data = event.get("data")
    # Of data that are no string the encoding says nothing: the 0.3 specification has it ignored.
    if event.get("datacontentencoding") == "base64" and isinstance(data, str):
        newer["data"] = _inside(data)
    return newer


def _inside(text: str) -> Any:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RejectEvent(Reason.WRONG_TYPE, f"the data are not base64 ({error}) - at `$.data`") from None
    try:
        return msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        raise RejectEvent(Reason.INVALID_UTF8, f"{error} - inside `$.data`") from None
    except msgspec.DecodeError as error:
        raise RejectEvent(Reason.INVALID_JSON, f"{error} - inside `$.data`") from None


#: The oldest first, so that one pass walks the whole chain.
STEPS: tuple[Step, ...] = (Step("specversion", "0.3", _cloudevents_1),)
_MARKS = tuple(f'"{step.old}"'.encode() for step in STEPS)
