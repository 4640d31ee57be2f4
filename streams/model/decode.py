"""From a Kafka record to a valid event, or to the reason why not.

Structured mode: the value is the whole CloudEvent. Binary mode: the attributes are `ce_*` headers and the value is the
data (CloudEvents' Kafka protocol binding 1.0.2). A record without a `ce_specversion` header is read as structured.
Events of old versions are read as well: see `streams.model.upgrade`.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

import msgspec

from schemas.errors import RejectEvent
from schemas.event import MAX_EVENT_BYTES, MAX_FUTURE_S, TouchpointEvent
from schemas.rejection import Reason
from streams.model.upgrade import perhaps_old, upgraded

_decode = msgspec.json.Decoder(TouchpointEvent).decode
_STRUCTURED = b"application/cloudevents"
#: In the order in which they are tried against msgspec's message.
_REASONS = (
    ("missing required field", Reason.MISSING),
    ("timezone component", Reason.NAIVE_TIME),
    ("Invalid RFC3339", Reason.INVALID_TIME),
    ("out of range", Reason.OUT_OF_RANGE),
    ("of length", Reason.OUT_OF_RANGE),
    ("matching regex", Reason.UNKNOWN_VALUE),
    ("Invalid enum value", Reason.UNKNOWN_VALUE),
    ("` >", Reason.OUT_OF_RANGE),
    ("` <", Reason.OUT_OF_RANGE),
)


class UnreadableValue(bytes):
    """What cannot be read: the raw record batch of a record, for example of an unknown compression; or its value."""

    reason: Reason = Reason.UNKNOWN_COMPRESSION
    detail: str = "the record batch cannot be read"


class Record(Protocol):
    """What we need of a Kafka record. `timestamp` is in milliseconds."""

    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...  # noqa: D102


def decode(record: Record) -> TouchpointEvent:
    """The record's event. Raises RejectEvent with the reason and what is wrong where."""
    value = record.value
    if value is None:
        raise RejectEvent(Reason.EMPTY, "the message has no value")
    if type(value) is UnreadableValue:
        raise RejectEvent(value.reason, value.detail)
    if len(value) > MAX_EVENT_BYTES:
        raise RejectEvent(Reason.TOO_LARGE, f"{len(value)} bytes; at most {MAX_EVENT_BYTES} are accepted")
    if not value:
        raise RejectEvent(Reason.EMPTY, "the message has an empty value")
    try:
        if not value.isascii():
            value.decode()
        headers = record.headers
        event = _decode(value) if not headers else _decode_with_headers(value, headers)
    except UnicodeDecodeError as error:
        raise RejectEvent(Reason.INVALID_UTF8, str(error)) from None
    except RecursionError:
        raise RejectEvent(Reason.TOO_DEEP, "objects or lists are nested too deeply") from None
    except msgspec.ValidationError as error:
        event = _decode_old(value, record.headers, str(error))
    except msgspec.DecodeError as error:
        raise RejectEvent(Reason.INVALID_JSON, str(error)) from None
    if event.data.touchpoint.startswith("@"):
        raise RejectEvent(Reason.UNKNOWN_VALUE, "names that begin with @ are those of ends - at `$.data.touchpoint`")
    return event


def check_times(event_time: float, received_at: float) -> None:
    """Reject what cannot be an event time. Both are epoch seconds."""
    if event_time > received_at + MAX_FUTURE_S:
        raise RejectEvent(
            Reason.FUTURE_TIME,
            f"time is {event_time - received_at:.0f} s after its arrival; at most {MAX_FUTURE_S:.0f} s are accepted",
        )
    if event_time < 0:
        raise RejectEvent(Reason.OUT_OF_RANGE, "time is before 1970 - at `$.time`")


def readable(value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> dict[str, Any]:
    """What can be read of a record that may be no event, as plain data in either mode: for whoever repairs it.

    Of an old version it is upgraded where that is possible. Broken headers are left out, and so are data that are no
    JSON. Empty where nothing can be read.
    """
    attributes: dict[str, Any] = {}
    structured = False
    for name, content in headers:
        lower = name.lower()
        if lower == "content-type":
            structured = (content or b"").lower().startswith(_STRUCTURED)
        elif lower.startswith("ce_") and lower != "ce_data" and content is not None:
            with suppress(UnicodeDecodeError):
                attributes[lower[3:]] = content.decode()
    inside: object = msgspec.UNSET
    with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        inside = msgspec.json.decode(value)
    if attributes and not structured:
        event = attributes if inside is msgspec.UNSET else {**attributes, "data": inside}
    else:
        event = inside if isinstance(inside, dict) else {}
    try:
        return upgraded(event) or event
    except (RejectEvent, RecursionError):
        return event


def _decode_old(value: bytes, headers: Iterable[tuple[str, bytes | None]], problem: str) -> TouchpointEvent:
    """An event that may be of an old version; `problem` is what does not fit the current one. Raises RejectEvent."""
    refusal = RejectEvent(_reason(problem), problem)
    attributes = _attributes(headers)
    # In binary mode the version is a header, and the value says nothing about it.
    if attributes is None and not perhaps_old(value):
        raise refusal from None
    try:
        found = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        # What is skipped when fields are read one by one, such as a number beyond a double, stops this one.
        raise refusal from None
    event = found if attributes is None else {**attributes, "data": found}
    try:
        newer = upgraded(event) if isinstance(event, dict) else None
        if newer is not None:
            return msgspec.convert(newer, TouchpointEvent)
    except RecursionError:
        raise RejectEvent(Reason.TOO_DEEP, "objects or lists are nested too deeply") from None
    except msgspec.ValidationError as error:
        raise RejectEvent(_reason(str(error)), f"{error} (upgraded from an old version)") from None
    raise refusal from None


def _reason(message: str) -> Reason:
    if "Invalid enum value" in message:
        if message.endswith("`$.specversion`"):
            return Reason.UNSUPPORTED_VERSION
        if message.endswith("`$.type`"):
            return Reason.UNSUPPORTED_TYPE
    for words, reason in _REASONS:
        if words in message:
            return reason
    return Reason.WRONG_TYPE


def _decode_with_headers(value: bytes, headers: Iterable[tuple[str, bytes | None]]) -> TouchpointEvent:
    found = _attributes(headers)
    if found is None:
        return _decode(value)
    found["data"] = msgspec.json.decode(value)
    return msgspec.convert(found, TouchpointEvent)


def _attributes(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, object] | None:
    """The attributes of binary mode; None in structured mode. Raises RejectEvent for a broken header."""
    attributes: dict[str, object] = {}
    content_type = b""
    for name, content in headers:
        lower = name.lower()
        if lower == "content-type":
            content_type = content or b""
        elif lower.startswith("ce_"):
            if content is None:
                raise RejectEvent(Reason.BAD_HEADER, f"header `{name}` has no value")
            if lower[3:] in attributes:
                raise RejectEvent(Reason.BAD_HEADER, f"header `{name}` is given twice")
            try:
                attributes[lower[3:]] = content.decode()
            except UnicodeDecodeError:
                raise RejectEvent(Reason.BAD_HEADER, f"header `{name}` is not UTF-8") from None
    if not attributes or content_type.lower().startswith(_STRUCTURED):
        return None
    if "data" in attributes:
        raise RejectEvent(Reason.BAD_HEADER, "header `ce_data` is not allowed: the data is the message's value")
    return attributes
