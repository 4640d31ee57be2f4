"""From a record that broke the contract to the message of `touchpoint.rejected`."""

import msgspec

from schemas import topics
from schemas.errors import RejectEvent
from schemas.rejection import CUT, RejectedEvent
from streams.model.decode import Record
from streams.model.personal import PersonalData, masked_bytes, masked_text

#: The largest rejection published: the topic takes 8 MiB. A larger one would stop the work for ever.
MAX_REJECTION_BYTES = 7 * 1024 * 1024
_CUT_RAW, _CUT_KEY = 4 * 1024 * 1024, 64 * 1024
_json = msgspec.json.Encoder().encode


def rejected_event(
    record: Record, error: RejectEvent, partition: int, offset: int, personal: PersonalData | None = None
) -> bytes:
    """The message: reason, bytes and place in `touchpoint.events`; what does not fit into a message is cut.

    With `personal` nothing in it looks personal any more, but for what that allows.
    """
    rejected = RejectedEvent(
        reason=error.reason,
        detail=error.detail[:1000],
        topic=topics.EVENTS.name,
        partition=partition,
        offset=offset,
        received_at=record.timestamp / 1000.0,
        key=record.key,
        # Plain bytes: an UnreadableValue is a subclass, which msgspec does not encode.
        raw=None if record.value is None else bytes(record.value),
        headers=dict(record.headers),
    )
    if personal is not None:
        rejected = _masked(rejected, record, personal)
    value = _json(rejected)
    return value if len(value) <= MAX_REJECTION_BYTES else _json(_cut(rejected))


def _masked(rejected: RejectedEvent, record: Record, personal: PersonalData) -> RejectedEvent:
    raw = personal.masked(record.value, record.headers)
    return msgspec.structs.replace(
        rejected,
        detail=masked_text(rejected.detail),
        key=None if record.key is None else masked_bytes(record.key),
        raw=None if raw is None else bytes(raw),
        headers=personal.masked_headers(record.headers),
    )


def _cut(rejected: RejectedEvent) -> RejectedEvent:
    """What of a rejection fits into a message: the beginning of its value and key, no headers."""
    return msgspec.structs.replace(
        rejected,
        detail=f"{rejected.detail} ({CUT}: cut to its first {_CUT_RAW} bytes)",
        key=rejected.key and rejected.key[:_CUT_KEY],
        raw=rejected.raw and rejected.raw[:_CUT_RAW],
        headers={},
    )
