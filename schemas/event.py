"""The touchpoint event: CloudEvents 1.0 as msgspec structs.

A source system publishes one event for each contact of a customer with a touchpoint. In structured mode the Kafka
value is the whole `TouchpointEvent`; in binary mode the attributes are `ce_*` headers and the value is the
`TouchpointData`. Unknown fields are ignored here and kept in the raw bytes.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

TYPE = "io.corredor.touchpoint.v1"
SPEC_VERSION = "1.0"
#: The largest accepted value, in bytes.
MAX_EVENT_BYTES = 64 * 1024
#: An event further in the future than this, against the time Kafka received it, is rejected. Seconds.
MAX_FUTURE_S = 300.0

Outcome = Literal["success", "partial", "failure", "abandoned", "pending"]
Channel = Literal["web", "app", "store", "delivery", "support", "survey", "social", "partner"]
Stage = Literal["before", "during", "after"]
Actor = Literal["buyer", "distributor", "supplier", "employee"]
Contact = Literal["direct", "indirect"]
Initiator = Literal["customer", "company"]
Better = Literal["lower", "higher"]
Instrument = Literal["nps", "csat", "ces", "stars"]

Name = Annotated[str, Meta(min_length=1, max_length=128)]
Identifier = Annotated[str, Meta(min_length=1, max_length=256)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**53)]
Finite = Annotated[float, Meta(ge=-1e15, le=1e15)]
AwareTime = Annotated[datetime, Meta(tz=True)]


class Expectation(Struct, frozen=True, gc=False):
    """A promise and its delivery, both in `unit`; `tolerance` is the gap in `unit` that one step of u stands for."""

    expected: Finite
    actual: Finite
    tolerance: Annotated[float, Meta(gt=0, le=1e15)] | None = None
    unit: Annotated[str, Meta(max_length=32)] = ""
    better: Better = "lower"


class Rating(Struct, frozen=True, gc=False):
    """A customer's answer on a scale from `min` to `max`; `instrument` names the survey method."""

    value: Finite
    min: Finite
    max: Finite
    better: Better = "higher"
    instrument: Instrument | None = None

    def __post_init__(self) -> None:
        if not self.min < self.max:
            raise ValueError("out of range: rating needs min < max")
        if not self.min <= self.value <= self.max:
            raise ValueError("out of range: rating needs min <= value <= max")


class Value(Struct, frozen=True, gc=False):
    """Money at stake, in the minor unit of an ISO 4217 currency."""

    amount_minor: Annotated[int, Meta(ge=-(2**53), le=2**53)]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]


class TouchpointData(Struct, frozen=True, gc=False):
    """What happened at the touchpoint. Absent fields take no part in any score."""

    touchpoint: Name
    outcome: Outcome
    channel: Channel | None = None
    stage: Stage | None = None
    journey: Identifier | None = None
    actor: Actor = "buyer"
    contact: Contact | None = None
    initiator: Initiator | None = None
    expectation: Expectation | None = None
    rating: Rating | None = None
    sentiment: Annotated[float, Meta(ge=-1, le=1)] | None = None
    wait_ms: Milliseconds | None = None
    active_ms: Milliseconds | None = None
    attempts: Count | None = None
    transfers: Count | None = None
    queue_depth: Count | None = None
    servers: Count | None = None
    segment: (
        Annotated[
            dict[
                Annotated[str, Meta(min_length=1, max_length=64)],
                Annotated[str, Meta(max_length=128)],
            ],
            Meta(max_length=8),
        ]
        | None
    ) = None
    aspects: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[float, Meta(ge=0, le=1)]],
            Meta(max_length=16),
        ]
        | None
    ) = None
    value: Value | None = None
    audience: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    change: Name | None = None


class TouchpointEvent(Struct, frozen=True, gc=False):
    """One contact of one customer at one touchpoint: the CloudEvents attributes and the data.

    `source` + `id` identify the event (the duplicate key); `subject` is the customer, pseudonymous, and the Kafka key;
    `time` is when it happened, `recordedtime` when the source recorded it.
    """

    specversion: Literal["1.0"]
    id: Identifier
    source: Identifier
    type: Literal["io.corredor.touchpoint.v1"]
    time: AwareTime
    subject: Identifier
    data: TouchpointData
    tenant: Name = "default"
    recordedtime: AwareTime | None = None
    datacontenttype: str | None = None
    dataschema: Annotated[str, Meta(max_length=512)] | None = None
    traceparent: Annotated[str, Meta(max_length=128)] | None = None
    correlationid: Identifier | None = None
    causationid: Identifier | None = None
