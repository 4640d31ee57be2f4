"""CloudEvents 1.0 over HTTP (protocol binding 1.0.2): structured, binary and batched mode become Kafka messages.

The bytes of an event stay as they are: a structured event and each one of a batch is the Kafka value, in binary mode
the body is the value and the attributes move from `ce-` headers to `ce_` headers.
"""

from collections.abc import Iterable
from typing import Literal
from urllib.parse import unquote_to_bytes

import msgspec

from sources.collect.contract import Sent, parse
from sources.collect.refusals import Refused

Mode = Literal["structured", "binary", "batched"]
STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
_ACCEPTED = f"{STRUCTURED}, {BATCHED}, or application/json with ce- headers"
_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode

RawHeaders = Iterable[tuple[bytes, bytes]]


def mode_of(content_type: str, headers: RawHeaders) -> Mode:
    """The mode of a request, by its headers. Raises Refused (415) for what is none."""
    media, _, parameters = content_type.lower().partition(";")
    media = media.strip()
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset" and value.strip('"') not in ("utf-8", "us-ascii"):
            raise _unsupported(f"the charset `{value}` is not supported", "encode JSON as UTF-8")
    if media == STRUCTURED:
        return "structured"
    if media == BATCHED:
        return "batched"
    if not any(name.startswith(b"ce-") for name, _ in headers):
        raise _unsupported(f"the content type is `{media[:80]}`, and there are no ce- headers", f"send {_ACCEPTED}")
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        raise _unsupported(f"in binary mode the data are `{media[:80]}`", "send the data as application/json")
    return "binary"


def read(mode: Mode, content_type: str, headers: RawHeaders, body: bytes, most: int) -> list[Sent]:
    """The events of a request, in its order. Raises RejectEvent if it cannot be read, Refused (413) above `most`."""
    if mode == "structured":
        return [Sent(body)]
    if mode == "binary":
        return [Sent(body, _attributes(content_type, headers))]
    events = parse(_batch, body, "a batch is a JSON list of events")
    if len(events) > most:
        raise Refused(413, "too_many_events", f"the batch has {len(events)} events", f"send at most {most} at a time")
    return [Sent(bytes(event)) for event in events]


def _attributes(content_type: str, headers: RawHeaders) -> list[tuple[str, bytes | None]]:
    """`ce-` headers as Kafka's `ce_` headers; values are percent-decoded."""
    kept: list[tuple[str, bytes | None]] = [("content-type", content_type.encode("latin-1"))]
    kept += [
        (f"ce_{name[3:].decode('ascii')}", unquote_to_bytes(value))
        for name, value in headers
        if name.startswith(b"ce-")
    ]
    return kept


def _unsupported(detail: str, fix: str) -> Refused:
    return Refused(415, "unsupported_media_type", detail, fix)
