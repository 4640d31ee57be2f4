"""From a record to an event: structured and binary mode, and the reasons why not. The whole table: test_bad_input."""

import json
from typing import Any

import pytest

from schemas.errors import RejectEvent
from schemas.event import TouchpointEvent
from schemas.rejection import Reason
from streams.model.decode import UnreadableValue, check_times, decode
from tests.builders import event, record

Headers = tuple[tuple[str, bytes | None], ...]
ATTRIBUTES: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", "ñ-1".encode()),
    ("ce_source", b"shop"),
    ("ce_type", b"io.corredor.touchpoint.v1"),
    ("ce_time", b"2026-11-21T10:00:00Z"),
    ("ce_subject", b"customer-1"),
    ("ce_tenant", b"brand"),
    ("content-type", b"application/json"),
)
DATA = json.dumps({"touchpoint": "web.checkout", "outcome": "success"}).encode()


def binary(value: bytes = DATA, headers: Headers = ATTRIBUTES) -> TouchpointEvent:
    return decode(record(0, value, headers=headers))


def rejected(value: Any, headers: Headers = ()) -> RejectEvent:
    with pytest.raises(RejectEvent) as caught:
        decode(record(0, value, headers=headers))
    return caught.value


def test_structured_mode_reads_the_whole_event() -> None:
    found = decode(record(0, event(tenant="brand", correlationid="c", data={"wait_ms": 5})))
    assert (found.tenant, found.correlationid, found.data.wait_ms) == ("brand", "c", 5)
    assert found.time.timestamp() == 1_795_255_200


def test_binary_mode_reads_attributes_from_headers_and_data_from_the_value() -> None:
    found = binary()
    assert (found.id, found.tenant, found.data.touchpoint) == ("ñ-1", "brand", "web.checkout")
    assert found.time.timestamp() == 1_795_255_200


def test_both_modes_give_the_same_event() -> None:
    structured = event(id="ñ-1", tenant="brand", time="2026-11-21T10:00:00Z")
    assert binary() == decode(record(0, structured))


def test_header_names_are_read_in_any_case() -> None:
    assert binary(headers=tuple((name.upper(), value) for name, value in ATTRIBUTES)) == binary()


def test_headers_that_are_no_attributes_change_nothing() -> None:
    foreign: Headers = (("traceparent", b"\xff"), ("x", None), ("content-type", b"application/json"))
    assert decode(record(0, event(), headers=foreign)) == decode(record(0, event()))


@pytest.mark.parametrize("kind", [b"application/cloudevents+json", b"Application/CloudEvents+JSON; charset=utf-8"])
def test_a_structured_content_type_goes_before_attributes_in_headers(kind: bytes) -> None:
    headers: Headers = (("ce_id", b"other"), ("content-type", kind))
    assert decode(record(0, event(), headers=headers)).id == "id-1"


def test_a_touchpoint_cannot_be_named_as_an_end_of_journeys() -> None:
    with pytest.raises(RejectEvent, match="names that begin with @") as refused:
        decode(record(0, event(data={"touchpoint": "@goal"})))
    assert refused.value.reason is Reason.UNKNOWN_VALUE


def test_unknown_fields_are_ignored() -> None:
    assert decode(record(0, event(extra={"deep": [1]}, data={"colour": "red"}))) == decode(record(0, event()))


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-11-21T10:00:00Z", 1_795_255_200.0),
        ("2026-11-21T07:00:00-03:00", 1_795_255_200.0),
        ("2026-11-21T10:00:00.25Z", 1_795_255_200.25),
        ("2026-11-21t10:00:00.123456789z", 1_795_255_200.123457),
    ],
)
def test_a_time_with_any_offset_is_one_moment(written: str, at: float) -> None:
    assert decode(record(0, event(time=written))).time.timestamp() == at


def test_what_is_wrong_is_said_with_its_place() -> None:
    error = rejected(event(data={"wait_ms": -1}))
    assert error.reason is Reason.OUT_OF_RANGE
    assert error.detail == "Expected `int` >= 0 - at `$.data.wait_ms`"


def test_an_unreadable_batch_brings_its_own_words() -> None:
    value = UnreadableValue(b"raw")
    value.detail = "codec 6"
    error = rejected(value)
    assert (error.reason, error.detail) == (Reason.UNKNOWN_COMPRESSION, "codec 6")
    assert rejected(UnreadableValue()).reason is Reason.UNKNOWN_COMPRESSION


@pytest.mark.parametrize(
    ("event_time", "reason"),
    [(1300.0, None), (1300.001, Reason.FUTURE_TIME), (0.0, None), (-0.001, Reason.OUT_OF_RANGE)],
)
def test_times_end_five_minutes_after_arrival_and_begin_in_1970(event_time: float, reason: Reason | None) -> None:
    if reason is None:
        check_times(event_time, 1000.0)
        return
    with pytest.raises(RejectEvent) as caught:
        check_times(event_time, 1000.0)
    assert caught.value.reason is reason
