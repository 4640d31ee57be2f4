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
    PERSONAL_DATA = "personal_data"
    UNKNOWN_SCHEMA = "unknown_schema"
    REFUSED_BY_STORE = "refused_by_store"


#: Stands in the detail of a rejection of which only the beginning was kept.
CUT = "too large to keep whole"


class RejectedEvent(Struct, frozen=True, kw_only=True):
    """One rejected message. `raw`, `key` and header values are bytes, base64 in JSON. Times are epoch seconds.

    Once it is repaired it is published again under the same key, with `repaired_at` and `repair`.
    """

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
    #: When the event was repaired and published again, epoch seconds; None: it is open.
    repaired_at: float | None = None
    #: Name of the fix that repaired it.
    repair: str = ""
