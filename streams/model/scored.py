"""From an accepted event and its experience to the message of `touchpoint.scored`."""

import msgspec

from schemas.event import TouchpointEvent
from schemas.scored import ScoredEvent
from streams.model.decode import Record
from streams.model.experience import Experience
from streams.model.places import Place


def scored_event(
    record: Record,
    event: TouchpointEvent,
    event_time: float,
    place: Place,
    experience: Experience,
    late: bool,
    source: tuple[int, int],
) -> ScoredEvent:
    """The message of an accepted event; `source` is its partition and offset in `touchpoint.events`."""
    data = event.data
    cell = place.cell
    subject = event.subject
    expected = actual = tolerance = unit = better = None
    if (expectation := data.expectation) is not None:
        expected, actual, tolerance = expectation.expected, expectation.actual, expectation.tolerance
        unit, better = expectation.unit, expectation.better
    value = low = high = instrument = None
    if (rating := data.rating) is not None:
        value, low, high, instrument = rating.value, rating.min, rating.max, rating.instrument
    amount_minor = currency = None
    if (money := data.value) is not None:
        amount_minor, currency = money.amount_minor, money.currency
    # Positional, because keywords would double the cost of this call. The order is that of ScoredEvent's fields.
    return ScoredEvent(
        cell.tenant,
        cell.touchpoint,
        place.channel or "unknown",
        place.stage or "unknown",
        data.actor,
        place.contact,
        subject,
        data.journey or subject,
        event.source,
        event.id,
        event_time,
        record.timestamp / 1000.0,
        data.outcome,
        experience.band,
        source[0],
        source[1],
        msgspec.Raw(record.value or b""),
        experience.x,
        experience.outcome,
        experience.promise,
        experience.rating,
        experience.sentiment,
        experience.effort,
        experience.wait,
        experience.gap,
        data.initiator,
        event.recordedtime.timestamp() if event.recordedtime is not None else None,
        expected,
        actual,
        tolerance,
        unit,
        better,
        value,
        low,
        high,
        instrument,
        data.sentiment,
        data.wait_ms,
        data.active_ms,
        data.attempts,
        data.transfers,
        data.queue_depth,
        data.servers,
        data.segment or {},
        data.aspects or {},
        amount_minor,
        currency,
        data.audience,
        data.change,
        event.dataschema,
        event.traceparent,
        event.correlationid,
        event.causationid,
        place.mapped,
        late,
    )
