"""Holds what came over HTTP against the same contract as ingest does, before it is acknowledged."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.rejection import Reason
from sources.privacy import Edge, Headers
from sources.publish import HEADERS
from streams.model.decode import check_times, decode
from streams.model.personal import MASKED

T = TypeVar("T")


class Sent(NamedTuple):
    """An event as it came: bytes, and headers if its attributes are there (binary mode)."""

    value: bytes
    headers: Headers = ()


class Checked(NamedTuple):
    """An event that ingest will accept, ready for Kafka: key, value and headers, and who claims to send it."""

    key: bytes
    value: bytes
    headers: Headers
    source: str
    tenant: str


class _Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def parse(read: Callable[[bytes], T], body: bytes, what: str) -> T:
    """The JSON of a request; `what` says what it should be. Raises RejectEvent."""
    try:
        return read(body)
    except RecursionError:
        raise RejectEvent(Reason.TOO_DEEP, "objects or lists are nested too deeply") from None
    except UnicodeDecodeError as error:
        raise RejectEvent(Reason.INVALID_UTF8, str(error)) from None
    except msgspec.ValidationError as error:
        raise RejectEvent(Reason.WRONG_TYPE, f"{what}: {error}") from None
    except msgspec.DecodeError as error:
        raise RejectEvent(Reason.INVALID_JSON, str(error)) from None


def check(sent: Sent, now: float, edge: Edge | None = None) -> Checked:
    """The event as it passes the edge; without a key, or an edge, byte for byte as it was sent. `now` is epoch seconds.

    Raises RejectEvent with the reason and where.
    """
    event: TouchpointEvent = decode(_Record(0, 0, None, sent.value, sent.headers))
    check_times(event.time.timestamp(), now)
    if event.subject in MASKED or event.data.journey in MASKED:
        # All whose names were masked would be one customer.
        where = "subject" if event.subject in MASKED else "data.journey"
        raise RejectEvent(Reason.PERSONAL_DATA, f"a mask is no name: give it that of the customer - at `$.{where}`")
    message = event.subject.encode(), sent.value, sent.headers
    key, value, headers = message if edge is None else edge.protect(*message)
    return Checked(key, value, headers or HEADERS, event.source, event.tenant)
