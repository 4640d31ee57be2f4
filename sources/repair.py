"""Repairs a rejected event: what it was, what the fix makes of it, and whether that would be accepted now."""

import re
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from schemas.errors import RejectEvent
from schemas.rejection import CUT, Reason, RejectedEvent
from sources.collect.contract import Sent, check
from sources.privacy import Edge
from streams.model.decode import readable

#: What a fix makes of an event (plain data, its own copy) and its rejection; None leaves it rejected. May raise
#: RejectEvent.
Fix = Callable[[dict[str, Any], RejectedEvent], dict[str, Any] | None]
#: `source` and `id` are readable if they are of this length, characters.
_LONGEST_ID = 256
#: What stands in the place of something personal in a rejection, see `streams.model.personal`.
_MASK = re.compile(r"\[(e-mail|phone|card)\]")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Repaired(NamedTuple):
    """A rejection and the event that it becomes, ready for Kafka: key and value. `before` is what could be read."""

    rejection: RejectedEvent
    before: dict[str, Any]
    after: dict[str, Any]
    key: bytes
    value: bytes

    @property
    def identity(self) -> tuple[str, str]:
        """`source` and `id`."""
        return self.after["source"], self.after["id"]


class Unrepaired(NamedTuple):
    """A rejection that stays one. `left`: the fix says so; `lost`: its bytes are gone; `rejected`: still faulty."""

    rejection: RejectedEvent
    kind: Literal["left", "lost", "rejected"]
    reason: str
    detail: str


def repair(rejection: RejectedEvent, fix: Fix, now: float, edge: Edge | None = None) -> Repaired | Unrepaired:
    """Apply the fix and hold the result against the contract, as if it arrived at `now` (epoch seconds).

    It passes the edge as every event does that we publish: customers get pseudonyms, what looks personal is refused.
    """
    if (detail := lost(rejection)) is not None:
        return Unrepaired(rejection, "lost", "lost", detail)
    before, copy = original(rejection), original(rejection)
    try:
        made = fix(copy, rejection)
        if made is None:
            return Unrepaired(rejection, "left", "left", "the fix leaves it")
        value = _json(made)
        plain = _decode(value)
        _keep_identity(before, plain)
        if (name := _masked(plain)) is not None:
            detail = f"`{name}` was masked when the event was rejected: its source has to send it again"
            return Unrepaired(rejection, "lost", "lost", detail)
        checked = check(Sent(value), now, edge)
    except RejectEvent as error:
        return Unrepaired(rejection, "rejected", error.reason.value, error.detail)
    # As it will be read: with pseudonyms.
    return Repaired(rejection, before, _decode(checked.value), checked.key, checked.value)


def original(rejection: RejectedEvent) -> dict[str, Any]:
    """What can be read of the event: the whole CloudEvent in either mode, empty if nothing can be read."""
    return readable(rejection.raw or b"", rejection.headers.items())


def lost(rejection: RejectedEvent) -> str | None:
    """Why nothing of the event is left to be repaired; None if its bytes are there."""
    if rejection.reason is Reason.EMPTY or not rejection.raw:
        return "the message had no value: there is nothing to repair"
    if CUT in rejection.detail:
        return f"only the first {len(rejection.raw):,} bytes were kept: its source has to send it again"
    return None


def _keep_identity(before: dict[str, Any], after: dict[str, Any]) -> None:
    """A repaired event is the same event: otherwise the duplicate check would let it count twice."""
    for name in ("source", "id"):
        old, new = before.get(name), after.get(name)
        if isinstance(old, str) and 0 < len(old) <= _LONGEST_ID and new != old:
            raise RejectEvent(
                Reason.UNKNOWN_VALUE,
                f"the fix changes `{name}` from {old!r} to {new!r}; source and id of a readable event stay as they are",
            )


def _masked(event: dict[str, Any]) -> str | None:
    """The field that should name customer or journey and holds a mask: those who share it would become one."""
    data = event.get("data")
    names = {"subject": event.get("subject"), "data.journey": data.get("journey") if isinstance(data, dict) else None}
    return next((path for path, name in names.items() if isinstance(name, str) and _MASK.search(name)), None)


def _json(event: object) -> bytes:
    if not isinstance(event, dict):
        raise RejectEvent(Reason.WRONG_TYPE, f"the fix gives {type(event).__name__}, not a dict or None")
    try:
        return _encode(event)
    except UnicodeEncodeError as error:
        raise RejectEvent(Reason.INVALID_UTF8, str(error)) from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RejectEvent(Reason.WRONG_TYPE, f"the fix gives what is no JSON: {error}") from None
