"""An accepted event with its experience: one message of `touchpoint.scored`, one row of `touchpoint_events`."""

from typing import Literal

from msgspec import Raw, Struct

from schemas.event import Actor, Better, Channel, Contact, Initiator, Instrument, Outcome, Stage

#: `unknown`: no component was present (or the event is pending).
Band = Literal["negative", "neutral", "positive", "unknown"]


class ScoredEvent(Struct, frozen=True, gc=False, omit_defaults=True):
    """Field names are the column names of `touchpoint_events`; times are epoch seconds; an absent field is NULL.

    `x` and its components lie in [0, 1]; `gap` is u, in tolerances, positive when better than promised.
    `source_partition` and `source_offset` say where in `touchpoint.events` the event stands.
    """

    tenant: str
    touchpoint: str
    channel: Channel | Literal["unknown"]
    stage: Stage | Literal["unknown"]
    actor: Actor
    contact: Contact
    subject: str
    journey: str
    source: str
    id: str
    time: float
    received_at: float
    outcome: Outcome
    band: Band
    source_partition: int
    source_offset: int
    #: The whole event as received: the JSON of structured mode, the data of binary mode.
    raw: Raw
    x: float | None = None
    x_outcome: float | None = None
    x_promise: float | None = None
    x_rating: float | None = None
    x_sentiment: float | None = None
    x_effort: float | None = None
    x_wait: float | None = None
    gap: float | None = None
    initiator: Initiator | None = None
    recorded_time: float | None = None
    expected: float | None = None
    actual: float | None = None
    tolerance: float | None = None
    unit: str | None = None
    better: Better | None = None
    rating: float | None = None
    rating_min: float | None = None
    rating_max: float | None = None
    instrument: Instrument | None = None
    sentiment: float | None = None
    wait_ms: int | None = None
    active_ms: int | None = None
    attempts: int | None = None
    transfers: int | None = None
    queue_depth: int | None = None
    servers: int | None = None
    segment: dict[str, str] = {}
    aspects: dict[str, float] = {}
    amount_minor: int | None = None
    currency: str | None = None
    audience: int | None = None
    change: str | None = None
    dataschema: str | None = None
    traceparent: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    #: False when the corridor map does not name the touchpoint: scored with the defaults.
    mapped: bool = True
    #: True when the event came later than the map's allowed lateness behind its source's watermark.
    late: bool = False
