"""A rejected event: why, from where, and its bytes, so that it can be repaired. One row of `rejected_events`."""

from enum import StrEnum

from msgspec import Struct


class Reason(StrEnum):
    """Why an event was not accepted."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNKNOWN_COMPRESSION = "unknown_compression"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    TOO_DEEP = "too_deep"
    BAD_HEADER = "bad_header"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNSUPPORTED_TYPE = "unsupported_type"
    MISSING = "missing"
    WRONG_TYPE = "wrong_type"
    UNKNOWN_VALUE = "unknown_value"
    OUT_OF_RANGE = "out_of_range"
    NAIVE_TIME = "naive_time"
    INVALID_TIME = "invalid_time"
    FUTURE_TIME = "future_time"
    REFUSED_BY_STORE = "refused_by_store"


class RejectedEvent(Struct, frozen=True, kw_only=True):
    """One rejected message. `raw`, `key` and header values are bytes, base64 in JSON. Times are epoch seconds."""

    reason: Reason
    #: What is wrong and where in the event, for example ``Expected `str`, got `int` - at `$.id` ``.
    detail: str
    topic: str
    partition: int
    offset: int
    #: When Kafka received it, epoch seconds.
    received_at: float
    key: bytes | None
    raw: bytes | None
    headers: dict[str, bytes | None] = {}
