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

    expected: Annotated[Finite, Meta(description="what was promised, in `unit`")]
    actual: Annotated[Finite, Meta(description="what was delivered, in `unit`")]
    tolerance: Annotated[
        Annotated[float, Meta(gt=0, le=1e15)] | None,
        Meta(description="the gap in `unit` that one step of u stands for; default: the map's"),
    ] = None
    unit: Annotated[str, Meta(max_length=32, description="unit of the three numbers, such as h")] = ""
    better: Annotated[Better, Meta(description="whether a lower or a higher `actual` is better")] = "lower"


class Rating(Struct, frozen=True, gc=False):
    """A customer's answer on a scale from `min` to `max`; `instrument` names the survey method."""

    value: Annotated[Finite, Meta(description="the answer")]
    min: Annotated[Finite, Meta(description="lowest possible answer")]
    max: Annotated[Finite, Meta(description="highest possible answer")]
    better: Annotated[Better, Meta(description="whether a lower or a higher answer is better")] = "higher"
    instrument: Annotated[Instrument | None, Meta(description="survey method; without one no NPS, CSAT or CES")] = None

    def __post_init__(self) -> None:
        if not self.min < self.max:
            raise ValueError("out of range: rating needs min < max")
        if not self.min <= self.value <= self.max:
            raise ValueError("out of range: rating needs min <= value <= max")


class Value(Struct, frozen=True, gc=False):
    """Money at stake, in the minor unit of an ISO 4217 currency."""

    amount_minor: Annotated[
        int, Meta(ge=-(2**53), le=2**53, description="amount in the currency's minor unit, such as cents")
    ]
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code")]


class TouchpointData(Struct, frozen=True, gc=False):
    """What happened at the touchpoint. Absent fields take no part in any score."""

    touchpoint: Annotated[Name, Meta(description="where; as named in the corridor map, others get the map's defaults")]
    outcome: Annotated[Outcome, Meta(description="how it ended for the customer; `pending` counts for no score")]
    channel: Annotated[Channel | None, Meta(description="default: the map's")] = None
    stage: Annotated[Stage | None, Meta(description="where in the purchase; default: the map's")] = None
    journey: Annotated[
        Identifier | None, Meta(description="the walk it belongs to, such as an order; default: the subject")
    ] = None
    actor: Annotated[Actor, Meta(description="who had the contact")] = "buyer"
    contact: Annotated[Contact | None, Meta(description="with the company itself, or about it; default: the map's")] = (
        None
    )
    initiator: Annotated[Initiator | None, Meta(description="who began it")] = None
    expectation: Annotated[Expectation | None, Meta(description="promise against delivery")] = None
    rating: Annotated[Rating | None, Meta(description="a survey's answer")] = None
    sentiment: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None, Meta(description="of what was said; -1 is the worst")
    ] = None
    wait_ms: Annotated[Milliseconds | None, Meta(description="time the customer waited")] = None
    active_ms: Annotated[Milliseconds | None, Meta(description="time the customer worked")] = None
    attempts: Annotated[Count | None, Meta(description="attempts it took")] = None
    transfers: Annotated[Count | None, Meta(description="times the customer was handed over")] = None
    queue_depth: Annotated[Count | None, Meta(description="customers waiting, where a source knows it")] = None
    servers: Annotated[Count | None, Meta(description="places serving, where a source knows it")] = None
    segment: Annotated[
        Annotated[
            dict[
                Annotated[str, Meta(min_length=1, max_length=64)],
                Annotated[str, Meta(max_length=128)],
            ],
            Meta(max_length=8),
        ]
        | None,
        Meta(description="what causes are looked for in: location, carrier, device"),
    ] = None
    aspects: Annotated[
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[float, Meta(ge=0, le=1)]],
            Meta(max_length=16),
        ]
        | None,
        Meta(description="how single aspects were, 1 is best: cleanliness, packaging, kindness"),
    ] = None
    value: Annotated[Value | None, Meta(description="money at stake")] = None
    audience: Annotated[
        Annotated[int, Meta(ge=0, le=2**53)] | None, Meta(description="how many people saw it, on social media")
    ] = None
    change: Annotated[Name | None, Meta(description="the improvement that these first events come after")] = None


class TouchpointEvent(Struct, frozen=True, gc=False):
    """One contact of one customer at one touchpoint: the CloudEvents attributes and the data.

    `source` + `id` identify the event (the duplicate key); `subject` is the customer, pseudonymous, and the Kafka key;
    `time` is when it happened, `recordedtime` when the source recorded it.
    """

    specversion: Annotated[Literal["1.0"], Meta(description="version of CloudEvents")]
    id: Annotated[Identifier, Meta(description="with `source` it identifies the event: sent twice, it counts once")]
    source: Annotated[Identifier, Meta(description="the system it comes from, such as /courier/swift")]
    type: Annotated[Literal["io.corredor.touchpoint.v1"], Meta(description="what kind of event it is")]
    time: Annotated[AwareTime, Meta(description="when it happened, RFC 3339 with a time zone")]
    subject: Annotated[Identifier, Meta(description="the customer, pseudonymous; the Kafka key")]
    data: Annotated[TouchpointData, Meta(description="what happened")]
    tenant: Annotated[Name, Meta(description="brand or business unit")] = "default"
    recordedtime: Annotated[AwareTime | None, Meta(description="when the source recorded it")] = None
    datacontenttype: Annotated[str | None, Meta(description="content type of the data, carried through")] = None
    dataschema: Annotated[
        Annotated[str, Meta(max_length=512)] | None, Meta(description="schema of the data, carried through")
    ] = None
    traceparent: Annotated[
        Annotated[str, Meta(max_length=128)] | None, Meta(description="W3C trace context, carried through")
    ] = None
    correlationid: Annotated[Identifier | None, Meta(description="what it belongs to, carried through")] = None
    causationid: Annotated[Identifier | None, Meta(description="what caused it, carried through")] = None
